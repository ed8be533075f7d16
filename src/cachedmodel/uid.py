"""Values to bytes that tell them apart: the canonical, type-tagged encoding behind every uid.

The encoding is injective: every value starts with a tag for its type and says how long it is, so that no two
values that differ in value or type share one. Equal values of one type share one in every process, under every hash
seed and Python version: sets and mappings are sorted by their encodings. A value that cannot be told apart
faithfully is refused with a `UidError` rather than approximated.
"""

from __future__ import annotations

import base64
import dataclasses
import datetime
import decimal
import enum
import fractions
import functools
import pathlib
import re
import struct
import sys
import types
import typing as tp
import uuid
from _blake2 import blake2b  # what hashlib hands out, without loading OpenSSL
from collections import Counter, OrderedDict, defaultdict, deque

from .errors import UidError

Encoder = tp.Callable[[tp.Any], bytes]  # Any: each encoder takes the type it is registered for

_pack_float = struct.Struct(">d").pack
_NAN = b"f" + _pack_float(float("nan"))
_MAX_READABLE = 128


# -- atoms ------------------------------------------------------------------------------------------------------


def _str(value: str) -> bytes:
    data = value.encode("utf-8", "surrogatepass")
    return b"s%d:" % len(data) + data


def _float(value: float) -> bytes:
    return b"f" + _pack_float(value) if value == value else _NAN


def _bytes(value: bytes) -> bytes:
    return b"b%d:" % len(value) + value


def tagged(tag: str, *parts: bytes) -> bytes:
    """One value from a tag and encodings that each say where they end."""
    name = tag.encode("utf-8", "surrogatepass")
    return b"<%d:" % len(name) + name + b"%d;" % len(parts) + b"".join(parts)


def class_path(cls: type) -> str:
    """The name that tells a class from others: module and qualified name, or what it was given as its cache name."""
    own = cls.__dict__.get("__cache_name__")
    if isinstance(own, str):
        return own
    path = f"{cls.__module__}:{cls.__qualname__}"
    if cls.__module__ == "__main__" or "<locals>" in cls.__qualname__:
        # such a path means another class in another script or function: the fields tell them apart
        fields = getattr(cls, "__pydantic_fields__", None) or getattr(cls, "__dataclass_fields__", None) or {}
        schema = "".join(f"{name}:{getattr(f, 'annotation', getattr(f, 'type', ''))!r};" for name, f in fields.items())
        path += "#" + digest(_str(schema))
    return path


def _function(value: tp.Any) -> bytes:  # Any: a function or a builtin, which share no type
    module, name = getattr(value, "__module__", None), getattr(value, "__qualname__", "")
    found: object = sys.modules.get(module or "")
    for part in name.split("."):
        found = getattr(found, part, None)
    if found is not value or module == "__main__":
        raise UidError(
            f"the function {value!r} has no name under which another process would find the very same: "
            "use a function at the top level of a module"
        )
    return tagged("function", _str(f"{module}:{name}"))


def _datetime(value: datetime.datetime) -> bytes:
    zone = value.tzinfo
    key = getattr(zone, "key", None) or (repr(zone) if isinstance(zone, datetime.timezone) else None)
    if zone is not None and key is None:
        raise UidError(f"a time zone of type {type(zone).__name__} cannot be told from others: use zoneinfo or UTC")
    return tagged("datetime", _str(value.replace(tzinfo=None).isoformat()), _str(key or ""), b"%d;" % value.fold)


def _time(value: datetime.time) -> bytes:
    zone = _datetime(datetime.datetime.combine(datetime.date(1, 1, 1), value))
    return tagged("time", zone)


_ATOMS: dict[type, Encoder] = {
    type(None): lambda _: b"N",
    bool: lambda value: b"T" if value else b"F",
    int: lambda value: b"i%x;" % value,
    float: _float,
    str: _str,
    bytes: _bytes,
    complex: lambda value: tagged("complex", _float(value.real), _float(value.imag)),
    decimal.Decimal: lambda value: tagged("Decimal", _str(str(value))),
    fractions.Fraction: lambda value: tagged("Fraction", b"i%x;" % value.numerator, b"i%x;" % value.denominator),
    uuid.UUID: lambda value: tagged("UUID", _bytes(value.bytes)),
    datetime.datetime: _datetime,
    datetime.date: lambda value: tagged("date", _str(value.isoformat())),
    datetime.time: _time,
    datetime.timedelta: lambda value: tagged(
        "timedelta", *(b"i%x;" % x for x in (value.days, value.seconds, value.microseconds))
    ),
    types.FunctionType: _function,
    types.BuiltinFunctionType: _function,
    type(Ellipsis): lambda _: b"<E",
}


# -- containers and objects -----------------------------------------------------------------------------------------


