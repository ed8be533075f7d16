"""Repair of a cache: what is damaged is set aside, what is whole in a damaged shard stays readable, and shards of dead
writers get an index.

Nothing is deleted: files are moved to a folder `.damaged` beside them. A damaged shard is first made anew without its
damaged parts, in the same place of the order of shards; keys whose newest entry was in a damaged part are deleted in it,
so that nothing older is served in their place. Where nobody can tell which keys those are, everything older is deleted,
if the shard replaced or deleted anything at all.
"""

from __future__ import annotations

import contextlib
import errno
import os
import time
import typing as tp
from collections.abc import Iterable, Iterator, Sequence

from xxhash import xxh3_64_intdigest

from . import frames, provenance
from .files import ASIDE, Unreadable, link_first, make_folder, random_name
from .merging import Merge, Target
from .shardfile import ShardFile
from .shardname import SUFFIX, generation_of, may_replace
from .upkeep import DAMAGED, alone, root_of, shards_of
from .verify import Finding, is_whole, verify


class Repair(tp.NamedTuple):
    """What was done, or would be done, about a file."""

    path: str
    why: str
    #: "left" with the reason in `why`.
    done: tp.Literal["set aside", "made anew", "given an index", "found whole", "left"]


def repair(folder: str, *, dry: bool = False) -> Iterator[Repair]:
    """Repairs a cache, a method's folder or one folder of entries, as far as `verify` finds something.

    Parameters
    ----------
    folder
        The folder.
    dry
        Only say what would be done.

    Raises
    ------
    OSError
        If `folder` itself cannot be read.
    """
    for report in verify(folder):
        replaced = {finding.path for finding in report.findings if finding.what == "replaced"}
        findings = [one for one in report.findings if _concerns(one) and one.path not in replaced]
        if not findings:
            continue
        if dry:
            yield from (_planned(finding) for finding in findings)
        else:
            yield from _repair_folder(report.path, findings)


def _concerns(finding: Finding) -> bool:
    """Whether something is to be done; claims and heartbeats of the dead are removed by who takes over.

    What was replaced by a compaction goes with the next one.
    """
    is_ours = finding.path.endswith((SUFFIX, ASIDE))
    return finding.what == "damaged" or (finding.what == "orphaned" and is_ours)


def _is_shard(finding: Finding) -> bool:
    return finding.path.endswith(SUFFIX)


def _planned(finding: Finding) -> Repair:
    if not _is_shard(finding):
        return Repair(finding.path, finding.why, "set aside")
    try:
        shard = ShardFile(*os.path.split(finding.path))
    except (OSError, Unreadable):
        return Repair(finding.path, finding.why, "set aside")
    if not _may_rewrite(shard):
        return Repair(finding.path, _OTHERS, "left")
    return Repair(finding.path, finding.why, "made anew" if finding.what == "damaged" else "given an index")


def _repair_folder(folder: str, findings: Sequence[Finding]) -> Iterator[Repair]:
    shards = [finding for finding in findings if _is_shard(finding)]
    with contextlib.ExitStack() as stack:
        is_alone = True
        if shards:
            try:
                is_alone = stack.enter_context(alone(folder))
            except OSError as error:
                yield Repair(folder, f"it cannot be written ({error.strerror})", "left")
                return
        for finding in findings:
            try:
                if not _is_shard(finding):
                    yield _set_aside(finding)
                elif is_alone:
                    yield _repair_shard(folder, finding)
                else:
                    yield Repair(finding.path, "somebody else maintains the folder just now", "left")
            except FileNotFoundError:
                continue  # replaced or removed since it was looked at
            except OSError as error:
                yield Repair(finding.path, f"it cannot be repaired ({error.strerror})", "left")


# -- shards


_OTHERS = "it belongs to another user, who can repair it (or root)"


def _may_rewrite(shard: ShardFile) -> bool:
    # Pickles are trusted by whose file they are in.
    return os.geteuid() in (0, shard.stat.st_uid)


def _repair_shard(folder: str, finding: Finding) -> Repair:
    name = os.path.basename(finding.path)
    try:
        shard = ShardFile(folder, name)
    except Unreadable:
        _delete_older(folder, name)
        return _set_aside(finding)
    state = shard.state(root_of(folder))
    shard.check()
    if not shard.lost and not shard.problems and state != "abandoned":
        return Repair(finding.path, "it is not damaged any more", "found whole")
    if state == "growing":
        return Repair(finding.path, f"{finding.why}; but its writer lives, so repair it later", "left")
    if not _may_rewrite(shard):
        return Repair(finding.path, _OTHERS, "left")
    is_damaged = bool(shard.lost or shard.problems)
    _make_anew(folder, shard)
    if os.stat(shard.path).st_size != shard.size:
        return Repair(finding.path, "it was written to meanwhile; it is left as it is", "left")
    _move(shard.path)
    return Repair(finding.path, finding.why, "made anew" if is_damaged else "given an index")


