"""A run and its children."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.bench import Bench, ContenderError
from benchmarks.rows import TINY
from tests.benchmarks import operations


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """A run with a contender that is light."""
    with Bench(["lru"], TINY, folder=str(tmp_path_factory.mktemp("bench"))) as found:
        yield found


def test_what_an_operation_imports_is_there_the_next_time(bench: Bench) -> None:
    """The first fresh process shows what is imported, and those after it begin with that."""
    assert [bench.fresh("lru", operations.imports_late)["there"] for _ in range(2)] == [False, True]


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="memory is measured on Linux only")
def test_memory_is_that_of_the_peak(bench: Bench) -> None:
    """What was given back before the end counts, and what was taken before the beginning does not."""
    assert 49 <= bench.fresh("lru", operations.grows, 50)["grown_mb"] <= 60


def test_the_least_of_each_figure_is_taken(bench: Bench) -> None:
    """Figures are looked at one by one."""
    goes = itertools.cycle([{"us": 3.0, "mb": 1.0}, {"us": 2.0, "mb": 4.0}])

    assert bench.least(lambda: next(goes), goes=2) == {"us": 2.0, "mb": 1.0}


def test_an_error_in_a_child_is_raised(bench: Bench) -> None:
    """With its traceback; the child lives on."""
    with pytest.raises(ContenderError, match=r"ValueError: not today\n(.|\n)*in fails"):
        bench.ask("lru", operations.fails)

    assert bench.ask("lru", operations.imports_late)["one"] == 1


def test_a_child_that_ends_is_told(bench: Bench) -> None:
    """No reply is an error too."""
    with pytest.raises(ContenderError, match="the process of lru ended"):
        bench.fresh("lru", operations.ends)
