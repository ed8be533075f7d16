"""One shard of a map: a file that one process appends to, read while it grows and after it is sealed.

A growing shard is tailed: its keys are kept in a table, with the position that was reached. A sealed one has a
footer: single keys are found by position, and the table is filled only when many keys are wanted.
"""

from __future__ import annotations

import itertools
import os
import time
import typing as tp
from collections.abc import Callable, Mapping

from xxhash import xxh3_64_intdigest

from . import columns, footer, frames
from .files import File, Torn, Unreadable, open_files, warn_once
from .frames import BLOCK, HEAD
from .records import Where, record_at
from .scan import Scanner
from .shardname import generation_of, may_replace

#: Network file systems show old sizes and pages for some seconds: only what stays wrong longer is damage.
SETTLED_S = 10.0
_HIDDEN = (
    "Older entries may have been replaced or deleted in it, so none of them is used: they are computed again when they are "
    "needed. `cachedmodel repair` deletes them; delete this file instead to use them all the same."
)
_ONE_READ = 4096
_LONGEST_HEADER = 1 << 22
#: The table of a sealed shard is filled after look-ups for this part of its rows, and some.
_LOOKUPS_PART = 32
_FEW_LOOKUPS = 4096
#: And when this part of them is asked for at once.
_LOADED_PART = 8

#: What a look-up gives for a key that the shard says nothing about.
ABSENT: tp.Final = object()


class _Frame:
    """A frame whose checksum held, for looking up some of its keys."""

    __slots__ = ("_block", "_data", "_known")

    def __init__(self, data: bytes, block: frames.Block | None, known: dict[str, object] | None = None) -> None:
        self._data = data
        self._block = block
        self._known = known

    def find(self, key: str) -> object:
        """What it says about the key, or ABSENT."""
        block = self._block
        if block is None:
            return self._known.get(key, ABSENT) if self._known is not None else ABSENT
        if self._known is None:  # one row costs less than all of them, two do not
            self._known = {}
            row = frames.row_of(self._data, block, frames.encode(key))
            return frames.row_value(self._data, block, row) if row >= 0 else ABSENT
        if not self._known:
            keys, values = frames.block_keys(self._data, block), frames.block_values(self._data, block)
            self._known = dict(zip(keys, values, strict=True))
        return self._known.get(key, ABSENT)


