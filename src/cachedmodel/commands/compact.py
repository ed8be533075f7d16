"""``cachedmodel compact``: the space of what was superseded or deleted, and fewer files."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator

from cachedmodel.cache.compaction import Compaction, compact
from cachedmodel.cache.upkeep import folders_of_entries

from .amounts import bytes_text, counted, folder_of, seconds_of, time_text


def compact_command(folder: str, *, grace: str, is_dry: bool) -> int:
    """Runs the command; exit code 1 if a folder could not be compacted, 2 for wrong arguments.

    Parameters
    ----------
    folder
        A cache, or a folder in it.
    grace
        How long replaced files stay, eg ``"24h"``.
    is_dry
        Only say what would be done.
    """
    try:
        place, grace_s = folder_of(folder), seconds_of(grace)
    except (OSError, ValueError) as error:
        print(f"cachedmodel compact: {error}", file=sys.stderr)
        return 2
    total, failed = Compaction(place), False
    for report in _reports(place, grace_s, is_dry):
        if isinstance(report, OSError):
            print(f"cachedmodel compact: {report}", file=sys.stderr)
            failed = True
            continue
        text = _text(report)
        if text:
            print(f"{os.path.relpath(report.folder, place)}: {text}", flush=True)
        failed |= report.is_busy
        _add(total, report)
    print(f"{'Would be done: ' if is_dry else ''}{_text(total) or 'there is nothing to gain'}.", flush=True)
    return 1 if failed else 0


def _reports(place: str, grace_s: float, is_dry: bool) -> Iterator[Compaction | OSError]:
    """What was done in each folder; those that somebody else maintains are tried again at the end."""
    busy: list[str] = []
    for folder in folders_of_entries(place):
        try:
            report = compact(folder, grace_s=grace_s, dry=is_dry)
        except OSError as error:
            yield error
            continue
        if report.is_busy:
            busy.append(folder)
        else:
            yield report
    for folder in busy:
        try:
            yield compact(folder, grace_s=grace_s, patient=True)
        except OSError as error:
            yield error


def _add(total: Compaction, report: Compaction) -> None:
    total.due_s = min(total.due_s or report.due_s, report.due_s or total.due_s)
    for name in ("shards", "made", "rows", "kept", "size", "made_size", "freed", "waiting"):
        setattr(total, name, getattr(total, name) + getattr(report, name))


def _text(report: Compaction) -> str:
    parts = []
    if report.shards:
        parts.append(
            f"{counted(report.shards, 'shard')} -> {report.made:,}, {report.rows:,} -> {counted(report.kept, 'entry')}, "
            f"{bytes_text(report.size)} -> {bytes_text(report.made_size)}"
        )
    if report.freed:
        parts.append(f"{bytes_text(report.freed)} freed")
    if report.waiting:
        parts.append(f"{bytes_text(report.waiting)} that were replaced can go in {time_text(report.due_s)}")
    return "; ".join([*parts, *report.notes])
