"""Figures and ratios that follow from records."""

from __future__ import annotations

from benchmarks.contenders import OURS
from benchmarks.records import Record, Spread, figure, met, ratio
from benchmarks.rows import Row

TIMES = Row("uid", "uid", "µs", "raw", most_times=5)
MOST = Row("bytes", "bytes", "B", "raw", most=64)
SPEED = Row("read", "read", "MB/s", "raw", most_times=1.4, more_is_better=True)


def records(row: Row, ours: list[float], floor: list[float]) -> list[Record]:
    """What two contenders took in some rounds."""
    return [
        Record(row.key, name, rnd, value)
        for name, taken in ((OURS, ours), (row.floor, floor))
        for rnd, value in enumerate(taken)
    ]


def test_ratios_are_taken_inside_a_round() -> None:
    """A machine that is slow for one round is slow for everyone in it."""
    found = records(TIMES, [2.0, 20.0, 6.0], [1.0, 10.0, 2.0])

    assert ratio(found, TIMES) == Spread(2.0, 2.0, 3.0)
    assert figure(found, TIMES) == Spread(6.0, 2.0, 20.0)


def test_rounds_that_lack_one_do_not_count() -> None:
    """A contender that failed in a round has no ratio there."""
    assert ratio(records(TIMES, [2.0, 20.0], [1.0]), TIMES) == Spread(2.0, 2.0, 2.0)
    assert ratio(records(TIMES, [], [1.0]), TIMES) is None


def test_a_ratio_of_speeds_is_that_of_costs() -> None:
    """Half the speed is twice the cost."""
    assert ratio(records(SPEED, [500.0], [1000.0]), SPEED) == Spread(2.0, 2.0, 2.0)


def test_targets_are_met_by_the_median() -> None:
    """A ratio is held against a ratio, a figure against a figure."""
    assert met(records(TIMES, [4.9, 9.0, 3.0], [1.0, 1.0, 1.0]), TIMES) is True
    assert met(records(TIMES, [5.1], [1.0]), TIMES) is False
    assert met(records(MOST, [64.0], [1.0]), MOST) is True
    assert met(records(MOST, [65.0], [100.0]), MOST) is False
    assert met([], TIMES) is met([], MOST) is None
