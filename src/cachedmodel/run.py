"""A chunk being computed: the user's method is advanced, its outputs become entries, its failures are pinned to an item.

A run is advanced by whoever needs its next result: the iterator that started it, another thread or a pool. So a run that
nobody consumes computes nothing, and nobody waits for a run that stands still. In a job it is driven to its end.
"""

from __future__ import annotations

import contextvars
import dataclasses
import sys
import threading
import time
import typing as tp
import warnings
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping

from .cache import Cache, Failure, Options
from .errors import CachedModelError, CacheError, ComputeError, ItemErrors, RecursiveComputeError

_END = object()
#: What is being computed here, from the outermost inwards: the place of a method's entries, and uids of items.
Chain = tuple[tuple[str, frozenset[str]], ...]
chain: contextvars.ContextVar[Chain] = contextvars.ContextVar("cachedmodel_chain", default=())

Compute = Callable[[list[tp.Any]], Iterable[object]]  # Any: the user's items


class Outcome(tp.NamedTuple):
    """What became of an item: its value, or the exception that its computation raised."""

    value: object
    error: BaseException | None = None


@dataclasses.dataclass
class Target:
    """Where the outputs of a method go.

    Attributes
    ----------
    name
        The method, for messages.
    cache
        The cache of its entries; None without a folder.
    keep
        Results to be handed out again as the same objects; None if they are not kept in memory.
    in_job
        True where nobody can be handed a value that could not be stored.
    debug
        True to open the debugger on a failure, at a terminal.
    unchanged
        Raises if the model is no longer what its uid says.
    """

    name: str
    cache: Cache | None
    keep: dict[str, Outcome] | None = None
    in_job: bool = False
    debug: bool = False
    unchanged: Callable[[], object] = lambda: None

    @property
    def place(self) -> str:
        """Tells the method with its configuration from others; that of one model alone where there is no folder."""
        return self.cache.folder if self.cache is not None else f"memory {id(self.keep)}"


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
    """

    def __init__(
        self, target: Target, compute: Compute, items: Mapping[str, object], stored: frozenset[str] = frozenset()
    ) -> None:
        self.target = target
        self.items = dict(items)
        self.results: dict[str, Outcome] = {}
        self.error: BaseException | None = None
        self.finished = False
        self._compute = compute
        self._stored = stored
        self._unwritten = False
        self._pending: dict[str, Outcome] = {}
        self._steps = self._run()
        self._driving: int | None = None
        self._changed = threading.Condition()
        self._chain = (*chain.get(), (target.place, frozenset(items)))
        self._on_end: list[Callable[[Run], object]] = []

    def on_end(self, call: Callable[[Run], object]) -> None:
        """Has `call(run)` called once, when the run ended in whatever way."""
        self._on_end.append(call)

    def drive(self, key: str | None = None) -> None:
        """Advances until the item `key` has an outcome, or to the end."""
        while True:
            with self._changed:
                if self.finished or key in self.results:
                    return
                if self._driving is not None:
                    self._changed.wait()
                    continue
                self._driving = threading.get_ident()
            try:
                self._step()
            finally:
                with self._changed:
                    self._driving = None
                    self._changed.notify_all()

    def wait(self, key: str, timeout: float | None = None) -> None:
        """Waits until `key` has an outcome, the run ended or `timeout` (seconds) passed; does not advance."""
        with self._changed:
            self._changed.wait_for(lambda: self.finished or key in self.results, timeout)

    def stop(self) -> None:
        """Gives up what has no outcome yet. A run that another thread advances ends at its next item."""
        self.finished = True
        if self._driving is None:
            self._steps.close()
            self._end()

    # -- one step ------------------------------------------------------------------------------------------------

    def _step(self) -> None:
        token = chain.set(self._chain)
        try:
            next(self._steps)
        except StopIteration:
            self.finished = True
        except BaseException as error:
            self.error = error
            self.finished = True
            if not isinstance(error, Exception):
                raise
        finally:
            chain.reset(token)
            if self.finished:
                self._steps.close()
                self._end()

    def _end(self) -> None:
        calls, self._on_end = self._on_end, []
        for call in calls:
            call(self)

    def _run(self) -> Generator[None, None, None]:
        batches = deque([list(self.items)])
        while batches:
            batch = batches.popleft()
            done = 0
            outputs: Iterator[object] = iter(())
            try:
                start = time.perf_counter()
                outputs = iter(self._compute([self.items[key] for key in batch]))
                for key in batch:
                    value = next(outputs, _END)
                    if value is _END:
                        raise self._miscounted(batch, done)
                    now = time.perf_counter()
                    committed = self._put(key, Outcome(value), now - start)
                    done, start = done + 1, now
                    if committed:
                        yield
                    if self.finished:
                        return
                if next(outputs, _END) is not _END:
                    raise self._miscounted(batch, done + 1)
            except Exception as error:
                self._debug(error)
                if is_machinery(error):
                    raise
                if done == len(batch):
                    warnings.warn(
                        f"{self.target.name} failed after its last output: {error!r}", RuntimeWarning, stacklevel=2
                    )
                elif len(batch) == 1:
                    self._put(batch[0], Outcome(None, error), time.perf_counter() - start)
                else:  # outputs of a batch may fail together: only a failure alone is an item's own
                    batches.extendleft(keys for keys in (batch[done + 1 :], [batch[done]]) if keys)
            finally:
                if hasattr(outputs, "close"):
                    outputs.close()
                self._commit()
            yield
        self._warn_if_changed()

    # -- outcomes --------------------------------------------------------------------------------------------------

    def _put(self, key: str, outcome: Outcome, seconds: float) -> bool:
        """Stores an outcome; True if all that was stored so far is on disk."""
        keep, cache = self.target.keep, self.target.cache
        if keep is not None and outcome.error is None:
            outcome = Outcome(read_only(outcome.value))
        self._pending[key] = outcome
        committed = True
        if cache is not None and not self._unwritten:
            try:
                if outcome.error is None:
                    committed = cache.write(key, outcome.value, seconds)
                elif key not in self._stored:
                    committed = cache.write_failure(key, Failure.of(outcome.error), seconds)
            except (OSError, CacheError) as error:
                self._not_stored(error, key)
        if committed:
            self._publish()
        return committed

    def _commit(self) -> None:
        if self.target.cache is not None and self._pending:
            try:
                self.target.cache.commit()
            except (OSError, CacheError) as error:
                self._not_stored(error, next(iter(self._pending)))
        self._publish()

    def _publish(self) -> None:
        if self.target.keep is not None:
            self.target.keep.update(self._pending)
        if self.target.in_job:  # the values are on disk, and there may be millions
            self._pending = {key: Outcome(None, outcome.error) for key, outcome in self._pending.items()}
        with self._changed:
            self.results.update(self._pending)
            self._pending = {}
            self._changed.notify_all()

    def _not_stored(self, error: Exception, key: str) -> None:
        """A value that cannot be stored is still handed to whoever is here to take it."""
        text = (
            f"{self.target.name}: item {key!r} was computed but cannot be stored: {error}"
            if key
            else (f"{self.target.name} was computed but cannot be stored: {error}")
        )
        if self.target.in_job:
            raise CacheError(text) from error
        if isinstance(error, OSError):
            self._unwritten = True  # a full disk is told once; the rest of the run computes without it
        warnings.warn(text, RuntimeWarning, stacklevel=2)

    def _miscounted(self, batch: list[str], count: int) -> ComputeError:
        """An output more or less than items: any of them may belong to another item, so none is kept."""
        cache = self.target.cache
        if cache is not None:
            cache.commit()
            cache.delete(batch)
        for key in batch:
            self._pending.pop(key, None)
            self.results.pop(key, None)
            if self.target.keep is not None:
                self.target.keep.pop(key, None)
        names = ", ".join(map(repr, batch[:3])) + (", ..." if len(batch) > 3 else "")
        what = f"only {count} outputs" if count < len(batch) else "more outputs than items"
        return Miscounted(
            f"{self.target.name} gave {what} for {len(batch)} items ({names}): yield exactly one output for each item, in "
            "order. None of these outputs was kept, since any may belong to another item."
        )

    def _warn_if_changed(self) -> None:
        try:
            self.target.unchanged()
        except CachedModelError as error:
            warnings.warn(
                f"{self.target.name} changed its own configuration while it ran: its result is stored under the uid of before "
                f"({error})",
                RuntimeWarning,
                stacklevel=2,
            )

    def _debug(self, error: Exception) -> None:
        if self.target.debug and sys.stdin is not None and sys.stdin.isatty():
            import pdb  # noqa: T100  # what cluster="debug" is for

            pdb.post_mortem(error.__traceback__)


class Miscounted(ComputeError):
    """A map gave another number of outputs than it was given items."""


def check_recursion(target: Target, key: str) -> None:
    """Raises if `key` is being computed by who asks for it.

    Raises
    ------
    RecursiveComputeError
        Naming the method and the item.
    """
    for place, keys in chain.get():
        if place == target.place and key in keys:
            item = f" for item {key!r}" if key else ""
            raise RecursiveComputeError(
                f"{target.name} asks for its own result{item} while it computes it: ask for another configuration or item"
            )


def is_machinery(error: BaseException) -> bool:
    """True for what is not the failure of the user's code, and is never cached: no memory, no disk, a lost job, a wrong call."""
    if isinstance(error, (ItemErrors,)):
        return any(is_machinery(member) for member in error.exceptions)
    if isinstance(error, CachedModelError):
        return type(error) is not ComputeError
    return isinstance(error, MemoryError)


