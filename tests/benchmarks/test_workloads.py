"""Every workload measures its rows, on real stores and processes, at a size of nearly nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import workloads
from benchmarks.bench import Bench, ContenderError
from benchmarks.contenders import OURS, PEERS, installed
from benchmarks.records import figure
from benchmarks.rows import LONG, ROWS, TINY, Row, chosen


def measured(names: list[str], rows: tuple[Row, ...], folder: Path) -> Bench:
    """A run that is over."""
    with Bench(names, TINY, rows=rows, folder=str(folder), say=lambda _: None) as bench:
        workloads.measure(bench)
    return bench


@pytest.mark.parametrize(
    "workload",
    [
        pytest.param(name, marks=[pytest.mark.slow] * (name in LONG))
        for name in dict.fromkeys(row.workload for row in ROWS)
    ],
)
def test_each_row_has_a_figure(workload: str, tmp_path: Path) -> None:
    """cachedmodel and the floor of a row are measured, and give the right results."""
    rows = chosen([workload])

    bench = measured([OURS, *sorted({row.floor for row in rows})], rows, tmp_path)

    missing = [
        (row.key, name) for row in rows for name in (OURS, row.floor) if figure(bench.records, row, name) is None
    ]
    assert [found for found in missing if not (found[0].endswith("_mb") and not Path("/proc/self").exists())] == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize("peer", PEERS)
def test_a_peer_takes_part(peer: str, tmp_path: Path) -> None:
    """A peer gives the right results in all that it can do."""
    if not installed(peer):
        pytest.skip(f"{peer} is not installed")
    said: list[str] = []

    with Bench([peer], TINY, folder=str(tmp_path), say=said.append) as bench:
        workloads.measure(bench)

    assert {record.contender for record in bench.records} == {peer}
    assert [text for text in said if "left out" in text] == []


def test_each_workload_is_measured_by_a_module() -> None:
    """No row is forgotten."""
    assert {row.workload for row in ROWS} == {name for names in workloads.MODULES.values() for name in names}


def test_a_peer_that_fails_is_left_out(tmp_path: Path) -> None:
    """A failure costs a peer its place, with a note; one of a floor ends the run."""
    said: list[str] = []

    def fail(name: str) -> None:
        raise ContenderError(f"{name} fails\nand more")

    with Bench([], TINY, folder=str(tmp_path), say=said.append) as bench:
        assert bench.each(["exca"], fail) == []
        with pytest.raises(ContenderError, match="raw fails"):
            bench.each(["raw"], fail)

    assert said == ["exca is left out here: exca fails"]


def test_rounds_begin_with_another_each_time(tmp_path: Path) -> None:
    """Who is measured first changes from round to round, so that nobody always follows the same neighbour's work."""
    turns: list[tuple[int, str]] = []

    with Bench([], TINY, folder=str(tmp_path)) as bench:
        bench.rounds(["a", "b", "c"], lambda name, rnd: turns.append((rnd, name)), rounds=2)

    assert turns == [(0, "a"), (0, "b"), (0, "c"), (1, "b"), (1, "c"), (1, "a")]
