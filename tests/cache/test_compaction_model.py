"""A folder of shards as a mapping, whatever is compacted in between and wherever that dies."""

from __future__ import annotations

import os

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import invariant, precondition, rule

from cachedmodel.cache.compaction import compact
from cachedmodel.cache.verify import verify

from .dying import dies_at
from .machine import KEYS, NUMBERS, Shards, stored

VALUES = st.one_of(
    st.floats(allow_nan=False), st.integers(0, 9), st.lists(st.integers(0, 9), max_size=3), st.text(max_size=3)
)
ENTRIES = st.dictionaries(KEYS, VALUES, min_size=1, max_size=4)
GRACES = st.sampled_from([0.0, 3600.0])


class Compacted(Shards):
    """Writers of one process, and others that die, write, replace, delete and clear; compactions come and die too."""

    WRITERS = 3

    def __init__(self) -> None:
        super().__init__()
        self.seen: dict[str, object] = {}

    @rule(number=NUMBERS, entries=ENTRIES)
    def write(self, number: int, entries: dict[str, object]) -> None:
        self._write(self._writer(number), entries)
        self.model.update(entries)

    @rule(number=NUMBERS, keys=st.sets(KEYS))
    def delete(self, number: int, keys: set[str]) -> None:
        self._writer(number).delete(keys)
        for key in keys:
            self.model.pop(key, None)

    @rule(entries=ENTRIES, keys=st.sets(KEYS, max_size=2))
    def write_and_die(self, entries: dict[str, object], keys: set[str]) -> None:
        """A process that leaves a shard without a footer."""

        def write() -> None:
            cache = self.open()
            self._write(cache, entries)
            cache.delete(keys)

        assert not dies_at(1 << 30, write)
        self.model.update(entries)
        for key in keys:
            self.model.pop(key, None)

    @rule(grace_s=GRACES)
    def compact(self, grace_s: float) -> None:
        compact(self.folder, grace_s=grace_s)

    @rule(grace_s=GRACES, step=st.integers(0, 60))
    def compact_and_die(self, grace_s: float, step: int) -> None:
        dies_at(step, lambda: compact(self.folder, grace_s=grace_s))

    @rule()
    def look(self) -> None:
        """The reader looks for what others did."""
        self.reader.refresh()
        self.seen = dict(self.model)
        assert stored(self.reader) == self.model

    @precondition(lambda self: self.seen == self.model)
    @invariant()
    def what_was_seen_is_found(self) -> None:
        """The reader need not look again for what it has seen."""
        keys = sorted(self.model)
        assert self.reader.read(keys).values == self.model

    @invariant()
    def everybody_sees_the_same(self) -> None:
        for cache in (self.open(), *self.writers):
            cache.refresh()
            assert stored(cache) == self.model

    @invariant()
    def nothing_is_damaged(self) -> None:
        if os.path.isdir(self.folder):
            findings = [finding for found in verify(self.folder) for finding in found.findings]
            assert [finding for finding in findings if finding.what in ("damaged", "alien")] == []


class TestCompacted(Compacted.TestCase):  # type: ignore[misc, valid-type]
    """A few runs."""

    settings = settings(max_examples=15, stateful_step_count=20, deadline=None)


@pytest.mark.slow
class TestCompactedLong(Compacted.TestCase):  # type: ignore[misc, valid-type]
    """Many runs."""

    settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
