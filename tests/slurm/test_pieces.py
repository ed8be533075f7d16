"""What is larger than the largest array of the cluster: several, each after the one before, all run to their end."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

import cachedmodel as cm
from cachedmodel.executors.slurm import settings
from tests.executors.calls import until
from tests.slurm.models import Asking, Beside, Slow, Square, Steps
from tests.slurm.scheduler import PATIENCE_S, slurm, wait_for_file

CLUSTER = Path(__file__).with_name("cluster")
LARGEST = 3

pytestmark = pytest.mark.alone


def set_largest(size: int) -> None:
    """Changes how many jobs an array of the cluster may have."""
    subprocess.run([CLUSTER, "set", f"MaxArraySize={size}"], check=True)
    settings.clear()  # they are asked for once


@pytest.fixture(autouse=True)
def largest() -> Iterator[None]:
    """Arrays of this cluster are small."""
    usual = int(settings.get("MaxArraySize"))
    set_largest(LARGEST)
    yield
    set_largest(usual)


@pytest.fixture
def gate(log: Path) -> Iterator[Path]:
    """Opens the way for jobs that wait; open in the end, whatever happens."""
    path = log.with_name("gate")
    yield path
    path.touch()


def arrays_of(jobs: Sequence[cm.Job[object]]) -> list[str]:
    """The array of each job."""
    return [str(job.job_id).partition("_")[0] for job in jobs]


def test_all_are_computed_once_and_never_more_than_asked_for(infra: cm.InfraDict, log: Path) -> None:
    """Eight in three arrays, two at a time over all of them, one array after the other."""
    jobs = cm.job_array([Beside(log=log, number=number, infra=infra).value for number in range(8)], max_workers=2)
    assert len({job.job_id for job in jobs}) == 8
    first, second, third = dict.fromkeys(arrays_of(jobs))
    assert arrays_of(jobs) == 3 * [first] + 3 * [second] + 2 * [third]
    assert [job.result(PATIENCE_S) for job in jobs] == [number**2 for number in range(8)]

    seen = [tuple(map(int, line.split())) for line in log.read_text().splitlines()]
    assert sorted(number for number, _ in seen) == list(range(8))
    assert max(running for _, running in seen) == 2
    assert [number // LARGEST for number, _ in seen] == [0, 0, 0, 1, 1, 1, 2, 2]
    for job in jobs:
        found = cm.find_slurm_job(str(job.job_id), infra["folder"])
        assert found is not None
        assert (found.job_id, found.wait(PATIENCE_S), found.status()) == (job.job_id, True, "completed")


def test_each_piece_tells_its_states_and_lets_its_jobs_be_cancelled(infra: cm.InfraDict, log: Path, gate: Path) -> None:
    """A running job of the first, waiting ones of the others: whoever waits is told, and the rest goes on."""
    steps = [Steps(log=log, number=number, infra=infra) for number in range(7)]
    jobs = cm.job_array([step.value for step in steps], max_workers=1)
    wait_for_file(log)
    until(lambda: [job.status() for job in jobs] == ["running"] + 6 * ["queued"])
    assert [step.value.status() for step in steps] == ["running"] + 6 * ["queued"]
    for number in (0, 4, 6):
        jobs[number].cancel()
    for number in (4, 6):
        with pytest.raises(cm.JobLostError, match="was cancelled"):
            jobs[number].result(20)
    gate.touch()
    assert [jobs[number].result(PATIENCE_S) for number in (1, 2, 3, 5)] == [f"result {n}" for n in (1, 2, 3, 5)]
    with pytest.raises(cm.JobLostError, match="was cancelled"):
        jobs[0].result(20)
    assert [job.status() for job in jobs] == [
        "completed" if number in (1, 2, 3, 5) else "cancelled" for number in range(7)
    ]


def arrays() -> set[str]:
    """Ids of those that Slurm knows."""
    return set(slurm("squeue", "--noheader", "--format=%F").split())


def test_a_cancelled_array_lets_the_next_one_begin(infra: cm.InfraDict, log: Path, gate: Path) -> None:
    """Of a map, with Slurm's own command: the others' items come, the next call computes the rest."""
    gate.touch()
    infra |= {"max_jobs": 5, "slurm_additional_parameters": {"hold": True}}
    slow = Slow(log=log, infra=infra)
    earlier = arrays()  # of a run that failed before it released them
    job = slow.double.submit(range(5))
    ids = sorted(arrays() - earlier, key=int)
    assert len(ids) == 2
    slurm("scancel", ids[0])
    slurm("scontrol", "release", ids[1])
    with pytest.raises(cm.JobLostError, match="cancelled"):
        job.result(PATIENCE_S)
    until(lambda: slow.double.plan(range(5)).cached == [3, 4], PATIENCE_S)
    infra["slurm_additional_parameters"] = {}
    assert list(Slow(log=log, infra=infra).double(range(5))) == [0, 2, 4, 6, 8]
    assert sorted(log.read_text().split()) == list("01234")


def test_a_job_may_wait_for_one_of_a_later_piece(infra: cm.InfraDict, log: Path) -> None:
    """It lends its place to that piece, which begins only when its own has ended otherwise: both would wait for ever."""
    asking = Asking(log=log, number=9, other=4, infra=infra).value
    squares = [Square(log=log, number=number, infra=infra).value for number in range(1, 7)]
    jobs = cm.job_array([asking, *squares], max_workers=1)
    assert jobs[0].result(PATIENCE_S) == 17
    assert [job.result(PATIENCE_S) for job in jobs[1:]] == [number**2 for number in range(1, 7)]
    assert log.read_text().split() == ["asks", "1", "2", "3", "4", "5", "6"]


def test_a_place_that_was_lent_is_taken_back(infra: cm.InfraDict, log: Path, gate: Path) -> None:
    """Also by a job that ends right after it has waited: afterwards no more run at once than were asked for."""
    asking = Asking(log=log, other=1, infra=infra).value
    square = Square(log=log, number=1, infra={**infra, "job_name": "in another array"}).value
    steps = [Steps(log=log, number=number, infra=infra).value for number in (1, 2)]
    jobs = cm.job_array([asking, *steps], max_workers=1)
    until(lambda: "started" in wait_for_file(log), PATIENCE_S)  # in the place that was lent
    assert (square(), jobs[0].result(PATIENCE_S)) == (1, 2)
    array = arrays_of([jobs[0]])[0]
    until(lambda: "ArrayTaskThrottle=1 " in slurm("scontrol", "show", "job", f"{array}_2"), PATIENCE_S)
    assert jobs[2].status() == "queued"
    gate.touch()
    assert [job.result(PATIENCE_S) for job in jobs[1:]] == ["result 1", "result 2"]
