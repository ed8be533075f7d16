"""A run that travels: items of a method as a callable that another process calls, and that fills the cache there."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from .cache import Cache, Failure, Options
from .chain import Chain, chain
from .errors import CachedModelError, CacheError
from .executors import ranks
from .outcomes import Raised, Target
from .run import Compute, Run


class UnstoredError(CachedModelError):
    """Carries out of a job the errors of items that are in no entry.

    Attributes
    ----------
    failures
        By uid of the item.
    """

    def __init__(self, failures: dict[str, Failure]) -> None:
        super().__init__(failures)
        self.failures = failures

    def __str__(self) -> str:
        key, failure = next(iter(self.failures.items()))
        return f"{len(self.failures)} failure(s) in no entry, the first (item {key!r}): {failure.type_name}: {failure.message}"


@dataclasses.dataclass
class Chunk:
    """A run that travels to another process: a callable that fills the cache.

    Attributes
    ----------
    name, scope
        As for `Target`.
    compute, items
        As for `Run`.
    stored
        Versions of the entries that are computed again, by uid: a failure must not replace them.
    open_cache
        Opens the cache there.
    chain
        What the sender is computing.
    flush_s
        Seconds after which others see what was computed, at the latest.
    submitter
        The life of who claimed the items, and may die before this ends: unless the claims are the job's, they are taken over.
    """

    name: str
    scope: str
    compute: Compute
    items: dict[str, object]
    stored: dict[str, object]
    open_cache: Callable[[], Cache]
    chain: Chain
    flush_s: float
    submitter: str

    def __call__(self) -> None:
        token = chain.set(self.chain)
        try:
            run = self._accompany() if ranks()[0] else self._fill(self.open_cache())
        finally:
            chain.reset(token)
        if run.error is not None:
            raise run.error
        if run.unstored:
            raise UnstoredError({key: Failure.of(error) for key, error in run.unstored.items()})

    def _fill(self, cache: Cache) -> Run:
        cache.refresh()  # what this process writes has to come after all that was written and deleted before
        claimed: list[str] = []
        try:
            claimed, others = self._claim(cache)
            items = {key: item for key, item in self._missing(cache).items() if key not in others}
            run = Run(Target(self.name, self.scope, cache), self.compute, items, frozenset(self.stored))
            with cache.flush_every(self.flush_s):
                if run.items:
                    run.drive()
            cache.commit(sync=True)
        except OSError as error:
            raise CacheError(f"{self.name}: results cannot be stored in {cache.folder}: {error}") from error
        finally:
            cache.release(claimed)
        return run

    def _claim(self, cache: Cache) -> tuple[list[str], set[str]]:
        """Items claimed here, where their submitter has not made its claims the job's; and those that others compute."""
        if ranks()[1] > 1:
            return [], set()
        held = cache.holders(list(self.items), "all")
        job = {key for key, keeper in held.items() if keeper.kind == "job" and keeper.life == self.submitter}
        rest = [key for key in self.items if key not in job]
        claimed = cache.claim(rest, "all", heir_of=self.submitter)
        return claimed, {*rest} - {*claimed}

    def _missing(self, cache: Cache) -> dict[str, object]:
        """The items that this job has not stored yet, in a run before it was preempted and queued again."""
        if ranks()[1] > 1:  # all of them must compute the same items, and would not see the same stored
            return self.items
        states = cache.states(list(self.items))
        done = {key for key, state in states.items() if state == "value" and not self._is_old(cache, key)}
        return {key: item for key, item in self.items.items() if key not in done}

    def _is_old(self, cache: Cache, key: str) -> bool:
        """Whether the entry of an item is the one that is to be computed again."""
        return key in self.stored and cache.version(key) == self.stored[key]

    def _accompany(self) -> Run:
        """In another than the first of several processes that compute together: the first stores the results."""
        kept: dict[str, object] = {}
        run = Run(Target(self.name, self.scope, None, kept), self.compute, self.items)
        run.drive()
        run.unstored.update({key: value.error for key, value in kept.items() if type(value) is Raised})
        return run


def open_cache(folder: str, root: str, single: bool, options: Options) -> Cache:
    """`Cache.open`, as a function that pickles by its name."""
    return Cache.open(folder, root, single=single, options=options)
