"""Whoever asks, from wherever, at the same time: each value is computed once, and all get the same."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import pytest

from tests.executors.calls import until

from .asking import NAMESPACE, has_got, has_namespaces, start
from .samples import append, lines, sample

namespaces = pytest.mark.skipif(not has_namespaces(), reason="this user may not make pid namespaces (unshare --pid)")


def race(place: Path, processes: dict[str, subprocess.Popen[bytes]]) -> None:
    """Lets them all begin at once, and looks at what they got."""
    try:
        for name in processes:
            until((place / f"ready-{name}").exists, 60)
        (place / "go").touch()
        assert [process.wait(120) for process in processes.values()] == [0] * len(processes)
    finally:
        for process in processes.values():
            process.kill()
            process.wait()
    marks: dict[str, set[str]] = {}
    for name in processes:
        assert has_got(place, name) == 60
        for n, mark in lines(place / f"got-{name}"):
            marks.setdefault(n, set()).add(mark)
    assert all(len(each) == 1 for each in marks.values()), "an item had several values"
    computed = [n for n, *_ in lines(place / "computed")]
    assert sorted(computed, key=int) == [str(n) for n in range(30)], "an item was computed twice"


@pytest.mark.parametrize("what", ["task", "map"])
def test_threads_of_processes(what: str, tmp_path: Path) -> None:
    """Three processes of two threads each ask for the same items, in opposite orders."""
    race(tmp_path, {str(number): start(tmp_path, str(number), what) for number in range(3)})


@namespaces
@pytest.mark.parametrize("what", ["task", "map"])
def test_hosts_of_one_name_and_processes_of_one_pid(what: str, tmp_path: Path) -> None:
    """Processes in two pid namespaces, each with pid 1 on a host of the same name, are told apart."""
    race(tmp_path, {name: start(tmp_path, name, what, wrapper=NAMESPACE) for name in "ab"})
    assert {pid for _, pid, _ in lines(tmp_path / "computed")} == {"1"}


@pytest.mark.slow
@pytest.mark.parametrize("cluster", ["threadpool", "processpool", "local"])
def test_pools_and_jobs(cluster: str, tmp_path: Path) -> None:
    """Also where pools and jobs compute: maps of two processes that overlap."""
    race(tmp_path, {name: start(tmp_path, name, "map", cluster=cluster, max_jobs=2) for name in "ab"})


@pytest.mark.slow
def test_many_races(tmp_path: Path) -> None:
    """Races of more processes, again and again, on hosts that differ where that is possible."""
    for number in range(4):
        place = tmp_path / str(number)
        place.mkdir()
        wrapper = NAMESPACE if has_namespaces() and number % 2 else ()
        what = "task" if number < 2 else "map"
        race(place, {name: start(place, name, what, wrapper=wrapper) for name in "abcd"})


def test_a_dead_process_of_this_host(tmp_path: Path) -> None:
    """What it was computing is taken over at once, though its lease is an hour."""
    (tmp_path / "go").touch()
    owner = start(tmp_path, "dead", "one", pause=600)
    until(lambda: lines(tmp_path / "computed"))
    owner.kill()
    owner.wait()
    began = time.monotonic()

    list(sample(tmp_path, lease_s=3600).draws([0]))

    assert time.monotonic() - began < 60
    assert len(lines(tmp_path / "computed")) == 2


@namespaces
def test_a_dead_process_of_another_host(tmp_path: Path) -> None:
    """It is waited for while its heart beats, however slow it is, and taken over after a lease without."""
    (tmp_path / "go").touch()
    owner = start(tmp_path, "dead", "one", pause=600, lease_s=1, wrapper=NAMESPACE)
    until(lambda: lines(tmp_path / "computed"))
    job = sample(tmp_path, lease_s=1).draws.submit([0])
    with pytest.raises(TimeoutError):
        job.result(4)
    owner.kill()
    owner.wait()

    job.result(60)

    assert len(lines(tmp_path / "computed")) == 2


def test_a_finished_computation_is_not_done_again(tmp_path: Path) -> None:
    """A process that comes later reads."""
    append(tmp_path / "go", "")
    for name in "ab":
        assert start(tmp_path, name, "task").wait(60) == 0

    assert len(lines(tmp_path / "computed")) == 30
