"""What is wrong in a cache: every file is read and held against its checksums, and nothing is written or decoded.

Findings come one by one, folder after folder, so that a cache of any size is looked at in the memory of one shard.
"""

from __future__ import annotations

import json
import os
import re
import stat
import time
import typing as tp
from collections.abc import Callable, Iterator

from . import baseline, claimfile, frames, lives, manifest
from .entry import NAME as ENTRY
from .files import ASIDE, File, Torn, Unreadable
from .shard import SETTLED_S
from .shardfile import ShardFile, Tally, payload_holds
from .shardname import SUFFIX
from .upkeep import DAMAGED, JOB, YAML, Kind, kind_of, root_of
from .writer import ABANDONED_S

#: What is found: not what was written; not of this cache; left behind by who is dead; kept for a while by compaction.
What = tp.Literal["damaged", "alien", "orphaned", "replaced"]

_LINKS = ("submitit", "code")
_CLAIM = re.compile(re.escape(claimfile.PREFIX) + r"[0-9]{8,}").fullmatch
_BASELINE = re.compile(r"[0-9]{5,9}\.json").fullmatch
_LIFE = re.compile(r"[0-9a-f]{16}").fullmatch
_SMALL_FILES = (lives.FOLDER, baseline.NAME)
_PIECE = 1 << 22


class Finding(tp.NamedTuple):
    """Something about a file that is worth a word."""

    path: str
    what: What
    why: str


