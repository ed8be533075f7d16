"""pandas: data frames, series and indices of the dtypes that are known to come back exactly, and scalars.

Those are numpy's, dates with time zones, categories, masked numbers, strings, intervals and Arrow's; what has others
(periods, sparse columns, those of other packages) is declined.
"""

from __future__ import annotations

import importlib
import typing as tp

import numpy as np

from .base import Declined
from .kinds import Kind, State, expect

# Any: pandas is not annotated for all that is used here.
pd: tp.Any = importlib.import_module("pandas")


def find(cls: type) -> Kind | None:
    """The kind of the instances of `cls`."""
    if cls in _INDICES:
        return _INDEX
    if issubclass(cls, pd.api.extensions.ExtensionArray) and cls.__module__.partition(".")[0] == "pandas":
        return _ARRAY
    return _KIND_OF.get(cls)


def _reduce_frame(frame: tp.Any) -> State:
    dtypes = set(frame.dtypes)
    content: tp.Any
    if len(dtypes) == 1 and isinstance(next(iter(dtypes)), np.dtype):
        content = frame.to_numpy()  # not a copy, where the frame is one block
    else:
        content = [describe_array(frame.iloc[:, index].array) for index in range(frame.shape[1])]
    return content, frame.index, frame.columns, dict(frame.attrs), frame.flags.allows_duplicate_labels


def _restore_frame(state: State, views: bool) -> object:
    content, index, columns, attrs, allows_duplicates = state
    expect(index, pd.Index)
    expect(columns, pd.Index)
    if isinstance(content, list):
        # One by one: series keep their dtype, where a frame would look for a better one.
        arrays = [find_array(column) for column in content]
        series = {n: pd.Series(array, index, array.dtype, copy=False) for n, array in enumerate(arrays)}
        frame = pd.DataFrame(series, index=index, columns=range(len(series)), copy=False)
        frame.columns = columns
    else:
        frame = pd.DataFrame(expect(content, np.ndarray), index, columns, content.dtype, copy=False)
    frame.attrs.update(attrs)
    return frame if allows_duplicates else frame.set_flags(allows_duplicate_labels=False)


def _reduce_series(series: tp.Any) -> State:
    attrs = dict(series.attrs)
    return describe_array(series.array), series.index, series.name, attrs, series.flags.allows_duplicate_labels


def _restore_series(state: State, views: bool) -> object:
    content, index, name, attrs, allows_duplicates = state
    expect(index, pd.Index)
    array = find_array(content)
    series = pd.Series(array, index, array.dtype, name, copy=False)
    series.attrs.update(attrs)
    return series if allows_duplicates else series.set_flags(allows_duplicate_labels=False)


def _reduce_index(index: tp.Any) -> State:
    sort = type(index).__name__
    if isinstance(index, pd.RangeIndex):
        return sort, (index.start, index.stop, index.step), index.name
    if isinstance(index, pd.MultiIndex):
        # As numpy's: frozen lists and read-only arrays are what pandas makes of them again.
        return sort, list(index.levels), list(map(np.asarray, index.codes)), list(index.names)
    freq = getattr(index, "freq", None)
    if freq is not None and pd.tseries.frequencies.to_offset(freq.freqstr) != freq:
        raise Declined(f"has the frequency {freq!r}")
    return sort, describe_array(index.array), index.name, None if freq is None else freq.freqstr


def _restore_index(state: State, views: bool) -> object:
    sort, *content = state
    if sort == "RangeIndex":
        (start, stop, step), name = content
        return pd.RangeIndex(start, stop, step, name=name)
    if sort == "MultiIndex":
        levels, codes, names = content
        return pd.MultiIndex(levels, [expect(code, np.ndarray) for code in codes], names=names)
    described, name, freq = content
    array = find_array(described)
    index = pd.Index(array, dtype=array.dtype, name=name, copy=False)
    if freq is not None:
        index.freq = freq
    if type(index).__name__ != sort:
        raise ValueError(f"an index is no {sort}")
    return index


def describe_array(array: tp.Any) -> tuple[tp.Any, ...]:
    """A column as numpy arrays and lists; raises `Declined`."""
    dtype = array.dtype
    if isinstance(dtype, np.dtype) or type(array) is pd.arrays.NumpyExtensionArray:
        return "numpy", np.asarray(array)
    if isinstance(dtype, pd.CategoricalDtype):
        return "categories", np.asarray(array.codes), dtype.categories, bool(dtype.ordered)
    if isinstance(dtype, pd.DatetimeTZDtype):
        return "dates", np.asarray(array.tz_convert(None)), dtype.tz
    if isinstance(dtype, pd.StringDtype) and dtype.storage in ("python", "pyarrow"):
        missing = np.asarray(array.isna())
        texts = array.to_numpy(dtype=object, na_value="").tolist()
        return "strings", dtype.storage, dtype.na_value is pd.NA, missing if missing.any() else None, texts
    if isinstance(array, pd.arrays.IntegerArray | pd.arrays.FloatingArray | pd.arrays.BooleanArray):
        numbers = array.to_numpy(dtype=dtype.numpy_dtype, na_value=dtype.type(0))
        return "masked", numbers, np.asarray(array.isna())
    if isinstance(dtype, pd.IntervalDtype):
        return "intervals", pd.Index(array.left), pd.Index(array.right), array.closed
    if isinstance(dtype, pd.ArrowDtype):
        return "arrow", array.__arrow_array__()
    raise Declined(f"has the dtype {dtype}")