class Shard:
    """What is known of one shard file."""

    def __init__(self, folder: str, name: str) -> None:
        self.path: str = f"{folder}/{name}"
        self.name = name
        self.header: frames.Header | None = None
        self.footer: footer.Footer | None = None
        #: Key -> value of a column, `Where` or DELETED; None while only the footer is used.
        self.table: dict[str, object] | None = None
        #: When the table of a sealed shard was filled, because many of its keys were asked; 0 if it was not.
        self.loaded: float = 0.0
        #: Written by this process: its writer fills the table, and nobody tails it.
        self.own = False
        #: It was, whoever writes it now.
        self.made_here: bool = False
        #: Never read: alien, damaged from the start, or of another identity.
        self.ignored: bool = False
        #: Its entries may stand in place of older ones.
        self.replaces: bool = may_replace(name)
        #: Nothing older counts: it may have been replaced or deleted in a part that is lost.
        self.hides: bool = False
        #: Position up to which the table is filled.
        self.position: int = 0
        #: Offsets of frames that turned out to be damaged.
        self.bad: set[int] = set()
        #: A part of it was damaged while it grew.
        self.has_gaps: bool = False
        #: Hashes of keys whose frames are damaged, as the footer tells.
        self._lost: set[int] = set()
        self._lookups = 0
        self._mapped = memoryview(b"")
        self._stuck: tuple[int, float] = (-1, 0.0)

    @property
    def order(self) -> tuple[int, str]:
        """Shards of higher order supersede those of lower."""
        return (self.header.generation if self.header else generation_of(self.name), self.name)

    @property
    def growing(self) -> bool:
        return self.footer is None and not self.ignored

    @property
    def clears(self) -> bool:
        says_so = self.header is not None and not self.ignored and bool(self.header.flags & frames.CLEARS)
        return self.hides or says_so

    # -- opening and tailing

    def open(self, accept: Callable[[bytes], bool] | None) -> dict[str, object]:
        """Reads header and footer, or what there is so far; the entries found in a growing shard."""
        file = open_files.renew(self.path)
        data, size = file.begin(_ONE_READ)
        if not self._read_header(file, data, size, accept):
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
        size = file.size()
        return self._advance(file, size) if size > self.position else {}

    def turn_over(self) -> None:
        """Reads a shard that this process wrote, and writes no more, as any other reader would."""
        file = open_files.renew(self.path)
        size = file.stat().st_size
        self.footer = footer.read(file, size)
        if self.footer is not None:
            self.table = None

    def _read_header(self, file: File, data: bytes, size: int, accept: Callable[[bytes], bool] | None) -> bool:
        if len(data) < min(size, _ONE_READ):  # it grew meanwhile
            data = file.pread(min(size, _ONE_READ), 0)
        try:
            try:
                self.header = frames.read_header(frames.SHARD_MAGIC, data)
            except Torn:
                if size <= _ONE_READ:
                    raise
                self.header = frames.read_header(frames.SHARD_MAGIC, file.pread(min(size, _LONGEST_HEADER), 0))
        except Unreadable as why:
            # It may be about to be written, and pages that a network mount has not fetched yet read as zeros.
            is_certain = any(data[:8]) and not isinstance(why, Torn)
            if is_certain or (size > 0 and self._settled(file)):
                self.ignored = True
                self._hide(str(why))
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
        self.position, ended = self._scanner(file).scan(self.position, size, fresh)
        while ended == "damaged" and self._settled(file):
            self.has_gaps = True
            resumed = self._scanner(file).next_whole(self.position, size)
            if resumed > 0 or any(file.pread(_ONE_READ, self.position)):  # zeros at the end were never written
                self._hide("some of its entries are damaged")
            if self.hides:  # it may have replaced its own entries too
                fresh = dict.fromkeys([*(self.table or ()), *fresh], columns.DELETED)
            self.position, ended = size, "end"
            if resumed > 0:
                self.position, ended = self._scanner(file).scan(resumed, size, fresh)
        if ended == "sealed":
            try:
                self.footer = footer.read(file, size)
            except Unreadable as why:
                warn_once(self.path, f"{why}; its entries are read one by one")
        if self.footer is not None:
            self.table, self.hides = None, False
        elif self.table is not None:
            self.table.update(fresh)
        return fresh

    def _hide(self, why: str) -> None:
        """A part of it is lost, and nobody knows what was in it."""
        self.hides = self.replaces
        warn_once(self.path, why, _HIDDEN if self.hides else "")

    def _settled(self, file: File) -> bool:
        """True once what looks like damage can no longer be an old view of a file that grows."""
        position, since = self._stuck
        if position != self.position:
            self._stuck = (self.position, time.monotonic())
            since = self._stuck[1]
        return time.monotonic() - since > SETTLED_S or abs(time.time() - file.stat().st_mtime) > SETTLED_S

    # -- all of it

    def scan_into(self, sink: dict[str, object]) -> None:
        """Adds all that the shard says to `sink`, in order."""
        if self.hides:
            sink.update(dict.fromkeys(sink, columns.DELETED))
        if self.header is None or self.ignored:
            return
        if self.table is not None:
            _delete(self._lost, sink)
            sink.update(self.table)
            return
        assert self.footer is not None
        file, position, end = open_files.get(self.path), self.header.end, self.footer.offset
        scanner = self._scanner(file)
        position, ended = scanner.scan(position, end, sink)
        while ended != "end":
            resumed = scanner.next_whole(position, end)
            resumed = resumed if resumed > 0 else end
            self._forget_lost(file, range(position, resumed), sink)
            position, ended = scanner.scan(resumed, end, sink)

    def _forget_lost(self, file: File, lost: range, sink: dict[str, object]) -> None:
        """Of what was found so far, nothing counts that may have been replaced or deleted in a part that is lost."""
        assert self.footer is not None
        try:
            hashes = {hashed for hashed, place in self.footer.all(file) if place >> 16 in lost}
        except Unreadable:
            self._hide("some of its entries and a part of its index are damaged")
            if self.hides:
                sink.update(dict.fromkeys(sink, columns.DELETED))
            return
        warn_once(self.path, "some of its entries are damaged")
        self._lost |= hashes
        _delete(hashes, sink)

    def _load(self) -> None:
        """Fills the table of a sealed shard."""
        table: dict[str, object] = {}
        self.scan_into(table)
        self.table, self.loaded = table, time.monotonic()

    def unload(self) -> None:
        """Empties the table of a sealed shard: its footer tells the same, slower."""
        self.table, self.loaded, self._lookups = None, 0.0, 0

    def _scanner(self, file: File) -> Scanner:
        assert self.header is not None
        return Scanner(file, self.header.seed, self._hit)

    # -- looking up

    def find(self, hashed: Mapping[str, int]) -> dict[str, object]:
        """What the shard says about keys (given with their hashes): a value, `Where` or DELETED; nothing if it says nothing."""
        if self.table is None and self.footer is not None:
            worth = self.footer.rows + _FEW_LOOKUPS
            if self._lookups * _LOOKUPS_PART > worth or len(hashed) * _LOADED_PART > worth:
                self._load()
            else:
                try:
                    return self._find_sealed(hashed)
                except Unreadable as why:
                    warn_once(self.path, f"{why}; its entries are read one by one")
                    self._load()
        return self._find_in_table(hashed)

    def _find_in_table(self, hashed: Mapping[str, int]) -> dict[str, object]:
        table = self.table
        if table is None:
            return {}
        if len(table) < len(hashed):
            found = {key: table[key] for key in hashed.keys() & table.keys()}
        else:
            known = zip(hashed, map(table.get, hashed, itertools.repeat(ABSENT)), strict=False)
            found = {key: value for key, value in known if value is not ABSENT}
        if self._lost:
            found.update((key, columns.DELETED) for key in hashed if key not in found and hashed[key] in self._lost)
        return found

    def _find_sealed(self, hashed: Mapping[str, int]) -> dict[str, object]:
        assert self.footer is not None
        file = open_files.get(self.path)
        places = self.footer.search(file, hashed.values())
        found: dict[str, object] = {}
        frames_read: dict[int, _Frame] = {}
        for key in hashed if places else ():
            for place in places.get(hashed[key], ()):
                value = self._find_at(file, place >> 16, key, frames_read)
                if value is not ABSENT:
                    found[key] = value
                    break
        self._lookups += len(found)
        return found

    def _find_at(self, file: File, offset: int, key: str, frames_read: dict[int, _Frame]) -> object:
        """What the frame at `offset` says about `key`."""
        if offset in self.bad:
            return columns.DELETED
        try:
            frame = frames_read.get(offset)
            if frame is None:
                frame = frames_read[offset] = self._frame(file, offset)
            return frame.find(key)
        except frames.DAMAGE:
            # The index names this key here, and nothing older may be served in its place.
            self.spoil(offset, "some of its entries are damaged")
            return columns.DELETED

    def _frame(self, file: File, offset: int) -> _Frame:
        assert self.header is not None
        data = os.pread(file.fd, _ONE_READ, offset)
        kind, size = frames.frame_size(data, 0)
        if kind == BLOCK:
            if size > len(data):
                data = file.pread(size, offset)
            return _Frame(data, frames.read_block(data, 0, self.header.seed, offset))
        record = record_at(file, data, self.header.seed, offset, size)
        return _Frame(b"", None, {record.key: self._hit(record, offset, size)})

    def _hit(self, record: frames.Record, offset: int, size: int) -> object:
        if record.flags & frames.DELETES or offset in self.bad:
            return columns.DELETED
        return Where(self, offset, size, bool(record.flags & frames.FAILED), record)

    def view(self, file: File, start: int, length: int) -> memoryview:
        """A part of the file as a memory map, of which there is one for a sealed shard, and few for a growing one."""
        end = start + length
        if end > len(self._mapped):
            size = file.stat().st_size
            if self.footer is None and size < 2 * len(self._mapped):
                # Each map holds a descriptor: a growing shard is mapped anew only when it is twice as long.
                return memoryview(file.pread(length, start))
            self._mapped = file.map(0, size)
        return self._mapped[start:end]

    def stamp(self, key: str) -> tuple[int, float, int] | None:
        """When the newest value of a key was written, the seconds that it took, and its offset."""
        if self.header is None or self.ignored:
            return None
        name, found = frames.encode(key), None
        file, position = open_files.get(self.path), self.header.end
        end = self.footer.offset if self.footer is not None else self.position
        if self.footer is not None:
            places = self.footer.places(file, int(xxh3_64_intdigest(name)))
            offsets = [place >> 16 for place in places]
            return next(filter(None, (self._stamp_at(file, offset, name)[0] for offset in offsets)), None)
        while position + HEAD.size <= end:
            stamp, position = self._stamp_at(file, position, name)
            found = stamp or found
        return found

    def _stamp_at(self, file: File, offset: int, name: bytes) -> tuple[tuple[int, float, int] | None, int]:
        """The stamp of a key if the frame at `offset` has it, and where the next frame is."""
        assert self.header is not None
        data = file.pread(_ONE_READ, offset)
        kind, size = frames.frame_size(data, 0)
        if kind == BLOCK:
            data = file.pread(size, offset)
            block = frames.read_block(data, 0, self.header.seed, offset)
            row = frames.row_of(data, block, name)
            return ((block.time, frames.row_seconds(data, block, row), offset) if row >= 0 else None), offset + size
        record = record_at(file, data, self.header.seed, offset, size)
        return ((record.time, record.seconds, offset) if frames.encode(record.key) == name else None), offset + size

    def owner(self) -> int:
        """User id of who wrote the file."""
        return open_files.get(self.path).owner()

    def spoil(self, offset: int, why: str) -> None:
        """Remembers that a frame cannot be read, and says so."""
        self.bad.add(offset)
        if self.table is not None:
            for key, value in self.table.items():
                if type(value) is Where and value.offset == offset:
                    self.table[key] = columns.DELETED
                    break
        warn_once(self.path, why)


def _delete(hashes: set[int], sink: dict[str, object]) -> None:
    """Has the keys with these hashes count as deleted."""
    gone = [key for key in sink if xxh3_64_intdigest(frames.encode(key)) in hashes] if hashes else []
    sink.update(dict.fromkeys(gone, columns.DELETED))