class Folder:
    """What there is in one folder.

    Attributes
    ----------
    path
        The folder.
    files, size
        Its files, folders in it left out, and their bytes.
    values, failures, deletions
        What is stored in it; those that were superseded are counted too.
    findings
        What is wrong.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.files: int = 0
        self.size: int = 0
        self.values: int = 0
        self.failures: int = 0
        self.deletions: int = 0
        self.findings: list[Finding] = []

    def add(self, tally: Tally) -> None:
        """Counts what a file holds."""
        self.values += tally.values
        self.failures += tally.failures
        self.deletions += tally.deletions

    def find(self, path: str, what: What, why: str) -> None:
        """Notes a finding."""
        self.findings.append(Finding(path, what, why))


_Check = Callable[[Folder, str, os.stat_result], None]


def verify(folder: str) -> Iterator[Folder]:
    """Looks at a cache, at a method's folder, or at one folder of entries: each folder in it, as soon as it was read.

    Raises
    ------
    OSError
        If `folder` itself cannot be read.
    """
    kind = kind_of(folder)
    yield from _Walk(folder, kind).folder(folder, kind)


def is_whole(path: str, name: str) -> bool:
    """Whether a file that was moved is a good one of the name that it had."""
    folder = os.path.dirname(path)
    if os.path.basename(folder) == DAMAGED:
        folder = os.path.dirname(folder)
    report = Folder(folder)
    _Walk(folder, "entries").look(report, path, name, set())
    return not report.findings


class _Walk:
    """One look at a cache."""

    def __init__(self, folder: str, kind: Kind) -> None:
        above = {"cache": folder, "method": os.path.dirname(folder), "entries": root_of(folder)}
        self._root = above[kind]
        self._now = time.time()
        self._living: dict[str, bool] = {}

    def folder(self, folder: str, kind: Kind) -> Iterator[Folder]:
        """The folders below one, then itself."""
        report = Folder(folder)
        replaced = {name for one in manifest.all_of(folder) for name, _ in one.replaced}
        with os.scandir(folder) as found:
            for entry in found:
                if not entry.is_dir(follow_symlinks=False):
                    self.look(report, entry.path, entry.name, replaced)
                elif entry.name in _SMALL_FILES:
                    self._small_files(report, entry)
                elif kind != "entries" and not entry.name.startswith(".") and (kind, entry.name) != ("cache", "logs"):
                    yield from self._below(entry.path, kind)
                elif kind == "entries" and entry.name != DAMAGED:
                    self.look(report, entry.path, entry.name, replaced)
        yield report

    def _below(self, path: str, kind: Kind) -> Iterator[Folder]:
        inner: Kind = "entries" if kind == "method" or kind_of(path) == "entries" else "method"
        try:
            yield from self.folder(path, inner)
        except FileNotFoundError:
            return  # gone since it was listed
        except OSError as error:
            report = Folder(path)
            report.findings.append(Finding(path, "damaged", f"it cannot be read ({error.strerror})"))
            yield report

    def _small_files(self, report: Folder, folder: os.DirEntry[str]) -> None:
        with os.scandir(folder) as found:
            for entry in found:
                if entry.name != DAMAGED:
                    self.look(report, entry.path, entry.name, set())

    def look(self, report: Folder, path: str, name: str, replaced: set[str]) -> None:
        """Checks one file as what its name, and that of its folder, say."""
        try:
            facts = os.lstat(path)
            report.files += 1
            report.size += facts.st_size
            if stat.S_ISLNK(facts.st_mode) and name in _LINKS:
                return  # to logs and code, which may be gone
            check = self._check_of(name, os.path.basename(os.path.dirname(path)))
            if check is None or not stat.S_ISREG(facts.st_mode):
                report.find(path, "alien" if check is None else "damaged", _kind_of_file(facts.st_mode))
                return
            if name in replaced:
                report.find(path, "replaced", "compacted; it goes when its grace period is over")
            check(report, path, facts)
        except FileNotFoundError:
            return  # gone since it was listed
        except (*frames.DAMAGE, TypeError, KeyError, AttributeError) as why:
            report.find(path, "damaged", str(why) or type(why).__name__)
        except OSError as error:
            report.find(path, "damaged", f"it cannot be read ({error.strerror})")

    def _check_of(self, name: str, folder: str) -> _Check | None:
        if name.startswith(".") and name.endswith(ASIDE):
            return self._check_aside
        if folder == lives.FOLDER:
            if _LIFE(name.removesuffix(lives.CLAIM)):
                return self._check_claim if name.endswith(lives.CLAIM) else self._check_life
            return None
        if folder == baseline.NAME:
            return self._check_baseline if _BASELINE(name) else None
        if name.endswith(SUFFIX):
            return self._check_shard
        if _CLAIM(name):
            return self._check_claim
        if manifest.is_manifest(name):
            return self._check_manifest
        if name in YAML:
            return self._check_yaml
        return {ENTRY: self._check_entry, JOB: self._check_job}.get(name)

    # -- kinds of files

    def _check_shard(self, report: Folder, path: str, facts: os.stat_result) -> None:
        try:
            shard = ShardFile(*os.path.split(path))
        except Torn as why:
            if facts.st_size and self._now - facts.st_mtime > SETTLED_S:
                raise
            if self._now - facts.st_mtime > ABANDONED_S:
                report.find(path, "orphaned", f"{why}; nothing is in it")
            return
        state = shard.state(self._root)
        report.add(shard.check())
        if shard.lost:
            lost = sum(len(part) for part in shard.lost)
            shard.problems.insert(0, f"{len(shard.lost)} of its parts cannot be read ({lost} bytes)")
        if shard.problems and (state != "growing" or self._now - facts.st_mtime > SETTLED_S):
            report.find(path, "damaged", "; ".join(shard.problems))
        elif state == "abandoned":
            report.find(path, "orphaned", "its writer is gone, and it has no index")

    def _check_entry(self, report: Folder, path: str, facts: os.stat_result) -> None:
        file = File(path)
        header = frames.read_header(frames.ENTRY_MAGIC, file.pread(_PIECE, 0))
        head = file.pread(_PIECE, header.end)
        frames.frame_size(head, 0)
        record = frames.read_record(head, 0, header.seed, header.end)
        if record.end > facts.st_size:
            raise Unreadable("it is shorter than it says")
        if not payload_holds(file.pread, record):
            raise Unreadable("its value is damaged")
        if record.end < facts.st_size:
            report.find(path, "alien", "bytes that are not of this cache follow its value, which is whole")
        if record.flags & frames.FAILED:
            report.failures += 1
        else:
            report.values += 1

    def _check_claim(self, report: Folder, path: str, facts: os.stat_result) -> None:
        claim = claimfile.read(path)
        if claim.is_unread:
            if self._now - facts.st_mtime > SETTLED_S:
                raise Unreadable("its checksum is wrong")
        elif claim.digests and claim.keeper.kind == "process" and not self._may_live(claim.keeper):
            report.find(path, "orphaned", f"{_name(claim.keeper)} is dead; its claim is taken over when needed")

    def _check_manifest(self, report: Folder, path: str, facts: os.stat_result) -> None:
        manifest.read(*os.path.split(path))

    def _check_yaml(self, report: Folder, path: str, facts: os.stat_result) -> None:
        from cachedmodel import confyaml

        with open(path, encoding="utf-8") as file:
            if not isinstance(confyaml.loads(file.read(), "it"), dict):
                raise Unreadable("it is not the YAML that was written")

    def _check_job(self, report: Folder, path: str, facts: os.stat_result) -> None:
        with open(path, encoding="utf-8") as file:
            job = json.load(file)
        if not isinstance(job, dict) or not {"cluster", "job_id", "folder"} <= job.keys():
            raise Unreadable("it names no job")

    def _check_aside(self, report: Folder, path: str, facts: os.stat_result) -> None:
        if self._now - facts.st_mtime > ABANDONED_S:
            report.find(path, "orphaned", "who was writing it is gone")

    def _check_baseline(self, report: Folder, path: str, facts: os.stat_result) -> None:
        baseline.read(path)

    def _check_life(self, report: Folder, path: str, facts: os.stat_result) -> None:
        keeper = lives.read(path)
        if keeper is None:
            if self._now - facts.st_mtime > SETTLED_S:
                raise Unreadable("it is no heartbeat")
        elif not self._may_live(keeper):
            report.find(path, "orphaned", f"{_name(keeper)} is dead")

    def _may_live(self, keeper: lives.Keeper) -> bool:
        """False for a process that is dead for certain, or whose heart did not beat for a day."""
        if keeper.life not in self._living:
            here = lives.lives_here(keeper)
            if here is None:
                try:
                    here = self._now - os.stat(f"{self._root}/{lives.FOLDER}/{keeper.life}").st_mtime < ABANDONED_S
                except OSError:
                    here = False
            self._living[keeper.life] = here
        return self._living[keeper.life]


def _kind_of_file(mode: int) -> str:
    kinds = {stat.S_IFLNK: "a link", stat.S_IFDIR: "a folder", stat.S_IFREG: "a file", stat.S_IFIFO: "a pipe"}
    return f"{kinds.get(stat.S_IFMT(mode), 'something')} that is not of this cache"


def _name(keeper: lives.Keeper) -> str:
    return f"process {keeper.pid} of {keeper.host}"
