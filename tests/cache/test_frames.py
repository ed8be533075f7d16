"""The bytes of a file of entries: what is packed is read back, and nothing else is believed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cachedmodel.cache import columns, frames
from cachedmodel.cache.files import Torn, Unreadable

TEXT = st.text(alphabet=st.characters(exclude_categories=()), max_size=20)
KEYS = TEXT.filter(lambda key: "\0" not in key)
SEEDS = st.integers(0, 2**64 - 1)
OFFSETS = st.integers(0, 2**40).map(lambda number: 8 * number)
SECONDS = st.floats(0, 1e6, width=32)


@given(seed=SEEDS, generation=st.integers(0, 2**63), flags=st.integers(0, 3), identity=st.binary(), about=st.binary())
def test_header_comes_back(seed: int, generation: int, flags: int, identity: bytes, about: bytes) -> None:
    """A header says what was written, and where the first frame is; cut short, it is torn."""
    data = frames.pack_header(frames.SHARD_MAGIC, seed, generation, flags, identity, about)

    header = frames.read_header(frames.SHARD_MAGIC, data + b"more")

    assert header == (seed, generation, flags, identity, about, len(data))
    assert len(data) % 8 == 0
    with pytest.raises(Torn):
        frames.read_header(frames.SHARD_MAGIC, data[: 20 + len(identity)])
    with pytest.raises(Unreadable):
        frames.read_header(frames.ENTRY_MAGIC, data)


@given(
    seed=SEEDS,
    offset=OFFSETS,
    codec=st.text("abc1", max_size=8),
    key=TEXT,
    parts=st.lists(st.binary(max_size=600), max_size=4),
    seconds=SECONDS,
)
def test_record_comes_back(seed: int, offset: int, codec: str, key: str, parts: list[bytes], seconds: float) -> None:
    """A record gives key, codec, time and payload; large payloads are aligned for memory maps."""
    data = b"".join(frames.pack_record(seed, offset, 2, codec, frames.encode(key), parts, 77, seconds))

    record = frames.read_record(data, 0, seed, offset)

    assert (record.flags, record.codec, record.key, record.time, record.seconds) == (2, codec, key, 77, seconds)
    payload = data[record.start - offset : record.start - offset + record.length]
    assert payload == b"".join(parts)
    assert frames.payload_holds(payload, record.checksum)
    assert record.end == offset + len(data) == offset + frames.frame_size(data, 0)[1]
    assert record.start % (64 if record.length >= 512 else 8) == 0
    assert record.end % 8 == 0


COLUMNS = {
    columns.FLOAT: st.floats(),
    columns.INT: st.integers(-(2**63), 2**63 - 1),
    columns.TEXT: KEYS,
    columns.BOOL: st.booleans(),
    columns.NONE: st.none(),
    columns.GONE: st.just(columns.DELETED),
}


@given(seed=SEEDS, offset=OFFSETS, data=st.data(), timed=st.booleans())
def test_block_comes_back(seed: int, offset: int, data: st.DataObject, timed: bool) -> None:
    """A block gives the keys and values of its rows, all at once or one by one."""
    column = data.draw(st.sampled_from(sorted(COLUMNS)))
    entries = data.draw(st.dictionaries(KEYS, st.tuples(COLUMNS[column], SECONDS), min_size=1))
    keys, values = list(entries), [value for value, _ in entries.values()]
    seconds = [took for _, took in entries.values()] if timed else None

    packed = frames.pack_block(seed, offset, column, keys, values, 77, seconds)
    block = frames.read_block(packed, 0, seed, offset)

    assert frames.block_keys(packed, block) == keys
    assert [*map(repr, frames.block_values(packed, block))] == [*map(repr, values)]
    for row, key in enumerate(keys):
        assert frames.row_of(packed, block, frames.encode(key)) == row
        assert repr(frames.row_value(packed, block, row)) == repr(values[row])
        took = frames.row_seconds(packed, block, row)
        assert took == seconds[row] if seconds is not None else took != took
    assert frames.row_of(packed, block, b"not there") == -1
    assert frames.frame_size(packed, 0) == (frames.BLOCK, len(packed))


@given(value=st.one_of(st.floats(), st.integers(), TEXT, st.booleans(), st.none(), st.binary(), st.lists(st.none())))
def test_columns_take_exactly_their_types(value: object) -> None:
    """A value in a column comes back as its own type and value; what cannot is left to a codec."""
    column = columns.column_of(value)

    if column == columns.NONE_OF_THEM:
        assert not isinstance(value, float | bool | None)
    else:
        back = columns.unpack_one(column, columns.pack(column, [value, value]), 2, 1)
        assert (type(back), repr(back)) == (type(value), repr(value))


class Celsius(float):
    """A float to its users, but not to the cache."""


@pytest.mark.parametrize("value", [Celsius(1.0), 2**63, -(2**63) - 1, "a\0b", "x" * 257, True.__class__])
def test_columns_leave_the_rest(value: object) -> None:
    """Subclasses, big integers and long or odd texts are not of a column's type."""
    assert columns.column_of(value) == columns.NONE_OF_THEM


@given(data=st.data(), seed=SEEDS, offset=OFFSETS)
def test_a_changed_byte_is_noticed(data: st.DataObject, seed: int, offset: int) -> None:
    """No frame is believed of which a byte was changed, or that belongs elsewhere."""
    record = b"".join(frames.pack_record(seed, offset, 0, "c", b"key", [b"payload"], 1, 0.5))
    block = frames.pack_block(seed, offset, columns.INT, ["a", "b"], [1, 2], 1, None)
    whole = data.draw(st.sampled_from([record, block]))
    at = data.draw(st.integers(0, len(whole) - 1))
    changed = bytearray(whole)
    changed[at] ^= 1 << data.draw(st.integers(0, 7))

    assert _read(whole, seed, offset) is not None
    assert _read(bytes(changed), seed, offset) in (None, _read(whole, seed, offset))
    assert _read(whole, seed ^ 1, offset) is None
    assert _read(whole, seed, offset + 8) is None


def _read(data: bytes, seed: int, offset: int) -> object:
    """What a frame says, or None if it is not believed."""
    try:
        if frames.frame_size(data, 0)[0] == frames.BLOCK:
            block = frames.read_block(data, 0, seed, offset)
            return frames.block_keys(data, block), frames.block_values(data, block)
        record = frames.read_record(data, 0, seed, offset)
        payload = data[record.start - offset :][: record.length]
        return (record.key, payload) if frames.payload_holds(payload, record.checksum) else None
    except frames.DAMAGE:
        return None
