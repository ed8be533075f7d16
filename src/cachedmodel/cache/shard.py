"""One shard of a map: a file that one process appends to, read while it grows and after it is sealed.

A growing shard is tailed: its keys are kept in a table, with the position that was reached. A sealed one has a
footer: single keys are found by position, and the table is filled only when many keys are wanted.
"""

from __future__ import annotations

import time
import typing as tp
from collections.abc import Callable

from xxhash import xxh3_64_intdigest

from . import columns, footer, frames
from .files import File, Torn, Unreadable, open_files, warn_once
from .frames import BLOCK, FOOT, HEAD, RECORD

SUFFIX = ".shard"

#: Network file systems show old sizes and pages for some seconds: only what stays wrong longer is damage.
SETTLED_S = 10.0
_CHUNK = 1 << 22
_FIRST_CHUNK = 1 << 14
_ONE_READ = 4096
_WHOLE_RECORD = 1 << 20

#: What a look-up gives for a key that the shard says nothing about.
ABSENT: tp.Final = object()


class _Incomplete(Torn):
    """A record whose head is right and whose payload is not all there."""


class Where:
    """A value or failure that is not in a column: which frame of which shard holds it."""

    __slots__ = ("failed", "offset", "shard", "size")

    def __init__(self, shard: Shard, offset: int, size: int, failed: bool) -> None:
        self.shard = shard
        self.offset = offset
        self.size = size
        self.failed = failed


