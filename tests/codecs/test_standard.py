"""Values of the standard library."""

from __future__ import annotations

import array
import collections
import datetime as dt
import decimal
import fractions
import pathlib
import re
import types
import uuid
import zoneinfo
from collections.abc import Sequence

import pytest

from cachedmodel.codecs import PickleRefusedError, dump
from tests.codecs.roundtrip import again
from tests.conformance import CodecTests

PARIS = zoneinfo.ZoneInfo("Europe/Paris")
VALUES: list[object] = [
    dt.date(2024, 2, 29),
    dt.time(1, 2, 3, 4),
    dt.time(1, tzinfo=dt.UTC, fold=1),
    dt.datetime(2024, 10, 27, 2, 30, tzinfo=PARIS, fold=1),
    dt.datetime.min,
    dt.datetime(2024, 1, 1, tzinfo=dt.timezone(dt.timedelta(hours=2), "here")),
    dt.timedelta(days=-1, microseconds=1),
    dt.timedelta.max,
    dt.UTC,
    dt.timezone(dt.timedelta(hours=-3, seconds=1)),
    PARIS,
    *map(decimal.Decimal, ("0.10", "-0", "NaN", "sNaN123", "-Infinity", "1E+999999", "1" * 100)),
    fractions.Fraction(-1, 3),
    uuid.UUID(int=5),
    uuid.uuid1(),
    pathlib.Path("a/../b"),
    pathlib.Path(),
    pathlib.Path("/x/\udcff"),
    pathlib.PurePath("a"),
    pathlib.PurePosixPath("//a"),
    pathlib.PureWindowsPath("C:\\a/b"),
    re.compile("a(?i:b)", re.MULTILINE),
    re.compile(rb"\d+", re.ASCII),
    range(0),
    range(10, 0, -3),
    slice(None, 3, "x"),
    ...,
    collections.OrderedDict([("b", 1), ("a", [2])]),
    collections.Counter("hello"),
    collections.Counter({"a": -1, (1, 2): 0.5}),
    collections.defaultdict(list, {1: [2]}),
    collections.defaultdict(None, {"a": 1}),
    collections.deque([1, "a"], maxlen=5),
    collections.deque(),
    array.array("d", [1.5, -0.0]),
    array.array("B"),
    types.SimpleNamespace(a=1, b=[2]),
    {dt.date(2024, 1, day): {dt.datetime(2024, 1, day, tzinfo=PARIS): day} for day in range(1, 9)},
    {(decimal.Decimal(1), pathlib.Path("a")), (decimal.Decimal(1), pathlib.Path("b"))},
]


class TestStandard(CodecTests):
    """What the tree knows of the standard library."""

    codec = "tree1"

    def values(self) -> Sequence[object]:
        return VALUES

    def declined(self) -> Sequence[object]:
        return [
            collections.defaultdict(lambda: 1),
            array.array("l", [1]),
            fractions.Fraction(1, 1 << 100_000),
            collections.ChainMap({}),
            zoneinfo.ZoneInfo.no_cache("Europe/Paris"),
            type("Stamp", (dt.datetime,), {})(2024, 1, 1),
            type("Folder", (pathlib.PurePosixPath,), {})("a"),
        ]


def test_singletons_stay_singletons() -> None:
    """UTC, zones and the ellipsis are the very objects."""
    assert again([dt.UTC, PARIS, ...]) == [dt.UTC, PARIS, ...]
    assert again(dt.UTC) is dt.UTC
    assert again(PARIS) is PARIS
    assert again(...) is ...


def test_attributes_of_mappings_come_back() -> None:
    """What was put beside the keys is there again."""
    for mapping in (collections.OrderedDict(a=1), collections.Counter("aab")):
        vars(mapping)["note"] = ["more"]
        back = again(mapping)
        assert back == mapping
        assert vars(back) == {"note": ["more"]}


def test_default_factories_work_after_loading() -> None:
    """A defaultdict makes its defaults as before."""
    back = again(collections.defaultdict(set, {"a": {1}}))

    assert back["b"] == set()
    assert list(back) == ["a", "b"]


def test_subclasses_need_pickle() -> None:
    """A subclass of a known type is never mistaken for it."""
    with pytest.raises(PickleRefusedError, match="Mine"):
        dump(type("Mine", (decimal.Decimal,), {})(1), allow_pickle=False)
