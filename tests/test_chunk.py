"""Chunks that travel to jobs: a job that is preempted and queued again goes on where it was."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import random
import signal
import typing as tp
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

import cachedmodel as cm
from cachedmodel.engine import Call
from cachedmodel.submission import travelling
from tests.executors.calls import until


class Preempted(cm.CachedModel):
    """Is ended once, in the midst of its items."""

    place: tp.Annotated[Path, cm.NotInUid]

    @cm.map(item_uid=str)
    def values(self, items: Iterable[int]) -> Iterator[object]:
        for item in items:
            if item == 2 and not (self.place / "ended").exists():
                (self.place / "ended").touch()
                raise KeyboardInterrupt  # as a signal does
            with (self.place / "computed").open("a") as file:
                file.write(f"{item}\n")
            if item == 3:
                until((self.place / "go").exists)
            yield random.random()


def preempted(place: Path, **settings: object) -> Preempted:
    infra: tp.Any = {"folder": place / "cache", **settings}
    return Preempted(place=place, infra=infra)


def submit_and_die(place: Path) -> None:
    """What a submitter does until its job is queued; its claims are not the job's yet."""
    call = Call(preempted(place, cluster="local").values._work(), {"1": 1, "3": 3})
    part = call.claim(call.prepare())
    assert part is not None
    (place / "job").write_bytes(pickle.dumps(travelling(call, part.keys)))
    os.kill(os.getpid(), signal.SIGKILL)


def run_job(place: Path) -> None:
    pickle.loads((place / "job").read_bytes())()


def test_a_job_whose_submitter_was_killed_keeps_its_items(tmp_path: Path) -> None:
    """Others wait for it, though the submitter could not name the job in its claims: nothing is computed twice."""
    context = multiprocessing.get_context("spawn")
    submitter = context.Process(target=submit_and_die, args=(tmp_path,))
    submitter.start()
    submitter.join(60)
    job = context.Process(target=run_job, args=(tmp_path,))
    job.start()
    until(lambda: (tmp_path / "computed").exists() and (tmp_path / "computed").read_text().split() == ["1", "3"])
    waiting = preempted(tmp_path).values.submit([3])
    with pytest.raises(TimeoutError):
        waiting.result(1)

    (tmp_path / "go").touch()
    waiting.result(60)
    job.join(60)
    assert job.exitcode == 0
    assert (tmp_path / "computed").read_text().split() == ["1", "3"]


def test_what_others_took_over_is_theirs(tmp_path: Path) -> None:
    """A job that starts late leaves alone what is computed since its submitter died."""
    context = multiprocessing.get_context("spawn")
    submitter = context.Process(target=submit_and_die, args=(tmp_path,))
    submitter.start()
    submitter.join(60)
    outputs = preempted(tmp_path).values([1, 3])
    next(outputs)  # the third is claimed, too
    job = context.Process(target=run_job, args=(tmp_path,))
    job.start()
    job.join(60)
    assert job.exitcode == 0

    (tmp_path / "go").touch()
    assert len(list(outputs)) == 1
    assert (tmp_path / "computed").read_text().split() == ["1", "3"]


@pytest.mark.parametrize("mode", ["cached", "force"])
def test_a_job_that_is_queued_again_computes_the_rest(mode: str, tmp_path: Path) -> None:
    """Also where all was stored before, and is computed again: what this very job has stored counts."""
    if mode == "force":
        (tmp_path / "ended").touch()
        (tmp_path / "go").touch()
        before = list(preempted(tmp_path).values([1, 2, 3]))
        (tmp_path / "ended").unlink()
        (tmp_path / "computed").unlink()
    (tmp_path / "go").touch()
    call = Call(preempted(tmp_path, cluster="local", mode=mode).values._work(), {"1": 1, "2": 2, "3": 3})
    data = pickle.dumps(travelling(call, call.prepare()))
    with pytest.raises(KeyboardInterrupt):
        pickle.loads(data)()

    pickle.loads(data)()

    assert (tmp_path / "computed").read_text().split() == ["1", "2", "3"]
    values = list(preempted(tmp_path, mode="read-only").values([1, 2, 3]))
    if mode == "force":
        assert not {*before} & {*values}
