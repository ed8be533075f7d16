"""A shard as maintenance reads it: every frame, one after the other, in bounded memory, and what is wrong with it.

Readers look for keys, and stop at what they cannot read; here everything is looked at, payloads too, and nothing is
decoded. A shard without a footer may be growing: its last frame may be torn.
"""

from __future__ import annotations

import os
import stat
import time
import typing as tp
from array import array
from collections.abc import Callable, Iterator

from xxhash import xxh3_64, xxh3_64_intdigest

from . import columns, footer, frames, provenance
from .files import File, Torn, Unreadable, open_files
from .frames import BLOCK, FOOT, HEAD, Record
from .lives import FOLDER as LIVES
from .lives import lives_here
from .scan import Scanner
from .shardname import may_replace
from .writer import ABANDONED_S

#: A process of another host is taken for alive while its life file is not older.
_BEAT_S = 900.0
_HEADER = 1 << 22
_AHEAD = 1 << 18
_PAGE = 1 << 12
_PIECE = 1 << 22

#: Whether a shard is complete; may still be written; or never will be again, though it has no footer.
State = tp.Literal["sealed", "growing", "abandoned"]


class Frame(tp.NamedTuple):
    """One frame whose head and keys are whole."""

    offset: int
    size: int
    keys: list[str]
    #: For small values or deletions: where they are in `data`.
    block: frames.Block | None
    data: bytes
    #: For a single value, failure or deletion.
    record: Record | None
    #: Its payload is not what was written.
    is_damaged: bool = False

    @property
    def deletes(self) -> bool:
        if self.block is not None:
            return self.block.column == columns.GONE
        return self.record is not None and bool(self.record.flags & frames.DELETES)

    @property
    def time(self) -> int:
        """When it was written, in seconds since 1970."""
        part = self.block or self.record
        return part.time if part is not None else 0

    @property
    def places(self) -> range:
        """What a footer says for the rows."""
        return range(self.offset << 16, (self.offset << 16) + len(self.keys))


