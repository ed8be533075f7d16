"""THE HEART: look up, claim, run, read.

A `Call` is some items of one method with one configuration; a task is a map over one item, whose uid is "". What is known of an
item is looked up first; what is missing is claimed, so that others wait for it instead of computing it again, and is then
computed: by a `Run` here, or by the executor of the cluster, whose jobs fill the cache. An item that somebody else
computes is waited for, and taken over if they die.

    hit      BoundTask() → Call.look → cache → value
    miss     Call.look → Call.start → claim → Run or executor → the user's method → cache → value
"""

from __future__ import annotations

import dataclasses
import functools
import os
import shutil
import tempfile
import threading
import time
import weakref
from collections.abc import Callable, Mapping, Sequence

from . import run as _run
from .cache import Cache, Options, Replace
from .errors import JobLostError, MissingError
from .executors import lend_place
from .infra import Infra
from .run import Chunk, Compute, Outcome, Run, Target, open_cache
from .submission import Part, submit_chunks, workers
from .workdir import InWorkDir

INLINE = (None, "debug")
POOLS = ("threadpool", "processpool")
_POLL_S = 0.005
_POLL_MAX_S = 0.5
_REPLACE: dict[str, Replace] = {"cached": "nothing", "retry": "failures", "force": "all", "read-only": "nothing"}


class Memory:
    """What a model keeps in memory for one of its methods.

    Attributes
    ----------
    results
        Outcomes by uid of the item, handed out again as the same objects.
    forced
        Uids that ``mode="force"`` has computed already.
    """

    def __init__(self) -> None:
        self.results: dict[str, Outcome] = {}
        self.forced: set[str] = set()
        self._temporary: Cache | None = None

    def temporary(self, infra: Infra) -> Cache:
        """A cache for what processes hand over where the model has no folder; deleted with the model."""
        if self._temporary is None:
            folder = tempfile.mkdtemp(prefix="cachedmodel-")
            weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
            self._temporary = Cache.open(folder, folder, single=False, options=Options(allow_pickle=infra.allow_pickle))
        return self._temporary


@dataclasses.dataclass
class Work:
    """One method of one model: what the engine needs to know of it.

    Attributes
    ----------
    name
        The method, for messages.
    infra
        The settings in force for it.
    compute
        The user's method, which travels by pickle: takes a list of items, gives an output for each in order.
    memory
        What the model keeps of it in memory.
    cache
        The cache of its entries; None without a folder.
    settle
        Makes the folder before something is written there, and gives the work as it is then: its uid differs if another
        process had seen other defaults first.
    unchanged
        Raises if the model is no longer what its uid says.
    """

    name: str
    infra: Infra
    compute: Compute
    memory: Memory
    cache: Cache | None
    settle: Callable[[], Work]
    unchanged: Callable[[], object]

    @property
    def keep(self) -> dict[str, Outcome] | None:
        """Where results are kept in memory, if they are."""
        return self.memory.results if self.infra.keep_in_ram or self.infra.folder is None else None

    def target(self) -> Target:
        """Where outputs go that are computed here."""
        return Target(self.name, self.cache, self.keep, debug=self.infra.cluster == "debug", unchanged=self.unchanged)


_sources: dict[tuple[str, str], Run | Part] = {}
_sources_lock = threading.RLock()
os.register_at_fork(after_in_child=_sources.clear)


