"""Reading single records: where one is, its head, and its payload, whose checksum held."""

from __future__ import annotations

import typing as tp

from . import frames
from .files import File, Torn, Unreadable, open_files

#: Codecs (whatever their version) whose payload is given as a view of a memory map.
MAPPED_CODEC = "memmap"

#: Records up to this size are read together with the next ones, if those before them were wanted too.
_SMALL = 1 << 15
#: Of larger ones, so much is read to know where their payload is.
_HEAD = 1 << 10
_MOST_AHEAD = 1 << 20


class Holder(tp.Protocol):
    """What records are in: a shard, as its readers see it."""

    name: str
    path: str
    header: frames.Header | None

    def owner(self) -> int: ...

    def view(self, file: File, start: int, length: int) -> memoryview: ...

    def spoil(self, offset: int, why: str) -> None: ...


class Where:
    """A value or failure that is not in a column: which frame of which shard holds it."""

    __slots__ = ("failed", "offset", "record", "shard", "size")

    def __init__(
        self, shard: Holder, offset: int, size: int, failed: bool, record: frames.Record | None = None
    ) -> None:
        self.shard: Holder = shard
        self.offset: int = offset
        self.size: int = size
        self.failed: bool = failed
        #: The head of a large one, once it was read: its payload takes one read then.
        self.record: frames.Record | None = record if size > _SMALL else None


def record_at(file: File, data: bytes, seed: int, offset: int, size: int) -> frames.Record:
    """The record at `offset`, of which `data` are the first bytes."""
    frames.frame_size(data, 0)
    try:
        return frames.read_record(data, 0, seed, offset)
    except Torn:  # a key of some kilobytes
        return frames.read_record(file.pread(size, offset), 0, seed, offset)


class Reader:
    """Reads records, best in the order in which they were written."""

    def __init__(self) -> None:
        self._file: File | None = None
        self._start = 0
        self._data = b""
        self._ahead = 0

    def payload(self, where: Where) -> tuple[frames.Record, memoryview]:
        """A record and its payload; Unreadable if it is not what was written."""
        assert where.shard.header is not None
        file = open_files.get(where.shard.path)
        if where.record is not None:
            return where.record, self._large(file, where, where.record)
        data = self._bytes(file, where.offset, where.size)
        record = record_at(file, data, where.shard.header.seed, where.offset, where.size)
        start = record.start - where.offset
        if where.size > _SMALL or (record.codec.startswith(MAPPED_CODEC) and record.length):
            return record, self._large(file, where, record)
        # A copy: what a codec keeps of it must not keep all that was read ahead.
        return record, _checked(memoryview(data[start : start + record.length]), record)

    def _large(self, file: File, where: Where, record: frames.Record) -> memoryview:
        """The payload of a record whose head is known: mapped, or in memory of its own, which its value may keep."""
        if record.codec.startswith(MAPPED_CODEC):
            return _checked(where.shard.view(file, record.start, record.length), record)
        return _checked(memoryview(file.read_own(record.length, record.start)), record)

    def _bytes(self, file: File, offset: int, size: int) -> bytes:
        """Bytes from `offset` on: all of the frame, unless it is large."""
        if size > _SMALL:  # its payload is read alone, or mapped
            return file.pread(_HEAD, offset)
        end = self._start + len(self._data)
        if file is not self._file or not self._start <= offset <= end:
            self._ahead = size
        elif offset + size <= end:
            return self._data[offset - self._start : offset - self._start + size]
        else:
            self._ahead = min(2 * self._ahead + size, _MOST_AHEAD)
        self._file, self._start = file, offset
        self._data = file.pread(max(size, self._ahead), offset)
        return self._data[:size]


def _checked(payload: memoryview, record: frames.Record) -> memoryview:
    if len(payload) != record.length or not frames.payload_holds(payload, record.checksum):
        raise Unreadable("a value is damaged")
    return payload
