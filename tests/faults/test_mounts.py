"""Two mounts of one folder whose caches are old, as two NFS clients have: nothing wrong, nothing lost, nothing twice.

The caches are kept for longer than the tests wait, so whoever waited for them to expire would fail.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.executors.calls import until

from .asking import start
from .samples import is_right, lines, sample

CACHED_S = 100
CACHING = f"attr_timeout={CACHED_S},entry_timeout={CACHED_S},negative_timeout={CACHED_S}"
NEEDED = {
    "bindfs": shutil.which("bindfs") is not None,
    "/dev/fuse": os.path.exists("/dev/fuse"),
    "root": os.geteuid() == 0,
}
LACKING = ", ".join(name for name, is_there in NEEDED.items() if not is_there)


def mount(source: Path, view: Path) -> None:
    """Shows a folder a second time, as old as a cache may be."""
    view.mkdir()
    mounted = subprocess.run(["bindfs", "-o", CACHING, str(source), str(view)], capture_output=True, check=False)
    if mounted.returncode and "CI" not in os.environ:
        pytest.skip(f"FUSE is not permitted here: {mounted.stderr.decode()}")
    assert not mounted.returncode, mounted.stderr.decode()


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """The folder as it is."""
    folder = tmp_path / "source"
    folder.mkdir()
    return folder


@pytest.fixture
def mounts(source: Path) -> Iterator[list[Path]]:
    """Two views of the folder."""
    if LACKING and ("CI" not in os.environ or not NEEDED["/dev/fuse"]):
        pytest.skip(f"needs {LACKING}")
    views = [source.with_name("first"), source.with_name("second")]
    try:
        for view in views:
            mount(source, view)
        yield views
    finally:
        for view in views:
            subprocess.run(["umount", "--lazy", str(view)], capture_output=True, check=False)


def values_of(source: Path) -> dict[str, set[str]]:
    """The values that were got, by item."""
    marks: dict[str, set[str]] = {}
    for path in source.glob("got-*"):
        for n, mark in lines(path):
            marks.setdefault(n, set()).add(mark)
    return marks


@pytest.mark.slow
@pytest.mark.parametrize("what", ["map", "task"])
@pytest.mark.parametrize("number", range(5))
def test_two_writers_and_two_readers(number: int, what: str, mounts: list[Path], source: Path) -> None:
    """On each mount a process of two threads computes, in opposite orders, and one reads what there is."""
    processes = {
        f"{view.name}-{mode}": start(view, f"{view.name}-{mode}", what, mode=mode)
        for view in mounts
        for mode in ("cached", "read-only")
    }
    for name in processes:
        until((source / f"ready-{name}").exists, 60)
    for view in mounts:  # each has looked for it in vain
        (view / "go").touch()

    assert [process.wait(CACHED_S / 2) for process in processes.values()] == [0] * 4

    marks = values_of(source)
    assert len(marks) == 30
    assert all(len(each) == 1 for each in marks.values()), "an item had several values"
    computed = [n for n, *_ in lines(source / "computed")]
    assert sorted(computed, key=int) == [str(n) for n in range(30)], "an item was computed twice"
    assert len([line for path in source.glob("got-*") for line in lines(path)]) == 2 * 60 + 2 * 30
    if what == "map":
        stored = dict(sample(source, mode="read-only").draws.cache.items())
        assert {*stored} == {*marks}
        assert all(is_right(int(n), value) for n, value in stored.items())
