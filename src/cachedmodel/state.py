"""What a model keeps that no copy of it shares."""

from __future__ import annotations

import typing as tp

if tp.TYPE_CHECKING:
    from .binding import Bound
    from .methods import Method
    from .model import CachedModel


class State(dict["Method", "Bound"]):
    """What a model keeps that no copy of it shares: its bound methods, and whether its fields may still change."""

    __slots__ = ("arrived", "frozen")

    def __init__(self, arrived: bool = False) -> None:
        self.frozen = False
        self.arrived = arrived  # by pickle: mode="force" was for the sender to do


def state_of(model: CachedModel) -> State:
    """The state of a model, made at the first look."""
    try:
        return model.__cachedmodel__
    except AttributeError:
        state = State()
        object.__setattr__(model, "__cachedmodel__", state)
        return state
