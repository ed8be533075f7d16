"""pandas data frames, series, indices and scalars."""

from __future__ import annotations

import datetime as dt
import importlib
import inspect
import typing as tp
import zoneinfo
from collections.abc import Sequence

import numpy as np
import pytest

from cachedmodel.codecs import PickleRefusedError, dump, load
from tests.codecs.exactness import exactly_equal
from tests.codecs.roundtrip import again, join
from tests.conformance import CodecTests

# Any: neither is annotated for all that is used here.
pd: tp.Any = importlib.import_module("pandas")
pa: tp.Any = importlib.import_module("pyarrow")

PARIS = zoneinfo.ZoneInfo("Europe/Paris")
COLUMNS: dict[str, tp.Any] = {
    "int": [1, 2, 3],
    "small": np.array([1, 2, 3], "u1"),
    "float": [1.5, np.nan, -0.0],
    "bool": [True, False, True],
    "text": ["a", None, "é"],
    "object": pd.Series([np.nan, None, pd.NA], dtype=object),
    "things": pd.Series([(1, 2), {"a": 1}, "x"], dtype=object),
    "when": pd.to_datetime(["2024-01-01", None, "2024-01-03"]),
    "nanoseconds": pd.array(np.array([1, 2, 3], "M8[ns]")),
    "seconds": pd.array(np.array([1, 2, 3], "M8[s]")),
    "zoned": pd.date_range("2024-10-27", periods=3, freq="h", tz=PARIS),
    "utc": pd.date_range("2024-10-27", periods=3, tz=dt.UTC),
    "duration": pd.to_timedelta([1, None, 3], unit="s"),
    "category": pd.Categorical(["a", None, "b"], categories=["b", "a", "unused"], ordered=True),
    "dates": pd.Categorical(pd.to_datetime(["2024-01-01"] * 3)),
    "masked": pd.array([1, None, 3], dtype="Int16"),
    "ratio": pd.array([1.5, None, 2.5], dtype="Float32"),
    "flag": pd.array([True, None, False], dtype="boolean"),
    "string": pd.array(["a", None, ""], dtype="string"),
    "python": pd.array(["a", None, ""], dtype=pd.StringDtype("python")),
    "interval": pd.interval_range(0, 3),
    "cut": pd.cut([1, 2, 3], 2),
    "arrow": pd.array([[1], None, []], dtype=pd.ArrowDtype(pa.list_(pa.int8()))),
    "complex": np.array([1j, 2, 3]),
}
if "na_value" in inspect.signature(pd.StringDtype).parameters:  # since pandas 2.3
    COLUMNS["nanstring"] = pd.array(["a", None, ""], dtype=pd.StringDtype("python", na_value=np.nan))


def frame() -> tp.Any:
    return pd.DataFrame(COLUMNS)


def attributed() -> tp.Any:
    value = pd.DataFrame({"a": [1]})
    value.attrs["unit"] = {"a": ("m", 2)}
    return value


def doubled() -> tp.Any:
    value = pd.DataFrame({"a": [1, 2], "b": ["x", None]})
    return pd.concat([value, value], axis=1)


def indices() -> list[tp.Any]:
    return [
        pd.RangeIndex(1, 9, 2, name="steps"),
        pd.Index([1.5, np.nan]),
        pd.Index(["a", None], name=("a", 1)),
        pd.Index(np.array(["a", 1, None], object)),
        pd.Index([True, False]),
        pd.Index([1, None], dtype="Int64"),
        pd.date_range("2024", periods=3, name="days"),
        pd.date_range("2024", periods=3, freq="MS", tz=PARIS),
        pd.date_range("2024", periods=3)[[0, 2, 1]],
        pd.timedelta_range("1h", periods=3, freq="h"),
        pd.CategoricalIndex(["a", "b"], name="c"),
        pd.IntervalIndex.from_breaks([0.0, 1.0, 2.0], closed="left"),
        pd.MultiIndex.from_product([["a", "b"], pd.date_range("2024", periods=2)], names=["x", None]),
        pd.MultiIndex.from_tuples([(1, "a"), (np.nan, "b")]),
    ]


