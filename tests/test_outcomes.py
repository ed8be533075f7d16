"""How quickly items are said to come, and what is handed out again."""

from __future__ import annotations

from pathlib import Path

from cachedmodel.cache import Cache, Options
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


def gathering(folder: Path, shown: list[list[str]]) -> Outcomes:
    """Outcomes of a method whose items come in a moment, into a cache."""
    pace = Pace()
    while not pace.is_quick(1e-6):
        pass
    cache = Cache.open(str(folder), str(folder), single=False, options=Options())
    target = Target("name", "scope", cache, None, pace)
    return Outcomes(target, frozenset(), lambda some: shown.append(list(some)))


def test_what_came_in_a_moment_waits_for_a_batch_that_comes_in_one(tmp_path: Path) -> None:
    """And for no other."""
    shown: list[list[str]] = []
    outcomes = gathering(tmp_path, shown)
    assert outcomes.can_wait(1.0)
    outcomes.put("a", 1.0, 1e-6)
    assert outcomes.can_wait(1e-3)
    assert not outcomes.can_wait(1.0)
    outcomes.put("b", [1.0], 1e-6)  # which goes to the cache by itself
    assert not outcomes.can_wait(1e-3)
    outcomes.commit()
    assert [key for some in shown for key in some] == ["a", "b"]


def test_what_is_dropped_leaves_the_others(tmp_path: Path) -> None:
    """Those of the batches before may be gathered with it."""
    shown: list[list[str]] = []
    outcomes = gathering(tmp_path, shown)
    for key in "abc":
        outcomes.put(key, 1.0, 1e-6)
    outcomes.drop(["b", "c"])
    outcomes.commit()
    assert shown == [["a"]]
    assert outcomes.cache is not None
    assert sorted(outcomes.cache.keys()) == ["a"]


def test_slow_items_are_noticed_however_many_were_quick() -> None:
    """The first one is shown before the one after it is computed."""
    pace = Pace()
    for _ in range(1_000):
        pace.is_quick(1e-6)
    assert not pace.is_quick(1.0)
    assert pace.is_quick(1e-6)
