"""The bytes of a file of entries: a header, then framed, checksummed records. Pure: nothing here does IO.

    file   = header | frames, each starting at a multiple of 8 [| footer frame | trailer: see footer.py]
    header = magic, seed, generation, flags, lengths, checksum | identity | provenance (JSON) | padding
    frame  = kind u8, flags u8, a u16, b u32, size of the body u64, checksum u64 | body
    RECORD   one value or failure. a, b: lengths of codec name and key.
             body = codec, key, time u32, seconds f32, payload length u64, payload checksum u64 | padding | payload
             The frame's checksum leaves out the payload, so that records can be listed without reading values.
    BLOCK    many small values of one type, or deletions. a: the column (see columns.py); b: length of the keys.
             body = rows u32, time u32, length of the values u64 | values | seconds f32 * rows, if TIMED | keys

A checksum is xxh3-64, seeded with the file's seed and the frame's offset: what is valid elsewhere is not valid here.
Numbers are little-endian; text is UTF-8, lone surrogates included; times are whole seconds since 1970.
"""

from __future__ import annotations

import math
import struct
import typing as tp

from xxhash import xxh3_64, xxh3_64_intdigest

from . import columns
from .files import Buffer, Torn, Unreadable

SHARD_MAGIC = b"CMSHARD1"
ENTRY_MAGIC = b"CMENTRY1"

RECORD, BLOCK, FOOT = 1, 2, 3
#: Flags of frames: a failure, not a value; loading may run code; seconds are there; the key is deleted.
FAILED, PICKLED, TIMED, DELETES = 1, 2, 4, 8
#: Flag of a header: everything of shards before this one is deleted.
CLEARS = 1

#: What reading bytes raises that were not written by this module, whatever they are.
DAMAGE = (Unreadable, ValueError, IndexError, struct.error, OverflowError)

HEAD = struct.Struct("<BBHIQQ")
_HEADER = struct.Struct("<8sQQIII4xQ")
_META = struct.Struct("<IfQQ")
_ROWS = struct.Struct("<IIQ")
_UNSEEDED = 16  # bytes of HEAD before the checksum
#: Payloads from this size on start at a multiple of 64, so that arrays can be mapped.
_ALIGNED_FROM = 512
_TEXT: tp.Final = ("utf-8", "surrogatepass")
_MASK = (1 << 64) - 1
_ZEROS = bytes(64)


class Header(tp.NamedTuple):
    """What a file says of itself."""

    seed: int
    generation: int
    flags: int
    identity: bytes
    provenance: bytes
    end: int


class Record(tp.NamedTuple):
    """One value or failure in a file: where its payload is, and what it takes to believe it."""

    flags: int
    codec: str
    key: str
    time: int
    seconds: float
    start: int
    length: int
    checksum: int
    end: int


class Block(tp.NamedTuple):
    """Many small values, or deletions: where they are within the bytes that were read."""

    column: int
    rows: int
    time: int
    values: int
    seconds: int
    keys: int
    keys_end: int
    end: int


def encode(text: str) -> bytes:
    return text.encode(*_TEXT)


def encode_all(texts: tp.Collection[str]) -> list[bytes]:
    try:
        return [*map(str.encode, texts)]
    except UnicodeEncodeError:  # lone surrogates
        return [*map(encode, texts)]


def hashes(keys: tp.Collection[str]) -> tp.Iterator[int]:
    """What stands for each key in the index of a shard."""
    return map(xxh3_64_intdigest, encode_all(keys))


def padding(offset: int, alignment: int) -> bytes:
    return _ZEROS[: -offset % alignment]


def pack_header(magic: bytes, seed: int, generation: int, flags: int, identity: bytes, provenance: bytes) -> bytes:
    fixed = _HEADER.pack(magic, seed, generation, flags, len(identity), len(provenance), 0)
    body = identity + provenance
    checksum = xxh3_64_intdigest(fixed[:-8] + body)
    data = fixed[:-8] + checksum.to_bytes(8, "little") + body
    return data + padding(len(data), 8)


