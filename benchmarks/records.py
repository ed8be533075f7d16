"""What was measured, and what follows of it: the median of the rounds, and ratios, which are taken inside one round."""

from __future__ import annotations

import dataclasses
import statistics
import typing as tp

from .contenders import OURS
from .rows import Row


@dataclasses.dataclass(frozen=True)
class Record:
    """One figure of one contender in one round; `n` is the number of items, of rows that say one."""

    key: str
    contender: str
    round: int
    value: float
    n: int | None = None


class Spread(tp.NamedTuple):
    """The median of the rounds, and the least and the most of them."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, values: tp.Collection[float]) -> Spread | None:
        """None if there is nothing."""
        return cls(statistics.median(values), min(values), max(values)) if values else None


def values(records: tp.Iterable[Record], row: Row, contender: str) -> dict[int, float]:
    """What a contender took, by round."""
    return {r.round: r.value for r in records if (r.key, r.contender) == (row.key, contender)}


def figure(records: tp.Iterable[Record], row: Row, contender: str = OURS) -> Spread | None:
    """What a contender took."""
    return Spread.of(values(records, row, contender).values())


def ratio(records: tp.Sequence[Record], row: Row, contender: str = OURS) -> Spread | None:
    """How many times the floor's cost a contender's is; rounds that lack one of them do not count."""
    floors = values(records, row, row.floor)
    pairs = [(value, floors[rnd]) for rnd, value in values(records, row, contender).items() if floors.get(rnd)]
    return Spread.of([floor / value if row.more_is_better else value / floor for value, floor in pairs])


def met(records: tp.Sequence[Record], row: Row) -> bool | None:
    """Whether cachedmodel reaches the target of a row; None where there is no target, or no figure."""
    if row.most is not None:
        found = figure(records, row)
        return None if found is None else found.median <= row.most
    found = ratio(records, row)
    return None if found is None or row.most_times is None else found.median <= row.most_times
