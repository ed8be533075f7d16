"""What is wrong in a cache is found, whatever it is, and nothing is written, loaded or held in memory for that."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from cachedmodel.cache import Cache, Failure, Options, baseline
from cachedmodel.cache.verify import Finding, verify

from .conftest import Open
from .dying import dies_at

A_DAY = 86_400.0


class Bomb:
    """Goes off when its pickle is loaded."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (self.path,)


def _open(folder: Path, *, single: bool = False) -> Cache:
    return Cache(str(folder), str(folder.parents[1]), single=single, options=Options(codec=None))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A cache with a task, a map in two shards, failures, deletions, a baseline and the files for people."""
    cache = tmp_path / "cache"
    task, items = cache / "m.T.go,0" / "default", cache / "m.T.embed,0" / "x=1"
    one = _open(task, single=True)
    one.claim([""])
    one.write("", list(range(500)))
    one.end()
    for number in range(2):
        many = _open(items)
        many.claim(["a"])
        for key in range(30):
            many.write(f"{number} {key}", key / 3 if key % 3 else np.arange(100 * key))
        many.write_failure("failed", Failure("m.Error", "no", "trace"))
        many.commit()
        many.delete(["0 3"])
        many.end()
    baseline.extend(str(task.parent), {"x": "1"}, {"x": "1"})
    for folder in (task, items):
        for name in ("config.yaml", "full-uid.yaml", "uid.yaml"):
            (folder / name).write_text("x: 1\n")
        (folder / "job.json").write_text('{"cluster": "local", "job_id": "1", "folder": "../../logs"}')
        (folder / "submitit").symlink_to("../../logs")
    (cache / "logs").mkdir()
    (cache / "logs" / "any.thing").write_text("a log")
    return cache


def found(folder: Path) -> list[Finding]:
    """All findings."""
    return [finding for report in verify(str(folder)) for finding in report.findings]


def state_of(folder: Path) -> dict[str, tuple[object, ...]]:
    """What is in a folder, with all times but those of access."""
    facts: dict[str, tuple[object, ...]] = {}
    for path in sorted(folder.rglob("*")):
        info = path.lstat()
        facts[str(path)] = (info.st_ino, info.st_size, info.st_mtime_ns, info.st_ctime_ns)
    return facts


def test_a_whole_cache(root: Path) -> None:
    """Nothing is found in it, all of it is counted, and nothing is touched."""
    before = state_of(root)

    reports = list(verify(str(root)))

    assert [finding for report in reports for finding in report.findings] == []
    files = [
        path for path in root.rglob("*") if (path.is_file() or path.is_symlink()) and "logs" not in path.parts[-2:]
    ]
    assert sum(report.files for report in reports) == len(files)
    assert sum(report.size for report in reports) == sum(path.lstat().st_size for path in files)
    totals = [sum(getattr(report, name) for report in reports) for name in ("values", "failures", "deletions")]
    assert totals == [61, 2, 1]
    assert state_of(root) == before


def test_a_part_of_it(root: Path) -> None:
    """A method's folder, and one folder of entries, are looked at by themselves; no folder is an error."""
    method = root / "m.T.embed,0"

    assert [report.path for report in verify(str(method))] == [str(method / "x=1"), str(method)]
    (report,) = verify(str(method / "x=1"))
    assert (report.values, report.failures, report.deletions) == (60, 2, 1)
    with pytest.raises(FileNotFoundError):
        list(verify(str(root / "nowhere")))


def _cut(data: bytes, choose: random.Random) -> bytes:
    return data[: choose.randrange(len(data))]


def _flip(data: bytes, choose: random.Random) -> bytes:
    at = choose.randrange(len(data))
    return data[:at] + bytes([data[at] ^ 1 << choose.randrange(8)]) + data[at + 1 :]


def _zero(data: bytes, choose: random.Random) -> bytes:
    at = choose.randrange(len(data))
    return data[:at] + bytes(len(data[at : at + 64])) + data[at + 64 :]


def _alien(data: bytes, choose: random.Random) -> bytes:
    return choose.randbytes(max(300, len(data)))


def _empty(data: bytes, choose: random.Random) -> bytes:
    return b""


#: Files without a checksum: what is damaged in them is seen if it does not make sense.
PLAIN = ("config.yaml", "full-uid.yaml", "uid.yaml", "job.json")


def _is_plain(path: Path) -> bool:
    return path.name in PLAIN or path.parent.name == ".lives"


@pytest.mark.parametrize("damage", [_cut, _flip, _zero, _alien, _empty])
def test_every_file(damage: Callable[[bytes, random.Random], bytes], root: Path) -> None:
    """Damage of any kind to any file is found, and is all that is found."""
    choose = random.Random(7)
    for path in sorted(path for path in root.rglob("*") if path.is_file() and "logs" not in path.parts):
        whole, times = path.read_bytes(), path.stat()
        for _ in range(1 if damage in (_alien, _empty) or _is_plain(path) else 12):
            data = damage(whole, choose)
            path.write_bytes(data)
            os.utime(path, (time.time() - 3600,) * 2)
            findings = found(root)
            assert {finding.path for finding in findings} <= {str(path)}
            is_seen = damage in (_alien, _empty) or not _is_plain(path)
            if is_seen and data != whole and _matters(path, whole, data):
                assert [finding.what for finding in findings] == ["damaged"], (path, len(data))
        path.write_bytes(whole)
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert found(root) == []


