"""A folder of entries that many processes share: the only door to it.

A folder is one method with one configuration: of a task (one key, the empty string, in the file `entry`) or of a map
(any keys, in shards). What is computed is claimed first; what is stored is read without claim or lock.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import threading
import time
import weakref
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence

from cachedmodel.failure import Failure

from . import files
from .claims import Claims
from .entry import NAME as ENTRY
from .entry import Entry, state_in
from .lives import Keeper
from .options import Found, Options, Replace, State
from .periodic import Periodic
from .sharded import BLOCK_S, Sharded

#: First and longest time between two looks at what others do.
_POLL_S, _SLOW_POLL_S = 0.005, 0.5
#: Folders kept in mind, though nobody holds their cache.
_MOST_KEPT = 512


class Cache:
    """One folder. Thread-safe; works after a fork, which leaves claims and half-written shards to the parent."""

    def __init__(self, folder: str, root: str, *, single: bool, options: Options) -> None:
        self.folder = folder
        self.root = root
        self.options: Options = options
        self.single = single
        self._lock = threading.RLock()
        # Made when they are needed, which a hit is not: claims, and the condition that a thread waits on.
        self._known_claims: Claims | None = None
        self._awaited: threading.Condition | None = None
        store = Entry if single else Sharded
        self._store: Entry | Sharded = store(folder, options, self._lock, self._committed)
        #: What a commit in the background could not do; raised by the next call that writes.
        self._late_error: OSError | None = None
        _all.add(self)

    @classmethod
    def open(cls, folder: str, root: str, *, single: bool, options: Options) -> Cache:
        """The cache of a folder, one object for the process; touches no file. The options given last count.

        Parameters
        ----------
        folder, root
            The folder, and the root of the whole cache, where the heartbeats of all processes lie.
        single
            True for a task, False for a map.
        options
            How to read and write.
        """
        with _registry_lock:
            cache = _by_folder.get(folder)
            if cache is None:
                cache = _by_folder[folder] = cls(folder, root, single=single, options=options)
            _kept[folder] = cache
            _kept.move_to_end(folder)
            if len(_kept) > _MOST_KEPT:
                _kept.popitem(last=False)
        if cache.options is not options:
            cache.set_options(options)
        return cache

    @staticmethod
    def task_state(folder: str, accept: Callable[[bytes], bool]) -> State | None:
        """What is stored of the task in a folder, as `states` has it, where nothing else is asked of the cache.

        Parameters
        ----------
        folder
            The folder.
        accept
            As in `Options`.
        """
        state = state_in(folder, accept)
        files.tell_warnings()
        return state

    def set_options(self, options: Options) -> None:
        """Reads and writes like this from now on."""
        with self._lock:
            self.options = options
            self._store.set_options(options)

    # -- reading

    def read(self, keys: Sequence[str], expected: int = 0) -> Found:
        """What is stored of the keys. An entry that cannot be read is missing, with a warning.

        Parameters
        ----------
        keys
            What is asked for.
        expected
            How many keys are going to be asked for, one part after the other, as far as that is known.

        Raises
        ------
        CacheError
            If an entry is pickled, and must not be loaded.
        """
        found = self._store.read(keys, expected)
        files.tell_warnings()
        return found

    def states(self, keys: Sequence[str], *, fresh: bool = True) -> dict[str, State]:
        """What is stored of the keys, without decoding any value; `fresh`: others may have stored some since the last look."""
        with self._lock:
            states = self._store.states(keys, fresh=fresh)
        files.tell_warnings()
        return states

    def version(self, key: str) -> object:
        """Something that is equal as long as the entry of a key is the same one; None if it is not stored."""
        with self._lock:
            return self._store.version(key)

    def keys(self) -> Iterator[str]:
        """The keys that are stored, failures included."""
        return (key for key, _ in self.items())

    def items(self) -> Iterator[tuple[str, State]]:
        """The keys that are stored, and as what."""
        with self._lock:
            items = self._store.keys()
        files.tell_warnings()
        return items

    def refresh(self) -> None:
        """Looks for what others wrote, also about keys that are known."""
        with self._lock:
            self._store.refresh()

    def provenance(self, key: str) -> dict[str, object] | None:
        """When, where, by whom and with what an entry was computed, and its seconds; None if it is not stored."""
        with self._lock:
            return self._store.provenance(key)

    # -- writing

    def write(self, key: str, value: object, seconds: float | None = None, *, over: bool = True) -> bool:
        """Stores a value, in place of what was stored; True if all that was written is committed.

        Parameters
        ----------
        over
            Whether a value may be replaced. Of a map, the order of shards says which counts.

        Raises
        ------
        Preceded
            If a value is there that may not be replaced.
        CacheError
            If the value cannot be stored.
        OSError
            With the path, if it cannot be written: then what was not committed yet is dropped.
        """
        if self._late_error is not None:
            self._raise_late()
        return self._store.write(key, value, seconds, over)

    def write_small(self, column: int, values: dict[str, object], seconds: list[float]) -> None:
        """Stores and commits values that are all of one column (see `column_of`), and what was written before; as `write`."""
        if self._late_error is not None:
            self._raise_late()
        if isinstance(self._store, Sharded) and self.options.codec is None:
            self._store.write_small(column, values, seconds)
            return
        for (key, value), took in zip(values.items(), seconds, strict=True):
            self.write(key, value, took)
        self.commit()

    def write_failure(self, key: str, failure: Failure, seconds: float | None = None, *, over: bool = True) -> bool:
        """Stores a failure, in place of what was stored; as `write`."""
        if self._late_error is not None:
            self._raise_late()
        return self._store.write_failure(key, failure, seconds, over)

    def commit(self, sync: bool = False) -> None:
        """Makes visible to others what was written; `sync`: and durable."""
        if self._late_error is not None:
            self._raise_late()
        with self._lock:
            self._store.commit(sync)

    def delete(self, keys: Iterable[str] | None = None) -> None:
        """Deletes the entries of the keys; None: all."""
        with self._lock:
            self._store.delete(keys)
            self._tell()

    @contextlib.contextmanager
    def flush_every(self, seconds: float) -> Iterator[None]:
        """While it lasts, blocks are committed and synced in the background, each `seconds` (for jobs)."""
        store = self._store
        if isinstance(store, Entry):
            yield
            return
        flusher = Periodic(self._flush, seconds, "cachedmodel-flush")
        store.block_s = seconds
        flusher.start()
        try:
            yield
        finally:
            flusher.stop()
            store.block_s = BLOCK_S
            self.commit(sync=True)

    def _flush(self) -> bool:
        try:
            with self._lock:
                self._store.commit(sync=True)
        except OSError as error:
            self._late_error = error
        return True

    def _raise_late(self) -> None:
        error, self._late_error = self._late_error, None
        if error is not None:
            raise error

    def _committed(self, keys: Iterable[str]) -> None:
        if self._known_claims is not None:
            self._known_claims.stored(keys)
        self._tell()

    def _tell(self) -> None:
        """Wakes the threads that wait."""
        if self._awaited is not None:
            self._awaited.notify_all()

    @property
    def _claims(self) -> Claims:
        if self._known_claims is None:
            self._known_claims = Claims(self.folder, self.root, single=self.single)
        return self._known_claims

    # -- claims

    def claim(self, keys: Sequence[str], replace: Replace = "nothing", heir_of: str = "") -> list[str]:
        """Those of the keys, in order, that this process may compute now, and nobody else will meanwhile.

        Not those that another living keeper or this process holds already, nor those that are stored, which is
        looked up again after the claim was made.

        Parameters
        ----------
        keys
            What is to be computed.
        replace
            What may be stored all the same: "nothing", "failures", or "all".
        heir_of
            The life of a process whose claims this one takes over.

        Raises
        ------
        OSError
            If no claim can be made in this folder.
        """
        with self._lock:
            wanted = self._unstored(self._claims.not_mine(keys), replace)
            self._store.share()
            taken = self._claims.take(wanted, self.options, heir_of) if wanted else []
            if not taken:
                return []
            changed = self._store.refresh(self._claims.listing)
            if self._claims.took_over:
                self._store.outrank()
            granted = self._unstored(taken, replace, self._claims.listing) if changed else taken
            if len(granted) < len(taken):
                mine = set(granted)
                self._claims.end([key for key in taken if key not in mine], self.options)
            return granted

    def _unstored(self, keys: Sequence[str], replace: Replace, names: Sequence[str] | None = None) -> list[str]:
        """Those of the keys that may be computed, as far as is known; `names`: a listing of the folder made just now."""
        # Over a network mount, asking for a name that is not there yet delays the moment when it is seen.
        if replace == "all" or (self.single and names is not None and ENTRY not in names):
            return list(keys)
        states = self._store.states(keys, fresh=False)
        wanted = ("value",) if replace == "failures" else ("value", "failure")
        return [key for key in keys if states.get(key) not in wanted] if states else list(keys)

    def release(self, keys: Sequence[str]) -> None:
        """Ends the claims of this process on these keys; of those that are stored it only tidies up."""
        with self._lock:
            self._store.share()
            self._claims.end(keys, self.options)
            self._tell()

    def hand_over(self, keys: Sequence[str], keeper: Keeper) -> None:
        """Makes the claims of this process on these keys those of a job."""
        with self._lock:
            self._claims.end(keys, self.options, keeper)
            self._tell()

    def end_job(self, keeper: Keeper) -> None:
        """Ends the claims of a job in this folder: called by the job when it is done, or by who knows that it is."""
        with self._lock:
            self._claims.end_job(keeper, self.options)
            self._tell()

    def holders(self, keys: Sequence[str], replace: Replace = "nothing") -> dict[str, Keeper]:
        """The living keepers, this process among them, of those keys that are not stored."""
        with self._lock:
            self._claims.refresh()
            held = self._claims.holders(keys, self.options)
            if held:
                self._store.refresh(self._claims.listing)
            unstored = self._unstored(list(held), replace, self._claims.listing)
            return {key: held[key] for key in unstored}

    def wait(self, keys: Sequence[str], timeout: float | None = None, replace: Replace = "nothing") -> None:
        """Returns once one of the keys is stored or not claimed any more, at the latest after `timeout` seconds."""
        deadline = None if timeout is None else time.monotonic() + timeout
        delay = _POLL_S
        while True:
            with self._lock:
                left = delay if deadline is None else min(delay, deadline - time.monotonic())
                if len(self.holders(keys, replace)) < len(set(keys)) or left <= 0:
                    return
                if self._awaited is None:
                    self._awaited = threading.Condition(self._lock)
                # Woken at once by what another thread of this process does, else by the clock.
                if not self._awaited.wait(left):
                    delay = min(1.5 * delay, _SLOW_POLL_S)

    # -- ending

    def close(self) -> None:
        """Commits, seals the shard of this process, and tidies up its claims; the cache can be used again."""
        with self._lock:
            self._store.close()
            if self._known_claims is not None:
                self._known_claims.tidy(self.options)

    def end(self) -> None:
        """Closes, and ends the claims of this process, as at its exit."""
        with self._lock:
            try:
                self._store.close()
            finally:
                if self._known_claims is not None:
                    self._known_claims.end_all(self.options)
                self._tell()

    def _forget(self) -> None:
        self._lock = threading.RLock()
        self._known_claims = self._awaited = None
        self._late_error = None
        self._store.lock = self._lock
        self._store.forget()


_registry_lock = threading.Lock()
_by_folder: weakref.WeakValueDictionary[str, Cache] = weakref.WeakValueDictionary()
_kept: OrderedDict[str, Cache] = OrderedDict()
_all: weakref.WeakSet[Cache] = weakref.WeakSet()


def _close_all() -> None:
    for cache in list(_all):
        with contextlib.suppress(OSError):
            cache.end()


def _forget_all() -> None:
    global _registry_lock
    _registry_lock = threading.Lock()
    for cache in list(_all):
        cache._forget()


atexit.register(_close_all)
os.register_at_fork(after_in_child=_forget_all)
