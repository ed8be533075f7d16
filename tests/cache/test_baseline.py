"""The first defaults of a method: the first file counts, whoever races for it, and damage costs no more than it holds."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from cachedmodel.cache import baseline


@pytest.fixture
def folder(tmp_path: Path) -> str:
    """A method's folder that is not there yet."""
    return str(tmp_path / "module.Class.method,0")


def files(folder: str) -> list[Path]:
    """The files of a folder's defaults."""
    return sorted(path for path in (Path(folder) / ".defaults").iterdir() if path.suffix == ".json")


def extend(folder: str, **defaults: str) -> dict[str, str]:
    """What the folder says after a process that knows only these was there."""
    return baseline.extend(folder, defaults, defaults)


def test_nothing_is_made_by_reading(folder: str) -> None:
    """A folder that is not there says nothing."""
    assert baseline.load(folder) == {}
    assert not os.path.exists(folder)


def test_what_was_kept_first_counts(folder: str) -> None:
    """Later ones are told what was there, and add what is new."""
    assert extend(folder, a="1") == {"a": "1"}
    assert extend(folder, a="2", b="2") == {"a": "1", "b": "2"}
    assert extend(folder, a="3", b="3") == {"a": "1", "b": "2"}
    assert baseline.load(folder) == {"a": "1", "b": "2"}
    assert len(files(folder)) == 2


def test_only_what_is_fresh_is_added(folder: str) -> None:
    """What a process read before is not written again, unless the folder was deleted."""
    extend(folder, a="1")
    known = {"a": "1", "b": "2"}

    assert baseline.extend(folder, known, {"b": "2"}) == known
    assert '"a"' not in files(folder)[1].read_text()
    for path in files(folder):
        path.unlink()
    assert baseline.extend(folder, known, {}) == known
    assert baseline.load(folder) == known


def test_more_than_a_hundred_thousand_files_are_ordered(folder: str) -> None:
    """Numbers are compared as numbers."""
    extend(folder, a="1")
    (first,) = files(folder)
    first.rename(first.with_name("99999.json"))
    extend(folder, b="1")

    assert [path.name for path in files(folder)] == ["100000.json", "99999.json"]
    assert extend(folder, a="2", b="2") == {"a": "1", "b": "1"}


@pytest.mark.parametrize("content", [b"", b"x", b"\xff\n{}", b"0123456789abcdef\n{}", b'2d06800538d394c2\n{"a": "1"'])
def test_a_damaged_file_is_told_once_and_says_nothing(folder: str, content: bytes) -> None:
    """The others count, and new ones are numbered after it."""
    extend(folder, a="1")
    extend(folder, b="1")
    files(folder)[0].write_bytes(content)

    with pytest.warns(
        RuntimeWarning, match=r"00000\.json: it cannot be read .*under defaults that changed since are comp"
    ):
        assert baseline.load(folder) == {"b": "1"}
    assert baseline.load(folder) == {"b": "1"}
    assert extend(folder, a="2") == {"a": "2", "b": "1"}
    assert len(files(folder)) == 3


def test_alien_files_are_left_alone(folder: str) -> None:
    """Whatever lies there under another name costs nothing."""
    extend(folder, a="1")
    for name in ("notes.json", "1.json", ".00001.json", "00002.json.bak", "-0001.json"):
        (Path(folder) / ".defaults" / name).write_text("{}")

    assert extend(folder, b="1") == {"a": "1", "b": "1"}


def test_a_folder_in_place_of_a_file_says_nothing(folder: str) -> None:
    """It is told as damaged."""
    extend(folder, a="1")
    os.mkdir(f"{folder}/.defaults/00001.json")

    with pytest.warns(RuntimeWarning, match="cannot be read"):
        assert extend(folder, b="1") == {"a": "1", "b": "1"}


def test_threads_agree(folder: str) -> None:
    """All are told the same of each field, whoever was first."""
    start = threading.Barrier(8)

    def race(number: int) -> dict[str, str]:
        start.wait()
        for field in range(5):
            extend(folder, **{f"field{field}": str(number), f"own{number}": "1"})
        return baseline.load(folder)

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(race, range(8)))

    assert len({tuple(said[f"field{field}"] for field in range(5)) for said in found}) == 1
    assert set(baseline.load(folder)) == {f"field{i}" for i in range(5)} | {f"own{i}" for i in range(8)}


RACE = """
import sys
from cachedmodel.cache import baseline
folder, number = sys.argv[1:]
print("ready", flush=True); sys.stdin.readline()
said = baseline.extend(folder, {"a": number}, {"a": number})
print(said["a"])
"""


def test_processes_agree(folder: str) -> None:
    """The same between processes that start together."""
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", RACE, folder, str(number)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(4)
    ]
    for racer in racers:
        assert racer.stdout is not None
        assert racer.stdout.readline() == "ready\n"
    for racer in racers:
        assert racer.stdin is not None
        racer.stdin.write("go\n")
        racer.stdin.flush()
    said = [racer.communicate()[0].strip() for racer in racers]

    assert len(set(said)) == 1
    assert baseline.load(folder) == {"a": said[0]}


def test_permissions_are_those_asked_for(folder: str) -> None:
    """What is made carries the mode."""
    baseline.extend(folder, {"a": "1"}, {"a": "1"}, 0o770)

    assert os.stat(f"{folder}/.defaults").st_mode & 0o777 == 0o770
    assert os.stat(files(folder)[0]).st_mode & 0o777 == 0o660
