"""Arrow: tables, record batches, arrays and schemas, in Arrow's own streaming format."""

from __future__ import annotations

import importlib
import typing as tp

from .base import Declined
from .kinds import Kind, State, expect

# Any: checked the same whether pyarrow is installed or not.
pa: tp.Any = importlib.import_module("pyarrow")


def find(cls: type) -> Kind | None:
    """The kind of the instances of `cls`."""
    if issubclass(cls, pa.Array) and cls.__module__.startswith("pyarrow."):
        return _ARRAY
    return _KIND_OF.get(cls)


def _reduce_table(table: tp.Any) -> State:
    return (_stream(table.schema, table.to_batches()),)


def _restore_table(state: State, views: bool) -> object:
    table = _reader(state[0], views).read_all()
    # Offsets that lead outside the buffers would be followed by whoever looks at the values.
    table.validate(full=True)
    return table


def _reduce_batch(batch: tp.Any) -> State:
    return (_stream(batch.schema, [batch]),)


def _restore_batch(state: State, views: bool) -> object:
    batch = _reader(state[0], views).read_next_batch()
    batch.validate(full=True)
    return batch


def _reduce_array(array: tp.Any) -> State:
    return _reduce_batch(pa.RecordBatch.from_arrays([array], [""]))


def _restore_array(state: State, views: bool) -> object:
    return tp.cast(tp.Any, _restore_batch(state, views)).column(0)


def _reduce_chunked(array: tp.Any) -> State:
    return _reduce_table(pa.Table.from_arrays([array], [""]))


def _restore_chunked(state: State, views: bool) -> object:
    return tp.cast(tp.Any, _restore_table(state, views)).column(0)


def _reduce_schema(schema: tp.Any) -> State:
    return (_stream(schema, []),)


def _restore_schema(state: State, views: bool) -> object:
    return _reader(state[0], views).schema


def _stream(schema: tp.Any, batches: list[tp.Any]) -> memoryview:
    sink = pa.BufferOutputStream()
    try:
        with pa.ipc.new_stream(sink, schema) as writer:
            for batch in batches:
                writer.write_batch(batch)
    except pa.ArrowException as error:
        raise Declined(f"is refused by Arrow ({error})") from error
    content = sink.getvalue()
    if not pa.ipc.open_stream(content).schema.equals(schema, check_metadata=True):
        raise Declined("has types that its schema does not lead back to")
    return memoryview(content)


def _reader(content: object, views: bool) -> tp.Any:
    stream = expect(content, memoryview)
    return pa.ipc.open_stream(pa.py_buffer(stream if views else stream.tobytes()))


_TABLE = Kind("pa.table", _reduce_table, _restore_table, atom=False)
_BATCH = Kind("pa.batch", _reduce_batch, _restore_batch, atom=False)
_CHUNKED = Kind("pa.chunked", _reduce_chunked, _restore_chunked, atom=False)
_ARRAY = Kind("pa.array", _reduce_array, _restore_array, atom=False)
_SCHEMA = Kind("pa.schema", _reduce_schema, _restore_schema, atom=False)
KINDS = (_TABLE, _BATCH, _CHUNKED, _ARRAY, _SCHEMA)
_KIND_OF: dict[type, Kind] = {
    pa.Table: _TABLE,
    pa.RecordBatch: _BATCH,
    pa.ChunkedArray: _CHUNKED,
    pa.Schema: _SCHEMA,
}
