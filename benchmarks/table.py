"""Records as tables in Markdown: the targets, and all contenders side by side."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from collections.abc import Iterable, Sequence

from .contenders import FLOORS, OURS, PEERS
from .records import Record, Spread, figure, met, ratio
from .rows import BY_KEY, FULL, Row

_NOTHING = "—"
#: The peer that has a column of its own.
_CLOSEST = "exca"


def text(records: Sequence[Record], rows: Sequence[Row]) -> str:
    """All tables of a run."""
    compared = [row for row in rows if row.workload != "growth"]
    tables = [targets(records, compared), growth(records), contenders(records, compared)]
    return "\n\n".join(table for table in tables if table.count("\n") > 1)


def targets(records: Sequence[Record], rows: Iterable[Row]) -> str:
    """One line a row: what the closest peer, the floor and cachedmodel took, and whether the target is met."""
    lines = [[work(records, row), *_cells(records, row)] for row in rows if figure(records, row)]
    return _table(["work", _CLOSEST, "floor", OURS, "ratio to the floor", "target", "met?"], lines)


def _cells(records: Sequence[Record], row: Row) -> list[str]:
    floor = figure(records, row, row.floor)
    reached = met(records, row)
    return [
        _value(figure(records, row, _CLOSEST), row.unit),
        f"{_value(floor, row.unit)} ({row.floor})" if floor else _NOTHING,
        _value(figure(records, row), row.unit),
        times(ratio(records, row)),
        _target(row),
        _NOTHING if reached is None else "yes" if reached else "**no**",
    ]


def growth(records: Sequence[Record]) -> str:
    """One line for each number of items: what an item costs."""
    lines = []
    for place in range(len(FULL.growth)):
        rows = [BY_KEY[f"growth.{what}.{place}"] for what in ("cold", "whole")]
        if figure(records, rows[0]):
            cells = [f"{_value(figure(records, row), row.unit)}; {times(ratio(records, row))}" for row in rows]
            lines.append([work(records, rows[0]).partition(":")[0], *cells])
    return _table(["an item's cost, and its ratio to the floor", "cold", "whole set, fresh process"], lines)


def contenders(records: Sequence[Record], rows: Iterable[Row]) -> str:
    """One line a row: what everyone took."""
    present = {record.contender for record in records}
    names = [name for name in (OURS, *PEERS) if name in present]
    lines = []
    for row in rows:
        found = [figure(records, row, name) for name in names]
        if found[0]:
            floor = figure(records, row, row.floor)
            lines.append([work(records, row), *(_value(spread, row.unit) for spread in (*found, floor))])
    return _table(["work", *names, "floor"], lines)


def work(records: Iterable[Record], row: Row) -> str:
    """What a row is about, with the number of items that was measured."""
    count = next((record.n for record in records if record.key == row.key and record.n), None)
    return row.work.replace("{n}", "n" if count is None else f"{count:,}")


def number(value: float) -> str:
    """Three digits that count."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) < 1 else f"{value:.3g}".rstrip(".")


def times(spread: Spread | None) -> str:
    """A ratio, with its range where that is worth telling."""
    if spread is None:
        return _NOTHING
    text = f"{number(spread.median)} ×"
    if spread.most - spread.least > 0.02 * spread.median:
        text += f" [{number(spread.least)}–{number(spread.most)}]"
    return text


def _value(spread: Spread | None, unit: str) -> str:
    return _NOTHING if spread is None else f"{number(spread.median)} {unit}"


def _target(row: Row) -> str:
    if row.most is not None:
        return f"≤ {number(row.most)} {row.unit}"
    return _NOTHING if row.most_times is None else f"≤ {number(row.most_times)} ×"


def _table(head: list[str], lines: list[list[str]]) -> str:
    rule = ["---"] * len(head)
    return "\n".join(f"| {' | '.join(cells)} |" for cells in [head, rule, *lines])


def caption(contenders: Iterable[str], *, cpu: bool) -> str:
    """Where, with what and by which clock it was measured."""
    libraries = [name for name in contenders if name not in FLOORS]
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in libraries)
    clock = "; time of the processor, except where several processes work" if cpu else ""
    return f"Python {platform.python_version()}, {os.cpu_count()} cores, {platform.system()}; {versions}{clock}."
