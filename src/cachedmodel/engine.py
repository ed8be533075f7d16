"""THE HEART: look up, claim, run, read.

A `Call` is some items of one method with one configuration; a task is a map over one item, whose uid is "". What is known of an
item is looked up first; what is missing is claimed, so that others wait for it instead of computing it again, and is then
computed in a `Part`: by a `Run` here, or by the executor of the cluster, whose jobs fill the cache. An item that somebody
else computes is waited for, and taken over if they die.

    hit      BoundTask() → Call.look → cache → value
    miss     Call.look → Call.wait → claim → Part (Run, or executor) → the user's method → cache → value
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import itertools
import math
import os
import threading
import time
import typing as tp
import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence

from .cache import Cache, Keeper, Replace, State
from .cache.lives import me
from .chain import chain, check_recursion
from .chunk import Chunk, UnstoredError, open_cache
from .dropping import catch_up, give_up, put_off
from .errors import JobLostError, MissingError
from .executors import lend_place
from .outcomes import STORED, Raised, read_only
from .part import Part, watch
from .run import MiscountError, Run
from .submission import POOLS, going_on, keeping_job, submit
from .waits import Wait
from .work import INLINE, Work
from .workdir import InWorkDir

_POLL_S = 0.005
_POLL_MAX_S = 0.5
_CLAIM_S, _MOST_CLAIMED = 0.01, 1 << 13  # what is claimed at once should not take many times as long
_JOB_FLUSH_S = 1.0
_POOL_FLUSH_S = 0.02
_REPLACE: dict[str, Replace] = {"cached": "nothing", "retry": "failures", "force": "all", "read-only": "nothing"}


#: What computes an item in this process or through it, by place and uid.
_computing: dict[str, dict[str, Part]] = {}
_computing_lock = threading.RLock()
_NONE: Mapping[str, Part] = {}


def _forget_computing() -> None:
    """In a forked child: they are the parent's."""
    global _computing_lock
    _computing_lock = threading.RLock()
    parents = _computing.copy()
    _computing.clear()
    put_off(parents.clear)


os.register_at_fork(after_in_child=_forget_computing)


