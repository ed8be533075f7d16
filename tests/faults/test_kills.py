"""kill -9 at any moment, of any process, by the hundred: what was handed out stays, nothing is wrong, the rest is computed."""

from __future__ import annotations

import contextlib
import itertools
import multiprocessing
import os
import random
import signal
import sys
import time
import typing as tp
import warnings
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest

import cachedmodel as cm
from tests.executors.calls import until

from .samples import append, fingerprint, is_right, lines, sample, start_of

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes are told apart by /proc")

ROUTES = {"task": None, "map": None, "threadpool": "threadpool", "processpool": "processpool", "local": "local"}


class Torture(tp.NamedTuple):
    """How a route is tortured: how many kills, at most so long after a start, with so many items a call."""

    kills: int
    longest_s: float
    items: int


def draw_for_ever(place: str, route: str, writer: int, size: int) -> None:
    """Asks for one call of items after the other; notes each value that it got."""
    warnings.simplefilter("error")
    folder, journal = Path(place), Path(place) / f"got-{writer}"
    rest: tp.Any = {"job_name": "torture", "max_jobs": 2} if route == "local" else {}
    for first in itertools.count(0, size):
        items = range(first, first + size)
        if route == "task":
            for n in items:
                got(journal, n, sample(folder, n=n).draw())
            continue
        xp = sample(folder, ROUTES[route], pause=0.001, **rest)
        # A job that was killed is an error for who waits: like a user, they ask again.
        while True:
            with contextlib.suppress(cm.JobLostError):
                for n, value in zip(items, xp.draws(items), strict=True):
                    got(journal, n, value)
                break


def got(journal: Path, n: int, value: object) -> None:
    """Notes a value that was handed out."""
    assert is_right(n, value), (n, value)
    append(journal, f"{n} {fingerprint(value)}")


def kill_one(place: Path, writers: list[BaseProcess], choose: random.Random) -> None:
    """Kills a writer, or a process that computes for it, if there is one."""
    computing = [(int(pid), start) for _, pid, start in lines(place / "computed")[-8:]]
    others = [pid for pid, start in computing if pid not in {w.pid for w in writers} and start_of(pid) == start]
    if others and choose.random() < 0.5:
        with contextlib.suppress(ProcessLookupError):
            os.kill(choose.choice(others), signal.SIGKILL)
    else:
        choose.choice(writers).kill()


def torture(place: Path, route: str, plan: Torture, seed: int = 1) -> None:
    """Runs two writers of the same items, and kills them and theirs at random moments; then all is looked at."""
    choose = random.Random(seed)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(
        ["tests.faults.test_kills", "cachedmodel.engine", "cachedmodel.boundmethods", "cachedmodel.stream"]
    )
    writers: list[BaseProcess] = []
    for kill in range(plan.kills):
        while len(writers) < 2:
            writers.append(context.Process(target=draw_for_ever, args=(str(place), route, kill, plan.items)))
            writers[-1].start()
            until((place / "computed").exists)
        if kill == plan.kills - 1:  # where starting takes long, most were killed before they got anything
            until(lambda: len(handed_out(place)) > plan.kills / 2)
        time.sleep(choose.random() * plan.longest_s)
        kill_one(place, writers, choose)
        for writer in writers:
            writer.join(0)
            assert writer.exitcode in (None, -signal.SIGKILL), "a writer failed: see its traceback"
        writers = [writer for writer in writers if writer.exitcode is None]
    for writer in writers:
        writer.kill()
        writer.join()
    for _, pid, start in lines(place / "computed"):  # jobs outlive who submitted them
        until(lambda pid=pid, start=start: not (start and start_of(int(pid)) == start))  # type: ignore[misc]
    check(place, route)


def handed_out(place: Path) -> dict[int, set[str]]:
    """The fingerprints of what the writers were given, by item."""
    found: dict[int, set[str]] = {}
    for path in place.glob("got-*"):
        for n, mark in lines(path):
            found.setdefault(int(n), set()).add(mark)
    return found


def check(place: Path, route: str) -> None:
    """What was handed out is there and is what it was; nothing is wrong; what comes next computes the rest only."""
    seen = handed_out(place)
    assert all(len(marks) == 1 for marks in seen.values()), "one item had several values"

    if route == "local":  # the queue of a submitter that was killed takes a moment to end its jobs
        while sample(place).draws.plan(range(max(seen) + 200)).running:
            time.sleep(0.05)
    before = len(lines(place / "computed"))
    stored = stored_values(place, route, max(seen) + 1)
    assert all(is_right(n, value) for n, value in stored.items())
    assert seen.keys() <= stored.keys()
    assert all({fingerprint(stored[n])} == marks for n, marks in seen.items())

    items = [*sorted(stored)[-20:], *range(max(stored) + 1, max(stored) + 4)]
    if route == "task":
        values = [sample(place, n=n).draw() for n in items]
    else:
        values = list(sample(place).draws(items))
    assert all(is_right(n, value) for n, value in zip(items, values, strict=True))
    assert [int(n) for n, *_ in lines(place / "computed")[before:]] == [n for n in items if n not in stored]


def stored_values(place: Path, route: str, count: int) -> dict[int, object]:
    """All that is stored, as a process sees it that only reads."""
    if route != "task":
        return {int(key): value for key, value in sample(place, mode="read-only").draws.cache.items()}
    models = (sample(place, n=n, mode="read-only") for n in range(count + 2))
    return {model.n: model.draw() for model in models if model.draw.is_cached()}


@pytest.mark.parametrize("route", ["task", "map"])
def test_a_few_kills(route: str, tmp_path: Path) -> None:
    """A few processes that are killed lose nothing that they had handed out."""
    torture(tmp_path, route, Torture(kills=6, longest_s=0.15, items=64))


HUNDREDS = {
    "task": Torture(kills=120, longest_s=0.1, items=16),
    "map": Torture(kills=150, longest_s=0.12, items=300),
    "threadpool": Torture(kills=80, longest_s=0.15, items=200),
    "processpool": Torture(kills=25, longest_s=1.5, items=100),
    "local": Torture(kills=12, longest_s=3.0, items=60),
}


@pytest.mark.slow
@pytest.mark.parametrize("route", ROUTES)
def test_hundreds_of_kills(route: str, tmp_path: Path) -> None:
    """Hundreds of them, on every cluster: processes that ask, threads and workers of pools, and jobs."""
    torture(tmp_path, route, HUNDREDS[route])
