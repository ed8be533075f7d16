"""A run by itself: advanced by who needs its results, ended by whoever drops it, its failures pinned to an item."""

from __future__ import annotations

import gc
import threading
import typing as tp
import weakref
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from cachedmodel.cache import Cache, Options
from cachedmodel.outcomes import STORED, Pace, Raised, Target
from cachedmodel.run import MiscountError, Run


def make(compute: tp.Callable[[list[int]], Iterable[object]], *keys: str) -> Run:
    """A run whose items are the numbers that their uids say."""
    return Run(Target("xp.embed", "scope", None, {}, Pace()), compute, {key: int(key) for key in keys})


def doubles(items: list[int]) -> Iterator[int]:
    for item in items:
        if item == 13:
            raise ValueError(item)
        yield 2 * item


def test_a_run_advances_as_far_as_is_needed() -> None:
    """And no further."""
    run = make(doubles, "1", "2", "3")
    run.drive("2")
    assert run.results == {"1": 2, "2": 4}
    assert not run.finished
    run.drive()
    assert run.finished
    assert run.results["3"] == 6


def test_the_end_is_told_once() -> None:
    """However the run ends."""
    ends: list[str] = []
    for stop in (True, False):
        run = make(doubles, "1", "2")
        run.on_end(lambda: ends.append("end"))
        run.drive("1")
        if stop:
            run.stop()
        run.drive()
        run.stop()
    assert ends == ["end", "end"]


def test_the_method_is_closed_when_a_run_is_stopped() -> None:
    """Its clean-up runs."""
    ends: list[str] = []

    def compute(items: list[int]) -> Iterator[int]:
        try:
            yield from items
        finally:
            ends.append("closed")

    run = make(compute, "1", "2")
    run.drive("1")
    run.stop()
    assert ends == ["closed"]
    assert list(run.results) == ["1"]


def test_a_stop_that_is_interrupted_holds_up_nobody() -> None:
    """An interruption in the clean-up of the method is raised; whoever advances the run then sees it end."""

    def compute(items: list[int]) -> Iterator[int]:
        try:
            yield from items
        finally:
            raise KeyboardInterrupt

    run = make(compute, "1", "2")
    run.drive("1")
    with pytest.raises(KeyboardInterrupt):
        run.stop()

    run.drive()

    assert run.finished
    assert list(run.results) == ["1"]


def test_another_thread_sees_results_as_they_come() -> None:
    """Who waits is woken; who drives takes turns."""
    go = threading.Event()

    def compute(items: list[int]) -> Iterator[int]:
        yield items[0]
        go.wait(30)
        yield items[1]

    run = make(compute, "1", "2")
    driver = threading.Thread(target=run.drive)
    driver.start()
    run.wait("1", 30)
    assert list(run.results) == ["1"]
    run.wait("2", 0)
    assert list(run.results) == ["1"]
    other = threading.Thread(target=run.drive, args=("2",))
    other.start()
    go.set()
    run.wait("2", 30)
    driver.join(30)
    other.join(30)
    assert run.finished
    assert list(run.results) == ["1", "2"]


def test_a_failing_item_fails_alone() -> None:
    """The others get their outputs."""
    run = make(doubles, "1", "13", "2")
    run.drive()
    assert run.error is None
    failed = run.results.pop("13")
    assert run.results == {"1": 2, "2": 4}
    assert isinstance(failed, Raised)
    assert repr(failed.error) == "ValueError(13)"


def test_a_failure_after_the_last_output_is_told() -> None:
    """The outputs stay."""

    def compute(items: list[int]) -> Iterator[int]:
        yield from items
        raise ValueError("late")

    run = make(compute, "1")
    with pytest.warns(RuntimeWarning, match="failed after its last output: ValueError"):
        run.drive()
    assert run.results == {"1": 1}


def test_an_interruption_ends_a_run() -> None:
    """And is raised where it happened."""

    def compute(items: list[int]) -> Iterator[int]:
        yield items[0]
        raise KeyboardInterrupt

    run = make(compute, "1", "2")
    with pytest.raises(KeyboardInterrupt):
        run.drive()
    assert run.finished
    assert isinstance(run.error, KeyboardInterrupt)


def test_batches_before_one_that_is_miscounted_are_kept(tmp_path: Path) -> None:
    """Though all came in a moment, and share a commit."""
    pace = Pace()
    while not pace.is_quick(1e-6):
        pass
    cache = Cache.open(str(tmp_path), str(tmp_path), single=False, options=Options())

    def compute(items: list[int]) -> Iterator[float]:
        yield from map(float, items if items[0] < 3 else [*items, 0])

    items = {str(number): number for number in range(1, 5)}
    run = Run(Target("xp.embed", "scope", cache, None, pace), compute, items, batches=[["1", "2"], ["3", "4"]])
    run.drive()
    assert isinstance(run.error, MiscountError)
    assert run.results == {"1": 1.0, "2": 2.0}
    assert sorted(cache.keys()) == ["1", "2"]


def test_a_run_that_ended_is_freed_with_its_items() -> None:
    """At once, not when the collector comes by: the next ones are as large."""
    run = make(doubles, "1", "2")
    run.drive()
    freed = weakref.ref(run)
    gc.disable()
    try:
        del run
        assert freed() is None
    finally:
        gc.enable()


def test_outcomes_are_told_from_where_one_was(tmp_path: Path) -> None:
    """And values that may be large are let go of, once they are stored and were handed out; failures are kept."""
    cache = Cache.open(str(tmp_path), str(tmp_path), single=False, options=Options())

    def compute(items: list[int]) -> Iterator[object]:
        for item in items:
            yield 1 / (item - 2) if item < 3 else [item]

    run = Run(Target("xp.embed", "scope", cache, None, Pace()), compute, {str(n): n for n in range(1, 5)})
    run.drive("1")
    assert run.since(0) == {"1": -1.0}
    assert run.since(1) == {}
    run.drive()
    assert run.since(2) == {"3": [3], "4": [4]}
    run.forget(["1", "2", "3"])
    assert {key: outcome for key, outcome in run.results.items() if key != "2"} == {"1": -1.0, "3": STORED, "4": [4]}
    assert isinstance(run.results["2"], Raised)
