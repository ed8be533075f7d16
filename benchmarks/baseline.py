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


@dataclasses.dataclass(frozen=True)
class Baseline:
    """The ratios that were measured once, by row, and by which clock."""

    ratios: dict[str, float]
    cpu: bool = False

    def save(self, path: Path = PATH) -> None:
        """Writes it."""
        rounded = {key: float(f"{value:.3g}") for key, value in self.ratios.items()}
        path.write_text(json.dumps({"cpu": self.cpu, "ratios": rounded}, indent=2) + "\n")

    @classmethod
    def read(cls, path: Path = PATH) -> Baseline:
        """What was written.

        Raises
        ------
        SystemExit
            If there is nothing.
        """
        if not path.exists():
            raise SystemExit(f"There is no baseline {path}: `python -m benchmarks baseline` measures and writes one.")
        return cls(**json.loads(path.read_text()))

    def regressions(self, records: Sequence[Record]) -> list[Regression]:
        """What got slower by more than a fifth; rows that one of both lacks are left out."""
        now = ratios(records)
        return [
            Regression(BY_KEY[key], before, now[key])
            for key, before in self.ratios.items()
            if key in now and now[key] > TOLERANCE * before
        ]

    def slower(
        self, measure: Callable[[Iterable[Row], int], Sequence[Record]], rows: Iterable[Row], goes: int = 3
    ) -> list[Regression]:
        """What is slower by more than a fifth in each of several goes, the later ones of more rounds.

        Other work of the machine makes a go slow, and never makes one fast: a row whose ratio was once as it should be did
        not get slower.

        Parameters
        ----------
        measure
            Measures rows, in so many times the usual rounds.
        rows
            What is compared.
        goes
            Of which the first measures all rows, and each other one those that were too slow in all goes before it.
        """
        suspects: list[Regression] = []
        for go in range(goes):
            suspects = self.regressions(measure(rows, 1 + go))
            rows = [suspect.row for suspect in suspects]
            if not rows:
                break
        return suspects
