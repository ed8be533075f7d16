"""What computes which item in this process or through it, so that its other threads wait for that."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import threading
from collections.abc import Iterator, Mapping

from .dropping import put_off
from .part import Part


@dataclasses.dataclass
class _Place:
    """What computes items of one place, by uid."""

    parts: dict[str, Part] = dataclasses.field(default_factory=dict)
    lock: threading.RLock = dataclasses.field(default_factory=threading.RLock)
    users: int = 0


_places: dict[str, _Place] = {}
_lock = threading.RLock()
_NONE: Mapping[str, Part] = {}


@contextlib.contextmanager
def claiming_at(place: str) -> Iterator[dict[str, Part]]:
    """What computes items of a place, to be changed; only others of this place wait meanwhile, who claim may take long."""
    with _lock:
        here = _places.setdefault(place, _Place())
        here.users += 1
    try:
        with here.lock:
            yield here.parts
    finally:
        with _lock:
            here.users -= 1
            if not here.users and not here.parts and _places.get(place) is here:
                del _places[place]


def parts_at(place: str) -> Mapping[str, Part]:
    """What computes items of a place."""
    here = _places.get(place)
    return _NONE if here is None else here.parts


def _forget() -> None:
    """In a forked child: they are the parent's."""
    global _lock
    _lock = threading.RLock()
    parents = _places.copy()
    _places.clear()
    put_off(parents.clear)


os.register_at_fork(after_in_child=_forget)
