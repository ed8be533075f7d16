"""The floor of what is kept in memory: functools.lru_cache, whose key is an integer."""

from __future__ import annotations

import functools
from collections.abc import Callable

from benchmarks import subject


class Contender:
    """Remembers."""

    def open(self, folder: str) -> None:
        """There is no folder."""

    def remembered(self, spec: subject.Spec) -> Callable[[], float]:
        @functools.cache
        def compute(number: int) -> float:
            return subject.task_of(spec)

        number = spec["a"]
        return lambda: compute(number)
