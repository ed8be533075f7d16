"""Compaction of a map's folder: what was superseded or deleted comes back as space, many small shards become few.

Safe beside readers and writers, and wherever it dies, because nothing depends on more than the order of shards:

- What is merged is a run: shards next to each other in that order, none of which is written any more. What is made of
  them comes just before the lowest. So as long as the originals are there, they go first and say the same, and a shard
  that turns up late is never hidden more than it was.
- A manifest notes what was replaced. The originals go after the grace period, in a later compaction, lowest first: what
  one of them superseded or deleted has gone before it. Originals without a manifest are shards like any other.
- Deletions are kept while something lower is left that they may be about, and for the grace period at least.

Until the originals are gone nothing else is merged in the folder.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from . import footer, manifest, provenance
from .files import Unreadable
from .manifest import Manifest
from .merging import Merge, Target
from .runs import Keeps, Plan, Source, live_rows
from .shardfile import ShardFile
from .upkeep import alone, shards_of
from .writer import MOST_ROWS


@dataclass
class Compaction:
    """What the compaction of a folder did, or would do.

    Attributes
    ----------
    folder
        The folder.
    shards, made
        Shards that were merged, and what became of them.
    rows, kept
        Their values, failures and deletions; how many of them count.
    size, made_size
        Bytes of both.
    freed
        Bytes of files that were removed: replaced by earlier compactions, or by this one if there is no grace period.
    waiting, due_s
        Bytes of files that are replaced and stay for now; seconds until the first of them may go.
    notes
        Why something was left as it is.
    """

    folder: str
    shards: int = 0
    made: int = 0
    rows: int = 0
    kept: int = 0
    size: int = 0
    made_size: int = 0
    freed: int = 0
    waiting: int = 0
    due_s: float = 0.0
    notes: list[str] = field(default_factory=list)
    #: Somebody else maintains the folder.
    is_busy: bool = False
    #: A manifest is of no use any more.
    is_stale: bool = False


def compact(folder: str, *, grace_s: float, dry: bool = False, patient: bool = False) -> Compaction:
    """Compacts the shards of one folder of entries.

    Parameters
    ----------
    folder
        The folder.
    grace_s
        Seconds for which shards stay after they were replaced, for readers on other hosts that have them open.
    dry
        Only find out what would be done.
    patient
        Wait for others that maintain the folder, at least until it is known whether they live.

    Raises
    ------
    OSError
        If a file may not be read, written or removed: what was begun is removed then.
    """
    # Without the lock first, which leaves a file: most folders of a large cache have nothing to gain.
    report = _compacted(folder, grace_s, dry=True)
    if dry or not (report.shards or report.freed or report.is_stale):
        return report
    with alone(folder, patient=patient) as is_alone:
        if is_alone:
            return _compacted(folder, grace_s, dry=False)
    busy = Compaction(folder, is_busy=True)
    busy.notes.append("somebody else maintains it just now")
    return busy


def _compacted(folder: str, grace_s: float, *, dry: bool) -> Compaction:
    report = Compaction(folder)
    try:
        _compact(report, grace_s, dry)
    except FileNotFoundError as gone:  # whoever clears all items deletes shards; what is left is as after a crash here
        if not os.path.isdir(folder):
            raise
        report.notes.append(f"{gone.filename} was removed meanwhile; what is left comes next time")
    return report


def _compact(report: Compaction, grace_s: float, dry: bool) -> None:
    if _waits(report, grace_s, dry):
        return
    plan = Plan(report.folder, grace_s)
    report.notes += plan.notes
    for garbage in plan.garbage:
        report.freed += garbage.size
        if not dry:
            os.unlink(garbage.path)
    for run in plan.runs:
        _merge(run, plan, report, dry)
    if not dry and report.shards:
        _waits(report, grace_s, dry)


# -- what was replaced


def _waits(report: Compaction, grace_s: float, dry: bool) -> bool:
    """Removes what was replaced, once it is due; True if some of it is not."""
    report.waiting = 0
    for one in manifest.all_of(report.folder):
        left = one.when + grace_s - time.time()
        originals = _originals(report.folder, one, is_due=left <= 0)
        size = sum(shard.size for shard in originals or [])
        if not originals:  # all gone, or they count again
            report.is_stale = True
            if not dry:
                os.unlink(f"{report.folder}/{one.name}")
        elif left > 0:
            report.due_s = min(left, report.due_s) if report.waiting else left
            report.waiting += size
        else:
            report.freed += size
            if not dry:
                _remove(report.folder, one, originals)
    return report.waiting > 0


def _originals(folder: str, one: Manifest, *, is_due: bool) -> list[ShardFile] | None:
    """The originals that are still there, lowest first; None if they count again, since something is not as it was.

    What was made of them is read whole before they go.
    """
    shards, others = shards_of(folder)
    known = {shard.name: shard for shard in shards}
    if any(name in others for name, _ in one.replaced):
        return None
    for name in one.made:
        if name not in known or (is_due and not _is_whole(known[name])):
            return None
    there = [(known[name], end) for name, end in one.replaced if name in known]
    if any(shard.end != end for shard, end in there):
        return None  # its writer lives after all
    return sorted((shard for shard, _ in there), key=lambda shard: shard.order)


def _is_whole(shard: ShardFile) -> bool:
    try:
        shard.check()
    except OSError:
        return False
    return shard.footer is not None and not shard.problems and not shard.lost


def _remove(folder: str, one: Manifest, originals: Sequence[ShardFile]) -> None:
    for shard in originals:
        os.unlink(shard.path)
    os.unlink(f"{folder}/{one.name}")


# -- merging


def _merge(run: Sequence[Source], plan: Plan, report: Compaction, dry: bool) -> None:
    """Merges a run, and notes it; adds to the report."""
    rows = sum(source.rows for source in run)
    keeps = Keeps(plan.since, everything=not plan.is_lowest(run))
    kept = sum(len(keeps.of(frame, live)) for source in run for frame, live in live_rows(source))
    size = sum(source.shard.size for source in run)
    made: list[str] = []
    about = sum(len(source.shard.header.provenance) for source in run)
    made_size = sum(source.live_size for source in run) + footer.ROW * kept + about
    if not dry:
        try:
            made = _publish(run, plan, keeps)
        except Unreadable as why:
            report.notes.append(f"{why}; run cachedmodel repair first")
            return
        made_size = sum(os.stat(f"{plan.folder}/{name}").st_size for name in made)
    report.shards += len(run)
    report.made += len(made) if not dry else -(-kept // MOST_ROWS)
    report.rows += rows
    report.kept += kept
    report.size += size
    report.made_size += made_size


def _publish(run: Sequence[Source], plan: Plan, keeps: Keeps) -> list[str]:
    """Makes the shards for a run; their names."""
    abouts = [[(start, _about(facts)) for start, facts in _parts(source)] for source in run]
    every = [part for parts in abouts for part in parts]
    lowest = run[0].shard
    clears = Target.of(lowest) if plan.clears(run) else None
    replaces = not plan.is_lowest(run) and any(source.shard.replaces for source in run)
    with Merge(plan.folder, lowest.name, lowest.header, every, replaces=replaces, clears=clears) as merge:
        for source, parts in zip(run, abouts, strict=True):
            at = 0
            for frame, live in live_rows(source):
                while at + 1 < len(parts) and parts[at + 1][0] <= frame.offset:
                    at += 1
                if rows := keeps.of(frame, live):
                    try:
                        merge.add(source.shard, frame, rows, parts[at][1])
                    except Unreadable as why:
                        raise Unreadable(f"{source.shard.name}: {why}") from why
        if not all(map(_is_unchanged, run)):
            raise Unreadable("somebody changed shards meanwhile; nothing was merged")
        made = merge.publish()
    manifest.write(plan.folder, made, [(source.shard.name, source.shard.end) for source in run])
    return made


def _parts(source: Source) -> list[tuple[int, dict[str, object]]]:
    return provenance.parts(source.shard.header.provenance)


def _about(facts: dict[str, object]) -> dict[str, object]:
    """The provenance of a part, without when its file was begun: each entry says when it was written."""
    return {name: value for name, value in facts.items() if name != "when"}


def _is_unchanged(source: Source) -> bool:
    """Whether an original is still there as it was read."""
    try:
        now = os.stat(source.shard.path)
    except FileNotFoundError:
        return False
    return (now.st_ino, now.st_size) == (source.shard.stat.st_ino, source.shard.size)
