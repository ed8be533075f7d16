"""What was let go of is given up: at once, by who let go of it, or a little later where that could be a dead lock.

The garbage collector runs finalizers wherever it likes, also in the midst of code of ours that holds locks. There a
finalizer takes none: what it was to do is left to a thread of ours, or to whoever claims next. Wherever it is not the
midst of our code, it is done at once, in the thread of who let go: as that of a method that is a generator, and has a
clean-up, expects.
"""

from __future__ import annotations

import contextlib
import sys
import types
from collections import deque
from collections.abc import Callable

_PACKAGE = __name__.partition(".")[0]
#: Modules of ours that hold no lock: who consumes an iterator, or drops it, does so by way of them.
_LOCKLESS = frozenset(f"{_PACKAGE}.{name}" for name in ("boundmethods", "dropping", "jobs", "stream"))
#: Where methods are called: what they let go of is theirs, and no lock is held there.
_CALLERS = frozenset(f"{_PACKAGE}.run.Run.{name}" for name in ("_run", "_outputs"))

_later: deque[Callable[[], object]] = deque()


def give_up(stop: Callable[[], object]) -> None:
    """Calls `stop`, at once if that is safe: for finalizers."""
    if _is_amidst_ours(sys._getframe(1)):
        put_off(stop)
    else:
        stop()


def put_off(call: Callable[[], object]) -> None:
    """Leaves something to be done: for handlers of forks, after which other locks are not renewed yet."""
    _later.append(call)


def _is_amidst_ours(frame: types.FrameType | None) -> bool:
    """Whether it is code of ours that is interrupted, directly or in the midst of what it called.

    Not the module of the innermost frame counts: a named tuple of ours is made in one of its own, and values are pickled,
    under our locks, by code of their classes.
    """
    while frame is not None:
        module = str(frame.f_globals.get("__name__"))
        if module.partition(".")[0] == _PACKAGE and module not in _LOCKLESS:
            return f"{module}.{frame.f_code.co_qualname}" not in _CALLERS
        frame = frame.f_back
    return False


def catch_up() -> None:
    """Does what was left to do; must not be called where a lock is held."""
    while _later:
        try:
            stop = _later.popleft()
        except IndexError:  # another thread was first
            return
        with contextlib.suppress(Exception):  # nobody is there any more whom a failure to tidy up could be told
            stop()