class ShardFile:
    """One shard; Unreadable (Torn, if it is not complete yet) if it has no good header, OSError if it cannot be read."""

    def __init__(self, folder: str, name: str) -> None:
        self.name = name
        self.path: str = f"{folder}/{name}"
        #: Its entries may stand in place of older ones.
        self.replaces: bool = may_replace(name)
        if not stat.S_ISREG(os.lstat(self.path).st_mode):
            raise Unreadable("it is no file")
        self.stat: os.stat_result = self.file.stat()
        self.size: int = self.stat.st_size
        self.header: frames.Header = frames.read_header(frames.SHARD_MAGIC, self.file.pread(min(self.size, _HEADER), 0))
        self.footer: footer.Footer | None = None
        #: What is wrong, apart from frames that cannot be read.
        self.problems: list[str] = []
        try:
            self.footer = footer.read(self.file, self.size)
        except Unreadable as why:
            self.problems.append(str(why))
        #: Where frames end.
        self.end: int = self.size if self.footer is None else self.footer.offset
        # -- what reading all frames finds out
        #: Parts of the file that cannot be read, and offsets of frames whose payload is damaged.
        self.lost: list[range] = []
        #: Where a last frame begins that is not complete; None if there is none.
        self.torn: int | None = None
        self._data, self._start = b"", 0

    @property
    def file(self) -> File:
        # Not kept open: a folder may hold more shards than a process may hold files.
        return open_files.get(self.path)

    @property
    def order(self) -> tuple[int, str]:
        """Shards of higher order supersede those of lower."""
        return (self.header.generation, self.name)

    @property
    def clears(self) -> bool:
        return bool(self.header.flags & frames.CLEARS)

    def state(self, root: str) -> State:
        """Whether somebody may still append to it; `root`: that of the cache, where heartbeats are."""
        if self.footer is not None or self.problems:
            return "sealed"
        quiet = time.time() - self.stat.st_mtime
        if quiet > ABANDONED_S:
            return "abandoned"  # its writer, if it lives, begins another shard
        writer = provenance.writer(self.header.provenance)
        here = None if writer is None else lives_here(writer)
        if here is None and writer is not None and quiet > _BEAT_S:
            here = _beats(f"{root}/{LIVES}/{writer.life}")
        return "abandoned" if here is False else "growing"

    # -- frames

    def scan(self, *, payloads: bool = False) -> Iterator[Frame]:
        """Every frame that can be read; fills `lost` and `torn`. `payloads`: checks those too."""
        self.lost, self.torn = [], None
        position = self.header.end
        while position + HEAD.size <= self.end:
            try:
                frame = self._frame(position, payloads)
            except frames.DAMAGE as why:
                resumed = self._resume(position, isinstance(why, Torn))
                if resumed < 0:
                    return
                position = resumed
                continue
            if frame is None:
                if self.footer is None and not self.problems:
                    self.problems.append("the end of its index is damaged")
                return
            if frame.is_damaged:
                self.lost.append(range(frame.offset, frame.offset + frame.size))
            yield frame
            position += frame.size
        if position < self.end:
            self._ends_at(position)

    def _resume(self, position: int, is_torn: bool) -> int:
        """Where the next whole frame is after one that cannot be read; -1 if there is none."""
        found = Scanner(self.file, self.header.seed, lambda *_: None).next_whole(position, self.end)
        if found > 0:
            self.lost.append(range(position, found))
        elif is_torn or (self.footer is None and not any(self.file.pread(_PAGE, position))):
            self._ends_at(position)
        else:
            self.lost.append(range(position, self.end))
        return found

    def _ends_at(self, position: int) -> None:
        if self.footer is None:
            self.torn = position
        else:
            self.lost.append(range(position, self.end))

    def _frame(self, offset: int, payloads: bool) -> Frame | None:
        """The frame at an offset; None at a footer."""
        head = self._read(HEAD.size, offset)
        kind, size = frames.frame_size(head, 0)
        if kind == FOOT:
            return None
        needed = size if kind == BLOCK else frames.record_head(head, 0)
        if offset + needed > self.end:
            raise Torn("a frame is not complete")
        data = self._read(needed, offset)
        if kind == BLOCK:
            block = frames.read_block(data, 0, self.header.seed, offset)
            keys = frames.block_keys(data, block)
            if len(keys) != block.rows:
                raise Unreadable("a block is damaged")
            return Frame(offset, size, keys, block, data, None)
        record = frames.read_record(data, 0, self.header.seed, offset)
        if record.end > self.end:
            raise Torn("a record is not complete")
        is_damaged = payloads and not payload_holds(self._read, record)
        return Frame(offset, size, [record.key], None, b"", record, is_damaged)

    def _read(self, size: int, offset: int) -> bytes:
        start = offset - self._start
        if not 0 <= start <= len(self._data) - size:
            self._data, self._start, start = self.file.pread(max(size, _AHEAD), offset), offset, 0
        return self._data[start : start + size]

    def payload(self, record: Record) -> bytes | memoryview:
        """The payload of a record; Unreadable if it is not what was written."""
        if record.length > _PIECE:
            data: bytes | memoryview = self.file.map(record.start, record.length)
        else:
            data = self._read(record.length, record.start)
        if len(data) != record.length or not frames.payload_holds(data, record.checksum):
            raise Unreadable("a value is damaged")
        return data

    # -- all of it

    def check(self) -> Tally:
        """Reads everything; what is wrong is in `problems`, `lost` and `torn` then."""
        tally = Tally()
        hashes, places = array("Q"), array("Q")
        for frame in self.scan(payloads=True):
            tally.add(frame)
            if self.footer is not None:
                hashes.extend([xxh3_64_intdigest(frames.encode(key)) for key in frame.keys])
                places.extend(frame.places)
        if self.footer is not None:
            self._check_footer(self.footer, hashes, places)
        return tally

    def _check_footer(self, foot: footer.Footer, hashes: array[int], places: array[int]) -> None:
        try:
            rows = foot.all(self.file)
        except Unreadable as why:
            self.problems.append(str(why))
            return
        there = [row for row in rows if not self.is_lost(row[1] >> 16)]
        found = [row for row in zip(hashes, places, strict=True) if not self.is_lost(row[1] >> 16)]
        head = HEAD.pack(FOOT, 0, 0, 0, self.size - foot.offset - HEAD.size, 0)
        if sorted(found) != there or self.file.pread(HEAD.size, foot.offset) != head:
            self.problems.append("its index does not agree with its entries")

    def is_lost(self, offset: int) -> bool:
        """Whether the frame at an offset is damaged, as far as was read."""
        return any(offset in part for part in self.lost)


class Tally:
    """What there is in a file: how many values, failures and deletions."""

    def __init__(self) -> None:
        self.values: int = 0
        self.failures: int = 0
        self.deletions: int = 0

    def add(self, frame: Frame) -> None:
        """Counts the rows of a frame."""
        if frame.is_damaged:
            return
        if frame.deletes:
            self.deletions += len(frame.keys)
        elif frame.record is not None and frame.record.flags & frames.FAILED:
            self.failures += 1
        else:
            self.values += len(frame.keys)


def payload_holds(read: Callable[[int, int], bytes], record: Record) -> bool:
    """Whether a payload is what was written; `read`: some bytes at an offset."""
    state = xxh3_64()
    for start in range(record.start, record.start + record.length, _PIECE):
        state.update(read(min(_PIECE, record.start + record.length - start), start))
    return bool(state.intdigest() == record.checksum)


def _beats(path: str) -> bool | None:
    """True if a life file is fresh; None if nothing can be told."""
    try:
        age = time.time() - os.stat(path).st_mtime
    except OSError:
        return None
    return True if age < _BEAT_S else None
