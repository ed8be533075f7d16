"""What a model keeps that no copy of it shares."""

from __future__ import annotations

import os
import threading
import types
import typing as tp
from collections.abc import Callable

if tp.TYPE_CHECKING:
    from .binding import Bound
    from .methods import Method
    from .model import CachedModel


class State(dict["Method", "Bound"]):
    """What a model keeps that no copy of it shares: its bound methods, and whether its fields may still change."""

    frozen: bool = False
    arrived: bool = False  # by pickle: mode="force" was for the sender to do


# held for moments, and never across a fork: the child would wait for a thread that it does not have
first_look: threading.RLock = threading.RLock()
os.register_at_fork(before=first_look.acquire, after_in_parent=first_look.release, after_in_child=first_look.release)


class States:
    """The states of all models.

    Attributes
    ----------
    of
        The state of a model; AttributeError if it has none yet, TypeError if it is no CachedModel. Not the attribute itself:
        pydantic looks long for one that is missing.
    """

    of: Callable[[object], State]
    _put: Callable[[object, State], None]

    def keep_in(self, slot: types.MemberDescriptorType) -> None:
        """Says where models keep their states."""
        self.of, self._put = slot.__get__, slot.__set__

    def new(self, model: CachedModel, arrived: bool = False) -> State:
        """Gives a model a state, in place of the one it has."""
        state = State()
        if arrived:
            state.arrived = True
        self._put(model, state)
        return state


states: tp.Final = States()


def state_of(model: CachedModel) -> State:
    """The state of a model, made at the first look."""
    try:
        return states.of(model)
    except AttributeError:
        return first_state(model)


def first_state(model: CachedModel) -> State:
    """The state of a model that probably has none: the same for all threads."""
    with first_look:
        # what another thread may have made meanwhile; past the class, whose look for what is missing takes twice as long
        state: State | None = getattr(super(type(model), model), "__cachedmodel__", None)
        return states.new(model) if state is None else state
