"""What is being computed, as seen by what computes it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from cachedmodel.chain import chain, check_recursion
from cachedmodel.errors import RecursiveComputeError
from cachedmodel.outcomes import Target
from cachedmodel.run import Run


def test_what_is_computed_is_known_within() -> None:
    """By its scope and items; outside nothing is."""
    target, seen = Target("xp.embed", "scope", None), list[object]()

    def compute(items: list[int]) -> Iterator[int]:
        seen.append(chain.get())
        with pytest.raises(RecursiveComputeError, match=r"item '2' of xp\.embed is asked for by its own computation"):
            check_recursion(target, ["3", "2"])
        check_recursion(target, ["3"])
        check_recursion(Target("xp.embed", "other scope", None), ["2"])
        yield from items

    Run(target, compute, {"1": 1, "2": 2}).drive()
    assert seen == [(("scope", frozenset({"1", "2"})),)]
    assert chain.get() == ()