class Call:
    """Some items of one method.

    Parameters
    ----------
    work
        The method and its configuration.
    items
        Items by their uid, in order.
    """

    def __init__(self, work: Work, items: Mapping[str, object]) -> None:
        self.work = work
        self.items = items
        self.values: dict[str, object] = {}
        self.errors: dict[str, BaseException] = {}
        self._own: dict[str, Run | Part] = {}
        self._settled = False
        mode = work.infra.mode
        self._again = {key for key in items if key not in work.memory.forced} if mode == "force" else set()
        self._tried: set[str] = set()

    # -- look up ------------------------------------------------------------------------------------------------

    def look(self) -> Call:
        """Takes what is known already; computes nothing."""
        unknown = [
            key for key in self.items if key not in self.values and key not in self.errors and key not in self._again
        ]
        if unknown:
            self._look(unknown)
        return self

    def _look(self, keys: Sequence[str]) -> None:
        work = self.work
        keep = work.keep
        if keep is not None:
            for key in keys:
                outcome = keep.get(key)
                if outcome is not None:
                    self._take(key, outcome)
            keys = [key for key in keys if key not in self.values and key not in self.errors]
        if work.cache is None or not keys:
            return
        found = work.cache.read(keys)
        if keep is None:
            self.values.update(found.values)
        else:
            for key, value in found.values.items():
                keep[key] = Outcome(_run.read_only(value))
                self.values[key] = value
        for key, failure in found.failures.items():
            error = failure.exception(allow_pickle=work.infra.allow_pickle, where=self.describe(key))
            self._take(key, Outcome(None, error))

    def _take(self, key: str, outcome: Outcome) -> None:
        if outcome.error is None:
            self.values[key] = outcome.value
        elif self.work.infra.mode == "retry" and key not in self._tried:
            self._again.add(key)
        else:
            self.errors[key] = outcome.error

    def is_known(self, key: str) -> bool:
        """True if the item has a value or an error."""
        return key in self.values or key in self.errors

    def unknown(self) -> list[str]:
        """Uids without value or error, in order."""
        return [key for key in self.items if key not in self.values and key not in self.errors]

    def describe(self, key: str) -> str:
        """The item, for messages."""
        return f"item {key!r} of {self.work.name}" if key else self.work.name

    def source(self, key: str) -> Run | Part | None:
        """What computes an item in this process or through it."""
        return self._own.get(key) or _sources.get((self.work.target().place, key))

    def sources(self) -> dict[str, Run | Part]:
        """What computes items in this process or through it, by uid."""
        return {key: source for key in self.items if (source := self.source(key)) is not None}

    # -- claim and start --------------------------------------------------------------------------------------------

    def prepare(self) -> list[str]:
        """Makes the folder for what is missing, and gives the uids that have neither a value nor anybody computing them here.

        Raises
        ------
        MissingError
            If nothing may be computed.
        """
        missing = [key for key in self.unknown() if key not in self._own]
        if not missing:
            return []
        for key in missing:
            _run.check_recursion(self.work.target(), key)
        self._may_compute(missing)
        if not self._settled:
            self._settled = True
            settled = self.work.settle()
            if settled.cache is None and settled.infra.cluster == "processpool":
                settled = dataclasses.replace(settled, cache=settled.memory.temporary(settled.infra))
            if settled is not self.work:
                self.work = settled
                self.look()
                return self.prepare()
        return missing

    def _may_compute(self, missing: Sequence[str]) -> None:
        infra = self.work.infra
        names = f": {', '.join(map(repr, missing[:5]))}{', ...' if len(missing) > 5 else ''}" if missing != [""] else ""
        if infra.mode == "read-only":
            count = "The result" if missing == [""] else f"{len(missing)} of {len(self.items)} items"
            verb = "is" if missing == [""] else "are"
            where = self.work.cache.folder if self.work.cache else "memory"
            raise MissingError(
                f"{count} of {self.work.name} {verb} not cached in {where!r}{names}. Nothing was computed because "
                "infra.mode='read-only'; use infra.mode='cached' to compute what is missing."
            )
        if infra.forbid_single_item_computation and len(missing) == 1 and missing != [""]:
            raise MissingError(
                f"{self.describe(missing[0])} is not cached, and infra.forbid_single_item_computation forbids to compute an item "
                "alone: compute all items in one call first, or unset it."
            )

    def claim(self, keys: Sequence[str], source: Callable[[list[str]], Run | Part]) -> None:
        """Makes `source` of those of `keys` that nobody computes, and notes who computes the others in this process."""
        place, cache = self.work.target().place, self.work.cache
        with _sources_lock:
            free = []
            for key in keys:
                other = _sources.get((place, key))
                if other is None or other.finished:
                    free.append(key)
                else:
                    self._own[key] = other
            if cache is not None and free:
                free = cache.claim(free, replace=_REPLACE[self.work.infra.mode])
            if free:
                self._tried.update(free)
                made = source(free)
                for key in free:
                    self._own[key] = _sources[place, key] = made
                made.on_end(self._release(place, free, cache))

    @staticmethod
    def _release(place: str, keys: Sequence[str], cache: Cache | None) -> Callable[[Run | Part], None]:
        def release(source: Run | Part) -> None:
            with _sources_lock:
                for key in keys:
                    if _sources.get((place, key)) is source:
                        del _sources[place, key]
            if cache is not None:
                cache.release(keys)

        return release

    def start(self) -> None:
        """Has what is missing computed, without waiting. In this process an item is computed when it is asked for."""
        if self.work.infra.cluster in INLINE:
            self.prepare()
        else:
            submit([self])

    def _start_inline(self, key: str) -> None:
        missing = self.prepare()
        if key in missing:
            chunk = missing[missing.index(key) :][: self.work.infra.chunk_size]
            self.claim(chunk, self.run_here)

    def run_here(self, keys: list[str]) -> Run:
        """What computes some items in this process."""
        return Run(self.work.target(), self.work.compute, {key: self.items[key] for key in keys}, self._stored(keys))

    def _stored(self, keys: Sequence[str]) -> frozenset[str]:
        """Those whose old value must survive a failure."""
        if self.work.infra.mode != "force" or self.work.cache is None:
            return frozenset()
        return frozenset(key for key, state in self.work.cache.states(keys).items() if state == "value")

    def chunks(self, keys: Sequence[str]) -> list[list[str]]:
        """Uids cut into the items that are computed together."""
        infra = self.work.infra
        parts = 4 * workers(infra) if infra.cluster in POOLS else infra.max_jobs or 128
        size = max(infra.min_items_per_job, -(-len(keys) // parts))
        return [list(keys[start : start + size]) for start in range(0, len(keys), size)]

    def travelling(self, keys: Sequence[str], code: os.PathLike[str] | None = None) -> Callable[[], None]:
        """A callable for another process, which runs it in the copy `code` of the user's code, if there is one."""
        cache = self.work.cache
        assert cache is not None
        items = {key: self.items[key] for key in keys}
        options = dataclasses.replace(cache.options, accept=None, job_alive=None)
        opener = functools.partial(open_cache, cache.folder, cache.root, cache.single, options)
        chunk = Chunk(self.work.name, self.work.compute, items, self._stored(keys), opener, _run.chain.get())
        return chunk if code is None else InWorkDir(os.fspath(code), chunk)

    # -- read -------------------------------------------------------------------------------------------------------

    def wait(self, key: str, timeout: float | None = None) -> bool:
        """Until an item has a value or an error; False if `timeout` (seconds) passed first."""
        deadline = None if timeout is None else time.monotonic() + timeout
        pause = _POLL_S
        while not self.is_known(key):
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                return False
            source = self._own.get(key)
            if source is None:
                if self.work.infra.cluster in INLINE:
                    self._start_inline(key)
                else:
                    submit([self])
                if key not in self._own and not self.is_known(key):
                    self._wait_for_others(key, left)
            elif isinstance(source, Run):
                source.drive(key)
                self._collect(source)
            else:
                self.poll()
                if not self.is_known(key) and key in self._own:
                    with lend_place():
                        source.wait(key, pause if left is None else min(pause, left))
                    pause = min(2 * pause, _POLL_MAX_S)
        return True

    def _wait_for_others(self, key: str, left: float | None) -> None:
        """Another process computes it, or did so just now."""
        cache = self.work.cache
        assert cache is not None
        self._tried.add(key)
        if cache.holders([key]):
            with lend_place():
                cache.wait([key], 1.0 if left is None else min(1.0, left))
        if not cache.holders([key]):
            self._again.discard(key)
        if key not in self._again:
            self._look([key])

    def poll(self) -> None:
        """Takes what others have computed for this call since the last look."""
        parts = {id(part): part for key in self.unknown() if isinstance(part := self._own.get(key), Part)}.values()
        ended = [part for part in parts if part.finished]  # asked before looking: what they stored is seen then
        for part in parts:
            if part.run is not None:
                self._collect(part.run, part)
        for part in ended:
            self._again.difference_update(part.keys)
        keys = {key for part in parts if part.run is None for key in part.keys} - self._again
        self._look([key for key in self.unknown() if key in keys])
        for part in ended:
            self._end(part)

    def _end(self, part: Part) -> None:
        self.work.memory.forced.update(part.keys)
        for key in part.keys:
            if key in self.items and not self.is_known(key):
                self.errors[key] = part.error() or JobLostError(
                    f"{self.describe(key)}: its job ended without a result and without an error; call again to compute it"
                )

    def _collect(self, run: Run, source: Run | Part | None = None) -> None:
        """The outcomes of a run in this process."""
        for key in self.items if len(self.items) < len(run.items) else run.items:
            if self._own.get(key) is not (source or run) or self.is_known(key):
                continue
            outcome = run.results.get(key)
            if outcome is not None:
                self._again.discard(key)
                self.work.memory.forced.add(key)
                if outcome.error is None:
                    self.values[key] = outcome.value
                else:
                    self.errors[key] = outcome.error
            elif run.finished and source is None:
                del self._own[key]
                if run.error is not None:
                    self.errors[key] = run.error

    def result(self, key: str, timeout: float | None = None) -> object:
        """The value of an item; its error is raised.

        Raises
        ------
        TimeoutError
            If it is not there within `timeout` (seconds).
        """
        if key not in self.values and not self.wait(key, timeout):
            raise TimeoutError(f"{self.describe(key)} has no result after {timeout} s; it goes on: ask again")
        if key in self.errors:
            raise self.errors[key]
        return self.values[key]

    def finish(self) -> None:
        """Has the runs of this call end: their method's own clean-up is theirs to see."""
        for source in self._runs():
            source.drive()
            self._collect(source)

    def stop(self) -> None:
        """Gives up what this process computes for this call, and releases it; jobs go on."""
        for source in self._runs():
            source.stop()

    def cancel(self) -> None:
        """Stops everything that computes for this call, jobs too."""
        for source in {id(s): s for s in self._own.values()}.values():
            if isinstance(source, Run):
                source.stop()
            else:
                source.cancel()

    def _runs(self) -> list[Run]:
        return list({id(s): s for s in self._own.values() if isinstance(s, Run)}.values())


def submit(calls: Sequence[Call], max_jobs: int | None = None) -> None:
    """Has what is missing of several calls computed: as few arrays as their settings allow, without waiting.

    Parameters
    ----------
    calls
        Calls whose cluster is not this process.
    max_jobs
        Never more jobs of an array at once, whatever ``infra.max_jobs`` allows.
    """
    chunks: list[tuple[Call, list[str]]] = []
    for call in calls:
        missing = call.look().prepare()
        chunks += [(call, keys) for keys in call.chunks(missing)] if missing else []
    if chunks:
        submit_chunks(chunks, max_jobs)
