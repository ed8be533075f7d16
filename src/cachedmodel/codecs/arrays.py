"""numpy: arrays of every dtype, scalars and dtypes. What is not exactly an ndarray (masked arrays, ...) is declined.

An array comes back writable, and in memory of its own, which is that of a payload that may be written to, if little else is in
it; with the codec ``memmap``, as a read-only view of the payload. The order of the axes in memory (C, Fortran, transposed) stays
if there are no gaps; other arrays come back in C order. Two arrays that are views of the same memory come back as two, as with
pickle.
"""

from __future__ import annotations

import math
import re
import typing as tp

import numpy as np

from .base import Declined
from .kinds import Kind, State, expect

Array = np.ndarray[tp.Any, np.dtype[tp.Any]]
DtypeState = str | tuple[tp.Any, ...]

_SIMPLE = re.compile(r"[<>|]?(?:[?bhilqBHILQefdFDgG]|[biufcSUVMm]\d+)(?:\[\w+\])?(?:/\d+)?")
# dtype.str is slow, and most arrays have one of these. Two characters may share one string (long, long long).
_NATIVE = {char: np.dtype(char).str for char in "?bhilqBHILQefdFD" if np.dtype(np.dtype(char).str).char == char}
_native_dtypes: dict[object, np.dtype[tp.Any]] = {name: np.dtype(name) for name in _NATIVE.values()}


def find(cls: type) -> Kind | None:
    """The kind of the instances of `cls`."""
    if cls is np.ndarray:
        return _ARRAY
    if cls is np.str_ or cls is np.bytes_:
        return _TEXT
    if issubclass(cls, np.generic) and cls.__module__ == "numpy":
        return _SCALAR
    if issubclass(cls, np.dtype):
        return _DTYPE
    return None


def _reduce_array(array: Array) -> State:
    dtype = array.dtype
    if dtype.hasobject or dtype.char == "T":
        return _reduce_elements(array)
    axes, dense = layout(array)
    return describe_dtype(dtype), array.shape, axes, raw(dense)


def _reduce_elements(array: Array) -> State:
    dtype = array.dtype
    if dtype.char == "T":
        if hasattr(dtype, "na_object"):
            raise Declined("has strings that may be missing")
        description = "T" if tp.cast(tp.Any, dtype).coerce else "T!"
    elif dtype == np.dtype(object) and dtype.metadata is None:
        description = "O"
    else:
        raise Declined("has a dtype with objects in its fields")
    axes, dense = layout(array)
    return description, array.shape, axes, dense.reshape(-1).tolist()


def _restore_array(state: State, views: bool) -> Array:
    description, shape, axes, content = state
    dense, inverse = _axes(shape, axes) if axes else (shape, None)
    make: tp.Callable[..., Array] = _elements if isinstance(content, list) else _numbers
    array = make(description, dense, content)
    if inverse is not None:
        array = array.transpose(inverse)
    if isinstance(content, list):
        return array
    if not views:
        return array if _is_owner(content) and array.flags.aligned else array.copy(order="K")
    if not array.flags.aligned:
        array = array.copy(order="K")
    array.flags.writeable = False
    return array


def _is_owner(content: memoryview) -> bool:
    """True if the memory was read for this very array, which may keep it: it can be written to, and little else is in it."""
    return not content.readonly and 2 * len(content) > len(memoryview(content.obj))


def _elements(description: object, shape: tuple[int, ...], elements: list[object]) -> Array:
    """Array of elements, one by one: they may be sequences, which assigning them all at once would unpack."""
    if len(elements) != count_of(shape):
        raise ValueError("an array has another number of elements than its shape says")
    flat: Array = np.empty(len(elements), _element_dtype(description))
    for index, element in enumerate(elements):
        flat[index] = element
    return flat.reshape(shape)


def _numbers(description: object, shape: tuple[int, ...], content: memoryview) -> Array:
    """Array over `content`, without a copy."""
    dtype = _native_dtypes.get(description) or find_dtype(description)
    if count_of(shape) * dtype.itemsize != len(content):
        raise ValueError("an array has another size than its shape says")
    return np.ndarray(shape, dtype, content)


def count_of(shape: tuple[int, ...]) -> int:
    """Number of elements of a shape that was read."""
    if len(expect(shape, tuple)) > 64 or any(type(size) is not int or not 0 <= size < 1 << 63 for size in shape):
        raise ValueError("a shape is malformed")
    return math.prod(shape)


def _reduce_scalar(scalar: np.generic) -> State:
    dtype = scalar.dtype
    if dtype.hasobject or dtype.type is not type(scalar):
        raise Declined("has a dtype that cannot be told exactly")
    return describe_dtype(dtype), raw(np.asarray(scalar))


def _restore_scalar(state: State, views: bool) -> object:
    description, content = state
    dtype = find_dtype(description)
    if dtype.itemsize != len(content):
        raise ValueError("a scalar has another size than its dtype says")
    return np.ndarray((), dtype, content if dtype.itemsize else None).copy()[()]


def _reduce_text(scalar: np.str_ | np.bytes_) -> State:
    # Not by their dtype, nor by their own str, which drop zeros at the end.
    return (str.__str__(scalar) if isinstance(scalar, np.str_) else bytes.__getitem__(scalar, slice(None)),)


