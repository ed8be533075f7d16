"""State machines over a folder of shards: writers of one process, a reader, and what is to be stored."""

from __future__ import annotations

import os
import shutil
import tempfile
import typing as tp
from collections.abc import Mapping

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from cachedmodel.cache import Cache, Options

KEYS = st.sampled_from([*"abcdef", "\0", "\0g"])
NUMBERS = st.integers(0, 5)  # of a writer, after division by how many there are


class Shards(RuleBasedStateMachine):
    """What every such machine does.

    Attributes
    ----------
    model
        What is stored.
    reader
        Has looked at some time, and looks again only when it is told to.
    """

    WRITERS: tp.ClassVar[int] = 2

    def __init__(self) -> None:
        super().__init__()
        self.root = tempfile.mkdtemp()
        self.folder = f"{self.root}/method/uid"
        os.makedirs(f"{self.root}/.lives")
        self.model: dict[str, object] = {}
        self.writers = [self.open() for _ in range(self.WRITERS)]
        self.reader = self.open()

    def open(self) -> Cache:
        return Cache(self.folder, self.root, single=False, options=Options())

    def teardown(self) -> None:
        for cache in self.writers:
            cache.end()
        shutil.rmtree(self.root)

    def _writer(self, number: int) -> Cache:
        return self.writers[number % self.WRITERS]

    def _write(self, cache: Cache, values: Mapping[str, object]) -> None:
        """As `CacheDict` does: what others did is looked at first."""
        cache.refresh()
        for key, value in values.items():
            cache.write(key, value)
        cache.commit()

    @rule(number=NUMBERS)
    def clear(self, number: int) -> None:
        self._writer(number).delete()
        self.model.clear()

    @rule(number=NUMBERS)
    def close(self, number: int) -> None:
        self._writer(number).close()


def stored(cache: Cache) -> dict[str, object]:
    """All that is stored."""
    return cache.read(list(cache.keys())).values
