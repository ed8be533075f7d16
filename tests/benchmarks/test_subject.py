"""What contenders return is verified."""

from __future__ import annotations

import pytest

from benchmarks import subject


def test_right_outputs_pass() -> None:
    """The outputs of the items, in whatever container."""
    items = range(5, 9)

    subject.verify_floats((item * 0.5 for item in items), items)
    subject.verify_arrays(map(subject.FUNCTIONS["array"], items), items)


@pytest.mark.parametrize("outputs", [[0.0, 0.5], [0.0, 0.5, 1.0, 1.0], [0.0, 0.5, 1.0, 1.5, 2.0]])
def test_wrong_floats_are_found(outputs: list[float]) -> None:
    """Too few, a wrong one, too many."""
    with pytest.raises(AssertionError):
        subject.verify_floats(outputs, range(4))


def test_wrong_arrays_are_found() -> None:
    """A byte that is wrong in the last array."""
    arrays = [subject.FUNCTIONS["array"](item) for item in range(3)]
    arrays[2][-1] += 100

    with pytest.raises(AssertionError, match="some values are wrong"):
        subject.verify_arrays(arrays, range(3))
