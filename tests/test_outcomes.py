"""How quickly items are said to come, and what is handed out again."""

from __future__ import annotations

from cachedmodel.outcomes import Outcomes, Pace, Target, read_only


def test_quick_items_are_told_by_many() -> None:
    """A few are not enough, and a slow one is remembered."""
    pace = Pace()
    assert not any(pace.is_quick(1e-6) for _ in range(32))
    assert pace.is_quick(1e-6)
    assert not pace.is_quick(1.0)


def test_what_is_stored_nowhere_is_shown_together_when_it_comes_in_a_moment() -> None:
    """At most 2 ms of it, or some hundred items; the first and slow ones at once."""
    shown: list[int] = []
    outcomes = Outcomes(Target("name", "scope", None, {}, Pace()), frozenset(), lambda some: shown.append(len(some)))
    for number in range(36):
        outcomes.put(f"first{number}", number, 1e-6)
    assert shown == [1] * 32
    outcomes.put("slow", 0, 1.0)
    assert shown[32:] == [5]
    for number in range(3000):
        outcomes.put(f"next{number}", number, 1e-6)
    outcomes.commit()
    assert sum(shown) == 3037
    assert max(shown) == 1024


def test_arrays_that_are_handed_out_again_are_read_only() -> None:
    """At any depth of plain containers; the object is the same."""
    import numpy as np

    arrays = [np.zeros(1) for _ in range(3)]
    value = {"a": arrays[0], "b": [arrays[1], (arrays[2], "text")]}
    assert read_only(value) is value
    assert not any(array.flags.writeable for array in arrays)
