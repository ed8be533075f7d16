"""A chunk being computed: the user's method is advanced, its outputs become entries, its failures are pinned to an item.

A run is advanced by whoever needs its next result: the iterator that started it, another thread or a pool. So a run that
nobody consumes computes nothing, and nobody waits for a run that stands still. In a job it is driven to its end.
"""

from __future__ import annotations

import contextlib
import contextvars
import dataclasses
import errno
import os
import sys
import threading
import time
import typing as tp
import warnings
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping

from .cache import Cache, Failure, column_of
from .errors import CachedModelError, CacheError, ComputeError, ItemErrors, RecursiveComputeError
from .executors import lend_place

_END = object()
#: What is being computed here, from the outermost inwards: the scope of a method, and uids of its items.
Chain = tuple[tuple[str, frozenset[str]], ...]
chain: contextvars.ContextVar[Chain] = contextvars.ContextVar("cachedmodel_chain", default=())

Compute = Callable[[list[tp.Any]], Iterable[object]]  # Any: the user's items


class Raised:
    """Stands for the value of an item whose computation raised."""

    __slots__ = ("error",)

    def __init__(self, error: BaseException) -> None:
        self.error: BaseException = error


#: Stands for a value that is in the cache and not kept in memory.
STORED: tp.Final = object()

#: Values without anything in them that could be made read-only.
_PLAIN = {bool, bytes, float, int, str, type(None)}

_GATHER_S, _GATHER_MOST = 0.002, 1024

#: Where nothing could be written, and why: told once.
_told: set[tuple[str, int | None]] = set()

#: For which run a thread waits.
_waits: dict[int, Run] = {}
_waits_lock = threading.Lock()


def _forget_waits() -> None:
    """In a forked child, which has one thread."""
    global _waits_lock
    _waits_lock = threading.Lock()
    _waits.clear()


os.register_at_fork(after_in_child=_forget_waits)


class Pace:
    """How quickly the items of a method come.

    Each item is committed by itself, so that it can be handed out before the next is computed; when very many come in
    a moment, some share a commit, which costs much more than they do.
    """

    _QUICK_S = 1e-4
    _MANY = 64

    def __init__(self) -> None:
        self._quick = 0

    def is_quick(self, seconds: float) -> bool:
        """Notes the time of an item; True if the next one is likely to come in a moment."""
        self._quick = self._quick + 1 if seconds < self._QUICK_S else self._quick // 2
        return self._quick > self._MANY


