"""Where the outcomes of a run go: values and failures become entries, and are shown once these are on disk."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable, Sequence

from .cache import Cache, Failure, Preceded, column_of
from .errors import CacheError
from .loaded import loaded


class Raised:
    """Stands for the value of an item whose computation raised."""

    __slots__ = ("error",)

    def __init__(self, error: BaseException) -> None:
        self.error: BaseException = error


#: Stands for a value that is in the cache and not kept in memory.
STORED = object()

#: Values without anything in them that could be made read-only.
_PLAIN = {bool, bytes, float, int, str, type(None)}

_GATHER_S, _GATHER_MOST = 0.002, 1024

#: Where nothing could be written, and why: told once.
_told: set[tuple[str, int | None]] = set()


class Pace:
    """How quickly the items of a method come.

    Each item is committed by itself, so that it can be handed out before the next is computed; when many come in a
    moment, some share a commit, which costs much more than they do.
    """

    _QUICK_S = 1e-4
    _MANY = 32

    def __init__(self) -> None:
        self._quick = 0

    def is_quick(self, seconds: float) -> bool:
        """Notes the time of an item; True if the next one is likely to come in a moment."""
        if seconds >= self._QUICK_S:
            self._quick //= 2
        elif self._quick <= 2 * self._MANY:  # however many were quick, one that is not ends it
            self._quick += 1
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


class Outcomes:
    """Stores the outcomes of one run.

    Parameters
    ----------
    target
        Where they go.
    stored
        Uids with an entry that a failure must not replace.
    show
        Called with outcomes by uid, once they are on disk: values, `Raised` or `STORED`.

    Attributes
    ----------
    cache
        Where they are stored; None if they are not, or cannot be any more.
    unstored
        Errors that are in no entry, by uid.
    large
        Uids of stored values that may take much memory.
    """

    def __init__(self, target: Target, stored: frozenset[str], show: Callable[[dict[str, object]], object]) -> None:
        self.cache: Cache | None = target.cache
        self.unstored: dict[str, BaseException] = {}
        self.large: set[str] = set()
        self._target = target
        self._stored = stored
        self._show = show
        self._pending: dict[str, object] = {}
        #: Small values of one column that came in a moment, and are not given to the cache yet; their seconds.
        self._gathered: dict[str, object] = {}
        self._times: list[float] = []
        self._column = 0
        #: Seconds that those took which came in a moment, and are not shown yet.
        self._spent = 0.0

    def put(self, key: str, outcome: object, seconds: float) -> bool:
        """Stores a value, or what was raised; True if all that was stored so far is on disk."""
        pace = self._target.pace
        quick = pace is not None and pace.is_quick(seconds)
        if quick and self.cache is not None and (column := column_of(outcome)):
            if column != self._column:
                self._store_gathered()
                self._column = column
            self._gathered[key] = outcome
            self._times.append(seconds)
            self._spent += seconds
            return self._store_gathered() if self._is_due(len(self._times)) else False
        self._store_gathered()
        if self._target.keep is not None and type(outcome) not in _PLAIN:
            read_only(outcome)
        try:
            if self.cache is None:
                self._spent += seconds
                committed = not quick or self._is_due(len(self._pending) + 1)
            elif type(outcome) is Raised:
                committed = self._write_failure(self.cache, key, outcome.error, seconds)
            else:
                committed = self.cache.write(key, outcome, seconds, over=key in self._stored)
                if pace is not None and not column_of(outcome):
                    self.large.add(key)
        except Preceded:
            self._show({key: STORED})
            return True
        except (OSError, CacheError) as error:
            outcome = self._not_stored(error, key, outcome)
            committed = self.cache is None or not self._pending
        self._pending[key] = outcome
        if committed:
            self._publish()
        elif pace is not None and not quick:
            self.commit()
            committed = True
        return committed

    def _is_due(self, count: int) -> bool:
        """Whether so many items that came in a moment are to be shown."""
        return self._spent > _GATHER_S or count >= _GATHER_MOST

    def can_wait(self, seconds: float) -> bool:
        """Whether what is not shown yet, if anything, came in a moment, and can wait for a batch that takes so many seconds."""
        return not self._pending and (not self._times or self._spent + seconds <= _GATHER_S)

    def commit(self) -> None:
        """Shows all outcomes so far."""
        self._store_gathered()
        if not self._pending:
            return
        if self.cache is not None:
            try:
                self.cache.commit()
            except (OSError, CacheError) as error:
                key = next(iter(self._pending))
                self._not_stored(error, key, self._pending[key])
        self._publish()

    def drop(self, keys: Sequence[str]) -> None:
        """Forgets the outcomes of some items, in the cache and in memory, shown or not."""
        cache, keep = self._target.cache, self._target.keep
        self._pending.clear()
        self.large.difference_update(keys)
        others = [each for each in zip(self._gathered.items(), self._times, strict=True) if each[0][0] not in keys]
        self._gathered, self._times = dict(item for item, _ in others), [took for _, took in others]
        if cache is not None:
            cache.delete(keys)
        if keep is not None:
            for key in keys:
                keep.pop(key, None)

    def _store_gathered(self) -> bool:
        """Stores small values that came in a moment, with one commit; True."""
        if not self._times:
            return True
        values, times = self._gathered, self._times
        self._gathered, self._times = {}, []
        try:
            assert self.cache is not None
            self.cache.write_small(self._column, values, times)
        except (OSError, CacheError) as error:
            key = next(iter(values))
            self._not_stored(error, key, values[key])
        self._pending = {**self._pending, **values} if self._pending else values
        self._publish()
        return True

    def _write_failure(self, cache: Cache, key: str, error: BaseException, seconds: float) -> bool:
        if key in self._stored:
            self.unstored[key] = error
            return not self._pending
        return cache.write_failure(key, Failure.of(error), seconds, over=False)

    def _publish(self) -> None:
        if self._target.keep is not None:
            self._target.keep.update(self._pending)
        if self._target.pace is None:  # in a job: the values are on disk, and there may be millions
            self._pending = dict.fromkeys(self._pending, STORED)
        self._show(self._pending)
        self._pending, self._spent = {}, 0.0

    def _not_stored(self, error: Exception, key: str, outcome: object) -> object:
        """A value that cannot be stored is still handed to whoever is here to take it."""
        text = f"{self._target.describe(key)} was computed but cannot be stored: {error}"
        if self._target.pace is None:
            failure = CacheError(text)
            failure.__cause__ = error
            if isinstance(error, OSError):
                raise failure
            self.unstored[key] = failure
            return Raised(failure)
        self.unstored[key] = error
        if isinstance(error, OSError):
            self.cache = None  # the rest of the run computes without it
            if (self._target.scope, error.errno) in _told:  # a full disk is told once, not by each chunk
                return outcome
            _told.add((self._target.scope, error.errno))
        warnings.warn(text, RuntimeWarning, stacklevel=2)
        return outcome


def read_only(value: object) -> object:
    """The value itself, the numpy arrays in it made read-only: it is handed out again."""
    if type(value) in _PLAIN:
        return value
    numpy = loaded("numpy")
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
