"""What "comes back exactly" means: `exactly_equal`, used by the tests of codecs."""

from __future__ import annotations

import dataclasses
import decimal
import math
import types
import typing as tp
from collections import deque


def exactly_equal(a: tp.Any, b: tp.Any) -> bool:
    """True if a and b are of the same type and hold the same: also nan as nan, -0.0 as -0.0, None as None."""
    if type(a) is not type(b):
        return False
    if isinstance(a, float):
        return (math.isnan(a) and math.isnan(b)) or (a == b and math.copysign(1, a) == math.copysign(1, b))
    if type(a) is complex:
        return exactly_equal(a.real, b.real) and exactly_equal(a.imag, b.imag)
    if isinstance(a, dict):
        same_factory = getattr(a, "default_factory", None) is getattr(b, "default_factory", None)
        return same_factory and exactly_equal(list(a.items()), list(b.items()))
    if isinstance(a, tuple | list | deque):
        return len(a) == len(b) and all(map(exactly_equal, a, b)) and getattr(a, "maxlen", 0) == getattr(b, "maxlen", 0)
    if isinstance(a, set | frozenset):
        return len(a) == len(b) and all(any(exactly_equal(x, y) for y in b) for x in a)
    if isinstance(a, decimal.Decimal):
        return str(a) == str(b)
    if type(a) is slice:
        return exactly_equal((a.start, a.stop, a.step), (b.start, b.stop, b.step))
    library = _LIBRARIES.get(type(a).__module__.partition(".")[0])
    if library is not None:
        return library(a, b)
    if dataclasses.is_dataclass(a):
        return all(exactly_equal(getattr(a, f.name), getattr(b, f.name)) for f in dataclasses.fields(a))
    if isinstance(a, types.SimpleNamespace):
        return exactly_equal(vars(a), vars(b))
    return bool(a == b) and repr(a) == repr(b)


def _numpy_equal(a: tp.Any, b: tp.Any) -> bool:
    import numpy as np

    if isinstance(a, np.dtype):
        return bool(a == b) and a.char == b.char and repr(a) == repr(b)
    if isinstance(a, np.str_):
        return str.__str__(a) == str.__str__(b)
    if isinstance(a, np.bytes_):
        return bytes.__getitem__(a, slice(None)) == bytes.__getitem__(b, slice(None))
    if not _numpy_equal(a.dtype, b.dtype) or a.shape != b.shape:
        return False
    # The order of an array with gaps need not stay.
    if isinstance(a, np.ndarray) and a.nbytes and a.flags.forc and b.flags.forc and a.flags.fnc != b.flags.fnc:
        return False
    if a.dtype.kind in "OT":
        return exactly_equal(a.tolist(), b.tolist())
    if a.dtype.names:  # one by one: what is between fields is not copied
        return all(_numpy_equal(np.asarray(a[name]), np.asarray(b[name])) for name in a.dtype.names)
    if a.dtype.char in "gG":  # nor is what fills up long doubles
        return repr(a) == repr(b)
    return bool(a.tobytes() == b.tobytes())


def _torch_equal(a: tp.Any, b: tp.Any) -> bool:
    import torch

    if not isinstance(a, torch.Tensor):
        return bool(a == b)
    same = a.dtype == b.dtype and a.shape == b.shape and a.requires_grad == b.requires_grad
    if not same or a.numel() == 0:
        return bool(same)
    raw = [t.detach().resolve_conj().resolve_neg().contiguous().reshape(-1).view(torch.uint8) for t in (a, b)]
    return bool(torch.equal(*raw))


def _pandas_equal(a: tp.Any, b: tp.Any) -> bool:
    import pandas as pd

    if a is pd.NaT or a is pd.NA:
        return a is b
    if isinstance(a, pd.DataFrame):
        columns = [exactly_equal(a.iloc[:, n].array, b.iloc[:, n].array) for n in range(a.shape[1])]
        same_frame = a.shape == b.shape and all(columns) and exactly_equal(a.columns, b.columns)
        return same_frame and exactly_equal(a.index, b.index) and exactly_equal(a.attrs, b.attrs) and a.flags == b.flags
    if isinstance(a, pd.Series):
        same_series = exactly_equal(a.array, b.array) and exactly_equal(a.index, b.index)
        return same_series and exactly_equal(a.name, b.name) and exactly_equal(a.attrs, b.attrs) and a.flags == b.flags
    if isinstance(a, pd.MultiIndex):
        same_names = exactly_equal(list(a.names), list(b.names))
        return same_names and all(exactly_equal(x, y) for x, y in zip(a.levels, b.levels, strict=True)) and a.equals(b)
    if isinstance(a, pd.RangeIndex):
        return exactly_equal((a.start, a.stop, a.step, a.name), (b.start, b.stop, b.step, b.name))
    if isinstance(a, pd.Index):
        same_freq = getattr(a, "freq", None) == getattr(b, "freq", None)
        return same_freq and exactly_equal(a.name, b.name) and exactly_equal(a.array, b.array)
    if isinstance(a, pd.api.extensions.ExtensionArray):
        elements = [x.astype(object) if isinstance(x, pd.Categorical) else x for x in (a, b)]
        return repr(a.dtype) == repr(b.dtype) and a.dtype == b.dtype and exactly_equal(*map(list, elements))
    return bool(a == b) and repr(a) == repr(b) and getattr(a, "unit", None) == getattr(b, "unit", None)


def _arrow_equal(a: tp.Any, b: tp.Any) -> bool:
    import pyarrow as pa

    if isinstance(a, pa.Schema):
        return bool(a.equals(b, check_metadata=True))
    if isinstance(a, pa.Table | pa.RecordBatch):
        return a.schema.equals(b.schema, check_metadata=True) and bool(a.equals(b))
    return bool(a.type == b.type and a.to_pylist() == b.to_pylist())


_LIBRARIES: dict[str, tp.Callable[[tp.Any, tp.Any], bool]] = {
    "numpy": _numpy_equal,
    "torch": _torch_equal,
    "pandas": _pandas_equal,
    "pyarrow": _arrow_equal,
}