def find_array(described: tuple[tp.Any, ...]) -> tp.Any:
    """The column that was described."""
    sort, *content = described
    return _MAKERS[sort](*content)


def _categories(codes: tp.Any, categories: tp.Any, ordered: bool) -> tp.Any:
    return pd.Categorical.from_codes(expect(codes, np.ndarray), expect(categories, pd.Index), ordered=ordered)


def _dates(utc: tp.Any, zone: tp.Any) -> tp.Any:
    return pd.DatetimeIndex(expect(utc, np.ndarray)).tz_localize("UTC").tz_convert(zone).array


def _strings(storage: str, is_na: bool, missing: tp.Any, texts: list[tp.Any]) -> tp.Any:
    if missing is not None:
        flags = expect(missing, np.ndarray).tolist()
        texts = [None if is_missing else text for text, is_missing in zip(texts, flags, strict=True)]
    dtype = pd.StringDtype(storage) if is_na else pd.StringDtype(storage, na_value=np.nan)  # since pandas 2.3
    return pd.array(expect(texts, list), dtype)


def _masked(numbers: tp.Any, missing: tp.Any) -> tp.Any:
    sort = {"b": "Boolean", "f": "Floating"}.get(expect(numbers, np.ndarray).dtype.kind, "Integer")
    return getattr(pd.arrays, f"{sort}Array")(numbers, expect(missing, np.ndarray))


def _intervals(left: tp.Any, right: tp.Any, closed: str) -> tp.Any:
    return pd.arrays.IntervalArray.from_arrays(expect(left, pd.Index), expect(right, pd.Index), closed)


def _arrow(chunked: tp.Any) -> tp.Any:
    return pd.arrays.ArrowExtensionArray(chunked)


_MAKERS: dict[str, tp.Callable[..., tp.Any]] = {
    "numpy": lambda values: expect(values, np.ndarray),
    "categories": _categories,
    "dates": _dates,
    "strings": _strings,
    "masked": _masked,
    "intervals": _intervals,
    "arrow": _arrow,
}


def _reduce_array(array: tp.Any) -> State:
    if isinstance(array.dtype, np.dtype) or type(array) is pd.arrays.NumpyExtensionArray:
        raise Declined(f"is a pandas array of the dtype {array.dtype}")
    return (describe_array(array),)


def _reduce_timestamp(timestamp: tp.Any) -> State:
    if timestamp.tz is None and timestamp.fold:
        raise Declined("is folded without a time zone")
    return timestamp.to_datetime64(), timestamp.tz


def _restore_timestamp(state: State, views: bool) -> object:
    utc, zone = state
    timestamp = pd.Timestamp(expect(utc, np.datetime64))
    return timestamp if zone is None else timestamp.tz_localize("UTC").tz_convert(zone)


def _restore_timedelta(state: State, views: bool) -> object:
    return pd.Timedelta(expect(state[0], np.timedelta64))


_FRAME = Kind("pd.frame", _reduce_frame, _restore_frame, atom=False)
_SERIES = Kind("pd.series", _reduce_series, _restore_series, atom=False)
_INDEX = Kind("pd.index", _reduce_index, _restore_index, atom=False)
_ARRAY = Kind("pd.array", _reduce_array, lambda state, views: find_array(state[0]), atom=False)
_KIND_OF: dict[type, Kind] = {
    pd.DataFrame: _FRAME,
    pd.Series: _SERIES,
    pd.Timestamp: Kind("pd.timestamp", _reduce_timestamp, _restore_timestamp),
    pd.Timedelta: Kind("pd.timedelta", lambda value: (value.to_timedelta64(),), _restore_timedelta),
    type(pd.NaT): Kind("pd.nat", lambda value: (), lambda state, views: pd.NaT),
    type(pd.NA): Kind("pd.na", lambda value: (), lambda state, views: pd.NA),
}
_INDICES = (
    pd.Index,
    pd.RangeIndex,
    pd.MultiIndex,
    pd.DatetimeIndex,
    pd.TimedeltaIndex,
    pd.CategoricalIndex,
    pd.IntervalIndex,
)
KINDS = (_INDEX, _ARRAY, *_KIND_OF.values())
