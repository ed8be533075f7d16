"""The rows of the table: what is measured, the floor it is compared with, and the target."""

from __future__ import annotations

import dataclasses
import typing as tp


@dataclasses.dataclass(frozen=True)
class Row:
    """One figure of each contender.

    Parameters
    ----------
    key
        Names it, eg in the baseline; its first word is the workload's.
    work
        What is done; ``{n}`` stands for the number of items.
    unit
        Of the figure of a contender.
    floor
        The contender that the figure is divided by.
    most_times
        Target: at most so many times the floor's.
    most
        Target: at most this, in `unit`.
    more_is_better
        The figure is a speed. A ratio is how many times slower than the floor, all the same.
    """

    key: str
    work: str
    unit: str
    floor: str
    most_times: float | None = None
    most: float | None = None
    more_is_better: bool = False

    @property
    def workload(self) -> str:
        """The workload that measures it."""
        return self.key.split(".")[0]


@dataclasses.dataclass(frozen=True)
class Sizes:
    """How much is done, and how often.

    Parameters
    ----------
    rounds
        In which everyone is measured once.
    configs
        Configurations that are constructed, named, computed.
    items
        Of the large maps.
    many_items
        Of the largest maps.
    growth
        Of the maps that show how the cost of an item grows with their number.
    warm_items
        Of the maps that are read from memory.
    arrays
        Of 64 kB each.
    sweep
        Configurations of a sweep, of which all but one in twenty are stored.
    shared_items
        That four processes ask for at once.
    singles
        Calls with one item.
    """

    rounds: int
    configs: int
    items: int
    warm_items: int
    arrays: int
    sweep: int = 200
    shared_items: int = 1_200
    singles: int = 3_000
    many_items: int = 1_000_000
    growth: tuple[int, ...] = (1_000, 10_000, 100_000, 1_000_000)


QUICK = Sizes(rounds=3, configs=100, items=20_000, warm_items=10_000, arrays=400)
FULL = Sizes(rounds=5, configs=300, items=100_000, warm_items=10_000, arrays=2_000)
#: For the tests.
TINY = Sizes(1, 4, 60, 40, 3, sweep=20, shared_items=20, singles=20, many_items=90, growth=(10, 20, 30, 40))

_BIG = "{n} tiny items"
#: Workloads that only a full run measures.
LONG: tp.Final = ("million", "growth")

ROWS: tuple[Row, ...] = (
    Row("import", "import and define a model", "ms", "pydantic", most_times=1.4),
    Row("construct", "construct, 10 fields and a nested model, infra given", "µs", "pydantic", most_times=2),
    Row("uid", "uid of a fresh configuration of plain values", "µs", "raw", most_times=5),
    Row("ram", "RAM hit, same object, plain values", "µs", "lru", most_times=3),
    Row("hit.object", "disk hit, fresh object, same process", "µs", "raw", most_times=7),
    Row("hit.process", "disk hit, fresh process, without imports", "ms", "raw", most_times=6),
    Row("cold.time", "cold task", "ms", "raw", most_times=5),
    Row("cold.files", "cold task: files", "files", "raw", most=4),
    Row("map.cold", "cold map, per item, n = {n}", "µs", "rawlog", most_times=4),
    Row("map.bytes", "cold map: bytes an item, n = {n}", "B", "rawlog", most=64),
    Row("warm.item", "warm map, per item, n = {n}", "µs", "rawlog", most_times=2.5),
    Row("warm.one", "one item, warm", "µs", "rawlog", most_times=3),
    Row("map.whole", "fresh process, whole set of {n}", "ms", "rawlog", most_times=2),
    Row("map.whole_mb", "fresh process, whole set of {n}: memory", "MB", "rawlog", most=40),
    Row("map.ten", "fresh process, 10 of {n}", "ms", "rawlog", most=2),
    Row("map.ten_mb", "fresh process, 10 of {n}: memory", "MB", "rawlog", most=3),
    Row("map.add", "100 new items into {n}, store just opened", "ms", "rawlog", most_times=4),
    Row("million.cold", f"{_BIG}: cold, per item", "µs", "rawlog", most_times=4),
    Row("million.cold_mb", f"{_BIG}: cold, streamed: memory", "MB", "rawlog", most=40),
    Row("million.whole", f"{_BIG}: whole set, fresh process", "ms", "rawlog", most_times=2),
    Row("million.whole_mb", f"{_BIG}: whole set, fresh process: memory", "MB", "rawlog"),
    Row("million.ten", "fresh process, 10 of {n}", "ms", "rawlog", most=2),
    Row("million.ten_mb", "fresh process, 10 of {n}: memory", "MB", "rawlog", most=3),
    Row("arrays.write", "{n} arrays of 64 kB: write", "MB/s", "rawlog", most_times=1.4, more_is_better=True),
    Row("arrays.read", "{n} arrays of 64 kB: read in a fresh process", "MB/s", "rawlog", 1.4, more_is_better=True),
    Row("sweep.computed", "which of {n} configurations are computed", "ms", "raw", most_times=8),
    Row("sweep.sweep", "sweep of {n}, 19 in 20 stored, the rest computed inline", "ms", "raw", most_times=3),
    Row("shared.time", "4 processes, same {n} items", "ms", "rawlog", most_times=2),
    Row("shared.computed", "4 processes, same {n} items: computed", "×", "rawlog", most=1),
    *(
        Row(f"growth.cold.{place}", "{n} tiny items: cold, per item", "µs", "rawlog")
        for place in range(len(FULL.growth))
    ),
    *(
        Row(f"growth.whole.{place}", "{n} tiny items: whole set, fresh process, per item", "µs", "rawlog")
        for place in range(len(FULL.growth))
    ),
)
BY_KEY: tp.Final = {row.key: row for row in ROWS}


def chosen(words: tp.Iterable[str]) -> tuple[Row, ...]:
    """The rows named by these words: keys, or their beginnings up to a dot.

    Raises
    ------
    SystemExit
        If a word names no row.
    """
    words = list(words)
    for word in words:
        if not any(_names(word, row) for row in ROWS):
            raise SystemExit(
                f"No row is named {word!r}. Rows: {', '.join(BY_KEY)}; eg `map` names all that begin with it."
            )
    return tuple(row for row in ROWS if any(_names(word, row) for word in words))


def _names(word: str, row: Row) -> bool:
    return row.key == word or row.key.startswith(word + ".")
