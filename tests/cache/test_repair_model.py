"""A folder of shards whose files are damaged anywhere, at any moment: a value that is read is the newest one, or missing."""

from __future__ import annotations

import itertools
import os
import time
import warnings
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import invariant, rule

from cachedmodel.cache import files
from cachedmodel.cache.compaction import compact
from cachedmodel.cache.repair import repair
from cachedmodel.cache.shardfile import ShardFile

from .dying import dies_at
from .machine import KEYS, NUMBERS, Shards, stored

PLACES = st.floats(0, 1, exclude_max=True)
SOME = st.sets(KEYS, min_size=1, max_size=4)


class Damaged(Shards):
    """Writers, some of which die, write, replace and delete; files are damaged; repairs and compactions come and die too."""

    def __init__(self) -> None:
        super().__init__()
        os.makedirs(self.folder)
        self.steps = itertools.count(1)
        self.damaged: set[str] = set()
        files._warned.clear()
        files._untold.clear()

    def _values(self, keys: set[str]) -> dict[str, object]:
        """No two are the same: small ones, and some with a payload of their own."""
        numbered = zip(sorted(keys), self.steps, strict=False)
        return {key: step / 2 if step % 3 else [step, "x" * (step % 40)] for key, step in numbered}

    @rule(number=NUMBERS, keys=SOME)
    def write(self, number: int, keys: set[str]) -> None:
        values = self._values(keys)
        self._write(self._writer(number), values)
        self.model |= values
        assert self.open().read(list(values)).values == values

    @rule(number=NUMBERS, keys=SOME)
    def delete(self, number: int, keys: set[str]) -> None:
        """What cannot be read is not deleted: who read it before it was damaged may go on with it."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            self._writer(number).refresh()
            there = self._writer(number).states(sorted(keys))
            self._writer(number).delete(keys)
        for key in there:
            self.model.pop(key, None)

    @rule(keys=SOME, number=st.integers(0, 2))
    def write_and_die(self, keys: set[str], number: int) -> None:
        """A process that leaves shards without an index."""
        values, gone = self._values(keys), sorted(keys)[:number]

        def write() -> None:
            warnings.simplefilter("ignore", RuntimeWarning)
            cache = self.open()
            self._write(cache, values)
            cache.delete(gone)

        assert not dies_at(1 << 30, write)
        self.model |= values
        for key in gone:
            self.model.pop(key, None)

    @rule(
        number=st.integers(0, 9),
        places=st.lists(st.tuples(PLACES, st.sampled_from([0, 1, 24])), min_size=1, max_size=3),
    )
    def damage(self, number: int, places: list[tuple[float, int]]) -> None:
        """Flips bits, or overwrites some bytes, of a file that nobody writes."""
        for cache in self.writers:
            cache.close()
        whole = [path for path in Path(self.folder).glob("*.shard") if path.name not in self.damaged]
        if not whole:
            return
        whole.sort(key=lambda path: path.stat().st_ctime_ns)
        path = whole[number % len(whole)]
        before = path.read_bytes()
        # With another length, the last frame of a shard without an index would be one that was never complete.
        lasting = [frame.offset for frame in ShardFile(self.folder, path.name).scan() if frame.keys][-1:]
        last = range(lasting[0], lasting[0] + 24) if lasting else range(0)
        changed = bytearray(before)
        for place, length in places:
            at = int(place * len(before))
            for byte in range(at, min(at + max(1, length), len(before))):
                changed[byte] = 0xFF if length else changed[byte] ^ 1 << at % 8
        changed[last.start : last.stop] = before[last.start : last.stop]
        # Who read a shard before it was damaged may go on with what others cannot see, replace or delete any more.
        for cache in self.writers:
            cache.end()
        self.writers, self.reader = [self.open() for _ in range(self.WRITERS)], self.open()
        path.write_bytes(changed)
        os.utime(path, (time.time() - 3600,) * 2)
        self.damaged.add(path.name)

    @rule()
    def repair(self) -> None:
        list(repair(self.folder))

    @rule(step=st.integers(0, 60))
    def repair_and_die(self, step: int) -> None:
        dies_at(step, lambda: list(repair(self.folder)))

    @rule(grace_s=st.sampled_from([0.0, 3600.0]))
    def compact(self, grace_s: float) -> None:
        compact(self.folder, grace_s=grace_s)

    @invariant()
    def what_is_read_is_the_newest(self) -> None:
        """One by one, together and listed, by who looks for the first time, and by who wrote or looked before."""
        keys = sorted({*self.model, *"abcdef"})
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            self.reader.refresh()
            once = self.open()
            found = [{key: value for key in keys for value in once.read([key]).values.values()}]
            found += [cache.read(keys).values for cache in (self.open(), self.reader)]
            for cache in (self.open(), *self.writers):
                cache.refresh()
                found.append(stored(cache))
        for values in found:
            assert {key: value for key, value in values.items() if self.model.get(key) != value} == {}
            if not self.damaged:
                assert values == self.model


class TestDamaged(Damaged.TestCase):  # type: ignore[misc, valid-type]
    """A few runs."""

    settings = settings(max_examples=20, stateful_step_count=20, deadline=None)


@pytest.mark.slow
class TestDamagedLong(Damaged.TestCase):  # type: ignore[misc, valid-type]
    """Many runs."""

    settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
