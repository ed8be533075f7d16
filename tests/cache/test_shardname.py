"""Names of shards say their place among all others."""

from __future__ import annotations

import random

from cachedmodel.cache.shardname import first_below, generation_of, has_room_below, may_replace, name_below, new_name


def _below(lowest: str, names: list[str], count: int) -> list[str]:
    first = first_below(lowest, names)
    return [
        name_below(lowest, first + number, generation_of(lowest), replaces=may_replace(lowest))
        for number in range(count)
    ]


def test_what_is_made_comes_just_before() -> None:
    """Names made below one, however often, come before it in their order, and after all that came before it."""
    choose = random.Random(0)
    for _ in range(100):
        names = sorted(new_name(1, replaces=choose.random() < 0.5) for _ in range(5))
        for _ in range(20):
            place = choose.randrange(len(names))
            if not has_room_below(names[place]):
                continue
            made = _below(names[place], names, choose.randrange(1, 4))
            removed = choose.randrange(2)

            assert sorted([*names, *made]) == [*names[:place], *made, *names[place:]]
            names[place : place + removed] = made


def test_names_do_not_grow_for_ever() -> None:
    """There is room for repair, and for its folder for what is set aside."""
    name = new_name(0xFFFFFFFFFFFF, replaces=True)
    while has_room_below(name) and len(name) < 999:
        name = _below(name, [], 2)[1]

    assert len(_below(name, [], 1)[0]) < 255 - 17