def read_header(magic: bytes, data: bytes) -> Header:
    """The header at the start of `data`; Torn if more bytes are needed, Unreadable if it is none."""
    if len(data) < _HEADER.size:
        if magic.startswith(data[:8]) or data.startswith(magic):
            raise Torn("it has no complete header")
        raise Unreadable("it is not a file of this cache")
    found, seed, generation, flags, identity, provenance, checksum = _HEADER.unpack_from(data)
    if found != magic:
        raise Unreadable("it is not a file of this cache")
    end = _HEADER.size + identity + provenance
    if len(data) < end:
        raise Torn("it has no complete header")
    if xxh3_64_intdigest(data[: _HEADER.size - 8] + data[_HEADER.size : end]) != checksum:
        raise Unreadable("its header is damaged")
    middle = _HEADER.size + identity
    return Header(seed, generation, flags, data[_HEADER.size : middle], data[middle:end], end + -end % 8)


def pack_record(
    seed: int, offset: int, flags: int, codec: str, key: bytes, parts: tp.Sequence[Buffer], time: int, seconds: float
) -> list[Buffer]:
    """The frame at `offset` as a list of buffers; the parts of the payload are not copied."""
    name = codec.encode()
    views = [part if isinstance(part, bytes) else memoryview(part).cast("B") for part in parts]
    length = sum(map(len, views))
    if len(views) == 1:
        payload_sum = xxh3_64_intdigest(views[0])
    else:
        state = xxh3_64()
        for view in views:
            state.update(view)
        payload_sum = state.intdigest()
    meta = name + key + _META.pack(time, seconds, length, payload_sum)
    lead = padding(offset + HEAD.size + len(meta), 64 if length >= _ALIGNED_FROM else 8)
    tail = padding(length, 8)
    fixed = HEAD.pack(RECORD, flags, len(name), len(key), len(meta) + len(lead) + length + len(tail), 0)[:_UNSEEDED]
    checksum = xxh3_64_intdigest(fixed + meta, (seed ^ offset) & _MASK)
    return [fixed + checksum.to_bytes(8, "little") + meta + lead, *views, *([tail] if tail else ())]


def pack_block(
    seed: int,
    offset: int,
    column: int,
    keys: tp.Sequence[str],
    values: tp.Sequence[tp.Any],  # of the column's type
    time: int,
    seconds: tp.Sequence[float] | None,
) -> bytes:
    rows = len(keys)
    packed = columns.pack(column, values)
    times = b"" if seconds is None else struct.pack(f"<{rows}f", *seconds)
    names = "\0".join(keys).encode(*_TEXT)
    body = _ROWS.pack(rows, time, len(packed)) + packed + times + names
    tail = padding(len(body), 8)
    flags = TIMED if seconds is not None else 0
    fixed = HEAD.pack(BLOCK, flags, column, len(names), len(body) + len(tail), 0)[:_UNSEEDED]
    checksum = xxh3_64_intdigest(fixed + body, (seed ^ offset) & _MASK)
    return fixed + checksum.to_bytes(8, "little") + body + tail


def frame_size(data: bytes, at: int) -> tuple[int, int]:
    """Kind and whole size of the frame whose head is at `at`."""
    if at + HEAD.size > len(data):
        raise Torn("a frame has no complete head")
    kind: int
    size: int
    kind, flags, a, b, size, checksum = HEAD.unpack_from(data, at)
    if kind not in (RECORD, BLOCK, FOOT) or size % 8 or (kind == FOOT and (flags or a or b or checksum)):
        raise Unreadable("a frame is damaged")
    return kind, HEAD.size + size


def record_head(data: bytes, at: int) -> int:
    """Bytes of the record at `at` before its payload and padding."""
    codec: int
    key: int
    _, _, codec, key, _, _ = HEAD.unpack_from(data, at)
    return HEAD.size + codec + key + _META.size


