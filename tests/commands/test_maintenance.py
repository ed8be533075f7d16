"""The commands that keep a cache in shape, run as a user runs them."""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
import time
import typing as tp
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

import cachedmodel as cm
from cachedmodel.cli import app


class Numbers(cm.CachedModel):
    """Something to store."""

    x: int = 0

    @cm.task
    def one(self) -> float:
        """A number."""
        return self.x / 7

    @cm.map(item_uid=str)
    def many(self, items: Iterable[int]) -> Iterator[list[int]]:
        """A list for each item."""
        for item in items:
            yield [item, self.x]


class Done(tp.NamedTuple):
    """What a command did."""

    returncode: int
    stdout: str
    stderr: str


def cachedmodel(*arguments: str, cwd: Path) -> Done:
    """Runs the command, in this process: its start takes longer than all that it does here."""
    out, err, code = io.StringIO(), io.StringIO(), 0
    with contextlib.chdir(cwd), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            app(list(arguments))
        except SystemExit as ended:
            code = int(ended.code or 0)
    return Done(code, out.getvalue(), err.getvalue())


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with a cache in it: two tasks, and a map in six shards."""
    from cachedmodel.cache import cache as caches

    for x in range(2):
        Numbers(x=x, infra={"folder": tmp_path / "cache"}).one()
    for _ in range(6):
        list(Numbers(infra={"folder": tmp_path / "cache", "mode": "force"}).many(range(30)))
        for opened in list(caches._all):
            opened.close()
    return tmp_path


def spoil(place: Path) -> Path:
    """Damages the entry of a task."""
    entry = min(place.glob("cache/*/*/entry"))
    data = bytearray(entry.read_bytes())
    data[20] ^= 1
    entry.write_bytes(data)
    return entry


def test_verify(place: Path) -> None:
    """It says that all is whole, or what is not, and exits with 1 then."""
    whole = cachedmodel("verify", "cache", cwd=place)
    entry = spoil(place)
    damaged = cachedmodel("verify", str(place / "cache"), cwd=place)

    assert (whole.returncode, damaged.returncode) == (0, 1)
    assert whole.stdout.endswith("182 values, 0 failures. All is whole.\n")
    assert str(entry.parent.relative_to(place / "cache")) in damaged.stdout
    assert "damaged   entry: its header is damaged" in damaged.stdout
    assert damaged.stdout.endswith("1 damaged; cachedmodel repair sets aside what is damaged.\n")


def test_verify_for_machines(place: Path) -> None:
    """With --json each line is an object: of a folder each, and the last of all."""
    entry = spoil(place)

    done = cachedmodel("verify", "cache", "--json", cwd=place)

    *folders, total = map(json.loads, done.stdout.splitlines())
    assert done.returncode == 1
    (finding,) = [finding for folder in folders for finding in folder["findings"]]
    assert finding == {"path": str(entry), "what": "damaged", "why": "its header is damaged"}
    assert total["summary"]["damaged"] == 1
    assert total["summary"]["folders"] == len(folders)
    assert total["summary"]["values"] == sum(folder["values"] for folder in folders) == 181


def test_repair(place: Path) -> None:
    """What is damaged is moved beside, and computed again when it is asked for."""
    entry = spoil(place)

    dry = cachedmodel("repair", "cache", "--dry-run", cwd=place)
    assert entry.exists()
    done = cachedmodel("repair", "cache", cwd=place)

    assert dry.stdout.startswith("set aside: ")
    assert dry.stdout.endswith("Would be done: 1 set aside.\n")
    assert done.stdout.endswith("\n1 set aside.\n")
    assert (dry.returncode, done.returncode) == (0, 0)
    assert not entry.exists()
    assert len(os.listdir(entry.parent / ".damaged")) == 1
    assert cachedmodel("verify", "cache", cwd=place).returncode == 0


def test_compact(place: Path) -> None:
    """It says what was gained; what was replaced goes after the grace period, and values are what they were."""
    folder = min(place.glob("cache/*/*/*.shard")).parent
    before = list(folder.glob("*.shard"))

    dry = cachedmodel("compact", "cache", "--dry-run", cwd=place)
    assert sorted(folder.glob("*.shard")) == sorted(before)
    first = cachedmodel("compact", "cache", cwd=place)
    assert len(list(folder.glob("*.shard"))) == 7
    waiting = cachedmodel("compact", "cache", "--grace", "1h", cwd=place)
    last = cachedmodel("compact", "cache", "--grace", "0", cwd=place)

    assert "6 shards -> 1, 180 -> 30 entries" in dry.stdout
    assert "6 shards -> 1, 180 -> 30 entries" in first.stdout
    assert "that were replaced can go in 24 hours" in first.stdout
    assert "that were replaced can go in 60 minutes" in waiting.stdout
    assert "freed" in last.stdout
    assert len(list(folder.glob("*.shard"))) == 1
    assert "there is nothing to gain." in cachedmodel("compact", "cache", cwd=place).stdout
    values = Numbers(infra={"folder": place / "cache", "mode": "read-only"}).many(range(30))
    assert list(values) == [[item, 0] for item in range(30)]


@pytest.mark.parametrize("command", ["verify", "repair", "compact"])
def test_nobody_reads_on(command: str, place: Path) -> None:
    """What is written for `head`, which has seen enough, is no error to talk about."""
    for path in place.rglob("*.shard"):
        path.write_bytes(b"rubbish" * 99)
        os.utime(path, (1e9, 1e9))
    reads, writes = os.pipe()
    os.close(reads)
    code = "import sys; from cachedmodel.cli import app; app(sys.argv[1:])"
    done = subprocess.run(
        [sys.executable, "-c", code, command, str(place)], stdout=writes, stderr=subprocess.PIPE, text=True
    )
    os.close(writes)

    assert (done.returncode, done.stderr) == (1, "")


@pytest.mark.parametrize("command", ["verify", "repair", "compact"])
def test_no_such_folder(command: str, tmp_path: Path) -> None:
    """The error names it, and says what to give."""
    done = cachedmodel(command, "nowhere", cwd=tmp_path)

    assert done.returncode == 2
    assert f"cachedmodel {command}: there is no folder" in done.stderr
    assert "nowhere" in done.stderr


def test_no_such_time(tmp_path: Path) -> None:
    """A time that is none is an error that says how to write one."""
    done = cachedmodel("compact", ".", "--grace", "soon", cwd=tmp_path)

    assert done.returncode == 2
    assert "'soon' is no time: write 90s, 15m, 24h, 7d or 1w" in done.stderr


def test_what_was_begun_long_ago(place: Path) -> None:
    """A file that somebody began to write and never ended is set aside."""
    folder = min(place.glob("cache/*/*/entry")).parent
    (folder / ".entry-0123456789abcdef.tmp").write_text("half")
    os.utime(folder / ".entry-0123456789abcdef.tmp", (time.time() - 2 * 86_400,) * 2)

    looked = cachedmodel("verify", "cache", cwd=place)
    done = cachedmodel("repair", "cache", cwd=place)

    assert looked.returncode == 0
    assert "orphaned  .entry-0123456789abcdef.tmp: who was writing it is gone" in looked.stdout
    assert done.stdout.endswith("\n1 set aside.\n")
