"""How quickly items are said to come, and what is handed out again."""

from __future__ import annotations

from cachedmodel.outcomes import Pace, read_only


def test_quick_items_are_told_by_very_many() -> None:
    """A few are not enough, and a slow one is remembered."""
    pace = Pace()
    assert not any(pace.is_quick(1e-6) for _ in range(64))
    assert pace.is_quick(1e-6)
    assert not pace.is_quick(1.0)


def test_arrays_that_are_handed_out_again_are_read_only() -> None:
    """At any depth of plain containers; the object is the same."""
    import numpy as np

    arrays = [np.zeros(1) for _ in range(3)]
    value = {"a": arrays[0], "b": [arrays[1], (arrays[2], "text")]}
    assert read_only(value) is value
    assert not any(array.flags.writeable for array in arrays)
