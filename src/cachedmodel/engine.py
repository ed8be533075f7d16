"""THE HEART: look up, claim, run, read.

A `Call` is some items of one method with one configuration; a task is a map over one item, whose uid is "". What is known of an
item is looked up first; what is missing is claimed, so that others wait for it instead of computing it again, and is then
computed in a `Part`: by a `Run` here, or by the executor of the cluster, whose jobs fill the cache. An item that somebody
else computes is waited for, and taken over if they die.

    hit      BoundTask() → Call.look → cache → value
    miss     Call.look → Call.wait → claim → Part (Run, or executor) → the user's method → cache → value
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence

from .cache import Cache, Keeper
from .chunk import UnstoredError
from .errors import JobLostError
from .executors import lend_place
from .known import Known
from .outcomes import STORED, Raised
from .part import Part
from .run import MiscountError, Run
from .starting import Starting
from .submission import going_on, keeping_job
from .waits import Wait
from .work import INLINE

_POLL_S = 0.005
_POLL_MAX_S = 0.5
#: Types of outcomes that are not values; of values too, but rarely.
_MARKS = {Raised, type(STORED)}


class Call(Starting):
    """Some items of one method, looked up, started and waited for. Parameters and attributes are those of `Starting`."""

    is_cancelled: bool
    _missed: str | None = None  # what was looked for just now, and is not stored

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

    def computes(self, key: str) -> bool:
        """True if a run in this process computes an item: it is collected, with what else there is by then."""
        part = self._parts.get(key)
        return part is not None and part.run is not None

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
                        if wait.is_long:
                            self._let_others_compute()
                        self._wait_for_others(key, max(0.0, left))
                if left <= 0:
                    return self.is_known(key)
                wait.look()
        return True

    def _has_missed(self, key: str) -> bool:
        """True if it was looked for just now, and is not stored; once."""
        missed, self._missed = self._missed, None
        return missed == key

    def _let_others_compute(self) -> None:
        """What this call has claimed and does not compute while it waits: who is waited for may wait for that."""
        for part in self._made:
            part.rest()

    def _wait_for_others(self, key: str, timeout: float) -> None:
        """Another process computes it, or did so just now."""
        cache, replace = self.work.cache, self.work.replace
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
        held = cache.holders([key for key in self.unknown() if key not in self._parts], self.work.replace)
        part = Part([key for key, other in held.items() if other == keeper])
        part.handle = handle
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
        fresh = run.since(seen)
        self._collected[part] = seen + len(fresh)
        if part not in self._made:  # it may have some that are not asked for here, and others were looked up
            fresh = {each: fresh[each] for each in fresh if self._parts.get(each) is part and not self.is_known(each)}
        if _MARKS.isdisjoint(map(type, fresh.values())):
            self.values.update(fresh)
            Known._have_taken(self, fresh)  # of a part with a run there is no more to know
        else:
            self._take({each: outcome for each, outcome in fresh.items() if outcome is not STORED})
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
        if not self.errors and len(keys) == len(self.values):
            self.values.clear()
        else:
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
