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
cleaned: list[str] = []


class Numbered(cm.CachedModel):
    """Its folders are asked for by several threads."""

    number: int

    @cm.map(item_uid=str)
    def values(self, items: Iterable[int]) -> Iterator[object]:
        for item in items:
            yield [item]  # containers, so that the collector runs

    @cm.map(item_uid=str)
    def cleaned(self, items: Iterable[int]) -> Iterator[int]:
        try:
            yield from items
        finally:
            cleaned.append(threading.current_thread().name)


def drop_many(folder: str, rounds: int) -> None:
    """Leaves iterators that were begun to the collector, which runs all the time, in all threads."""
    faulthandler.dump_traceback_later(240, exit=True)  # a dead lock shows where
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
        subprocess.run(command, cwd=Path(__file__).parents[2], check=True, timeout=270)


def test_a_clean_up_is_done_by_who_drops_the_iterator(tmp_path: Path) -> None:
    """In its own thread, at once: a method may have set what belongs to it."""
    infra: tp.Any = {"folder": tmp_path}

    assert dropped(Numbered(number=0, infra=infra)) == [threading.current_thread().name]


class Outer(cm.CachedModel):
    """Its method lets go of an iterator of `inner` that was begun: in its body, or where its value is pickled."""

    inner: Numbered

    @cm.task
    def in_its_body(self) -> list[str]:
        return [threading.current_thread().name, *dropped(self.inner)]

    @cm.task
    def in_its_value(self) -> Dropping:
        return Dropping(self.inner)


class Dropping:
    """A value that lets go of an iterator while it is pickled."""

    def __init__(self, numbered: Numbered) -> None:
        self.numbered = numbered

    def __reduce__(self) -> tuple[type[list[str]], tuple[list[str]]]:
        return list, (dropped(self.numbered),)


def dropped(numbered: Numbered) -> list[str]:
    """The threads that have cleaned up when an iterator was let go of."""
    cleaned.clear()
    outputs = numbered.cleaned([1, 2, 3])
    next(outputs)
    del outputs
    return list(cleaned)


def test_what_a_method_drops_is_cleaned_up_in_its_thread(tmp_path: Path) -> None:
    """At once, though an outer call is in the midst of its work."""
    infra: tp.Any = {"folder": tmp_path}

    mine, *cleaners = Outer(inner=Numbered(number=0, infra=infra), infra=infra).in_its_body()

    assert cleaners == [mine]


def test_what_is_dropped_in_the_midst_of_storing_is_cleaned_up_later(tmp_path: Path) -> None:
    """Not under the locks of the cache, though it is code of the value's class that lets go."""
    infra: tp.Any = {"folder": tmp_path}
    outer = Outer(inner=Numbered(number=0, infra=infra), infra=infra)

    outer.in_its_value()
    seen: object = outer.infra.clone_obj().in_its_value()  # what was written when it was pickled

    assert seen == []


if __name__ == "__main__":
    drop_many(sys.argv[1], int(sys.argv[2]))