class TestTables(CodecTests):
    """What the tree knows of pandas."""

    codec = "tree1"
    damages = 60

    def values(self) -> Sequence[object]:
        whole = frame()
        return [
            whole,
            whole.iloc[::-1],
            whole.iloc[:0],
            whole.set_index(["int", "text"]),
            whole[["int", "float"]].T,
            pd.DataFrame(),
            pd.DataFrame(index=[1, 2]),
            pd.DataFrame(columns=["a", 1]),
            pd.DataFrame(np.zeros((3, 2))),
            pd.DataFrame({"a": [1, 2], "b": ["x", None]}, dtype=object),
            attributed(),
            doubled(),
            pd.DataFrame({"a": [1]}).set_flags(allows_duplicate_labels=False),
            *[whole[name] for name in whole],
            *[whole[name].array for name in whole if isinstance(whole[name].dtype, pd.api.extensions.ExtensionDtype)],
            pd.Series([1, 2], index=["a", 1], name=("x", 1)),
            pd.Series(dtype="float32"),
            *indices(),
            pd.Timestamp("2024-10-27 00:30", tz="UTC").tz_convert(PARIS),
            pd.Timestamp("2024-10-27 01:30", tz="UTC").tz_convert(PARIS),  # the same hour again
            pd.Timestamp(5, unit="s"),
            pd.Timestamp(1, unit="ns"),
            pd.Timedelta("1ns"),
            pd.NaT,
            pd.NA,
            {"nested": [whole["zoned"], {pd.Timestamp("2024"): pd.NA}]},
        ]

    def declined(self) -> Sequence[object]:
        return [
            pd.period_range("2024", periods=3, freq="D"),
            pd.DataFrame({"a": pd.arrays.SparseArray([0, 1])}),
            type("Child", (pd.DataFrame,), {})({"a": [1]}),
            pd.Period("2024"),
            pd.Timestamp(year=2024, month=10, day=27, fold=1),
        ]


class TestMemmap(TestTables):
    """The same, with columns that are views."""

    codec = "memmap1"
    views = True


def test_loaded_frames_can_be_changed() -> None:
    """Frames and series are writable and independent, whether they are one block or many."""
    for value in (pd.DataFrame(np.eye(5)), frame(), frame()["int"]):
        back = again([value])[0]
        back.iloc[0] = back.iloc[1]
        assert not exactly_equal(back, value)


def test_frames_of_one_dtype_are_not_copied() -> None:
    """A frame of numbers is written from its own memory."""
    value = pd.DataFrame(np.zeros((1000, 5)))
    parts = [part for part in dump(value).parts if len(part) == 40_000]

    assert len(parts) == 1
    assert np.shares_memory(np.frombuffer(parts[0], np.uint8), value.to_numpy())


def test_memmaps_of_columns_are_views() -> None:
    """With the codec memmap, columns of numbers refer to the payload."""
    payload = dump(pd.DataFrame({"a": np.arange(10_000), "b": np.zeros(10_000, "f4")}), "memmap")
    data = join(payload)
    back: tp.Any = load(payload.codec, data)

    assert np.shares_memory(back["a"].to_numpy(), np.frombuffer(data, np.uint8))


def test_shared_indices_stay_shared() -> None:
    """Frames with one index have one index again."""
    index = pd.Index(["a", "b"])
    back = again([pd.Series([1, 2], index), index])

    assert back[0].index.is_(back[1])


def test_messages_name_the_dtype() -> None:
    """What is in the way stands in the message."""
    with pytest.raises(PickleRefusedError, match=r"value\['t'\] has the dtype Sparse\[int64, 0\]"):
        dump({"t": pd.DataFrame({"a": pd.arrays.SparseArray([0, 1])})}, allow_pickle=False)