def _restore_text(state: State, views: bool) -> object:
    (text,) = state
    return np.str_(text) if isinstance(text, str) else np.bytes_(expect(text, bytes))


def _reduce_dtype(dtype: np.dtype[tp.Any]) -> State:
    return (describe_dtype(dtype),) if not dtype.hasobject else ("O",)


def _restore_dtype(state: State, views: bool) -> object:
    (description,) = state
    return np.dtype(object) if description == "O" else find_dtype(description)


def layout(array: Array) -> tuple[tuple[int, ...], Array]:
    """The order of the axes in memory (empty: C order), and the array with its axes in that order, contiguous."""
    if array.flags.c_contiguous:
        return (), array
    axes = tuple(sorted(range(array.ndim), key=lambda axis: -array.strides[axis]))
    dense = array.transpose(axes)
    if dense.flags.c_contiguous:
        return axes, dense
    return (), np.ascontiguousarray(array)


def raw(dense: Array) -> memoryview:
    """The bytes of a contiguous array, without a copy."""
    if not dense.nbytes:
        return memoryview(b"")
    return dense.reshape(-1).view(np.uint8).data


def _axes(shape: tuple[int, ...], axes: tuple[int, ...]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Shape in memory, and the permutation that leads from it back to `shape`."""
    if sorted(axes) != list(range(len(shape))):
        raise ValueError("the axes of an array are malformed")
    return tuple(shape[axis] for axis in axes), tuple(axes.index(axis) for axis in range(len(axes)))


def describe_dtype(dtype: np.dtype[tp.Any]) -> DtypeState:
    """A dtype as strings and numbers; raises `Declined` if they would not lead back to it."""
    if dtype.metadata is not None:
        raise Declined("has a dtype with metadata")
    native = _NATIVE.get(dtype.char) if dtype.isnative else None
    if native is not None:
        return native
    if dtype.subdtype is not None:
        base, shape = dtype.subdtype
        return "sub", describe_dtype(base), shape
    if dtype.names is not None:
        if dtype.type is not np.void:
            raise Declined("has records")
        return _describe_fields(dtype)
    description = dtype.str
    if np.dtype(description).char != dtype.char:
        description = description[0] + dtype.char
    if dtype.char in "gG":
        # 80 bits here and 128 elsewhere: same name, same size, other bits.
        description += f"/{np.finfo(dtype).nmant}"
    found = find_dtype(description) if _SIMPLE.fullmatch(description) else None
    if found != dtype or found.char != dtype.char:
        raise Declined(f"has the dtype {dtype}")
    return description


def _describe_fields(dtype: np.dtype[tp.Any]) -> DtypeState:
    fields = tp.cast(tp.Any, dtype.fields)
    columns = [(name, describe_dtype(fields[name][0]), *fields[name][1:]) for name in dtype.names or ()]
    state = "fields", tuple(columns), dtype.itemsize, dtype.isalignedstruct
    if find_dtype(state) != dtype:
        raise Declined(f"has the dtype {dtype}")
    return state


def find_dtype(description: object) -> np.dtype[tp.Any]:
    """The dtype that was described; never one with objects inside."""
    if isinstance(description, str) and _SIMPLE.fullmatch(description):
        name, _, mantissa = description.partition("/")
        dtype = np.dtype(name)
        if dtype.char in "gG" and mantissa != str(np.finfo(dtype).nmant):
            raise ValueError("long doubles of another kind of processor cannot be read here")
        return dtype
    if isinstance(description, tuple) and description[0] == "sub":
        _, base, shape = description
        return np.dtype((find_dtype(base), shape))
    if isinstance(description, tuple) and description[0] == "fields":
        _, columns, itemsize, aligned = description
        spec: dict[str, tp.Any] = {
            "names": [column[0] for column in columns],
            "formats": [find_dtype(column[1]) for column in columns],
            "offsets": [column[2] for column in columns],
            "itemsize": itemsize,
        }
        if any(len(column) > 3 for column in columns):
            spec["titles"] = [column[3] if len(column) > 3 else None for column in columns]
        found: np.dtype[tp.Any] = np.dtype(tp.cast(tp.Any, spec), align=aligned)
        return found
    raise ValueError(f"unknown dtype {description!r}")


def _element_dtype(description: object) -> np.dtype[tp.Any]:
    if description == "O":
        return np.dtype(object)
    if description in ("T", "T!"):
        string_dtype: tp.Any = np.dtypes  # that of numpy 1 has none
        found: np.dtype[tp.Any] = string_dtype.StringDType(coerce=description == "T")
        return found
    raise ValueError(f"unknown dtype {description!r}")


_ARRAY = Kind("np.array", _reduce_array, _restore_array)
_SCALAR = Kind("np.scalar", _reduce_scalar, _restore_scalar)
_TEXT = Kind("np.text", _reduce_text, _restore_text)
_DTYPE = Kind("np.dtype", _reduce_dtype, _restore_dtype)
KINDS = (_ARRAY, _SCALAR, _TEXT, _DTYPE)
