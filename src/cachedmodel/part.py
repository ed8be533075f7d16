"""A part of a call: items that are computed together, by a run in this process or by what an executor was given.

Whoever waits for an item advances its part. A part that nobody asks for any more is seen to end all the same, by a
thread that lives as long as such parts do, so that what it had claimed is free for others.
"""

from __future__ import annotations

import contextlib
import functools
import os
import threading
import time
import typing as tp
from collections.abc import Callable, Iterable, Sequence

from .cache import Cache, Keeper, Replace
from .cache.periodic import Periodic
from .dropping import catch_up, put_off
from .errors import JobLostError
from .executors import lend_place
from .run import Run

if tp.TYPE_CHECKING:
    from .executors import Handle, Status

_LOOK_S = 0.5


class Part:
    """Items that are computed together.

    Parameters
    ----------
    keys
        Uids of the items.
    run
        The run, where it is one in this process whose outcomes can be seen as they come.
    is_inline
        True if those who wait for its items advance the run; else an executor does.
    claims
        Where the items are claimed for a run that may be left standing, and what may be stored all the same.

    Attributes
    ----------
    handle
        What the executor gave for it.
    keeper
        The job that keeps its claims, if it is one.
    is_dropped
        True if it was given up by who started it: others who want its items have to compute them.
    """

    def __init__(
        self,
        keys: Sequence[str],
        run: Run | None = None,
        *,
        is_inline: bool = False,
        claims: tuple[Cache, Replace] | None = None,
    ) -> None:
        self.keys: list[str] = list(keys)
        self.run = run
        self.is_inline = is_inline
        self.handle: Handle | None = None
        self.keeper: Keeper | None = None
        self.is_dropped: bool = False
        self._lock = threading.Lock()
        self._process = _process
        self._is_over = False
        self._unseen = set(keys) if run is None else set()
        self._on_end: list[Callable[[], object]] = []
        self._claims = claims
        self._progress: int | None = None
        self._since = 0.0
        if run is not None:
            run.on_end(self.end)

    def on_end(self, call: Callable[[], object]) -> None:
        """Has `call` called once, when it is seen that the part ended."""
        self._on_end.append(call)

    @property
    def finished(self) -> bool:
        """True once nothing more is to come."""
        if self._process is not _process:
            self._leave()
        if not self._is_over and self.handle is not None and self.handle.done():
            self.end()
        return self._is_over

    def _leave(self) -> None:
        """In a forked child: unless a job computes it, only the parent does, which has the threads that hold its locks."""
        self._process = _process
        self._lock = threading.Lock()
        if self.handle is None or self.handle.folder is None:
            self.is_dropped = self._is_over = True
            self._on_end.clear()
        if self.run is not None:
            self.run.leave()

    def seen(self, key: str) -> None:
        """Says that the outcome of an item is known; with the last one the part is over, though its job may take a moment."""
        self._unseen.discard(key)
        if not self._unseen:
            self.end()

    def end(self) -> None:
        """Lets go of what waits for the end."""
        if self._process is not _process:
            self._leave()
        with self._lock:
            calls, self._on_end = self._on_end, []
            self._is_over = True
        for call in calls:
            call()

    def advance(self, key: str | None, timeout: float) -> None:
        """Computes up to an item (None: to the end), if that is for its callers to do; else waits a little for news."""
        if self._process is not _process and self.finished:
            return
        if self.is_inline and self.run is not None:
            self.run.drive(key, timeout)
            return
        if self.run is not None:
            self.run.wait(key, timeout)
            return
        with lend_place():
            if self.handle is not None:
                self.handle.wait(timeout)
            else:  # another thread is about to submit it
                time.sleep(timeout)

    def look(self) -> bool:
        """True if it ended. A run that nobody advances for a lease, since its iterator is kept but not consumed, rests."""
        if self.run is not None and self._claims is not None:
            progress, now = self.run.progress, time.monotonic()
            if progress is None or progress != self._progress:
                self._progress, self._since = progress, now
            elif now - self._since > self._claims[0].options.lease_s:
                self.rest()
        return self.finished

    def rest(self) -> None:
        """Lets others compute what is claimed for a run that nobody advances just now."""
        if self.run is not None and self._claims is not None:
            cache, replace = self._claims
            with contextlib.suppress(OSError):
                self.run.rest(cache.release, functools.partial(self._reclaim, cache, replace))

    def _reclaim(self, cache: Cache, replace: Replace, keys: list[str]) -> bool:
        with contextlib.suppress(OSError):
            granted = cache.claim(keys, replace)
            if len(granted) == len(keys):
                return True
            cache.release(granted)
        self.is_dropped = True
        return False

    def join(self) -> None:
        """Waits until whatever computes it has ended, or computes it to its end."""
        if self._process is not _process and self.finished:
            return
        if self.is_inline and self.run is not None:
            self.run.drive()
        elif self.handle is not None:
            self.handle.wait()

    def error(self) -> BaseException | None:
        """Why it ended, if it was not because all was computed."""
        error = self.run.error if self.run is not None else None
        if error is None and self.handle is not None:
            error = self.handle.error()
        if error is None or isinstance(error, Exception):
            return error
        lost = JobLostError(f"The computation was ended by {error!r}.")
        lost.__cause__ = error
        return lost

    def status(self) -> Status:
        """What the executor says of it."""
        if self.handle is not None:
            return self.handle.status()
        return "running" if self.is_inline else "queued"

    def stop(self) -> None:
        """Gives it up, if it is this process that computes it; a job goes on."""
        if self.finished or (self.handle is not None and self.handle.folder is not None):
            return
        self.is_dropped = True
        self.cancel()
        if self.run is None:
            self.end()  # at once: what was claimed is free, even if the worker takes a moment to die

    def cancel(self) -> None:
        """Asks whatever computes it not to start, or to stop."""
        if self._process is not _process:
            self._leave()
        if self.run is not None:
            self.run.stop()
        if self.handle is not None:
            self.handle.cancel()


# -- parts that nobody waits for ---------------------------------------------------------------------------

#: Another object in each process.
_process: object = object()
_open: set[Part] = set()
_lock = threading.Lock()
_watcher: Periodic | None = None


def watch(parts: Iterable[Part]) -> None:
    """Sees to it that these parts end, whoever waits for them, and that they hold up nobody."""
    global _watcher
    with _lock:
        for part in parts:
            _open.add(part)
            part.on_end(functools.partial(_open.discard, part))
        if _watcher is None and _open:
            _watcher = Periodic(_look, _LOOK_S, "cachedmodel-watch")
            _watcher.start()


def _look() -> bool:
    global _watcher
    catch_up()
    ended = [part for part in list(_open) if part.look()]
    with _lock:
        _open.difference_update(ended)
        if not _open:
            _watcher = None
        return bool(_open)


def _forget() -> None:
    global _lock, _watcher, _process
    _lock, _watcher, _process = threading.Lock(), None, object()
    parents = _open.copy()
    _open.clear()
    put_off(parents.clear)


os.register_at_fork(after_in_child=_forget)
