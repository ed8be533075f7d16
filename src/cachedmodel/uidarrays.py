"""The canonical encoding of numpy's and torch's values: type, shape and content, without copying what is contiguous."""

from __future__ import annotations

import typing as tp

from .errors import UidError

if tp.TYPE_CHECKING:
    from collections.abc import Iterator

    from .containers import Walk

_SHORT = 64
_CHUNK = 1 << 20


def of_numpy(self: Walk, value: tp.Any) -> tuple[str, list[bytes]]:  # Any: an array, a scalar or a dtype
    """The encoding of an array, a scalar or a dtype of np.

    Raises
    ------
    UidError
        If it is a subclass of an array, which may hold more.
    """
    import numpy as np

    if isinstance(value, np.dtype):
        return "dtype", [self.value(_dtype(value))]
    if type(value) is not np.ndarray and not isinstance(value, np.generic):
        raise UidError(f"an array of type {type(value).__qualname__} may hold more than its values: use a plain array")
    name = "array" if type(value) is np.ndarray else "scalar"
    self.opaque |= name == "array"
    array = np.asarray(value)
    return name, [self.value(_dtype(array.dtype)), self.value(array.shape), *_contents(self, array)]


def _dtype(dtype: tp.Any) -> object:
    """A numpy dtype as plain values; titles and offsets of structured ones included."""
    if dtype.subdtype is not None:
        return ["sub", _dtype(dtype.subdtype[0]), dtype.subdtype[1]]
    if dtype.names is None:  # libraries' own types are "void" to numpy: only their names differ
        return [dtype.str, dtype.itemsize, repr(dtype) if dtype.kind in "VT" else ""]
    fields = [(name, dtype.fields[name]) for name in dtype.names]
    return [dtype.itemsize, [[name, _dtype(field[0]), *field[1:]] for name, field in fields]]


def _contents(self: Walk, array: tp.Any) -> Iterator[bytes]:
    """The content of an array; of a structured one field by field, for what is between the fields is undefined."""
    import numpy as np

    if array.dtype.names is not None:
        for name in array.dtype.names:
            yield from _contents(self, array[name])
    elif array.dtype.hasobject:
        yield self.sequence(b"l", array.ravel().tolist())
    else:
        flat = np.ascontiguousarray(array).reshape(-1)
        yield hashed(flat.nbytes, _chunks(np, flat))


def _chunks(np: tp.Any, flat: tp.Any) -> Iterator[tp.Any]:
    """A flat array as bytes, piece by piece; nan written in one way, for its payload is no part of its value."""
    if flat.dtype.kind == "c":  # each part may be nan
        flat = flat.view(np.dtype(f"{flat.dtype.byteorder}f{flat.dtype.itemsize // 2}"))
    for start in range(0, len(flat), _CHUNK):
        piece = flat[start : start + _CHUNK]
        if piece.dtype.kind == "f":
            nan = np.isnan(piece)
            if nan.any():
                piece = piece.copy()
                piece[nan] = np.nan
            if piece.dtype.itemsize == 16 and np.finfo(piece.dtype).nmant == 63:  # 10 bytes and 6 undefined ones
                native = piece.astype(piece.dtype.newbyteorder("="))
                yield np.ascontiguousarray(native.view(np.uint8).reshape(-1, 16)[:, :10]).reshape(-1)
                continue
        yield piece.view(np.uint8)


def hashed(size: int, chunks: tp.Iterable[tp.Any]) -> bytes:
    """Bytes as they are where there are few, otherwise 128 bits of them (a hash made for speed: arrays can be large)."""
    from xxhash import xxh3_128

    if size <= _SHORT:
        data = b"".join(bytes(chunk) for chunk in chunks)
        return b"b%d:" % len(data) + data
    state = xxh3_128()
    for chunk in chunks:
        state.update(chunk)
    return b"h%d:" % size + state.digest()


def of_torch(self: Walk, value: tp.Any) -> tuple[str, list[bytes]]:  # Any: a tensor, a dtype or a device
    """The encoding of a dense tensor, wherever it is, of a dtype or of a device of torch.

    Raises
    ------
    UidError
        If it is sparse, quantized, without content, or of a subclass, which may hold more.
    """
    import torch

    if isinstance(value, (torch.dtype, torch.device)):
        return "torch", [self.value(str(value))]
    if type(value) is not torch.Tensor or value.layout is not torch.strided or value.is_quantized or value.is_meta:
        raise UidError(
            f"a tensor of type {type(value).__name__} ({value.layout}, on {value.device}) cannot be encoded: use a dense "
            "torch.Tensor that holds its values"
        )
    self.opaque = True
    flat = value.detach().resolve_conj().resolve_neg().cpu().contiguous().reshape(-1)
    if flat.is_complex():
        flat = torch.view_as_real(flat).reshape(-1)
    if flat.dtype in (torch.float16, torch.bfloat16, torch.float32, torch.float64) and bool(torch.isnan(flat).any()):
        flat = flat.masked_fill(torch.isnan(flat), float("nan"))
    data = flat.view(torch.uint8).numpy()
    about = self.value((str(value.dtype), tuple(value.shape), value.requires_grad))
    return "tensor", [about, hashed(len(data), [data])]
