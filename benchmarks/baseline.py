"""The baseline: the ratios to the floors that were measured once, and what got slower since."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from .records import Record, ratio
from .rows import BY_KEY, Row

PATH = Path(__file__).with_name("baseline.json")
#: What is slower than the baseline by more than this factor is named.
TOLERANCE = 1.2


@dataclasses.dataclass(frozen=True)
class Regression:
    """A row whose ratio to the floor grew."""

    row: Row
    before: float
    now: float

    def __str__(self) -> str:
        slower = f"{self.now / self.before:.2f} times the baseline"
        return f"{self.row.key} ({self.row.work}): {self.now:.3g} × the floor, was {self.before:.3g} ×: {slower}"


def ratios(records: Sequence[Record]) -> dict[str, float]:
    """The median ratio of each row that was measured."""
    found = {key: ratio(records, row) for key, row in BY_KEY.items()}
    return {key: spread.median for key, spread in found.items() if spread is not None}


def save(records: Sequence[Record], path: Path = PATH) -> None:
    """Writes the ratios of a run."""
    rounded = {key: float(f"{value:.3g}") for key, value in ratios(records).items()}
    path.write_text(json.dumps(rounded, indent=2) + "\n")


def read(path: Path = PATH) -> dict[str, float]:
    """The ratios that were written.

    Raises
    ------
    SystemExit
        If there are none.
    """
    if not path.exists():
        raise SystemExit(f"There is no baseline {path}: `python -m benchmarks baseline` measures and writes one.")
    found: dict[str, float] = json.loads(path.read_text())
    return found


def regressions(baseline: dict[str, float], records: Sequence[Record]) -> list[Regression]:
    """What got slower by more than a fifth; rows that one of both lacks are left out."""
    now = ratios(records)
    return [
        Regression(BY_KEY[key], before, now[key])
        for key, before in baseline.items()
        if key in now and now[key] > TOLERANCE * before
    ]


def confirmed(
    baseline: dict[str, float],
    measure: Callable[[Iterable[Row], int], Sequence[Record]],
    rows: Iterable[Row],
    goes: int = 3,
) -> list[Regression]:
    """What is slower by more than a fifth in each of several goes, the later ones of more rounds.

    Other work of the machine makes single goes slow, and never makes one fast: a row whose ratio was once as it should be did not
    get slower.

    Parameters
    ----------
    baseline
        Ratios by row.
    measure
        Measures rows, in so many times the usual rounds.
    rows
        What is compared.
    goes
        Of which the first measures all rows, and each other one those that were too slow in all goes before it.
    """
    suspects: list[Regression] = []
    for go in range(goes):
        suspects = regressions(baseline, measure(rows, 1 + go))
        rows = [suspect.row for suspect in suspects]
        if not rows:
            break
    return suspects
