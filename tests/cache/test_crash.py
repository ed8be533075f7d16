"""Writers that are killed at any moment lose nothing that was committed, and leave nothing wrong."""

from __future__ import annotations

import os
import random
import signal
import time
from multiprocessing.context import SpawnContext
from pathlib import Path

import pytest

from cachedmodel.cache import Cache, Options

from .processes import open_cache, value_of, wait_for, write_for_ever


def _torture(spawn: SpawnContext, tmp_path: Path, kills: int, writers: int) -> None:
    """Kills writers, again and again, in one folder; everything that they noted must be there and right."""
    tmp_path.mkdir(exist_ok=True)
    choose = random.Random(kills)
    folder, journal = str(tmp_path / "map"), tmp_path / "journal"
    running = []
    for number in range(kills + writers):
        process = spawn.Process(target=write_for_ever, args=(folder, str(journal) + f"-{number}", f"w{number}"))
        process.start()
        running.append((process, number))
        if len(running) > writers:
            victim, tag = running.pop(0)
            noted = Path(f"{journal}-{tag}")
            wait_for(lambda noted=noted: noted.exists() and noted.stat().st_size > 200)  # type: ignore[misc]
            time.sleep(choose.random() * 0.05)
            victim.kill()
            victim.join()
    for process, _ in running:
        process.kill()
        process.join()

    noted_keys = [key for path in tmp_path.glob("journal-*") for key in path.read_text().split("\n")[:-1]]
    reader = open_cache(folder)
    stored = list(reader.keys())
    found = reader.read(stored).values
    one_by_one = open_cache(folder)
    sample = choose.sample(noted_keys, min(300, len(noted_keys)))

    assert len(noted_keys) > 10 * kills
    assert set(noted_keys) <= found.keys()
    assert found == {key: value_of(key) for key in stored}
    assert all(one_by_one.read([key]).values == {key: value_of(key)} for key in sample)
    # Whoever comes next computes only the rest, and stores it beside what is torn.
    assert reader.claim([*sample, "next-1"]) == ["next-1"]
    reader.write("next-1", 1.0)
    reader.end()
    assert open_cache(folder).read(["next-1"]).values == {"next-1": 1.0}


def test_a_few_kills(spawn: SpawnContext, tmp_path: Path) -> None:
    """Nothing noted is lost after a few kills."""
    _torture(spawn, tmp_path, kills=4, writers=2)


@pytest.mark.slow
def test_hundreds_of_kills(spawn: SpawnContext, tmp_path: Path) -> None:
    """Nothing noted is lost after hundreds of kills."""
    for number in range(6):
        _torture(spawn, tmp_path / str(number), kills=50, writers=3)


def _write_entries(folder: str) -> None:
    cache = Cache(folder, os.path.dirname(folder), single=True, options=Options())
    number = 0
    while True:
        cache.write("", [number] * 5000)
        number += 1


@pytest.mark.parametrize("kills", [3, pytest.param(100, marks=pytest.mark.slow)])
def test_a_task_whose_writer_is_killed(spawn: SpawnContext, tmp_path: Path, kills: int) -> None:
    """The entry of a task is always whole: the old one, or the new."""
    folder = tmp_path / "task"
    for _ in range(kills):
        process = spawn.Process(target=_write_entries, args=(str(folder),))
        process.start()
        wait_for((folder / "entry").exists)
        time.sleep(0.01)
        process.kill()
        process.join()
        assert process.exitcode == -signal.SIGKILL

        (value,) = open_cache(str(folder), single=True).read([""]).values.values()
        assert isinstance(value, list)
        assert value == [value[0]] * 5000
        (folder / "entry").unlink()


def test_a_reader_beside_a_writer(spawn: SpawnContext, tmp_path: Path) -> None:
    """A reader sees only whole values, and keeps what it saw, while the writer goes on, seals and begins anew."""
    folder, journal = str(tmp_path / "map"), tmp_path / "journal"
    process = spawn.Process(target=write_for_ever, args=(folder, str(journal), "w"))
    process.start()
    reader = open_cache(folder)
    noted: list[str] = []
    while len(noted) < 3000:
        noted = journal.read_text().split("\n")[:-1] if journal.exists() else []
        assert reader.read(noted).values == {key: value_of(key) for key in noted}
    process.kill()
    process.join()
