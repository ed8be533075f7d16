"""What a model keeps that no copy of it shares."""

from __future__ import annotations

import os
import threading
import typing as tp

if tp.TYPE_CHECKING:
    from .binding import Bound
    from .methods import Method
    from .model import CachedModel


class State(dict["Method", "Bound"]):
    """What a model keeps that no copy of it shares: its bound methods, and whether its fields may still change."""

    __slots__ = ("arrived", "frozen")

    def __init__(self, arrived: bool = False) -> None:
        self.frozen: bool = False
        self.arrived: bool = arrived  # by pickle: mode="force" was for the sender to do


# held for moments, and never across a fork: the child would wait for a thread that it does not have
first_look: threading.RLock = threading.RLock()
os.register_at_fork(before=first_look.acquire, after_in_parent=first_look.release, after_in_child=first_look.release)


def state_of(model: CachedModel) -> State:
    """The state of a model, made at the first look."""
    found: State | None = getattr(model, "__cachedmodel__", None)
    if found is None:
        with first_look:
            found = getattr(model, "__cachedmodel__", None)  # another thread may have been quicker
            if found is None:
                found = State()
                object.__setattr__(model, "__cachedmodel__", found)
    return found