class Shard:
    """What is known of one shard file."""

    def __init__(self, folder: str, name: str) -> None:
        self.path = f"{folder}/{name}"
        self.name = name
        self.header: frames.Header | None = None
        self.footer: footer.Footer | None = None
        #: Key -> value of a column, `Where` or DELETED; None while only the footer is used.
        self.table: dict[str, object] | None = None
        #: Written by this process: its writer fills the table, and nobody tails it.
        self.own = False
        #: Never read: alien, damaged from the start, or of another identity.
        self.ignored = False
        #: Position up to which the table is filled.
        self.position = 0
        #: Offsets of frames that turned out to be damaged.
        self.bad: set[int] = set()
        self._checked: set[int] = set()
        self._stuck: tuple[int, float] = (-1, 0.0)

    @property
    def order(self) -> tuple[int, str]:
        """Shards of higher order supersede those of lower."""
        return (self.header.generation if self.header else 0, self.name)

    @property
    def growing(self) -> bool:
        return self.footer is None and not self.ignored

    @property
    def clears(self) -> bool:
        return self.header is not None and not self.ignored and bool(self.header.flags & frames.CLEARS)

    # -- opening and tailing

    def open(self, accept: Callable[[bytes], bool] | None) -> dict[str, object]:
        """Reads header and footer, or what there is so far; the entries found in a growing shard."""
        file = open_files.renew(self.path)
        size = file.stat().st_size
        if not self._read_header(file, size, accept):
            return {}
        try:
            self.footer = footer.read(file, size)
        except Unreadable as why:
            warn_once(self.path, f"{why}; its entries are read one by one")
        if self.footer is not None:
            return {}
        self.table = {}
        return self._advance(file, size)

    def tail(self, accept: Callable[[bytes], bool] | None) -> dict[str, object]:
        """Entries that were appended since the last look."""
        # Opened anew: over a network mount, a descriptor that is kept shows growth late or never.
        file = open_files.renew(self.path)
        if self.header is None:
            return self.open(accept)
        size = file.stat().st_size
        return self._advance(file, size) if size > self.position else {}

    def turn_over(self) -> None:
        """Reads a shard that this process wrote, and writes no more, as any other reader would."""
        file = open_files.renew(self.path)
        size = file.stat().st_size
        self.footer = footer.read(file, size)
        if self.footer is not None:
            self.table = None

    def _read_header(self, file: File, size: int, accept: Callable[[bytes], bool] | None) -> bool:
        data = file.pread(min(size, _ONE_READ), 0)
        try:
            try:
                self.header = frames.read_header(frames.SHARD_MAGIC, data)
            except Torn:
                if size <= _ONE_READ:
                    return False
                self.header = frames.read_header(frames.SHARD_MAGIC, file.pread(min(size, _CHUNK), 0))
        except Torn:
            return False
        except Unreadable as why:
            # Pages that a network mount has not fetched yet read as zeros.
            if any(data[:8]):
                self.ignored = True
                warn_once(self.path, str(why))
            return False
        self.position = self.header.end
        if accept is not None and not accept(self.header.identity):
            self.ignored = True
            warn_once(
                self.path,
                "it was written for another configuration that has the same uid",
                "Its entries are ignored; use another `version`, or another folder, for one of the two.",
            )
        return not self.ignored

    def _advance(self, file: File, size: int) -> dict[str, object]:
        """Reads on in a growing shard, and turns to its footer once that is there."""
        fresh: dict[str, object] = {}
        first = self.header is not None and self.position == self.header.end
        self.position, ended = self._scan(file, self.position, size, fresh, thorough=first)
        if ended == "sealed":
            try:
                self.footer = footer.read(file, size)
            except Unreadable as why:
                warn_once(self.path, f"{why}; its entries are read one by one")
        elif ended == "damaged" and self._settled(file):
            position = self._resume(file, self.position, size)
            warn_once(self.path, "some of its entries are damaged")
            if position > 0:
                self.position = position
                more = self._advance(file, size)
                fresh.update(more)
            else:
                self.position = size
        if self.footer is not None:
            self.table = None
        elif self.table is not None:
            self.table.update(fresh)
        return fresh

    def _settled(self, file: File) -> bool:
        """True once what looks like damage can no longer be an old view of a file that grows."""
        position, since = self._stuck
        if position != self.position:
            self._stuck = (self.position, time.monotonic())
            since = self._stuck[1]
        return time.monotonic() - since > SETTLED_S or abs(time.time() - file.stat().st_mtime) > SETTLED_S

    # -- scanning

    def scan_into(self, sink: dict[str, object]) -> None:
        """Adds all that the shard says to `sink`, in order."""
        if self.header is None or self.ignored:
            return
        if self.table is not None:
            sink.update(self.table)
            return
        assert self.footer is not None
        file, position, end = open_files.get(self.path), self.header.end, self.footer.offset
        while True:
            position, ended = self._scan(file, position, end, sink, thorough=True)
            if ended == "end" and position >= end:
                break
            warn_once(self.path, "some of its entries are damaged")
            position = self._resume(file, position, end)
            if position < 0:
                break
        for key, value in list(sink.items()) if self.bad else ():
            if type(value) is Where and value.shard is self and value.offset in self.bad:
                sink[key] = columns.DELETED

    def _load(self) -> None:
        """Fills the table of a sealed shard."""
        table: dict[str, object] = {}
        self.scan_into(table)
        self.table = table

    def _scan(
        self, file: File, position: int, end: int, sink: dict[str, object], *, thorough: bool
    ) -> tuple[int, tp.Literal["end", "torn", "damaged", "sealed"]]:
        """Adds all complete frames from `position` on; where it stopped, and why."""
        chunk = _FIRST_CHUNK
        while position + HEAD.size <= end:
            data = file.pread(min(chunk, end - position), position)
            at, needed = 0, 0
            try:
                while at + HEAD.size <= len(data):
                    kind, size = frames.frame_size(data, at)
                    if kind == FOOT:
                        return position + at, "sealed"
                    needed = self._frame(kind, size, data, at, position + at, end, sink)
                    if needed:
                        break
                    at += size
            except _Incomplete:
                return position + at, "torn"
            except Torn:
                lost = thorough and self._resume(file, position + at, end) > 0
                return position + at, "damaged" if lost else "torn"
            except frames.DAMAGE:
                return position + at, "damaged"
            if at == 0 and len(data) < min(chunk, end - position):
                return position, "torn"  # the file became shorter
            position += at
            chunk = max(needed, _FIRST_CHUNK if at > len(data) else _CHUNK)
        return position, "end"

    def _frame(self, kind: int, size: int, data: bytes, at: int, offset: int, end: int, sink: dict[str, object]) -> int:
        """Adds one frame to `sink`; or, if more bytes of it must be read first, how many."""
        assert self.header is not None
        seed = self.header.seed
        if kind == BLOCK:
            if at + size > len(data):
                if offset + size > end:
                    raise Torn
                return size
            block = frames.read_block(data, at, seed, offset)
            sink.update(zip(frames.block_keys(data, block), frames.block_values(data, block), strict=True))
            return 0
        needed = frames.record_head(data, at)
        if at + needed > len(data):
            if offset + needed > end:
                raise Torn
            return needed
        record = frames.read_record(data, at, seed, offset)
        if record.end > end:
            # The head holds, so nothing is damaged: the payload is still being written, or never will be.
            raise _Incomplete
        sink[record.key] = self._hit(record, offset, size)
        return 0

    def _resume(self, file: File, position: int, end: int) -> int:
        """Position of the next frame that is whole, after one that is not; -1 if there is none."""
        assert self.header is not None
        position += 8
        while position + HEAD.size <= end:
            data = file.pread(min(_CHUNK, end - position), position)
            for at in range(0, len(data) - HEAD.size + 1, 8):
                if data[at] in (RECORD, BLOCK) and self._holds(file, data, at, position + at, end):
                    return position + at
            position += max(8, (len(data) - HEAD.size + 8) // 8 * 8)
        return -1

    def _holds(self, file: File, data: bytes, at: int, offset: int, end: int) -> bool:
        assert self.header is not None
        try:
            kind, size = frames.frame_size(data, at)
            if offset + size > end:
                return False
            if at + size > len(data):
                data, at = file.pread(size, offset), 0
            read = frames.read_block if kind == BLOCK else frames.read_record
            read(data, at, self.header.seed, offset)
        except frames.DAMAGE:
            return False
        return True

    # -- looking up

    def find(self, key: str, name: bytes, hashed: int) -> object:
        """What the shard says about a key: a value, `Where`, DELETED; or ABSENT."""
        if self.table is None:
            if self.footer is None:
                return ABSENT
            try:
                return self._find_sealed(key, name, hashed)
            except Unreadable as why:
                warn_once(self.path, f"{why}; its entries are read one by one")
                self._load()
        assert self.table is not None
        return self.table.get(key, ABSENT)

    def _find_sealed(self, key: str, name: bytes, hashed: int) -> object:
        assert self.footer is not None
        file = open_files.get(self.path)
        for place in self.footer.places(file, hashed, self._checked):
            offset = place >> 16
            if offset in self.bad:
                return columns.DELETED
            try:
                found = self._at(file, offset, key, name)
            except frames.DAMAGE:
                # The index names this key here, and nothing older may be served in its place.
                self.spoil(offset, "some of its entries are damaged")
                return columns.DELETED
            if found is not ABSENT:
                return found
        return ABSENT

    def _at(self, file: File, offset: int, key: str, name: bytes) -> object:
        """What the frame at `offset` says about `key`."""
        assert self.header is not None
        data = file.pread(_ONE_READ, offset)
        kind, size = frames.frame_size(data, 0)
        if kind == BLOCK:
            if size > len(data):
                data = file.pread(size, offset)
            block = frames.read_block(data, 0, self.header.seed, offset)
            row = frames.row_of(data, block, name)
            return frames.row_value(data, block, row) if row >= 0 else ABSENT
        record, _ = self._record(file, data, offset, size)
        return self._hit(record, offset, size) if record.key == key else ABSENT

    def _hit(self, record: frames.Record, offset: int, size: int) -> object:
        if record.flags & frames.DELETES:
            return columns.DELETED
        return Where(self, offset, size, bool(record.flags & frames.FAILED))

    def _record(self, file: File, data: bytes, offset: int, size: int) -> tuple[frames.Record, bytes]:
        assert self.header is not None
        frames.frame_size(data, 0)
        try:
            return frames.read_record(data, 0, self.header.seed, offset), data
        except Torn:  # a key of some kilobytes
            data = file.pread(size, offset)
            return frames.read_record(data, 0, self.header.seed, offset), data

    def record(self, where: Where) -> tuple[frames.Record, bytes]:
        """The record, and bytes of the file from its start on."""
        file = open_files.get(self.path)
        return self._record(file, file.pread(min(where.size, _WHOLE_RECORD), where.offset), where.offset, where.size)

    def payload(self, where: Where, mapped: bool | None = None) -> tuple[frames.Record, memoryview]:
        """A record and its payload, whose checksum held; mapped if asked for, or if its codec says so."""
        record, data = self.record(where)
        offset = where.offset
        if mapped or (mapped is None and record.codec.startswith(MAPPED_CODEC)):
            view = open_files.get(self.path).map(record.start, record.length) if record.length else memoryview(b"")
        elif record.start + record.length <= offset + len(data):
            view = memoryview(data)[record.start - offset :][: record.length]
        else:
            view = memoryview(open_files.get(self.path).pread(record.length, record.start))
        if len(view) != record.length or not frames.payload_holds(view, record.checksum):
            raise Unreadable("a value is damaged")
        return record, view

    def stamp(self, key: str) -> tuple[int, float] | None:
        """When the newest value of a key was written, and the seconds that it took."""
        if self.header is None or self.ignored:
            return None
        name, found = frames.encode(key), None
        file, position = open_files.get(self.path), self.header.end
        end = self.footer.offset if self.footer is not None else self.position
        if self.footer is not None:
            places = self.footer.places(file, int(xxh3_64_intdigest(name)), self._checked)
            offsets = [place >> 16 for place in places]
            return next(filter(None, (self._stamp_at(file, offset, name)[0] for offset in offsets)), None)
        while position + HEAD.size <= end:
            stamp, position = self._stamp_at(file, position, name)
            found = stamp or found
        return found

    def _stamp_at(self, file: File, offset: int, name: bytes) -> tuple[tuple[int, float] | None, int]:
        """The stamp of a key if the frame at `offset` has it, and where the next frame is."""
        assert self.header is not None
        data = file.pread(_ONE_READ, offset)
        kind, size = frames.frame_size(data, 0)
        if kind == BLOCK:
            data = file.pread(size, offset)
            block = frames.read_block(data, 0, self.header.seed, offset)
            row = frames.row_of(data, block, name)
            return ((block.time, frames.row_seconds(data, block, row)) if row >= 0 else None), offset + size
        record, _ = self._record(file, data, offset, size)
        return ((record.time, record.seconds) if frames.encode(record.key) == name else None), offset + size

    def owner(self) -> int:
        """User id of who wrote the file."""
        return open_files.get(self.path).stat().st_uid

    def spoil(self, offset: int, why: str) -> None:
        """Remembers that a frame cannot be read, and says so."""
        self.bad.add(offset)
        if self.table is not None:
            for key, value in self.table.items():
                if type(value) is Where and value.offset == offset:
                    self.table[key] = columns.DELETED
                    break
        warn_once(self.path, why)


#: Codecs (whatever their version) whose payload is given as a view of a memory map.
MAPPED_CODEC = "memmap"