def _make_anew(folder: str, shard: ShardFile) -> None:
    """Publishes what is whole in a shard, in its place, with an index."""
    parts = provenance.parts(shard.header.provenance)
    now = int(time.time())
    lost = _lost_hashes(shard)
    clears = Target.of(shard) if shard.clears or (lost is None and shard.replaces) else None
    every = [*parts, (0, {})]
    with Merge(folder, shard.name, shard.header, every, replaces=shard.replaces, clears=clears) as merge:
        at = 0
        for frame in shard.scan(payloads=True):
            while at + 1 < len(parts) and parts[at + 1][0] <= frame.offset:
                at += 1
            if frame.keys and not frame.is_damaged:
                merge.add(shard, frame, range(len(frame.keys)), parts[at][1])
        merge.delete(shard, _overtaken(folder, shard, lost), now, {})
        merge.publish()


def _delete_older(folder: str, name: str) -> None:
    """Deletes what is older than a shard that tells nothing any more, if it replaced or deleted entries."""
    if not may_replace(name):
        return
    generation = generation_of(name)
    older = [shard for shard in shards_of(folder)[0] if shard.order < (generation, name)]
    for shard in {shard.header.identity: shard for shard in older}.values():
        header = shard.header._replace(generation=generation)
        target = Target.of(shard)._replace(user=os.geteuid())
        with Merge(folder, name, header, [], replaces=True, clears=target) as merge:
            merge.publish()


def _overtaken(folder: str, shard: ShardFile, lost: dict[int, int] | None) -> Iterable[str]:
    """Keys that a damaged part was the newest to say something about, and that older entries may be there of."""
    if lost is None:
        return _before_lost(shard) if shard.replaces else []
    newest: dict[int, int] = {}
    keys: dict[str, None] = {}
    for frame in shard.scan(payloads=True):
        for key in frame.keys:
            hashed = _hashed(key)
            if frame.is_damaged:
                lost[hashed] = max(lost.get(hashed, -1), frame.offset)
            elif hashed in lost:
                newest[hashed] = frame.offset
            if hashed in lost:
                keys[key] = None
    for other in shards_of(folder)[0] if lost else ():
        if other.order < shard.order:
            for frame in other.scan():
                keys.update(dict.fromkeys(key for key in frame.keys if _hashed(key) in lost))
    return [key for key in keys if newest.get(hashed := _hashed(key), -1) < lost[hashed]]


def _hashed(key: str) -> int:
    return int(xxh3_64_intdigest(frames.encode(key)))


def _before_lost(shard: ShardFile) -> list[str]:
    """Keys that a part without readable keys may have been the last to say something about."""
    newest: dict[str, int] = {}
    damaged = _damaged_frames(shard)
    for frame in shard.scan(payloads=True):
        newest.update(dict.fromkeys(frame.keys, -1 if frame.is_damaged else frame.offset))
    last = max(part.start for part in shard.lost if part.start not in damaged)
    return [key for key, offset in newest.items() if offset < last]


def _damaged_frames(shard: ShardFile) -> set[int]:
    """Offsets of frames whose keys can be read, and whose payload cannot."""
    return {frame.offset for frame in shard.scan(payloads=True) if frame.is_damaged}


def _lost_hashes(shard: ShardFile) -> dict[int, int] | None:
    """Hashes of the keys in damaged parts, and the offset of the newest such part; None if nothing tells which those are."""
    lost: dict[int, int] = {}
    try:
        rows = shard.footer.all(shard.file) if shard.footer is not None else None
    except Unreadable:
        rows = None
    if rows is None:
        return lost if {part.start for part in shard.lost} <= _damaged_frames(shard) else None
    for hashed, place in rows:
        if shard.is_lost(place >> 16):
            lost[hashed] = max(lost.get(hashed, -1), place >> 16)
    return lost


# -- setting aside


def _set_aside(finding: Finding) -> Repair:
    """Moves a file; back again if it turns out that a whole one had taken its place."""
    moved = _move(finding.path)
    if finding.what == "damaged" and is_whole(moved, os.path.basename(finding.path)):
        with contextlib.suppress(OSError):
            link_first(moved, finding.path)
            os.unlink(moved)
        return Repair(finding.path, "it was replaced by a whole one", "found whole")
    return Repair(finding.path, finding.why, "set aside")


def _move(path: str) -> str:
    """Moves a file to the folder for damaged ones beside it, under a name that nobody has."""
    folder, name = os.path.split(path)
    aside = f"{folder}/{DAMAGED}"
    if os.path.islink(aside):
        raise NotADirectoryError(errno.ENOTDIR, "a link is where a folder has to be", aside)
    make_folder(aside)
    target = f"{aside}/{name.lstrip('.')}-{random_name()}"
    os.rename(path, target)
    return target
