"""diskcache: one SQLite database for all; values of more than 32 kB in files. Not for network file systems."""

from __future__ import annotations

import typing as tp
from collections.abc import Iterator, Sequence

import diskcache

from benchmarks import subject

_BATCH = 10_000
_ABSENT = object()


class Contender:
    """Tasks by `memoize`; maps by `get` and `set`, many items a transaction."""

    most_items = 100_000

    def open(self, folder: str) -> None:
        self.cache = diskcache.Cache(folder, size_limit=2**36)
        self.compute = self.cache.memoize()(subject.compute)

    def config(self, spec: subject.Spec) -> subject.Spec:
        return spec

    def uid(self, config: subject.Spec) -> tuple[tp.Any, ...]:
        key: tuple[tp.Any, ...] = self.compute.__cache_key__(**config)
        return key

    def task(self, config: subject.Spec) -> float:
        result: float = self.compute(**config)
        return result

    def computed(self, configs: Sequence[subject.Spec]) -> list[bool]:
        return [self.compute.__cache_key__(**config) in self.cache for config in configs]

    def sweep(self, configs: Sequence[subject.Spec]) -> list[float]:
        return [self.compute(**config) for config in configs]

    def open_map(self, folder: str, kind: subject.Kind, *, keep_in_ram: bool) -> None:
        self.kind = kind
        self.cache = diskcache.Cache(folder, size_limit=2**36)

    def map(self, items: range) -> Iterator[tp.Any]:
        function = subject.FUNCTIONS[self.kind]
        for start in range(0, len(items), _BATCH):
            batch = items[start : start + _BATCH]
            stored = [self.cache.get(item, _ABSENT) for item in batch]
            if any(value is _ABSENT for value in stored):
                with self.cache.transact():
                    for place, item in enumerate(batch):
                        if stored[place] is _ABSENT:
                            stored[place] = function(item)
                            self.cache.set(item, stored[place])
            yield from stored
