"""A thread that does something every so many seconds, and that no fork and no end of the interpreter finds alive."""

from __future__ import annotations

import atexit
import os
import threading
import weakref
from collections.abc import Callable

# before the handlers here are registered, so that its handler runs after them: the last before the fork
import cachedmodel.forks  # noqa: F401

#: A fork does not wait longer than this for what a thread is doing.
_JOIN_S = 5.0


class Periodic:
    """Calls `action` every `seconds` until it returns False or `stop` is called."""

    def __init__(self, action: Callable[[], bool], seconds: float, name: str) -> None:
        self._action = action
        self.seconds = seconds
        self._name = name
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(self._stop,), name=self._name, daemon=True)
        self._thread.start()
        _running.add(self)

    def stop(self) -> None:
        """Ends the thread; returns when it ended."""
        thread, self._thread = self._thread, None
        self._stop.set()
        _running.discard(self)
        if thread is not None and thread is not threading.current_thread():
            thread.join(_JOIN_S)

    def _run(self, stop: threading.Event) -> None:
        while not stop.wait(self.seconds):
            if not self._action():
                _running.discard(self)
                return


_running: weakref.WeakSet[Periodic] = weakref.WeakSet()
_paused: list[Periodic] = []


def _before_fork() -> None:
    _paused[:] = list(_running)
    for periodic in _paused:
        periodic.stop()


def _after_in_parent() -> None:
    for periodic in _paused:
        periodic.start()
    _paused.clear()


def _after_in_child() -> None:
    _paused.clear()
    _running.clear()


def _stop_all() -> None:
    for periodic in list(_running):
        periodic.stop()


# the interpreter kills such threads wherever they are when it ends, whatever lock they hold
atexit.register(_stop_all)
os.register_at_fork(before=_before_fork, after_in_parent=_after_in_parent, after_in_child=_after_in_child)