def _checked_record(data: bytes, at: int, seed: int, offset: int) -> tuple[int, int, int, int]:
    """Flags, lengths of codec and key, and size of the body of a record of which all but the payload was checked."""
    _, flags, codec, key, size, checksum = HEAD.unpack_from(data, at)
    start = at + HEAD.size
    end = start + codec + key + _META.size
    if end > len(data):
        raise Torn("a record is not complete")
    if xxh3_64_intdigest(data[at : at + _UNSEEDED] + data[start:end], (seed ^ offset) & _MASK) != checksum:
        raise Unreadable("a record is damaged")
    return flags, codec, key, size


def read_record(data: bytes, at: int, seed: int, offset: int) -> Record:
    """The record at `at` in `data`, which is at `offset` in the file. Its payload need not be in `data`."""
    flags, codec, key, size = _checked_record(data, at, seed, offset)
    start = at + HEAD.size
    meta = start + codec + key
    time, seconds, length, payload_sum = _META.unpack_from(data, meta)
    payload = offset + HEAD.size + codec + key + _META.size
    payload += -payload % (64 if length >= _ALIGNED_FROM else 8)
    name = data[start : start + codec].decode()
    text = data[start + codec : meta].decode(*_TEXT)
    return Record(flags, name, text, time, seconds, payload, length, payload_sum, offset + HEAD.size + size)


def record_flags(data: bytes, at: int, seed: int, offset: int) -> int:
    """The flags of the record at `at` in `data`, checked as by `read_record`."""
    return _checked_record(data, at, seed, offset)[0]


def read_block(data: bytes, at: int, seed: int, offset: int) -> Block:
    """The block at `at` in `data`, which is at `offset` in the file and must be there as a whole."""
    _, flags, column, names, size, checksum = HEAD.unpack_from(data, at)
    start, end = at + HEAD.size, at + HEAD.size + size
    if end > len(data):
        raise Torn("a block is not complete")
    if start + _ROWS.size > end:
        raise Unreadable("a block is damaged")
    rows, time, length = _ROWS.unpack_from(data, start)
    values = start + _ROWS.size
    seconds = values + length
    keys = seconds + (4 * rows if flags & TIMED else 0)
    if not end - 8 < keys + names <= end:
        raise Unreadable("a block is damaged")
    whole = data[at : at + _UNSEEDED] + data[start : keys + names]
    if xxh3_64_intdigest(whole, (seed ^ offset) & _MASK) != checksum:
        raise Unreadable("a block is damaged")
    return Block(column, rows, time, values, seconds, keys, keys + names, end)


def block_keys(data: bytes, block: Block) -> list[str]:
    return data[block.keys : block.keys_end].decode(*_TEXT).split("\0") if block.rows else []


def block_values(data: bytes, block: Block) -> tp.Sequence[object]:
    return columns.unpack(block.column, data[block.values : block.seconds], block.rows)


def row_of(data: bytes, block: Block, key: bytes) -> int:
    """The row of the block that has this key, or -1."""
    if b"\0" in key:  # no block has such keys, but two of them side by side look like one
        return -1
    keys = b"\0" + data[block.keys : block.keys_end] + b"\0"
    found = keys.rfind(b"\0" + key + b"\0")
    return keys.count(b"\0", 0, found) if found >= 0 else -1


def row_value(data: bytes, block: Block, row: int) -> object:
    return columns.unpack_one(block.column, data[block.values : block.seconds], block.rows, row)


def row_seconds(data: bytes, block: Block, row: int) -> float:
    """Seconds that the row took; nan if that is not known."""
    if block.keys == block.seconds:
        return math.nan
    seconds: float = struct.unpack_from("<f", data, block.seconds + 4 * row)[0]
    return seconds


def payload_holds(payload: Buffer, checksum: int) -> bool:
    return bool(xxh3_64_intdigest(payload) == checksum)
