"""Compaction while many write, replace and delete, with kills of all of them: nothing is lost, and nothing comes back."""

from __future__ import annotations

import multiprocessing
import random
import time
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest

from cachedmodel.cache import Cache, CacheDict, Options
from cachedmodel.cache.compaction import compact
from cachedmodel.cache.verify import verify
from tests.executors.calls import until

from .samples import append, lines

WRITERS = 2
KEYS = 40


def write_for_ever(place: str, tag: int, number: int) -> None:
    """Sets and deletes keys of its own; notes what it is about to do, and that it was done.

    A value is the number of its step, so that whoever reads can tell an old one.
    """
    folder, choose = Path(place), random.Random(number)
    cache: CacheDict[object] = CacheDict(folder / "map")
    journal = folder / f"journal-{tag}"
    step = len(lines(journal))
    while True:
        step += 1
        key = f"{tag} {choose.randrange(KEYS)}"
        deletes = choose.random() < 0.3
        append(journal, f"begins {key} {0 if deletes else step}")
        if deletes:
            cache.pop(key, None)
        else:
            cache[key] = [step, "x" * choose.randrange(300)] if choose.random() < 0.8 else [step, bytes(50_000)]
        append(journal, f"done {key} {0 if deletes else step}")
        if choose.random() < 0.02:
            cache.close()


def compact_for_ever(place: str) -> None:
    """Compacts, with hardly a grace period."""
    while True:
        compact(f"{place}/map", grace_s=0.01)
        append(Path(place) / "compacted", "once")


def read_for_ever(place: str, number: int) -> None:
    """Reads all keys again and again; notes where a value was older than the one that was there before it looked."""
    folder = Path(place)
    cache = Cache(f"{place}/map", f"{place}/map", single=False, options=Options())
    while True:
        before = journals(folder)
        cache.refresh()
        may = state(before)
        found = cache.read(list(may)).values
        for journal, known in zip(journals(folder), before, strict=True):
            for _, key, step in journal[len(known) :]:
                may[key].add(step)  # was so at some time while it looked
        wrong = {key: step_of(found.get(key)) for key in may if step_of(found.get(key)) not in may[key]}
        for key, step in wrong.items():
            append(folder / f"wrong-{number}", f"{key}:{step}:{sorted(may[key])}")
        append(folder / f"read-{number}", "once")


def journals(place: Path) -> list[list[tuple[str, str, int]]]:
    """What each writer noted so far."""
    found = [lines(place / f"journal-{tag}") for tag in range(WRITERS)]
    return [[(what, f"{of} {number}", int(step)) for what, of, number, step in journal] for journal in found]


def step_of(value: object) -> int:
    """The step at which a value was written; 0 if there is none."""
    return value[0] if isinstance(value, list) else 0


def state(noted: list[list[tuple[str, str, int]]]) -> dict[str, set[int]]:
    """What each key may be: the last that was done, or what was begun since."""
    may: dict[str, set[int]] = {f"{tag} {number}": {0} for tag in range(WRITERS) for number in range(KEYS)}
    for journal in noted:
        for what, key, step in journal:
            may[key] = {step} if what == "done" else may[key] | {step}
    return may


@pytest.mark.parametrize("kills", [6, pytest.param(150, marks=pytest.mark.slow)])
def test_kills(kills: int, tmp_path: Path) -> None:
    """Writers, readers and the compactor are killed in turns; what each wrote last is what is there."""
    spawn, choose = multiprocessing.get_context("spawn"), random.Random(kills)

    def start(role: int, number: int) -> BaseProcess:
        place = str(tmp_path)
        if role < WRITERS:
            process = spawn.Process(target=write_for_ever, args=(place, role, number))
        elif role == WRITERS:
            process = spawn.Process(target=compact_for_ever, args=(place,))
        else:
            process = spawn.Process(target=read_for_ever, args=(place, number))
        process.start()
        return process

    (tmp_path / "map").mkdir()
    running = [start(role, role) for role in range(WRITERS + 2)]
    until(lambda: all((tmp_path / name).exists() for name in ("journal-0", "journal-1", "compacted", "read-3")))
    for number in range(kills):
        time.sleep(choose.random() * 0.2)
        role = choose.randrange(WRITERS + 1)
        running[role].kill()
        running[role].join()
        running[role] = start(role, 100 + number)
    compacted = len(lines(tmp_path / "compacted"))
    until(lambda: len(lines(tmp_path / "compacted")) > compacted)
    for process in running:
        assert process.exitcode is None
        process.kill()
        process.join()

    for _ in range(3):
        found = CacheDict[object](tmp_path / "map")
        may = state(journals(tmp_path))
        there = {key: step_of(found.get(key)) for key in may}
        assert {key: (step, may[key]) for key, step in there.items() if step not in may[key]} == {}
        assert compact(str(tmp_path / "map"), grace_s=0.0, patient=True).notes == []
    assert [line for path in tmp_path.glob("wrong-*") for line in lines(path)] == []
    whats = {finding.what for report in verify(str(tmp_path / "map")) for finding in report.findings}
    assert whats <= {"orphaned"}
