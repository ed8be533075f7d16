"""Records become tables, and tables parts of a page."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import page, table
from benchmarks.records import Record
from benchmarks.rows import BY_KEY

TOP = Path(__file__).parents[2]
RECORDS = [
    *(Record("map.cold", "cachedmodel", rnd, value, 100_000) for rnd, value in enumerate([4.0, 5.0, 8.0])),
    *(Record("map.cold", "rawlog", rnd, value, 100_000) for rnd, value in enumerate([1.0, 1.0, 2.0])),
    Record("map.cold", "exca", 0, 47.1, 100_000),
    Record("cold.files", "cachedmodel", 0, 5.0),
    Record("cold.files", "raw", 0, 1.0),
]
ROWS = (BY_KEY["map.cold"], BY_KEY["map.whole"], BY_KEY["cold.files"])


def test_targets_are_a_line_each() -> None:
    """A row that was not measured has no line."""
    assert table.targets(RECORDS, ROWS).splitlines() == [
        "| work | exca | floor | cachedmodel | ratio to the floor | target | met? |",
        "| --- | --- | --- | --- | --- | --- | --- |",
        "| cold map, per item, n = 100,000 | 47.1 µs | 1 µs (rawlog) | 5 µs | 4 × [4–5] | ≤ 4 × | yes |",
        "| cold task: files | — | 1 files (raw) | 5 files | 5 × | ≤ 4 files | **no** |",
    ]


def test_contenders_stand_side_by_side() -> None:
    """Those that were measured have a column; the floor is the last."""
    assert table.contenders(RECORDS, ROWS).splitlines() == [
        "| work | cachedmodel | exca | floor |",
        "| --- | --- | --- | --- |",
        "| cold map, per item, n = 100,000 | 5 µs | 47.1 µs | 1 µs |",
        "| cold task: files | 5 files | — | 1 files |",
    ]


def test_how_the_cost_grows_is_a_line_for_each_number() -> None:
    """In a table of its own, which a run that did not measure it has not."""
    grown = [
        Record(f"growth.{what}.0", name, 0, value, 1_000)
        for what, name, value in (
            ("cold", "cachedmodel", 4.0),
            ("cold", "rawlog", 2.0),
            ("whole", "cachedmodel", 0.3),
            ("whole", "rawlog", 0.1),
        )
    ]

    assert table.growth(grown).splitlines()[2:] == ["| 1,000 tiny items | 4 µs; 2 × | 0.3 µs; 3 × |"]
    assert table.growth(grown) in table.text([*RECORDS, *grown], ROWS)
    assert table.text(RECORDS, ROWS) == f"{table.targets(RECORDS, ROWS)}\n\n{table.contenders(RECORDS, ROWS)}"


def test_a_text_takes_the_place_between_the_marks(tmp_path: Path) -> None:
    """What stands around them stays; writing twice is writing once."""
    path = tmp_path / "page.md"
    path.write_text(f"# Title\n\n{page.BEGIN}\nold\n{page.END}\n\nEnd\n")

    for _ in range(2):
        page.write(path, "| new |")

    assert path.read_text() == f"# Title\n\n{page.BEGIN}\n\n| new |\n\n{page.END}\n\nEnd\n"


def test_a_page_without_marks_is_refused(tmp_path: Path) -> None:
    """The message says what to add."""
    path = tmp_path / "page.md"
    path.write_text("# Title\n")

    with pytest.raises(SystemExit, match="put them where"):
        page.write(path, "text")


def test_the_command_prints_the_table_and_keeps_the_records(tmp_path: Path) -> None:
    """`python -m benchmarks` runs from the top of a clone."""
    kept = tmp_path / "records.json"
    command = ["-m", "benchmarks", "--only", "construct", "--peers", "none", "--records", str(kept)]

    done = subprocess.run([sys.executable, *command], cwd=TOP, check=True, capture_output=True, text=True)

    assert "| construct, 10 fields and a nested model, infra given |" in done.stdout
    assert {record["contender"] for record in json.loads(kept.read_text())} == {"cachedmodel", "pydantic"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(["--only", "uids"], "No row is named 'uids'"), (["--peers", "numpy"], "'numpy' is no peer")],
)
def test_a_wrong_name_is_answered_with_the_right_ones(arguments: list[str], message: str) -> None:
    """Rows and peers."""
    done = subprocess.run([sys.executable, "-m", "benchmarks", *arguments], cwd=TOP, capture_output=True, text=True)

    assert done.returncode == 1
    assert message in done.stderr
    assert "exca" in done.stderr or "construct" in done.stderr
