"""A chunk being computed: who needs an output advances the user's method; a failure is pinned to its item.

A run is advanced by whoever needs its next result: the iterator that started it, another thread or a pool. So a run that
nobody consumes computes nothing, and nobody waits for a run that stands still. In a job it is driven to its end.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import os
import sys
import threading
import time
import typing as tp
import warnings
import weakref
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping

from .chain import chain
from .errors import CachedModelError, ComputeError, RecursiveComputeError, is_machinery
from .executors import lend_place
from .outcomes import STORED, Outcomes, Raised, Target

_END = object()
Compute = Callable[[list[tp.Any]], Iterable[object]]  # Any: the user's items

#: For which run a thread waits.
_waits: dict[int, Run] = {}
_waits_lock = threading.Lock()


def _forget_waits() -> None:
    """In a forked child, which has one thread."""
    global _waits_lock
    _waits_lock = threading.Lock()
    _waits.clear()


os.register_at_fork(after_in_child=_forget_waits)


class Run:
    """Computes some items in order.

    Parameters
    ----------
    target
        Where the outputs go.
    compute
        The user's method: takes a list of items, gives an output for each in order.
    items
        Items by their uid.
    stored
        Uids with an entry that a failure must not replace.
    batches
        The items that the method is called with each time; None: all at once.

    Attributes
    ----------
    results
        The outcomes so far, once they are committed: a value, `Raised` or `STORED`.
    unstored
        Errors that are in no entry, by uid.
    error
        Why it ended before its end, if it did.
    finished
        True once it ended.
    """

    def __init__(
        self,
        target: Target,
        compute: Compute,
        items: Mapping[str, object],
        stored: frozenset[str] = frozenset(),
        batches: Iterable[list[str]] | None = None,
    ) -> None:
        self.target = target
        self.items: dict[str, object] = dict(items)
        self.results: dict[str, object] = {}
        self.error: BaseException | None = None
        self.finished: bool = False
        self._compute = compute
        # Not a method of this object, which would live in a circle until a collection, with all its items.
        self._outcomes = Outcomes(target, stored, functools.partial(_show, weakref.ref(self)))
        self.unstored: dict[str, BaseException] = self._outcomes.unstored
        self._debugged: set[str] = set()
        self._steps = self._run(deque([list(items)] if batches is None else batches))
        self._stopped = False
        self._rests = False
        self._driver: int | None = None
        self._changed = threading.Condition()
        self._chain = (*chain.get(), (target.scope, frozenset(items)))
        self._on_end: list[Callable[[], object]] = []

    def on_end(self, call: Callable[[], object]) -> None:
        """Has `call` called once, when the run ended in whatever way."""
        self._on_end.append(call)

    def drive(self, key: str | None = None, patience: float | None = None) -> None:
        """Advances until the item `key` has an outcome, or to the end; waits at most `patience` (seconds) while another does."""
        while self._takes_turn(key, patience):
            try:
                self._step()
            finally:
                with self._changed:
                    self._driver = None
                    self._changed.notify_all()

    def _takes_turn(self, key: str | None, patience: float | None) -> bool:
        """Waits while another thread advances; False if there is nothing left to do, or that takes too long."""
        me = threading.get_ident()
        with self._changed:
            while not self.finished and key not in self.results:
                if self._driver is None:
                    self._driver = me
                    return True
                with self._waiting():
                    if not self._changed.wait(patience):
                        return False
        return False

    def wait(self, key: str | None, timeout: float | None = None) -> None:
        """Waits until `key` has an outcome, the run ended or `timeout` (seconds) passed; does not advance."""
        with self._changed:
            if not self.finished and key not in self.results:
                with self._waiting():
                    self._changed.wait_for(lambda: self.finished or key in self.results, timeout)

    @contextlib.contextmanager
    def _waiting(self) -> Iterator[None]:
        """Wraps a wait of this thread for the one that advances the run; an error if that one waits for this thread."""
        me = threading.get_ident()
        with _waits_lock:
            run: Run | None = self
            while run is not None and run._driver is not None:
                if run._driver == me:
                    raise RecursiveComputeError(
                        f"{self.target.name} is asked for by its own computation, through others: ask for another "
                        "configuration or item there"
                    )
                run = _waits.get(run._driver)
            _waits[me] = self
        try:
            with lend_place():
                yield
        finally:
            del _waits[me]

    def stop(self) -> None:
        """Gives up what has no outcome yet. A run that another thread advances ends at its next item."""
        with self._changed:
            self._stopped = True
            if self.finished or self._driver is not None:
                return
            self._driver = threading.get_ident()  # nobody begins to advance it meanwhile
        try:
            self._finish()
        finally:
            self._driver = None

    def leave(self) -> None:
        """In a forked child: it is the parent's, whose threads may hold its lock; what was computed so far is known."""
        self._changed, self._driver = threading.Condition(), None
        self._on_end.clear()
        self.finished = True

    @property
    def progress(self) -> int | None:
        """Grows as it advances; None while somebody advances it, while it rests, and once it ended."""
        return None if self.finished or self._rests or self._driver is not None else len(self.results)

    def rest(self, release: Callable[[list[str]], object], reclaim: Callable[[list[str]], bool]) -> None:
        """Lets others compute what has no outcome yet, until somebody advances the run: it goes on if nobody did meanwhile.

        Parameters
        ----------
        release
            Ends the claims on these items.
        reclaim
            Claims them again; False if that is not possible for all of them: then the run ends.
        """
        with self._changed:
            if self.progress is None:
                return
            self._driver = threading.get_ident()  # nobody begins to advance it meanwhile
        try:
            keys = [key for key in self.items if key not in self.results]
            release(keys)
            self._rests = True
            self._steps = self._woken(self._steps, keys, reclaim)
        finally:
            with self._changed:
                self._driver = None
                self._changed.notify_all()

    def _woken(
        self, steps: Generator[None, None, None], keys: list[str], reclaim: Callable[[list[str]], bool]
    ) -> Generator[None, None, None]:
        """The first step after a rest."""
        self._rests = False
        if reclaim(keys):
            self._steps = steps
        else:
            self._stopped = True
            steps.close()  # in the thread of who advances it, as the method may expect
        yield

    def since(self, count: int) -> dict[str, object]:
        """The outcomes but for the first so many."""
        with self._changed:
            return dict(itertools.islice(reversed(self.results.items()), max(0, len(self.results) - count)))

    def forget(self, keys: Iterable[str]) -> None:
        """Lets go of the values of some items that may be large; whoever asks for them again finds them in the cache."""
        large = self._outcomes.large
        if large and self._outcomes.cache is not None:
            for key in large.intersection(keys):
                large.discard(key)
                if key in self.results and key not in self.unstored:
                    self.results[key] = STORED

    # -- one step ------------------------------------------------------------------------------------------------

    def _step(self) -> None:
        token = chain.set(self._chain)
        ended = True
        try:
            next(self._steps)
            ended = self._stopped
        except StopIteration:
            pass
        except BaseException as error:
            self.error = error
            if not isinstance(error, Exception):
                raise
        finally:
            chain.reset(token)
            if ended:
                self._finish()

    def _finish(self) -> None:
        self._steps.close()
        with self._changed:
            self.finished = True
            self._changed.notify_all()
        calls, self._on_end = self._on_end, []
        for call in calls:
            call()

    def _run(self, batches: deque[list[str]]) -> Generator[None, None, None]:
        """Advances the method; yields when outcomes were committed."""
        clock, put = time.perf_counter, self._outcomes.put
        while batches:
            batch = batches.popleft()
            done, is_whole = 0, False
            outputs: Iterator[object] = iter(())
            start = began = clock()
            try:
                outputs = self._outputs(batch)
                for key in batch:
                    value = next(outputs, _END)
                    if value is _END:
                        raise self._miscounted(batch, done)
                    now = clock()
                    committed = put(key, value, now - start)
                    done += 1
                    if committed:
                        yield
                        now = clock()
                    start = now
                if next(outputs, _END) is not _END:
                    raise self._miscounted(batch, done + 1)
                is_whole = True
            except Exception as error:
                self._debug(error, batch[min(done, len(batch) - 1)])
                if is_machinery(error):
                    raise
                if done == len(batch):
                    warnings.warn(
                        f"{self.target.name} failed after its last output: {error!r}", RuntimeWarning, stacklevel=2
                    )
                elif len(batch) == 1:
                    put(batch[0], Raised(error), clock() - start)
                else:  # outputs of a batch may fail together: only a failure alone is an item's own
                    batches.extendleft(keys for keys in (batch[done + 1 :], [batch[done]]) if keys)
            finally:
                self._close(outputs)
                waits = is_whole and bool(batches) and self._outcomes.can_wait(clock() - began)
                if not waits:
                    self._outcomes.commit()
            if not waits:
                yield
        self._warn_if_changed()

    def _outputs(self, batch: list[str]) -> Iterator[object]:
        outputs = self._compute([*map(self.items.__getitem__, batch)])
        if isinstance(outputs, Iterable):
            return iter(outputs)
        raise MiscountError(
            f"{self.target.name} gave {outputs!r} where an iterable of outputs was expected: yield one output for each item"
        )

    def _close(self, outputs: Iterator[object]) -> None:
        try:
            if isinstance(outputs, Generator):
                outputs.close()
        except Exception as error:
            warnings.warn(f"{self.target.name} failed in its clean-up: {error!r}", RuntimeWarning, stacklevel=2)

    def _miscounted(self, batch: list[str], count: int) -> MiscountError:
        """An output more or less than items: any of them may belong to another item, so none is kept."""
        self._outcomes.drop(batch)
        for key in batch:
            self.results.pop(key, None)
        names = ", ".join(map(repr, batch[:3])) + (", ..." if len(batch) > 3 else "")
        what = f"only {count} outputs" if count < len(batch) else "more outputs than items"
        return MiscountError(
            f"{self.target.name} gave {what} for {len(batch)} items ({names}): yield exactly one output for each item, in "
            "order. None of these outputs was kept, since any may belong to another item."
        )

    def _warn_if_changed(self) -> None:
        try:
            self.target.unchanged()
        except CachedModelError as error:
            warnings.warn(
                f"{self.target.name} changed its own configuration while it ran: its result is stored under the uid of "
                f"before ({error})",
                RuntimeWarning,
                stacklevel=2,
            )

    def _debug(self, error: Exception, key: str) -> None:
        """Shows where an item failed; once, though it is run again alone."""
        if self.target.debug and key not in self._debugged and sys.stdin is not None and sys.stdin.isatty():
            import pdb  # noqa: T100  # what cluster="debug" is for

            self._debugged.add(key)
            pdb.post_mortem(error.__traceback__)


def _show(ref: weakref.ref[Run], outcomes: dict[str, object]) -> None:
    run = ref()
    if run is not None:  # else nobody waits for it
        with run._changed:
            run.results.update(outcomes)
            run._changed.notify_all()


class MiscountError(ComputeError):
    """A map gave another number of outputs than it was given items."""