@dataclasses.dataclass
class Target:
    """Where the outputs of a method go.

    Attributes
    ----------
    name
        The method, for messages.
    scope
        Tells the method with its configuration from others.
    cache
        The cache of its entries; None if they are not stored.
    keep
        Values to be handed out again as the same objects, or `Raised`; None if they are not kept in memory.
    pace
        How quickly items come; None in a job, where nobody waits for each.
    debug
        True to open the debugger on a failure, at a terminal.
    unchanged
        Raises if the model is no longer what its uid says.
    """

    name: str
    scope: str
    cache: Cache | None
    keep: dict[str, object] | None = None
    pace: Pace | None = None
    debug: bool = False
    unchanged: Callable[[], object] = lambda: None

    def describe(self, key: str) -> str:
        """An item, for messages."""
        return f"item {key!r} of {self.name}" if key else self.name


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
        self.unstored: dict[str, BaseException] = {}
        self.error: BaseException | None = None
        self.finished: bool = False
        self._compute = compute
        self._stored = stored
        self._cannot_write = False
        self._shown: set[str] = set()
        self._pending: dict[str, object] = {}
        #: Small values of one column that came in a moment, and are not given to the cache yet; their seconds.
        self._gathered: dict[str, object] = {}
        self._times: list[float] = []
        self._column, self._spent = 0, 0.0
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
        self._finish()
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

    def forget(self, keys: Iterable[str]) -> None:
        """Lets go of the values of some items; whoever asks for them again finds them in the cache."""
        if self.target.cache is not None and not self._cannot_write:
            for key in keys:
                outcome = self.results.get(key, STORED)
                if outcome is not STORED and type(outcome) is not Raised and key not in self.unstored:
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
        clock = time.perf_counter
        while batches:
            batch = batches.popleft()
            done = 0
            outputs: Iterator[object] = iter(())
            start = clock()
            try:
                outputs = self._outputs(batch)
                for key in batch:
                    value = next(outputs, _END)
                    if value is _END:
                        raise self._miscounted(batch, done)
                    now = clock()
                    committed = self._put(key, value, now - start)
                    done += 1
                    if committed:
                        yield
                        now = clock()
                    start = now
                if next(outputs, _END) is not _END:
                    raise self._miscounted(batch, done + 1)
            except Exception as error:
                self._debug(error, batch[min(done, len(batch) - 1)])
                if is_machinery(error):
                    raise
                if done == len(batch):
                    self._warn(f"{self.target.name} failed after its last output: {error!r}")
                elif len(batch) == 1:
                    self._put(batch[0], Raised(error), clock() - start)
                else:  # outputs of a batch may fail together: only a failure alone is an item's own
                    batches.extendleft(keys for keys in (batch[done + 1 :], [batch[done]]) if keys)
            finally:
                self._close(outputs)
                self._commit()
            yield
        self._warn_if_changed()

    def _outputs(self, batch: list[str]) -> Iterator[object]:
        outputs = self._compute([self.items[key] for key in batch])
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
            self._warn(f"{self.target.name} failed in its clean-up: {error!r}")

    # -- outcomes --------------------------------------------------------------------------------------------------

    def _put(self, key: str, outcome: object, seconds: float) -> bool:
        """Stores a value, or what was raised; True if all that was stored so far is on disk."""
        target = self.target
        quick = target.pace is not None and target.pace.is_quick(seconds)
        if quick and target.cache is not None and not self._cannot_write and (column := column_of(outcome)):
            if column != self._column:
                self._store_gathered()
                self._column = column
            self._gathered[key] = outcome
            self._times.append(seconds)
            self._spent += seconds
            return self._store_gathered() if self._spent > _GATHER_S or len(self._times) >= _GATHER_MOST else False
        self._store_gathered()
        if target.keep is not None and type(outcome) not in _PLAIN:
            read_only(outcome)
        try:
            if target.cache is None or self._cannot_write:
                committed = True
            elif type(outcome) is Raised:
                committed = self._write_failure(target.cache, key, outcome.error, seconds)
            else:
                committed = target.cache.write(key, outcome, seconds)
        except (OSError, CacheError) as error:
            outcome = self._not_stored(error, key, outcome)
            committed = self._cannot_write or not self._pending
        self._pending[key] = outcome
        if committed:
            self._publish()
        elif target.pace is not None and not quick:
            self._commit()
            committed = True
        return committed

    def _store_gathered(self) -> bool:
        """Stores small values that came in a moment, with one commit; True."""
        if not self._times:
            return True
        values, times = self._gathered, self._times
        self._gathered, self._times, self._spent = {}, [], 0.0
        try:
            assert self.target.cache is not None
            self.target.cache.write_small(self._column, values, times)
        except (OSError, CacheError) as error:
            key = next(iter(values))
            self._not_stored(error, key, values[key])
        self._pending.update(values)
        self._publish()
        return True

    def _write_failure(self, cache: Cache, key: str, error: BaseException, seconds: float) -> bool:
        if key in self._stored:
            self.unstored[key] = error
            return not self._pending
        return cache.write_failure(key, Failure.of(error), seconds)

    def _commit(self) -> None:
        self._store_gathered()
        if self.target.cache is not None and self._pending and not self._cannot_write:
            try:
                self.target.cache.commit()
            except (OSError, CacheError) as error:
                key = next(iter(self._pending))
                self._not_stored(error, key, self._pending[key])
        self._publish()

    def _publish(self) -> None:
        if self.target.keep is not None:
            self.target.keep.update(self._pending)
        if self.target.pace is None:  # in a job: the values are on disk, and there may be millions
            self._pending = dict.fromkeys(self._pending, STORED)
        with self._changed:
            self.results.update(self._pending)
            self._pending = {}
            self._changed.notify_all()

    def _not_stored(self, error: Exception, key: str, outcome: object) -> object:
        """A value that cannot be stored is still handed to whoever is here to take it."""
        text = f"{self.target.describe(key)} was computed but cannot be stored: {error}"
        if self.target.pace is None:
            failure = CacheError(text)
            failure.__cause__ = error
            if isinstance(error, OSError):
                raise failure
            self.unstored[key] = failure
            return Raised(failure)
        self.unstored[key] = error
        if not isinstance(error, OSError):
            self._warn(text)
            return outcome
        self._cannot_write = True  # the rest of the run computes without it
        if (self.target.scope, error.errno) not in _told:  # a full disk is told once, not by each chunk
            _told.add((self.target.scope, error.errno))
            self._warn(text)
        return outcome

    def _miscounted(self, batch: list[str], count: int) -> MiscountError:
        """An output more or less than items: any of them may belong to another item, so none is kept."""
        self._pending.clear()
        self._gathered, self._times = {}, []
        if self.target.cache is not None:
            self.target.cache.delete(batch)
        for key in batch:
            self.results.pop(key, None)
            if self.target.keep is not None:
                self.target.keep.pop(key, None)
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
            self._warn(
                f"{self.target.name} changed its own configuration while it ran: its result is stored under the uid of "
                f"before ({error})"
            )

    def _warn(self, text: str) -> None:
        warnings.warn(text, RuntimeWarning, stacklevel=2)

    def _debug(self, error: Exception, key: str) -> None:
        """Shows where an item failed; once, though it is run again alone."""
        if self.target.debug and key not in self._shown and sys.stdin is not None and sys.stdin.isatty():
            import pdb  # noqa: T100  # what cluster="debug" is for

            self._shown.add(key)
            pdb.post_mortem(error.__traceback__)


class MiscountError(ComputeError):
    """A map gave another number of outputs than it was given items."""


def check_recursion(target: Target, keys: Iterable[str]) -> None:
    """Raises if one of `keys` is being computed by who asks for it.

    Raises
    ------
    RecursiveComputeError
        Naming the method and the item.
    """
    for scope, computing in chain.get():
        if scope != target.scope:
            continue
        for key in keys:
            if key in computing:
                raise RecursiveComputeError(
                    f"{target.describe(key)} is asked for by its own computation, directly or through others: ask for another "
                    "configuration or item there"
                )


def is_machinery(error: BaseException) -> bool:
    """True for what is not the failure of the user's code, and is never cached: no memory, no disk, a lost job, a wrong call."""
    if isinstance(error, ItemErrors):
        return any(is_machinery(member) for member in error.exceptions)
    if isinstance(error, CachedModelError):
        return type(error) is not ComputeError
    if isinstance(error, OSError):
        return error.errno in (errno.ENOSPC, errno.EDQUOT)
    return isinstance(error, MemoryError) or not isinstance(error, Exception)


def read_only(value: object) -> object:
    """The value itself, the numpy arrays in it made read-only: it is handed out again."""
    if type(value) in _PLAIN:
        return value
    numpy = sys.modules.get("numpy")
    if numpy is None:
        return value
    if isinstance(value, numpy.ndarray):
        value.flags.writeable = False
    elif isinstance(value, dict):
        for item in value.values():
            read_only(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            read_only(item)
    return value