class Call:
    """Some items of one method.

    Parameters
    ----------
    work
        The method and its configuration.
    items
        Items by their uid, in order.
    is_guarded
        Whether ``forbid_single_item_computation`` is about this call.
    stride
        How many items are claimed at once by a call that computes here, at first; None: as many as the method is given at
        once. A claim costs as much as very many quick items do, and should not hold what is computed only much later.

    Attributes
    ----------
    values, errors
        What is known of the items.
    is_cancelled
        True if what is missing is not to be computed any more.
    """

    def __init__(
        self, work: Work, items: Mapping[str, object], *, is_guarded: bool = True, stride: int | None = None
    ) -> None:
        self.work: Work = work
        self.items = items
        self.values: dict[str, object] = {}
        self.errors: dict[str, BaseException] = {}
        self.is_cancelled: bool = False
        self._is_guarded = is_guarded
        self._stride = work.infra.chunk_size if stride is None else stride
        self._order: list[str] = []  # the uids, once some are computed here
        self._claimed_at = math.inf
        self._missed: str | None = None  # what was looked for just now, and is not stored
        self._parts: dict[str, Part] = {}  # what computes an item
        self._collected: dict[Part, int] = {}  # how many outcomes of a part's run were looked at
        self._made: list[Part] = []
        self._is_settled = False
        #: Versions of the entries that do not count, since this call is to compute them again; None: not looked yet.
        self._outdated: dict[str, object] | None = {} if work.infra.mode in ("cached", "read-only") else None

    # -- look up ------------------------------------------------------------------------------------------------

    def look(self, keys: Iterable[str] | None = None, expected: int = 0) -> Call:
        """Takes what is stored of some items, or all; computes nothing. What runs here is collected, not looked up.

        Parameters
        ----------
        keys
            Uids of the items; None: all.
        expected
            How many items are going to be looked up, in this call and others, as far as that is known.
        """
        parts = self._parts
        unknown = self.unknown(keys)
        if parts:
            unknown = [key for key in unknown if key not in parts or parts[key].run is None]
        self._missed = None
        if unknown:
            self._read(unknown, expected)
            self._missed = None if self.is_known(unknown[0]) else unknown[0]
        return self

    def _read(self, unknown: list[str], expected: int = 0) -> None:
        keep = self.work.keep
        if self._outdated is None:
            self._outdated = self._find_outdated()
        if keep:
            self._take({key: keep[key] for key in unknown if key in keep})
            unknown = self.unknown(unknown)
        cache = self.work.cache
        if cache is not None and unknown:
            found = cache.read(self._current(unknown), expected)
            if keep is not None:
                keep.update(zip(found.values, map(read_only, found.values.values()), strict=True))
            self._take_values(found.values)
            for key, failure in found.failures.items():
                where = f"{self.work.target().describe(key)}, stored in {cache.folder!r}"
                self._take_error(key, failure.exception(allow_pickle=self.work.infra.allow_pickle, where=where))

    def _take(self, outcomes: Mapping[str, object]) -> None:
        """Takes values, and the errors that were raised."""
        self._take_values({key: value for key, value in outcomes.items() if type(value) is not Raised})
        for key, value in outcomes.items():
            if type(value) is Raised:
                self._take_error(key, value.error)

    def _take_values(self, values: Mapping[str, object]) -> None:
        self.values.update(values)
        self._have_taken(values)

    def _take_error(self, key: str, error: BaseException) -> None:
        self.errors[key] = error
        self._have_taken([key])

    def _have_taken(self, keys: Iterable[str]) -> None:
        if self.work.infra.mode == "force":
            self.work.memory.forced.update(keys)
        for key in keys if self._parts else ():
            part = self._parts.get(key)
            if part is not None and part.run is None:
                part.seen(key)

    def _find_outdated(self) -> dict[str, object]:
        """What was stored before this call, and is to be computed again."""
        work, force = self.work, self.work.infra.mode == "force"
        keys = [key for key in self.items if key not in work.memory.forced] if force else list(self.items)
        for key in keys if work.keep else ():
            if key in work.memory.results and (force or type(work.memory.results[key]) is Raised):
                del work.memory.results[key]
        if work.cache is None:
            return {}
        states = work.cache.states(keys)
        return {key: work.cache.version(key) for key, state in states.items() if force or state == "failure"}

    def _current(self, keys: list[str]) -> list[str]:
        """Those of the keys whose entry, if there is one, counts."""
        outdated, cache = self._outdated, self.work.cache
        if not outdated or cache is None or outdated.keys().isdisjoint(keys):
            return keys
        cache.refresh()  # or what is known would be looked up in what was read before
        return [key for key in keys if key not in outdated or cache.version(key) != outdated[key]]

    def states(self, keys: Iterable[str], *, fresh: bool = True) -> dict[str, State]:
        """What is stored of those keys that are stored and count, without decoding it; as `Cache.states`."""
        if self._outdated is None:
            self._outdated = self._find_outdated()
        keys, keep = list(keys), self.work.keep
        known: dict[str, State] = {}
        for key in keys if keep else ():
            if key in self.work.memory.results:
                known[key] = "failure" if type(self.work.memory.results[key]) is Raised else "value"
        if self.work.cache is not None and len(known) < len(keys):
            known.update(self.work.cache.states(self._current([key for key in keys if key not in known]), fresh=fresh))
        return known

    def _refresh(self) -> None:
        """Has a mount that may show what was there seconds ago look anew."""
        if self.work.cache is not None:
            self.work.cache.refresh()

    @property
    def has_computed(self) -> bool:
        """True if it started what was missing."""
        return bool(self._made)

    def is_known(self, key: str) -> bool:
        """True if the item has a value or an error."""
        return key in self.values or key in self.errors

    def unknown(self, keys: Iterable[str] | None = None) -> list[str]:
        """Uids without value or error, in order, of all items or some."""
        values, errors = self.values, self.errors
        keys = self.items if keys is None else keys
        return [key for key in keys if key not in values and key not in errors] if values or errors else list(keys)

    def known_values(self, keys: Sequence[str]) -> list[object] | None:
        """The values of some items in order, if all are there."""
        try:
            return list(map(self.values.__getitem__, keys))
        except KeyError:
            return None

    def part(self, key: str) -> Part | None:
        """What computes an item in this process or through it."""
        return self._parts.get(key) or _computing.get(self.work.place, _NONE).get(key)

    # -- claim and start --------------------------------------------------------------------------------------------

    def prepare(self, keys: Sequence[str] | None = None) -> list[str]:
        """Makes the folder for what is missing, and gives the uids that are neither known nor stored nor computed for this call.

        Parameters
        ----------
        keys
            Those that it is about; None: all.

        Raises
        ------
        MissingError
            If nothing may be computed.
        """
        missing = [key for key in self.unknown(keys) if key not in self._parts]
        if missing and self.work.infra.mode == "read-only":  # else who claims looks anew
            self._refresh()
        # They were looked for just now, or at least not long ago; and who claims looks again.
        was_looked_for = keys is not None and self.work.is_task and self.work.infra.mode == "cached"
        stored = self.states(missing, fresh=False) if missing and not was_looked_for else {}
        missing = [key for key in missing if key not in stored]
        if not missing or self.is_cancelled:
            return []
        check_recursion(self.work.target(), missing)
        self._may_compute(missing)
        if not self._is_settled:
            self._is_settled = True
            work, self.work = self.work, self.work.settled()
            if self.work.cache is not work.cache:  # there may be results in it
                self._outdated = None if work.infra.mode in ("retry", "force") else {}
                return self.prepare(keys)
        return missing

    def _may_compute(self, missing: Sequence[str]) -> None:
        infra, name = self.work.infra, self.work.name
        names = f": {', '.join(map(repr, missing[:5]))}{', ...' if len(missing) > 5 else ''}" if missing != [""] else ""
        if infra.mode == "read-only":
            what = "The result" if missing == [""] else f"{len(missing)} of {len(self.items)} items"
            verb = "is" if missing == [""] else "are"
            raise MissingError(
                f"{what} of {name} {verb} not cached in {self.work.place!r}{names}. Nothing was computed because "
                "infra.mode='read-only'; use infra.mode='cached' to compute what is missing."
            )
        if infra.forbid_single_item_computation and self._is_guarded and len(missing) == 1 and missing != [""]:
            raise MissingError(
                f"item {missing[0]!r} of {name} is not cached, and infra.forbid_single_item_computation forbids to compute an "
                "item alone: compute all items in one call first, or unset it."
            )

    def claim(self, keys: Sequence[str]) -> Part | None:
        """A new part of those of `keys` that nobody computes; notes who computes the others in this process."""
        catch_up()
        with _computing_lock:
            here = _computing.get(self.work.place, _NONE)
            free = [key for key in keys if key not in here or here[key].finished]
            if len(free) < len(keys):
                for key in here.keys() & set(keys).difference(free):
                    other = here[key]
                    self._parts[key] = other
                    self._collected.pop(other, None)  # it may have this one already
            free = self._claim_stored(free)
            if not free:
                return None
            part = self._new_part(free)
            part.on_end(functools.partial(_release, self.work.place, self.work.cache, part))
            mine = dict.fromkeys(free, part)
            self._parts.update(mine)
            _computing.setdefault(self.work.place, {}).update(mine)
        self._made.append(part)
        return part

    def _claim_stored(self, keys: list[str]) -> list[str]:
        cache = self.work.cache
        if cache is None or not keys:
            return keys
        try:
            return cache.claim(keys, _REPLACE[self.work.infra.mode])
        except OSError as error:
            self.work = self.work.unstored(error)
            return self._claim_stored(keys) if self.work.cache is not cache else keys

    def _new_part(self, keys: list[str]) -> Part:
        cluster = self.work.infra.cluster
        if cluster not in (*INLINE, "threadpool"):
            return Part(keys)
        items = {key: self.items[key] for key in keys}
        batches = self._batches(keys) if cluster in INLINE else None
        run = Run(self.work.target(), self.work.compute, items, self._kept(keys), batches)
        if cluster == "threadpool":
            return Part(keys, run)
        # a task is computed in one go: only an iterator may stop in between
        cache = None if self.work.is_task else self.work.cache
        claims = None if cache is None else (cache, _REPLACE[self.work.infra.mode])
        part = Part(keys, run, is_inline=True, claims=claims)
        weakref.finalize(self, give_up, part.stop)  # a call that is dropped leaves nobody to advance it
        if claims is not None:
            watch([part])
        return part

    def _kept(self, keys: Sequence[str]) -> frozenset[str]:
        """Those whose old value must survive a failure."""
        if self.work.infra.mode != "force" or self.work.cache is None:
            return frozenset()
        return frozenset(key for key, state in self.work.cache.states(keys).items() if state == "value")

    def travelling(self, keys: Sequence[str], code: os.PathLike[str] | None = None) -> Callable[[], object]:
        """A callable for another process, which runs it in the copy `code` of the user's code, if there is one."""
        work, cache = self.work, self.work.cache
        assert cache is not None
        identity = cache.options.header_identity()
        options = dataclasses.replace(cache.options, accept=None, job_alive=None, identity=identity)
        chunk = Chunk(
            name=work.name,
            scope=work.scope,
            compute=work.compute,
            items={key: self.items[key] for key in keys},
            stored={key: cache.version(key) for key in self._kept(keys)},
            open_cache=functools.partial(open_cache, cache.folder, cache.root, cache.single, options),
            chain=chain.get(),
            flush_s=_POOL_FLUSH_S if work.infra.cluster in POOLS else _JOB_FLUSH_S,
            submitter="" if work.infra.cluster in POOLS else me().life,
        )
        return chunk if code is None else InWorkDir(os.fspath(code), chunk)

    def _start(self, key: str) -> None:
        """Has an item computed that nobody computes, with those that follow it."""
        infra = self.work.infra
        if infra.cluster not in INLINE:
            submit([self])
            return
        self._order = self._order or list(self.items)
        self._stride = next_stride(self._stride, infra.chunk_size, time.monotonic() - self._claimed_at)
        start = self._order.index(key)
        window = self._order[start : start + self._stride]
        # what may not be computed is told of all items
        refusing = infra.mode == "read-only" or infra.forbid_single_item_computation
        missing = set(self.prepare(None if refusing else window))
        if key in missing:
            self._claimed_at = time.monotonic()
            self.claim([each for each in window if each in missing])

    def _batches(self, keys: list[str]) -> list[list[str]]:
        """What the method is given at once: those of so many items side by side."""
        size, wanted = self.work.infra.chunk_size, set(keys)
        if len(keys) <= size:
            return [keys]
        start, batches, left = self._order.index(keys[0]), [], len(keys)
        while left:
            batch = [key for key in self._order[start : start + size] if key in wanted]
            start, left = start + size, left - len(batch)
            if batch:
                batches.append(batch)
        return batches

    # -- read -------------------------------------------------------------------------------------------------------

    def wait(self, key: str, timeout: float | None = None) -> bool:
        """Until an item has a value or an error; False if `timeout` (seconds) passed first."""
        deadline = None if timeout is None else time.monotonic() + timeout
        pause = _POLL_S
        with Wait(self.work.target(), key) as wait:
            while not self.is_known(key):
                left = _POLL_MAX_S if deadline is None else deadline - time.monotonic()
                part = self._parts.get(key)
                if part is not None:
                    whole = part.is_inline and self.work.is_task
                    self._advance(part, None if whole else key, max(0.0, min(pause, left)))
                    self.collect(part, key)
                    pause = min(2 * pause, _POLL_MAX_S)
                elif self._has_missed(key) or not self.look([key]).is_known(key):
                    self._start(key)
                    if key not in self._parts:
                        self._wait_for_others(key, max(0.0, left))
                if left <= 0:
                    return self.is_known(key)
                wait.look()
        return True

    def _has_missed(self, key: str) -> bool:
        """True if it was looked for just now, and is not stored; once."""
        missed, self._missed = self._missed, None
        return missed == key

    def _wait_for_others(self, key: str, timeout: float) -> None:
        """Another process computes it, or did so just now."""
        cache, replace = self.work.cache, _REPLACE[self.work.infra.mode]
        keeper = cache.holders([key], replace).get(key) if cache is not None else None
        if cache is not None and keeper is not None:
            if not self._join(cache, keeper):
                with lend_place():
                    cache.wait([key], timeout, replace)
        elif self.is_cancelled and not self.look([key]).is_known(key):
            self.errors[key] = JobLostError(
                f"{self.work.target().describe(key)} was cancelled; call again to compute it"
            )

    def _join(self, cache: Cache, keeper: Keeper) -> bool:
        """Makes a job of another process a part of this call, so that who waits for it is told if it is lost."""
        handle = keeping_job(cache.root, keeper)
        if handle is None:
            return False
        held = cache.holders([key for key in self.unknown() if key not in self._parts], _REPLACE[self.work.infra.mode])
        part = Part([key for key, other in held.items() if other == keeper])
        part.submitted_as(handle)
        self._parts.update(dict.fromkeys(part.keys, part))
        return True

    def _advance(self, part: Part, key: str | None, timeout: float) -> None:
        try:
            part.advance(key, timeout)
        except KeyboardInterrupt as interruption:
            if not part.is_inline and (note := going_on(self._parts.values(), self.work.infra)):
                interruption.add_note(note)
            raise

    def advance(self, keys: Sequence[str], timeout: float) -> None:
        """Waits for news of any of some unknown items, at most `timeout` (seconds), or computes the next one here."""
        key = next((key for key in keys if key in self._parts), None)
        if key is None or self.work.infra.cluster in INLINE:
            self.wait(keys[0], None if self.work.infra.cluster in INLINE else timeout)
            return
        self._advance(self._parts[key], key, timeout)
        for part in {id(part): part for key in keys if (part := self._parts.get(key)) is not None}.values():
            self.collect(part)

    def collect(self, part: Part, key: str | None = None) -> None:
        """Takes what a part has computed for this call: of `key` alone, where that is read from the cache."""
        ended = part.finished  # asked before looking: what it stored is seen then
        if part.run is None:
            self.look([each for each in part.keys if self._parts.get(each) is part] if key is None else [key])
        else:
            self._collect(part, part.run, key)
        if ended:
            self._end(part)

    def _collect(self, part: Part, run: Run, key: str | None) -> None:
        """Takes the outcomes that a run has had since it was looked at."""
        seen = self._collected.get(part, 0)
        fresh = list(itertools.islice(run.results.items(), seen, None))
        self._collected[part] = seen + len(fresh)
        parts = self._parts
        self._take(
            {
                each: outcome
                for each, outcome in fresh
                if outcome is not STORED and parts.get(each) is part and not self.is_known(each)
            }
        )
        if key is not None and run.results.get(key) is STORED and not self.is_known(key):
            self._read([key])

    def _end(self, part: Part) -> None:
        """What became of the items of a part that ended, and is not stored."""
        keys = [key for key in part.keys if self._parts.get(key) is part]
        for key in keys:
            self._parts.pop(key, None)
        error = part.error()
        if isinstance(error, UnstoredError):
            for key, failure in error.failures.items():
                if key in keys and not self.is_known(key):
                    self._take_error(key, failure.exception(where=self.work.target().describe(key)))
            error = None
        if error is None and self._outdated and part in self._made:  # computed again, with the same outcome
            for key in keys:
                self._outdated.pop(key, None)
        if part.is_dropped:
            return
        if part.status() == "cancelled":
            self.is_cancelled = True
        open_keys = [key for key in keys if not self.is_known(key)]
        if open_keys:
            self._refresh()
        stored = self.states(open_keys) if open_keys else {}
        for key in open_keys:
            if key not in stored:
                self.errors[key] = error or JobLostError(
                    f"{self.work.target().describe(key)}: its computation ended without a result; call again to compute it"
                )

    def result(self, key: str, timeout: float | None = None) -> object:
        """The value of an item; its error is raised.

        Raises
        ------
        TimeoutError
            If it is not there within `timeout` (seconds).
        """
        if key not in self.values and not self.wait(key, timeout):
            raise TimeoutError(
                f"{self.work.target().describe(key)} has no result after {timeout} s; it goes on: ask again"
            )
        if key in self.errors:
            raise self.errors[key]
        return self.values[key]

    def forget(self, keys: Sequence[str]) -> None:
        """Lets go of the values of some items, which were handed out."""
        for key in keys:
            self.values.pop(key, None)
        for part in self._made:
            if part.run is not None:
                part.run.forget(keys)

    def finish(self) -> None:
        """Sees what this call has started end, as its items are known: more outputs than items are noticed then.

        Raises
        ------
        MiscountError
            If there were more.
        """
        for part in self._made:
            part.join()
            error = part.error()
            if isinstance(error, MiscountError):
                raise error

    def stop(self) -> None:
        """Gives up what this process computes for this call, and releases it; jobs go on."""
        for part in self._made:
            if not part.finished:
                part.stop()

    def cancel(self) -> None:
        """Stops everything that computes for this call, jobs too."""
        self.is_cancelled = True
        for part in {id(part): part for part in self._parts.values()}.values():
            part.cancel()


def next_stride(stride: int, smallest: int, seconds: float) -> int:
    """How many items to claim next, when it took so many seconds since the last `stride` of them were."""
    if 0.0 <= seconds < _CLAIM_S:
        return min(2 * stride, max(_MOST_CLAIMED, smallest))
    return max(stride // 2, smallest) if _CLAIM_S * 4 < seconds < math.inf else stride


def _release(place: str, cache: Cache | None, part: Part) -> None:
    """Nobody computes what is missing of a part that ended."""
    with _computing_lock:
        here = _computing.get(place, {})
        for key in part.keys:
            if here.get(key) is part:
                del here[key]
        if not here:
            _computing.pop(place, None)
    if cache is not None:
        with contextlib.suppress(OSError):  # it cannot be tidied up: whoever looks sees that its keeper is gone
            cache.release(part.keys)
            if part.keeper is not None:
                cache.end_job(part.keeper)


def known_parts(work: Work, keys: Iterable[str]) -> tp.Iterator[str]:
    """Those of the keys that are computed in this process or through it."""
    here = _computing.get(work.place, _NONE)
    return (key for key in keys if key in here)
