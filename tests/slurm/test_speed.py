"""What the package adds to the time that Slurm and submitit take."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import submitit

import cachedmodel as cm
from tests.slurm.models import Square
from tests.slurm.scheduler import slurm

MOST_ADDED = 1.2


def trivial(number: int) -> int:
    return number**2


@pytest.mark.slow
@pytest.mark.alone
def test_an_array_takes_little_longer_than_with_submitit_alone(infra: cm.InfraDict, log: Path, tmp_path: Path) -> None:
    """200 trivial tasks, from the call to the last result."""
    numbers = range(200)
    began = time.monotonic()
    executor = submitit.AutoExecutor(tmp_path / "bare", cluster="slurm")
    executor.update_parameters(slurm_array_parallelism=200, slurm_use_srun=False)
    assert [job.result() for job in executor.map_array(trivial, numbers)] == [number**2 for number in numbers]
    bare_s = time.monotonic() - began

    began = time.monotonic()
    jobs = cm.job_array([Square(log=log, number=number, infra=infra).value for number in numbers], max_workers=200)
    assert [job.result() for job in jobs] == [number**2 for number in numbers]
    ours_s = time.monotonic() - began
    print(f"200 tasks: submitit {bare_s:.1f} s, cachedmodel {ours_s:.1f} s")
    assert ours_s <= MOST_ADDED * bare_s


def test_submitting_many_configurations_is_quick(infra: cm.InfraDict, log: Path) -> None:
    """1,000 configurations in one array take two seconds of this process at most, whatever else the machine does."""
    infra["slurm_additional_parameters"] = {"hold": True}
    tasks = [Square(log=log, number=number, infra=infra).value for number in range(1000)]
    began, began_here = time.monotonic(), time.process_time()
    jobs = cm.job_array(tasks)
    seconds, here = time.monotonic() - began, time.process_time() - began_here
    slurm("scancel", "--quiet", str(jobs[0].job_id).partition("_")[0])
    print(f"1000 configurations: {seconds:.2f} s, of which {here:.2f} s of this process")
    assert here < 2.0
