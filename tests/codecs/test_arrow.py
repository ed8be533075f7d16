"""Arrow tables, batches, arrays and schemas."""

from __future__ import annotations

import datetime as dt
import decimal
import importlib
import typing as tp
from collections.abc import Sequence

import numpy as np

from cachedmodel.codecs import dump, load
from tests.codecs.roundtrip import again, join
from tests.conformance import CodecTests

pa: tp.Any = importlib.import_module("pyarrow")  # Any: it is not annotated


class TestArrow(CodecTests):
    """What the tree knows of Arrow."""

    codec = "tree1"

    def values(self) -> Sequence[object]:
        table = pa.table(
            {
                "numbers": pa.array([1, None, 3], pa.int16()),
                "lists": [["a"], None, []],
                "structs": [{"x": 1}, None, {"x": None}],
                "labels": pa.array(["a", None, "a"]).dictionary_encode(),
                "dates": pa.array([dt.datetime(2024, 1, 1)] * 3, pa.timestamp("ns", "Europe/Paris")),
                "exact": pa.array([decimal.Decimal("1.10")] * 3, pa.decimal128(5, 2)),
            }
        ).replace_schema_metadata({"note": "meta"})
        return [
            table,
            table.slice(1, 1),
            table.schema,
            pa.table({}),
            pa.table({"a": pa.array([], pa.null())}),
            table.to_batches()[0],
            pa.chunked_array([[1], [], [2, 3]]),
            pa.chunked_array([], pa.int8()),
            pa.array([1.5, None]),
            pa.array([1, 2, 3])[1:],
            pa.array(["a", "b"]).dictionary_encode(),
            pa.array([b"x", None]),
            {"nested": [pa.array([1]), {"t": table}]},
        ]

    def declined(self) -> Sequence[object]:
        return [pa.scalar(1), pa.field("a", pa.int8())]


def test_columns_with_one_name_come_back() -> None:
    """Names need not be unique."""
    table = pa.Table.from_arrays([pa.array([1]), pa.array(["a"])], ["x", "x"])

    assert again(table).equals(table)


def test_memmaps_are_views() -> None:
    """With the codec memmap, a table refers to the payload."""
    table = pa.table({"x": np.arange(100_000)})
    payload = dump(table, "memmap")
    data = join(payload)
    back: tp.Any = load(payload.codec, data)

    assert back.equals(table)
    address = back.column(0).chunk(0).buffers()[1].address
    start = np.frombuffer(data, np.uint8).ctypes.data
    assert start <= address < start + len(data)
