"""Preemption and requeue: the work goes on where it was."""

from __future__ import annotations

from pathlib import Path

import pytest

import cachedmodel as cm
from tests.executors.calls import until
from tests.slurm.models import Drawn, Slow, Training
from tests.slurm.scheduler import CPUS, NODES, PATIENCE_S, slurm, wait_for_file


def take_all_nodes() -> None:
    """A job of the partition that preempts, on all nodes, for a moment."""
    slurm(
        "sbatch", "--partition=urgent", f"--nodes={NODES}", f"--cpus-per-task={CPUS}", "--ntasks-per-node=1",
        "--output=/dev/null", "--wrap=true",
    )  # fmt: skip


@pytest.mark.alone
@pytest.mark.parametrize("use_srun", [False, True])
def test_preempted_jobs_go_on(use_srun: bool, infra: cm.InfraDict, log: Path) -> None:
    """A task goes on from the checkpoint in its folder, a map at the first item that is not stored."""
    infra |= {"slurm_use_srun": use_srun, "timeout_min": 5}  # up to 10, submitit takes each preemption for a time-out
    training = Training(log=log, infra=infra).value
    slow = Slow(log=log.with_name("log of the map"), infra={**infra, "max_jobs": 1}).double
    jobs = training.job(), slow.submit([1, 2, 100])
    until(lambda: "step 2" in wait_for_file(log))
    until(lambda: slow.plan([1, 2]).cached == [1, 2])

    take_all_nodes()
    until(lambda: "Stopped: " in jobs[0].stderr(), PATIENCE_S)
    log.with_name("gate").touch()
    assert jobs[0].result(PATIENCE_S) == [2, 4]
    assert jobs[1].result(PATIENCE_S) == [2, 4, 200]
    assert log.read_text().split("\n") == ["step 0", "step 1", "step 2", "step 2", "step 3", ""]
    assert log.with_name("log of the map").read_text().split() == ["1", "2", "100"]


@pytest.mark.slow
def test_a_job_that_is_queued_again_runs_again(infra: cm.InfraDict, log: Path) -> None:
    """scontrol requeue ends the first run; the job keeps its id, and the second run has the result."""
    job = Drawn(log=log, infra=infra).value.job()
    first = wait_for_file(log).split()[1]
    slurm("scontrol", "requeue", str(job.job_id))
    until(lambda: job.status() == "queued")
    until(lambda: log.read_text().count("started") == 2, PATIENCE_S)
    log.with_name("gate").touch()
    second = log.read_text().split()[3]
    assert job.result(PATIENCE_S) == float(second) != float(first)