def read_only(value: object) -> object:
    """The value itself, the numpy arrays in it made read-only: it is handed out again."""
    numpy = sys.modules.get("numpy")
    if numpy is None or isinstance(value, (str, bytes, int, float, type(None))):
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


@dataclasses.dataclass
class Chunk:
    """A run that travels to another process: a callable that fills the cache.

    Attributes
    ----------
    name, compute, items, stored
        As for `Run`.
    open_cache
        Opens the cache there.
    chain
        What the sender is computing.
    """

    name: str
    compute: Compute
    items: dict[str, object]
    stored: frozenset[str]
    open_cache: Callable[[], Cache]
    chain: Chain

    def __call__(self) -> None:
        token = chain.set(self.chain)
        try:
            cache = self.open_cache()
            run = Run(Target(self.name, cache, in_job=True), self.compute, self.items, self.stored)
            with cache.flush_every(1.0):
                run.drive()
            try:
                cache.commit(sync=True)
            except OSError as error:
                raise CacheError(f"{self.name}: results cannot be stored in {cache.folder}: {error}") from error
        finally:
            chain.reset(token)
        if run.error is not None:
            raise run.error
        unstored = [
            outcome.error for key, outcome in run.results.items() if key in self.stored and outcome.error is not None
        ]
        if unstored:
            raise unstored[0]


def open_cache(folder: str, root: str, single: bool, options: Options) -> Cache:
    """`Cache.open`, as a function that pickles by its name."""
    return Cache.open(folder, root, single=single, options=options)