class Encoding:
    """One pass over a value. Subclasses say how models are encoded.

    Attributes
    ----------
    mutable
        True once a value was met that can change in place.
    """

    def __init__(self) -> None:
        self.mutable = False

    def model(self, value: tp.Any) -> bytes:  # Any: a pydantic model, which this layer does not import
        """A model is its class and all of its fields."""
        state = {**value.__dict__, **(value.__pydantic_extra__ or {})}
        self.mutable = True
        return tagged("model", _str(class_path(type(value))), self.mapping(state))

    def mapping(self, value: tp.Mapping[tp.Any, object]) -> bytes:
        """Key and value encodings, sorted: the order of a mapping is no part of its value."""
        pairs = sorted((self.value(key), self.value(val)) for key, val in value.items())
        return b"d%d:" % len(pairs) + b"".join(key + val for key, val in pairs)

    def sequence(self, tag: bytes, values: tp.Iterable[object]) -> bytes:
        """A list, tuple or set as its tag, its length and its values."""
        parts = [self.value(value) for value in values]
        return tag + b"%d:" % len(parts) + b"".join(parts)

    def value(self, value: tp.Any) -> bytes:  # Any: whatever a field can hold
        """The canonical encoding of any value, or a `UidError`."""
        kind = type(value)
        encoder = _ATOMS.get(kind)
        if encoder is not None:
            return encoder(value)
        container = _CONTAINERS.get(kind)
        if container is not None:
            if kind not in (tuple, frozenset):
                self.mutable = True
            return container(self, value)
        return self._object(value, kind)

    def _object(self, value: tp.Any, kind: type) -> bytes:
        hook = getattr(kind, "__uid_value__", None)
        if hook is not None:
            return tagged("custom", _str(class_path(kind)), self.value(hook(value)))
        if hasattr(kind, "__pydantic_fields__") and hasattr(kind, "model_fields"):
            return self.model(value)
        if isinstance(value, enum.Enum):
            return tagged("enum", _str(class_path(kind)), _str(value.name or ""), self.value(value.value))
        if isinstance(value, pathlib.PurePath):
            flavour = "windows" if isinstance(value, pathlib.PureWindowsPath) else "posix"
            return tagged("path", _str(flavour), _str(str(value)))
        if isinstance(value, type):
            return tagged("class", _str(class_path(value)))
        if dataclasses.is_dataclass(value):
            frozen = kind.__dataclass_params__.frozen  # type: ignore[attr-defined]  # set by the decorator
            self.mutable |= not frozen
            names = [f.name for f in dataclasses.fields(value)]
            extra = set(getattr(value, "__dict__", ())) - set(names)
            if extra:
                raise UidError(f"a dataclass {kind.__qualname__} carries more than its fields: {sorted(extra)}")
            parts = (self.value(getattr(value, name)) for name in names)
            return tagged(
                "dataclass", _str(class_path(kind)), *(_str(n) + p for n, p in zip(names, parts, strict=True))
            )
        if isinstance(value, tuple) and hasattr(kind, "_fields") and not hasattr(value, "__dict__"):
            return tagged("namedtuple", _str(class_path(kind)), self.sequence(b"t", value))
        return self._foreign(value, kind)

    def _foreign(self, value: tp.Any, kind: type) -> bytes:
        """Values of libraries that are only looked at when they are imported already, and what is left: refusal."""
        numpy, torch = sys.modules.get("numpy"), sys.modules.get("torch")
        if numpy is not None and isinstance(value, (numpy.ndarray, numpy.generic, numpy.dtype)):
            return self._numpy(numpy, value, kind)
        if torch is not None and isinstance(value, (torch.Tensor, torch.dtype, torch.device)):
            return self._torch(torch, value)
        if kind.__module__.startswith(("pydantic", "pydantic_core")):
            if "Secret" in kind.__name__:
                raise UidError("a secret cannot be part of a uid, which is readable: mark the field NotInUid")
            if kind.__name__.endswith(("Url", "Dsn")):
                return tagged("url", _str(kind.__name__), _str(str(value)))
        if kind.__module__ == "ipaddress" or kind.__module__ == "zoneinfo":
            return tagged(kind.__name__, _str(str(value)))
        raise UidError(
            f"a value of type {kind.__module__}.{kind.__qualname__} cannot be told from others by its content: mark the "
            "field NotInUid, exclude it, or give its class a method __uid_value__ that returns plain values"
        )

    def _numpy(self, numpy: tp.Any, value: tp.Any, kind: type) -> bytes:
        if isinstance(value, numpy.dtype):
            return tagged("dtype", self.value(_dtype(value)))
        if kind is not numpy.ndarray and not isinstance(value, numpy.generic):
            raise UidError(f"an array of type {kind.__qualname__} may hold more than its values: use a plain array")
        self.mutable |= kind is numpy.ndarray
        name = "array" if kind is numpy.ndarray else "scalar"
        shape, dtype = self.value(tuple(value.shape)), self.value(_dtype(value.dtype))
        if value.dtype.hasobject:
            return tagged(name, dtype, shape, self.sequence(b"l", numpy.asarray(value).ravel().tolist()))
        return tagged(name, dtype, shape, _bytes(_plain(numpy, value)))

    def _torch(self, torch: tp.Any, value: tp.Any) -> bytes:
        if isinstance(value, (torch.dtype, torch.device)):
            return tagged("torch", _str(str(value)))
        if type(value) is not torch.Tensor or value.layout is not torch.strided or value.is_quantized:
            raise UidError(
                f"a tensor of type {type(value).__name__} ({value.layout}) cannot be encoded: use a dense one"
            )
        self.mutable = True
        flat = value.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
        return tagged("tensor", _str(str(value.dtype)), self.value(tuple(value.shape)), _bytes(flat.numpy().tobytes()))


