"""Files that vanish beneath those who just listed them: cleared, compacted and repaired while others compute and read."""

from __future__ import annotations

import multiprocessing
import random
import time
import traceback
import typing as tp
import warnings
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

import cachedmodel as cm
from cachedmodel.cache.compaction import compact
from cachedmodel.cache.repair import repair
from cachedmodel.cache.upkeep import folders_of_entries
from cachedmodel.cache.verify import verify
from tests.executors.calls import until

from .samples import append, lines

ITEMS = 60


def right(n: int) -> object:
    """The value of an item."""
    return n / 7 if n % 3 else [n, "x" * n]


class Steady(cm.CachedModel):
    """Computes the same whenever it is asked."""

    @cm.task
    def one(self) -> object:
        """One value."""
        return right(3)

    @cm.map(item_uid=str)
    def many(self, items: Iterable[int]) -> Iterator[object]:
        """A value for each item."""
        for n in items:
            yield right(n)


def steady(place: str) -> Steady:
    """The model whose cache is below `place`."""
    return Steady(infra={"folder": Path(place) / "cache"})


def ask(place: str, choose: random.Random) -> None:
    """Asks for some items and for the task, as who has just come does, and as who has been there before."""
    xp = steady(place)
    for _ in range(choose.randrange(1, 9)):
        items = choose.sample(range(ITEMS), choose.randrange(1, ITEMS))
        assert list(xp.many(items)) == [right(n) for n in items]
        assert xp.one() == right(3)


def look(place: str, choose: random.Random) -> None:
    """Reads what is there, one by one and together."""
    cache = steady(place).many.cache
    for _ in range(choose.randrange(1, 9)):
        assert all(value == right(int(key)) for key, value in cache.items())
        for key in cache:
            assert cache.get(key, right(int(key))) == right(int(key))


def clear(place: str, choose: random.Random) -> None:
    """Clears the task, and some or all items."""
    time.sleep(choose.random() * 0.01)
    xp = steady(place)
    xp.one.clear()
    xp.many.clear(None if choose.random() < 0.3 else choose.sample(range(ITEMS), 20))


def maintain(place: str, choose: random.Random) -> None:
    """Compacts, without a grace period, repairs and verifies."""
    for folder in folders_of_entries(f"{place}/cache"):
        notes = compact(folder, grace_s=0.0).notes
        assert all("meanwhile" in note or "somebody else" in note for note in notes), notes
    steps = [step for step in repair(f"{place}/cache") if step.done in ("set aside", "made anew")]
    assert steps == [], steps
    findings = [finding for report in verify(f"{place}/cache") for finding in report.findings]
    assert [finding for finding in findings if finding.what in ("damaged", "alien")] == []


ROLES: tp.Final = (ask, look, clear, maintain)


def for_ever(role: int, place: str, seed: int) -> None:
    """Does one of these things again and again; what goes wrong is noted, a warning too."""
    warnings.simplefilter("error")
    do: Callable[[str, random.Random], None] = ROLES[role]
    choose = random.Random(seed)
    while True:
        try:
            do(place, choose)
        except BaseException:
            append(Path(place) / "wrong", traceback.format_exc())
            raise
        append(Path(place) / f"done-{role}", "once")


@pytest.mark.parametrize("rounds", [4, pytest.param(40, marks=[pytest.mark.slow, pytest.mark.timeout(900)])])
def test_all_at_once(rounds: int, tmp_path: Path) -> None:
    """Nobody gets a wrong value, an error or a warning, and everybody comes on, though some are killed."""
    spawn, choose, place = multiprocessing.get_context("spawn"), random.Random(rounds), str(tmp_path)
    steady(place).one()

    def start(role: int, seed: int) -> multiprocessing.process.BaseProcess:
        process = spawn.Process(target=for_ever, args=(role, place, seed), daemon=True)  # ends with a failing test
        process.start()
        return process

    def often(role: int) -> int:
        return len(lines(tmp_path / f"done-{role}"))

    running = [start(role, role) for role in range(len(ROLES))]
    for number in range(rounds):
        before = [often(role) for role in range(len(ROLES))]
        until(lambda: (tmp_path / "wrong").exists() or all(often(role) > before[role] for role in range(len(ROLES))))  # noqa: B023
        assert not (tmp_path / "wrong").exists(), (tmp_path / "wrong").read_text()
        role = choose.randrange(len(ROLES))
        running[role].kill()
        running[role].join()
        running[role] = start(role, 100 + number)
    for process in running:
        process.kill()
        process.join()
    assert not (tmp_path / "wrong").exists(), (tmp_path / "wrong").read_text()
    ask(place, choose)
