"""The place that a running call takes up in its pool or queue, and how it lends it while it waits for others.

Without that, calls that wait for the result of one that is queued behind them would wait for ever.
"""

from __future__ import annotations

import contextlib
import threading
import time
import typing as tp
from collections.abc import Callable, Iterator


class Place(tp.Protocol):
    """What a running call takes up; kept by who runs it."""

    def lend(self) -> None: ...

    def take_back(self) -> None: ...


_thread = threading.local()


def set_place(place: Place | None) -> None:
    """Says that this thread now runs a call that takes up this place, or none."""
    _thread.place = place


def wait_until(done: Callable[[], bool], timeout: float | None, first_s: float, longest_s: float) -> bool:
    """Asks `done` again and again, with pauses that grow from `first_s` to `longest_s`; False if `timeout` (s) passed first."""
    deadline = None if timeout is None else time.monotonic() + timeout
    if done():
        return True
    with lend_place():
        while not done():
            left = longest_s if deadline is None else deadline - time.monotonic()
            if left <= 0:
                return False
            time.sleep(min(first_s, left))
            first_s = min(first_s * 1.5, longest_s)
    return True


@contextlib.contextmanager
def lend_place() -> Iterator[None]:
    """Wraps whatever waits for the result of another computation; does nothing outside of pools and local jobs.

    Afterwards the call goes on at once: for a moment one more may be running than there are places.
    """
    place: Place | None = getattr(_thread, "place", None)
    if place is None:
        yield
        return
    _thread.place = None
    place.lend()
    try:
        yield
    finally:
        place.take_back()
        _thread.place = place


_ranks = (0, 1)


def set_ranks(rank: int, count: int) -> None:
    """Says that this process is one of several that run the same call together, and which one."""
    global _ranks
    _ranks = rank, count


def ranks() -> tuple[int, int]:
    """Of the processes that run this call together: which one this is, 0 being the first, and how many there are."""
    return _ranks
