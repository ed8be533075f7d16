"""A computation that asks for itself, by way of other processes: an error that says so, not a dead lock."""

from __future__ import annotations

import multiprocessing
import threading
import typing as tp
from collections.abc import Iterable, Iterator
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest

import cachedmodel as cm
from tests.executors.calls import until

from .samples import append, lines


class Ring(cm.CachedModel):
    """Each asks for the next, once all were begun."""

    number: int
    size: int
    begun: tp.Annotated[int, cm.NotInUid] = 0
    place: tp.Annotated[Path, cm.NotInUid]

    @cm.task
    def value(self) -> object:
        self._begin()
        return self._next().value()

    @cm.map(item_uid=str)
    def values(self, items: Iterable[int]) -> Iterator[object]:
        for item in items:
            self._begin()
            yield list(self._next().values([item]))

    def _next(self) -> Ring:
        return self.infra.clone_obj(number=(self.number + 1) % self.size)

    def _begin(self) -> None:
        (self.place / f"begun-{self.number}").touch()
        until(lambda: len([*self.place.glob("begun-*")]) >= self.begun)


def ring(place: Path, number: int, size: int, cluster: str | None = None, begun: int | None = None) -> Ring:
    infra: tp.Any = {"folder": place / "cache", "cluster": cluster}
    return Ring(number=number, size=size, place=place, begun=size if begun is None else begun, infra=infra)


def ask(place: str, number: int, size: int, method: str, cluster: str | None) -> None:
    """Asks for one of them, and notes what happened."""
    xp = ring(Path(place), number, size, cluster)
    try:
        list(xp.values([7])) if method == "values" else xp.value()
    except cm.RecursiveComputeError as error:
        append(Path(place) / "outcome", f"{number} {str(error).replace(' ', '-')}")


def everyone_is_told(processes: tp.Sequence[BaseProcess], size: int, place: Path) -> None:
    """Runs processes that ask in a circle: each of the `size` that ask is told, and nothing is stored or left behind."""
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
        assert process.exitcode == 0

    outcomes = lines(place / "outcome")
    assert sorted(number for number, _ in outcomes) == [str(number) for number in range(size)]
    assert all("asked-for-by-its-own-computation" in text for _, text in outcomes)
    assert not [*(place / "cache").rglob(".wait-*")]
    assert not [*(place / "cache").rglob("entry")]


@pytest.mark.parametrize(
    ("size", "method", "cluster"),
    [
        (2, "value", None),
        (2, "values", None),
        (3, "value", None),
        (2, "value", "threadpool"),
        pytest.param(2, "value", "processpool", marks=pytest.mark.slow),
        pytest.param(2, "values", "local", marks=pytest.mark.slow),
    ],
)
def test_a_circle_of_processes(size: int, method: str, cluster: str | None, tmp_path: Path) -> None:
    """Each process computes one and asks for the next; every one of them is told."""
    context = multiprocessing.get_context("spawn")
    processes = [
        context.Process(target=ask, args=(str(tmp_path), number, size, method, cluster)) for number in range(size)
    ]
    everyone_is_told(processes, size, tmp_path)


def ask_in_threads(place: str, numbers: tp.Sequence[int], size: int, method: str, cluster: str | None) -> None:
    """Asks for some of them at once."""
    threads = [threading.Thread(target=ask, args=(place, number, size, method, cluster)) for number in numbers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


@pytest.mark.parametrize(
    ("groups", "method", "cluster"),
    [
        ([[0, 2], [1]], "value", None),
        ([[0, 2], [1]], "values", None),
        ([[0, 2], [1, 3]], "value", None),
        pytest.param([[0, 1, 3], [2, 4]], "values", None, marks=pytest.mark.slow),
        pytest.param([[0, 2], [1]], "value", "threadpool", marks=pytest.mark.slow),
        pytest.param([[0, 2], [1]], "values", "local", marks=pytest.mark.slow),
    ],
)
def test_a_circle_of_threads_and_processes(
    groups: list[list[int]], method: str, cluster: str | None, tmp_path: Path
) -> None:
    """It leads from a thread to another process, and back to another thread; every one of them is told."""
    size = sum(map(len, groups))
    context = multiprocessing.get_context("spawn")
    processes = [
        context.Process(target=ask_in_threads, args=(str(tmp_path), numbers, size, method, cluster))
        for numbers in groups
    ]
    everyone_is_told(processes, size, tmp_path)


class Nested(cm.CachedModel):
    """Waits long for what another process computes, which is no circle."""

    depth: int
    place: tp.Annotated[Path, cm.NotInUid]

    @cm.task
    def value(self) -> int:
        if self.depth == 0:
            (self.place / "started").touch()
            until((self.place / "go").exists)
            return 0
        return 1 + self.infra.clone_obj(depth=self.depth - 1).value()


def nested(place: str, depth: int) -> None:
    append(Path(place) / "outcome", str(Nested(depth=depth, place=Path(place), infra={"folder": place}).value()))


def test_long_waits_are_no_circle(tmp_path: Path) -> None:
    """Processes that wait for one another in a line, for longer than a circle takes to be seen, go on."""
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=nested, args=(str(tmp_path), depth)) for depth in (0, 2, 1, 3)]
    for process in processes:
        process.start()
        until((tmp_path / "started").exists)
    until(lambda: len([*tmp_path.rglob(".wait-*")]) >= 1)
    beats = {path: path.read_bytes()[:16] for path in tmp_path.rglob(".wait-*")}
    until(lambda: all(not path.exists() or path.read_bytes()[:16] > beats[path] for path in beats))
    (tmp_path / "go").touch()
    for process in processes:
        process.join(60)
        assert process.exitcode == 0

    assert sorted(lines(tmp_path / "outcome")) == [["0"], ["1"], ["2"], ["3"]]
    assert not [*tmp_path.rglob(".wait-*")]
