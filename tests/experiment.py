"""What the tests of execution run: a model that notes each computation, and does what it is told, wherever it runs."""

from __future__ import annotations

import os
import signal
import typing as tp
from collections.abc import Iterable, Iterator
from pathlib import Path

import pydantic
import pytest

import cachedmodel as cm
from tests.executors.calls import until

#: Every place where a method may run; jobs of "local" take a second each.
EVERY = (None, "debug", "threadpool", "processpool", pytest.param("local", marks=pytest.mark.slow))
QUICK = (None, "debug", "threadpool", "processpool")
QUEUED = ("threadpool", "processpool", pytest.param("local", marks=pytest.mark.slow))


class OwnError(Exception):
    """Pickles and unpickles."""


class OddError(Exception):
    """Pickles, but does not unpickle."""

    def __init__(self, first: str, second: str) -> None:
        super().__init__(f"{first} and {second}")


class Experiment(cm.CachedModel, version="1"):
    """Doubles numbers.

    Attributes
    ----------
    n
        The number of the task.
    act
        What the task does instead; see `act`.
    acts
        The same by item of the map.
    place
        Where each computation is noted, and told what to do.
    """

    n: int = 1
    act: str = ""
    acts: tp.Annotated[dict[int, str], cm.NotInUid] = pydantic.Field(default_factory=dict)
    place: tp.Annotated[Path, cm.NotInUid]

    @cm.task
    def double(self) -> object:
        note(self.place, f"double {self.n}")
        return act(self.act, self.place, self.n)

    @cm.map(item_uid=str)
    def doubles(self, items: Iterable[int]) -> Iterator[object]:
        for item in items:
            note(self.place, str(item))
            yield act(self.acts.get(item, ""), self.place, item)


class Outer(cm.CachedModel):
    """A task that calls another model's task."""

    inner: Experiment

    @cm.task
    def total(self) -> object:
        note(self.inner.place, "total")
        return [self.inner.double(), *self.inner.doubles([1, 2])]


def act(what: str, place: Path, n: int) -> object:
    """Twice the number, or what is asked for instead."""
    if what == "fail" and not (place / "repaired").exists():
        raise OwnError(n)
    if what == "odd":
        raise OddError("this", "that")
    if what == "hold":
        (place / f"started-{n}").touch()
        until((place / f"go-{n}").exists, 120.0)
    if what == "die" and not (place / "repaired").exists():
        (place / "dies").touch()
        os.kill(os.getpid(), signal.SIGKILL)
    if what == "exit":
        raise SystemExit(3)
    if what == "lambda":
        return open(os.devnull)  # a value that cannot be stored
    if what == "memory":
        raise MemoryError
    if what == "random":
        return os.urandom(8)
    if what == "print":
        print("printed", flush=True)
    return 2 * n


def note(place: Path, text: str) -> None:
    """Adds a line to a file that many processes write."""
    fd = os.open(place / "notes", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        os.write(fd, f"{text}\n".encode())
    finally:
        os.close(fd)


def notes(place: Path) -> list[str]:
    """What was computed, in order; and forgotten."""
    path = place / "notes"
    lines = path.read_text().splitlines() if path.exists() else []
    path.unlink(missing_ok=True)
    return lines


def experiment(place: Path, cluster: str | None = None, **fields: tp.Any) -> Experiment:  # Any: fields and settings
    """An experiment that stores its results below `place`."""
    settings: tp.Any = {name: fields.pop(name) for name in list(fields) if name in cm.Infra.model_fields}
    settings = {"folder": place / "cache", "cluster": cluster, **settings}
    return Experiment(place=place, infra=settings, **fields)