def _matters(path: Path, whole: bytes, data: bytes) -> bool:
    """False for a change of what may be padding, and for a shard that was cut: that may be one of a writer who lives."""
    if path.suffix == ".shard" and len(data) < len(whole):
        return False
    return len(data) != len(whole) or any(one and one != two for one, two in zip(whole, data, strict=True))


def test_what_is_not_ours(root: Path) -> None:
    """Files of others are told, links and pipes in the place of files are damage, and no link is followed."""
    outside = root.parent / "outside"
    outside.mkdir()
    (outside / "x.shard").write_text("precious")
    (root / "notes.txt").write_text("mine")
    (root / "m.T.go,0" / "linked").symlink_to(outside)
    entry = root / "m.T.go,0" / "default" / "entry"
    entry.unlink()
    entry.symlink_to(outside / "x.shard")
    os.mkfifo(root / "m.T.embed,0" / "x=1" / "pipe.shard")
    (root / "m.T.embed,0" / "x=1" / "folder.shard").mkdir()

    findings = {os.path.relpath(finding.path, root): finding.what for finding in found(root)}

    assert findings == {
        "notes.txt": "alien",
        "m.T.go,0/linked": "alien",
        "m.T.go,0/default/entry": "damaged",
        "m.T.embed,0/x=1/pipe.shard": "damaged",
        "m.T.embed,0/x=1/folder.shard": "damaged",
    }


def test_what_is_behind_a_whole_value(root: Path) -> None:
    """An entry that is readable is not called damaged because of bytes that follow it."""
    with open(root / "m.T.go,0" / "default" / "entry", "ab") as file:
        file.write(b"rubbish")

    assert [finding.what for finding in found(root)] == ["alien"]


def _die(folder: Path) -> None:
    cache = _open(folder)
    cache.claim(["next", "never"])
    cache.write("next", [1])
    cache.commit()
    (folder / ".entry-0123456789abcdef.tmp").write_text("half")
    os.utime(folder / ".entry-0123456789abcdef.tmp", (time.time() - 2 * A_DAY,) * 2)


def test_what_the_dead_left(root: Path) -> None:
    """A shard without an index, a claim, a heartbeat and a file that was being written: orphaned, none of it damaged."""
    folder = root / "m.T.embed,0" / "x=1"

    assert not dies_at(1 << 30, lambda: _die(folder))

    findings = found(root)
    assert {finding.what for finding in findings} == {"orphaned"}
    kinds = sorted(
        os.path.relpath(finding.path, root).rpartition("/")[2].rpartition(".")[2][:5] for finding in findings
    )
    assert len(findings) == 4
    assert {"shard", "tmp", "claim"} <= set(kinds)
    assert any(".lives" in finding.path for finding in findings)


def test_what_the_dead_left_of_a_task(root: Path) -> None:
    """A claim, a heartbeat, and the file that claims are names of: orphaned."""
    folder = root / "m.T.go,0" / "x=2"
    folder.mkdir()

    assert not dies_at(1 << 30, lambda: _open(folder, single=True).claim([""]))

    findings = found(root)
    assert [finding.what for finding in findings] == ["orphaned"] * 3
    assert sum(finding.path.endswith(".claim") for finding in findings) == 1


def test_a_writer_at_work_is_no_finding(root: Path) -> None:
    """What grows, is claimed or is being written by somebody who lives is as it should be."""
    cache = _open(root / "m.T.embed,0" / "x=1")
    cache.claim(["next", "after"])
    cache.write("next", [1])
    cache.commit()
    (root / "m.T.go,0" / "default" / ".entry-0123456789abcdef.tmp").write_text("half")

    assert found(root) == []
    cache.end()


def test_nothing_is_loaded(opened: Open, tmp_path: Path) -> None:
    """Pickles are held against their checksums only."""
    bomb = tmp_path / "went off"
    for single in (True, False):
        cache = opened(single=single, folder=f"m.T.go,0/{single}", codec="pickle")
        cache.write("" if single else "key", Bomb(str(bomb)))
        cache.close()

    reports = list(verify(str(tmp_path)))

    assert sum(report.values for report in reports) == 2
    assert not bomb.exists()


_LOOK = """
import resource, sys
from cachedmodel.cache.verify import verify
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
totals = [0, 0]
for report in verify(sys.argv[1]):
    totals[0] += report.values
    totals[1] += len(report.findings)
grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
print(*totals, grown // (1024 if sys.platform == "darwin" else 1))
"""


@pytest.mark.slow
def test_a_million_entries(opened: Open, tmp_path: Path) -> None:
    """They are looked at in the memory of one shard."""
    cache = opened(folder="m.T.embed,0/default")
    for key in range(1_000_000):
        cache.write(f"{key:016x}", float(key))
    cache.end()

    run = subprocess.run([sys.executable, "-c", _LOOK, str(tmp_path)], capture_output=True, text=True, check=True)

    values, findings, grown_kb = map(int, run.stdout.split())
    assert (values, findings) == (1_000_000, 0)
    assert grown_kb < 80_000
