"""Which shards a compaction merges, and which of their rows count.

A run is shards next to each other in the order of all that count, of one configuration, that nobody writes any more and
that this user may replace. Large shards of which nearly everything counts are left as they are.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence

from xxhash import xxh3_64_intdigest

from . import frames
from .shardfile import Frame, ShardFile
from .shardname import generation_of, has_room_below
from .upkeep import root_of, shards_of
from .writer import MOST_BYTES, MOST_ROWS

#: Keys that are held in memory at once.
_MOST_KEYS = 1 << 19
#: A shard of this part of the most rows or bytes is large; it is merged only if so much of it is superseded.
_LARGE_PART, _DEAD_PART = 2, 8
#: Shards of a run, and bytes of what they say of their writers.
_MOST_SOURCES, _MOST_ABOUT = 4096, 1 << 21


class Source:
    """A shard that nobody writes, and which of its rows count."""

    def __init__(self, shard: ShardFile) -> None:
        self.shard = shard
        self.rows = 0
        #: Bytes of rows that count.
        self.live_size = 0
        #: Deletions among them that are older than the grace period.
        self.old_deletions = 0
        #: For each row: 1 if nothing newer is said of its key.
        self.live: bytearray = bytearray()

    @property
    def is_large(self) -> bool:
        return self.rows * _LARGE_PART >= MOST_ROWS or self.shard.size * _LARGE_PART >= MOST_BYTES

    def is_dense(self, *, is_lowest: bool) -> bool:
        """True if little would be gained from it; `is_lowest`: old deletions can go."""
        kept = sum(self.live) - (self.old_deletions if is_lowest else 0)
        size = self.shard.end - self.shard.header.end
        return (self.rows - kept) * _DEAD_PART <= self.rows and (size - self.live_size) * _DEAD_PART <= size


class Plan:
    """Which shards of a folder are merged."""

    def __init__(self, folder: str, grace_s: float) -> None:
        self.folder = folder
        self.grace_s = grace_s
        self.now: float = time.time()
        #: Deletions that were made before may be forgotten.
        self.since: float = self.now - grace_s
        self.notes: list[str] = []
        #: Shards of which nothing counts, since a later one deletes everything.
        self.garbage: list[ShardFile] = []
        #: Lists of sources that are next to each other.
        self.runs: list[list[Source]] = []
        root = root_of(folder)
        shards, others = shards_of(folder)
        self.notes += [f"{name}: {why}; cachedmodel repair sets it aside" for name, why in others.items() if why]
        #: The places of shards that tell nothing, not yet or not any more.
        self._unreadable = [(generation_of(name), name) for name in others]
        self._states = {shard.name: shard.state(root) for shard in shards}
        self._shards = self._counting(shards)
        sources = {shard.name: source for shard in self._shards if (source := self._read(shard))}
        for identity in {source.shard.header.identity for source in sources.values()}:
            mark([source for source in sources.values() if source.shard.header.identity == identity], self.since)
        self.runs += filter(self._pays, self._cut(sources))

    def _counting(self, shards: list[ShardFile]) -> list[ShardFile]:
        """The shards that count, lowest first."""
        # For each configuration by itself: those who read another one do not see that it was cleared.
        floors = {shard.header.identity: shard for shard in shards if shard.clears}
        counting = []
        for shard in shards:
            floor = floors.get(shard.header.identity, shard)
            if shard.order >= floor.order:
                counting.append(shard)
            elif self._states[shard.name] != "growing" and floor.stat.st_mtime <= self.since:
                self.garbage.append(shard)
        return counting

    def _read(self, shard: ShardFile) -> Source | None:
        """Counts the rows of a shard; None if it is not to be touched."""
        if self._states[shard.name] == "growing":
            return None
        source = Source(shard)
        for frame in shard.scan():
            source.rows += len(frame.keys)
        if shard.problems or shard.lost:
            self.notes.append(f"{shard.name}: it is damaged; run cachedmodel repair first")
            return None
        source.live = bytearray(source.rows)
        return source

    def _may_merge(self, shard: ShardFile) -> bool:
        """Pickles are trusted by whose file they are in: what others wrote stays in their files."""
        return os.geteuid() in (0, shard.stat.st_uid)

    def _cut(self, sources: dict[str, Source]) -> Iterator[list[Source]]:
        """Runs of shards that may be merged."""
        run: list[Source] = []
        about = 0
        for shard in self._shards:
            source = sources.get(shard.name)
            if source is not None and not self._may_merge(shard):
                self.notes.append(f"{shard.name}: it belongs to another user, who can compact it (or root)")
                source = None
            if source is not None and source.is_large and source.is_dense(is_lowest=shard is self._shards[0]):
                source = None
            about += len(shard.header.provenance)
            is_next = run and source and run[0].shard.header.identity == shard.header.identity
            # What cannot be read now may still be in the memory of others: nothing changes its place with it.
            passes = run and any(run[-1].shard.order < order < shard.order for order in self._unreadable)
            if run and (not is_next or passes or len(run) >= _MOST_SOURCES or about > _MOST_ABOUT):
                yield run
                run, about = [], 0
            if source is not None and (run or has_room_below(shard.name)):
                run.append(source)
        if run:
            yield run

    def _pays(self, run: Sequence[Source]) -> bool:
        lone = run[0]
        return (
            len(run) > 1
            or not lone.is_dense(is_lowest=self.is_lowest(run))
            or self._states[lone.shard.name] == "abandoned"
        )

    # -- what must be kept of a run

    def is_lowest(self, run: Sequence[Source]) -> bool:
        """Whether nothing is lower that counts, or that counts for those who read it before it was damaged."""
        return min([self._shards[0].order, *self._unreadable]) >= run[0].shard.order

    def clears(self, run: Sequence[Source]) -> bool:
        """Whether what is made of the run must say that all lower shards are deleted."""
        floor = run[0].shard
        if not floor.clears:
            return False
        shards, others = shards_of(self.folder)
        return floor.stat.st_mtime > self.since or bool(others) or any(shard.order < floor.order for shard in shards)


def mark(sources: Sequence[Source], since: float) -> None:
    """Finds out which rows count, some keys at a time; `sources` are all that may be read, lowest first."""
    parts = 1 + sum(source.rows for source in sources) // _MOST_KEYS
    for part in range(parts):
        newest: dict[str, tuple[int, int]] = {}
        for number, source in enumerate(sources):
            row = 0
            for frame in source.shard.scan():
                for key in frame.keys:
                    if parts == 1 or xxh3_64_intdigest(frames.encode(key)) % parts == part:
                        newest[key] = (number, row)
                    row += 1
        for number, row in newest.values():
            sources[number].live[row] = 1
    for source in sources:
        for frame, rows in live_rows(source):
            source.live_size += frame.size * len(rows) // max(1, len(frame.keys))
            if frame.deletes and frame.time <= since:
                source.old_deletions += len(rows)


def live_rows(source: Source) -> Iterator[tuple[Frame, list[int]]]:
    """The frames of a source, and which of their rows count."""
    first = 0
    for frame in source.shard.scan():
        live = source.live[first : first + len(frame.keys)]
        yield frame, [row for row, counts in enumerate(live) if counts]
        first += len(frame.keys)


class Keeps:
    """Which of the rows that count are kept: all but old deletions that are about nothing any more."""

    def __init__(self, since: float, *, everything: bool) -> None:
        self._since = since
        self._everything = everything

    def of(self, frame: Frame, rows: list[int]) -> list[int]:
        """Those of the rows of a frame that are kept."""
        return rows if self._everything or not frame.deletes or frame.time > self._since else []
