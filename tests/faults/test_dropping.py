"""Iterators that the garbage collector drops, wherever it runs: no dead lock, and others get what they had claimed."""

from __future__ import annotations

import faulthandler
import gc
import subprocess
import sys
import threading
import typing as tp
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

import cachedmodel as cm

THREADS, FOLDERS = 4, 4


class Numbered(cm.CachedModel):
    """Its folders are asked for by several threads."""

    number: int

    @cm.map(item_uid=str)
    def values(self, items: Iterable[int]) -> Iterator[object]:
        for item in items:
            yield [item]  # containers, so that the collector runs


def drop_many(folder: str, rounds: int) -> None:
    """Leaves iterators that were begun to the collector, which runs all the time, in all threads."""
    faulthandler.dump_traceback_later(60, exit=True)  # a dead lock shows where
    gc.set_threshold(3)
    sys.setswitchinterval(1e-5)

    def work(thread: int) -> None:
        for n in range(rounds):
            infra: tp.Any = {"folder": folder}
            outputs = Numbered(number=(n + thread) % FOLDERS, infra=infra).values([n * 10 + thread, n * 10 + 5])
            next(outputs)
            cycle: list[object] = [outputs]
            cycle.append(cycle)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


@pytest.mark.parametrize("rounds", [100, pytest.param(1500, marks=pytest.mark.slow)])
def test_the_collector_runs_in_the_midst_of_other_calls(rounds: int, tmp_path: Path) -> None:
    """Threads that use some folders at once all end."""
    command = [sys.executable, "-W", "error", "-m", __name__, str(tmp_path), str(rounds)]
    for _ in range(3 if rounds > 100 else 1):
        subprocess.run(command, cwd=Path(__file__).parents[2], check=True, timeout=90)


def test_a_clean_up_is_done_by_who_drops_the_iterator(tmp_path: Path) -> None:
    """In its own thread, at once: a method may have set what belongs to it."""
    cleaners: list[str] = []

    class Cleaning(cm.CachedModel):
        @cm.map(item_uid=str)
        def values(self, items: Iterable[int]) -> Iterator[int]:
            try:
                yield from items
            finally:
                cleaners.append(threading.current_thread().name)

    xp = Cleaning(infra={"folder": tmp_path})
    for _ in xp.values([1, 2, 3]):
        break

    assert cleaners == [threading.current_thread().name]


if __name__ == "__main__":
    drop_many(sys.argv[1], int(sys.argv[2]))
