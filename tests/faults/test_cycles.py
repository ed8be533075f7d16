"""A computation that asks for itself, by way of other processes: an error that says so, not a dead lock."""

from __future__ import annotations

import asyncio
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
    """Each asks for the next, once all were begun; some are kept in memory alone, and shared by the threads of a process."""

    number: int
    size: int
    begun: tp.Annotated[int, cm.NotInUid] = 0
    place: tp.Annotated[Path, cm.NotInUid]
    in_memory: tp.Annotated[tuple[int, ...], cm.NotInUid] = ()

    @cm.task
    def value(self) -> object:
        self._begin()
        return self._next().value()

    @cm.map(item_uid=str)
    def values(self, items: Iterable[int]) -> Iterator[object]:
        for item in items:
            self._begin()
            yield list(self._next().values([item]))

    @cm.map(item_uid=str)
    def completed(self, items: Iterable[int]) -> Iterator[object]:
        for item in items:
            self._begin()
            yield [output for _, output in self._next().completed.submit([item]).as_completed()]

    @cm.task
    def awaited(self) -> object:
        self._begin()

        async def wait() -> object:
            return await self._next().awaited.job()

        return asyncio.run(wait())

    @cm.task
    def job_result(self) -> object:
        self._begin()
        return self._next().job_result.job().result()

    def _next(self) -> Ring:
        return self.of((self.number + 1) % self.size)

    def of(self, number: int) -> Ring:
        """Another one of the ring."""
        infra: tp.Any = {"folder": None if number in self.in_memory else self.place / "cache"}
        xp = self.infra.clone_obj(number=number, infra=infra)
        return shared.setdefault(number, xp) if number in self.in_memory else xp

    def _begin(self) -> None:
        (self.place / f"begun-{self.number}").touch()
        until(lambda: len([*self.place.glob("begun-*")]) >= self.begun)


#: Those that are kept in memory, by their number.
shared: dict[int, Ring] = {}


def ask(place: str, number: int, size: int, method: str, cluster: str | None, in_memory: tuple[int, ...] = ()) -> None:
    """Asks for one of them, and notes what happened."""
    infra: tp.Any = {"folder": Path(place) / "cache", "cluster": cluster}
    xp = Ring(number=number, size=size, place=Path(place), begun=size, in_memory=in_memory, infra=infra).of(number)
    ways: dict[str, tp.Callable[[], object]] = {
        "value": xp.value,
        "values": lambda: list(xp.values([7])),
        "completed": lambda: list(xp.completed([7])),
        "awaited": xp.awaited,
        "job_result": xp.job_result,
    }
    try:
        ways[method]()
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
        (2, "completed", None),
        (2, "completed", "threadpool"),
        (2, "awaited", "threadpool"),
        (2, "job_result", "threadpool"),
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


def ask_in_threads(
    place: str,
    numbers: tp.Sequence[int],
    size: int,
    method: str,
    cluster: str | None,
    in_memory: tuple[int, ...] = (),
) -> None:
    """Asks for some of them at once."""
    threads = [
        threading.Thread(target=ask, args=(place, number, size, method, cluster, in_memory)) for number in numbers
    ]
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


@pytest.mark.parametrize(
    ("groups", "in_memory", "method", "cluster"),
    [
        ([[0, 2], [1]], (0,), "value", None),
        ([[0, 2], [1]], (0,), "values", None),
        ([[0, 2], [1, 3]], (0, 3), "value", None),
        ([[0, 1]], (0, 1), "awaited", None),
        pytest.param([[0, 2], [1]], (2,), "value", "threadpool", marks=pytest.mark.slow),
        pytest.param([[0, 1, 3], [2, 4]], (0, 1), "completed", None, marks=pytest.mark.slow),
    ],
)
def test_a_circle_through_memory(
    groups: list[list[int]], in_memory: tuple[int, ...], method: str, cluster: str | None, tmp_path: Path
) -> None:
    """Threads share what is kept in memory alone, and other processes are part of the circle; every one of them is told."""
    size = sum(map(len, groups))
    context = multiprocessing.get_context("spawn")
    processes = [
        context.Process(target=ask_in_threads, args=(str(tmp_path), numbers, size, method, cluster, in_memory))
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
