"""What got slower than the baseline is named, and what the machine made slow is not."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import pytest

from benchmarks.__main__ import main
from benchmarks.baseline import Baseline, ratios
from benchmarks.contenders import OURS
from benchmarks.records import Record
from benchmarks.rows import BY_KEY, Row

ROWS = (BY_KEY["uid"], BY_KEY["ram"])


def records(**times_by_key: float) -> list[Record]:
    """A run of one round, in which cachedmodel takes so many times what floors take."""
    return [
        Record(key, name, 0, value)
        for key, times in times_by_key.items()
        for name, value in ((OURS, 3 * times), (BY_KEY[key].floor, 3.0))
    ]


def test_a_baseline_comes_back(tmp_path: Path) -> None:
    """Ratios are written and read."""
    path = tmp_path / "baseline.json"

    saved = Baseline(ratios(records(uid=4.0, ram=2.0)), cpu=True)
    saved.save(path)

    assert Baseline.read(path) == saved == Baseline({"uid": 4.0, "ram": 2.0}, cpu=True)


def test_without_baseline_the_command_is_told(tmp_path: Path) -> None:
    """The message says how to make one."""
    with pytest.raises(SystemExit, match="python -m benchmarks baseline"):
        Baseline.read(tmp_path / "baseline.json")


def test_what_is_slower_by_more_than_a_fifth_is_named() -> None:
    """A row within a fifth, and one that only the baseline or the run has, are not."""
    before = Baseline({"uid": 4.0, "ram": 2.0, "cold.time": 1.0})

    found = before.regressions(records(uid=4.9, ram=2.3, construct=9.0))

    assert [str(regression) for regression in found] == [
        "uid (uid of a fresh configuration of plain values): 4.9 × the floor, was 4 ×: 1.23 times the baseline"
    ]


def test_a_suspect_is_measured_again_with_more_rounds() -> None:
    """One that is slow each time is named; one that once is not was slowed by other work."""
    measured: list[tuple[list[str], int]] = []
    goes = [records(uid=6.0, ram=6.0), records(uid=5.0, ram=2.0), records(uid=5.5)]

    def measure(rows: Iterable[Row], rounds: int) -> Sequence[Record]:
        measured.append(([row.key for row in rows], rounds))
        return goes[len(measured) - 1]

    found = Baseline({"uid": 4.0, "ram": 2.0}).slower(measure, ROWS)

    assert [(regression.row.key, regression.now) for regression in found] == [("uid", 5.5)]
    assert measured == [(["uid", "ram"], 1), (["uid", "ram"], 2), (["uid"], 3)]


def test_compare_ends_with_1_and_names_what_is_slower(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The command measures, and measures what it suspects again."""
    path = tmp_path / "baseline.json"
    Baseline({"construct": 0.001, "uid": 1_000_000}).save(path)
    command = ["compare", "--only", "construct,uid", "--baseline", str(path), "--folder", str(tmp_path)]

    assert main(command) == 1
    assert capsys.readouterr().out.startswith("construct (")

    Baseline({"construct": 1_000_000}, cpu=True).save(path)
    assert main(command) == 0
    assert capsys.readouterr().out == "Nothing got slower by more than a fifth.\n"