def _dtype(dtype: tp.Any) -> object:
    """A numpy dtype as plain values; titles and offsets of structured ones included."""
    return [dtype.str, repr(dtype.descr) if dtype.names is None else repr(dict(dtype.fields)), dtype.itemsize]


def _plain(numpy: tp.Any, value: tp.Any) -> bytes:
    """The bytes of an array in C order, with nan written one way (its payload is no part of its value)."""
    array = numpy.ascontiguousarray(value)
    if array.dtype.kind in "fc" and numpy.isnan(array).any():
        array = numpy.where(numpy.isnan(array), array.dtype.type("nan"), array)
    data: bytes = array.tobytes()
    return data


def _set(self: Encoding, value: tp.Iterable[object], tag: bytes) -> bytes:
    parts = sorted(self.value(item) for item in value)
    return tag + b"%d:" % len(parts) + b"".join(parts)


def _ordered(self: Encoding, value: tp.Mapping[object, object]) -> bytes:
    return tagged("OrderedDict", self.sequence(b"l", (x for pair in value.items() for x in pair)))


_CONTAINERS: dict[type, tp.Callable[[Encoding, tp.Any], bytes]] = {
    list: lambda self, value: self.sequence(b"l", value),
    tuple: lambda self, value: self.sequence(b"t", value),
    dict: lambda self, value: self.mapping(value),
    set: lambda self, value: _set(self, value, b"S"),
    frozenset: lambda self, value: _set(self, value, b"Z"),
    bytearray: lambda self, value: tagged("bytearray", _bytes(bytes(value))),
    deque: lambda self, value: tagged("deque", self.value(value.maxlen), self.sequence(b"l", value)),
    OrderedDict: _ordered,
    defaultdict: lambda self, value: tagged("defaultdict", self.value(value.default_factory), self.mapping(value)),
    Counter: lambda self, value: tagged("Counter", self.mapping(value)),
    types.MappingProxyType: lambda self, value: tagged("mappingproxy", self.mapping(value)),
    re.Pattern: lambda self, value: tagged("pattern", self.value(value.pattern), self.value(value.flags)),
    range: lambda self, value: tagged("range", self.value((value.start, value.stop, value.step))),
    slice: lambda self, value: tagged("slice", self.value((value.start, value.stop, value.step))),
    functools.partial: lambda self, value: tagged("partial", self.value((value.func, value.args, value.keywords))),
}


# -- what others use ----------------------------------------------------------------------------------------------


def canonical(value: object) -> bytes:
    """The type-tagged encoding of a value.

    Raises
    ------
    UidError
        If the value, or one in it, cannot be told apart faithfully from others.

    Examples
    --------
    >>> canonical(1) == canonical(1.0), canonical(1) == canonical(True)
    (False, False)
    >>> canonical({"a": 1, "b": {2, 3}}) == canonical({"b": {3, 2}, "a": 1})
    True
    """
    try:
        return Encoding().value(value)
    except RecursionError:
        raise UidError(f"a value of type {type(value).__qualname__} contains itself, or is nested too deeply") from None


def digest(encoding: bytes) -> str:
    """80 bits of an encoding as 16 lower-case letters and digits, safe on file systems that fold case."""
    return base64.b32encode(blake2b(encoding, digest_size=10).digest()).decode().lower()


def complete_digest(encoding: bytes) -> bytes:
    """128 bits of an encoding."""
    return blake2b(encoding, digest_size=16).digest()


_UNSAFE = re.compile(r"[^A-Za-z0-9_.,=+-]+")


def clean(text: str, limit: int = _MAX_READABLE) -> str:
    """Text cut to `limit` characters that are safe in a file name and mean nothing in a glob."""
    return _UNSAFE.sub("_", text[: 4 * limit])[:limit].lstrip(".-") or "_"


def text(readable: str, encoding: bytes) -> str:
    """A name for an encoding: what a person recognises, then its hash; below 255 bytes, safe as a file name.

    Examples
    --------
    >>> text("lr=0.1,name=a/b", b"...").startswith("lr=0.1,name=a_b-")
    True
    """
    return f"{clean(readable)}-{digest(encoding)}"
