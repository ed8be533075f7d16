"""Names of shards: random, with the generation, and whether entries of older shards may be replaced or deleted there.

``1234567890abcdef_1f.shard`` only adds entries; ``1234567890abcdef+1f.shard`` may replace some. So whatever becomes of what
is in such a file, it is known as long as it is there that older shards may be out of date, and which those are.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from .files import random_name

SUFFIX = ".shard"

_NAME = re.compile(rf".*([_+])([0-9a-f]{{1,12}}){re.escape(SUFFIX)}", re.DOTALL).fullmatch
_MADE = re.compile(rf"([0-9a-f_+-]+)-([0-9a-f]{{8}})-([0-9a-f]{{4}})-[0-9a-f_+]+{re.escape(SUFFIX)}").fullmatch
_NUMBER = re.compile(r"[0-9a-f]{4}").match
#: Of a longer name, one that is longer still would leave no room for what repair puts behind it.
_LONGEST = 120


def new_name(generation: int, *, replaces: bool) -> str:
    """A name that nobody else has."""
    return f"{random_name()}{'+' if replaces else '_'}{generation:x}{SUFFIX}"


def name_below(lowest: str, number: int, generation: int, *, replaces: bool) -> str:
    """A name just before `lowest` in the order of names, and after all that are before that; higher for a higher number."""
    return f"{_below(lowest)}{number:04x}-{new_name(generation, replaces=replaces)}"


def first_below(lowest: str, names: Iterable[str]) -> int:
    """The first number for `name_below` that is higher than those of all these names."""
    start = _below(lowest)
    numbers = [number[0] for name in names if name.startswith(start) and (number := _NUMBER(name, len(start)))]
    return 1 + max((int(number, 16) for number in numbers), default=-1)


def has_room_below(lowest: str) -> bool:
    """False if names below would get longer each time, and are long enough."""
    return len(lowest) < _LONGEST or not _is_later(lowest)


def _is_later(name: str) -> bool:
    """Whether others were made with it that come before, and that go on to come before what is made of this one."""
    made = _MADE(name)
    return made is not None and int(made[3], 16) > 0


def _below(lowest: str) -> str:
    made = None if _is_later(lowest) else _MADE(lowest)
    base, counter = (made[1], int(made[2], 16) - 1) if made else (lowest.removesuffix(SUFFIX), 0xFFFFFFFF)
    return f"{base}-{counter:08x}-"


def generation_of(name: str) -> int:
    """The generation of a shard; 0 if its name tells none."""
    found = _NAME(name)
    return int(found[2], 16) if found else 0


def may_replace(name: str) -> bool:
    """Whether entries of a shard may replace or delete those of older ones."""
    found = _NAME(name)
    return found is not None and found[1] == "+"
