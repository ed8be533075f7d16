"""What goes wrong on clusters: each ends in a right result, or in an error that says what happened."""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import cachedmodel as cm
from cachedmodel.executors.jobfiles import JobFiles, Started, write_record
from cachedmodel.executors.slurm import Controller
from cachedmodel.executors.slurm import controller as slurm_controller
from cachedmodel.executors.slurmhandle import SlurmHandle
from tests.executors.calls import until
from tests.slurm.models import Deaf, Drawn, Dying, Greedy, Hungry, Slow, Square, Steps
from tests.slurm.scheduler import (
    PATIENCE_S,
    in_seconds,
    node_of,
    slurm,
    step_daemons,
    wait_for_file,
)


@pytest.fixture
def gate(log: Path) -> Iterator[Path]:
    """Opens the way for jobs that wait; open in the end, whatever happens."""
    path = log.with_name("gate")
    yield path
    path.touch()


def test_a_waiting_task_of_an_array_that_is_cancelled(infra: cm.InfraDict, log: Path, gate: Path) -> None:
    """The accounting never hears of it: whoever waits is told all the same, and soon."""
    jobs = cm.job_array([Steps(log=log, number=number, infra=infra).value for number in range(3)], max_workers=1)
    wait_for_file(log)
    slurm("scancel", str(jobs[1].job_id))
    with pytest.raises(cm.JobLostError, match="cancelled before it started"):
        jobs[1].result(20)
    gate.touch()
    assert [jobs[number].result(PATIENCE_S) for number in (0, 2)] == ["result 0", "result 2"]


def test_a_job_that_is_cancelled_from_outside(infra: cm.InfraDict, log: Path, gate: Path) -> None:
    """scancel is told as such, with the end of the log."""
    job = Steps(log=log, infra=infra).value.job()
    wait_for_file(log)
    slurm("scancel", str(job.job_id))
    with pytest.raises(cm.JobLostError, match=r"was cancelled: by somebody with scancel[\s\S]*Stopped: SIGTERM"):
        job.result(PATIENCE_S)
    assert job.status() == "cancelled"


def test_a_cancelled_job_that_writes_all_the_same(infra: cm.InfraDict, log: Path, gate: Path) -> None:
    """A method that does not let itself be interrupted: its result counts, or nothing does."""
    job = Deaf(log=log, infra=infra).value.job()
    wait_for_file(log)
    slurm("scancel", str(job.job_id))
    until(lambda: "interrupted" in log.read_text())
    gate.touch()
    error = job.exception(PATIENCE_S)
    assert error is None or isinstance(error, cm.JobLostError)
    assert Deaf(log=log, infra=infra).value() == "done all the same"


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
def test_a_killed_process_is_told(number: int, infra: cm.InfraDict, log: Path) -> None:
    """kill -9, which is also how the kernel ends what takes too much memory, and crashes: with the end of the log."""
    name = signal.Signals(number).name
    began = time.monotonic()
    task = Dying(log=log, signal=number, infra=infra).value
    with pytest.raises(cm.JobLostError, match=rf"was killed by {name}[\s\S]*the last words"):
        task()
    assert time.monotonic() - began < 15
    assert task.status() == "failed"


def test_a_stored_item_is_not_lost_with_its_job(infra: cm.InfraDict, log: Path, gate: Path) -> None:
    """Of a killed chunk, what was yielded stays; the next call computes the rest only."""
    slow = Slow(log=log, infra={**infra, "max_jobs": 1})
    job = slow.double.submit([1, 2, 100])
    until(lambda: len(slow.double.plan([1, 2]).cached) == 2)
    slurm("scancel", "--signal=KILL", "--full", job_id_of(slow))
    with pytest.raises(cm.JobLostError):
        job.result(PATIENCE_S)
    gate.touch()
    assert list(slow.double([1, 2, 100])) == [2, 4, 200]
    assert sorted(log.read_text().split()) == ["1", "100", "2"]


def job_id_of(slow: Slow) -> str:
    folder = Path(str(slow.double.uid_folder()), "submitit").resolve()
    return next(folder.glob("*_submitted.pkl")).name.partition("_")[0]


def test_ids_that_are_used_again(infra: cm.InfraDict, log: Path, gate: Path) -> None:
    """A job with the id of one that was submitted at another time is another: it keeps nothing, and ends nothing."""
    job = Steps(log=log, infra=infra).value.job()
    wait_for_file(log)
    assert job.job_id is not None
    seen, of_old = Controller().see(job.job_id, time.time()), Controller().see(job.job_id, 1e9)
    assert seen is not None
    assert of_old is not None
    assert (seen.state, of_old.state) == ("RUNNING", "GONE")
    gate.touch()
    assert job.result(PATIENCE_S) == "result 0"


def test_jobs_of_another_cluster(infra: cm.InfraDict, log: Path, gate: Path) -> None:
    """Where clusters share a file system, an id means nothing on another one: the job is not taken for lost there."""
    job = Steps(log=log, infra=infra).value.job()
    wait_for_file(log)
    batch = Path(str(Steps(log=log, infra=infra).value.uid_folder()), "submitit", "batch.json")
    folder = shutil.copytree(batch.resolve().parent, log.with_name("elsewhere"))
    (folder / "batch.json").write_text(batch.read_text().replace('"tests"', '"others"'))
    slurm("scancel", str(job.job_id))
    elsewhere, here = SlurmHandle("slurm", str(folder), str(job.job_id)), job
    until(here.done)
    assert (elsewhere.done(), elsewhere.status()) == (False, "running")


def test_a_scheduler_that_does_not_answer(
    infra: cm.InfraDict, log: Path, gate: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last known state counts: nothing is taken for lost, or computed again."""
    job = Steps(log=log, infra=infra).value.job()
    wait_for_file(log)
    monkeypatch.setenv("PATH", str(tmp_path))
    slurm_controller.forget()
    assert Controller().see(str(job.job_id), 0.0) is None
    assert Steps(log=log, infra=infra).value.status() == "running"
    gate.touch()
    assert Steps(log=log, infra=infra).value() == "result 0"
    assert log.read_text() == "started\nended\n"


@pytest.mark.slow
def test_a_job_that_takes_too_long(infra: cm.InfraDict, log: Path, gate: Path) -> None:
    """It ends at its limit, which the error tells together with what to change; what a map has stored stays."""
    slow = Slow(log=log, infra={**infra, "timeout_min": 10, "max_jobs": 1})
    job = slow.double.submit([1, 100])
    until(lambda: log.exists())
    in_seconds(job_id_of(slow), 3)
    with pytest.raises(cm.JobLostError, match=r"reached its time limit \(timeout_min=10\): ask for more"):
        job.result(PATIENCE_S)
    assert slow.double.plan([1, 100]).cached == [1]


@pytest.mark.slow
@pytest.mark.alone
def test_a_node_that_fails(infra: cm.InfraDict, log: Path, gate: Path) -> None:
    """Slurm shows the job as failed until it queues it again: it is not taken for lost, and computed elsewhere."""
    job = Drawn(log=log, infra=infra).value.job()
    wait_for_file(log)
    node = node_of(str(job.job_id))
    slurm("scontrol", "update", f"nodename={node}", "state=down", "reason=test")
    states = {job.status()}
    while log.read_text().count("started") < 2:
        states.add(job.status())
        assert states <= {"running", "queued"}
        time.sleep(0.05)
    gate.touch()
    assert job.result(PATIENCE_S) == Drawn(log=log, infra=infra).value()


@pytest.mark.slow
@pytest.mark.alone
def test_a_process_that_slurm_lost_sight_of(infra: cm.InfraDict, log: Path, gate: Path) -> None:
    """After kill -9 of slurmstepd the job runs again beside its orphan: the second run ends the first."""
    job = Drawn(log=log, infra=infra).value.job()
    first = int(wait_for_file(log).split()[1])
    daemons = step_daemons(str(job.job_id))
    assert daemons
    for pid in daemons:
        os.kill(pid, signal.SIGKILL)
    until(lambda: log.read_text().count("started") == 2, PATIENCE_S)
    second = int(log.read_text().split()[-1])
    assert not Path(f"/proc/{first}").exists()
    gate.touch()
    assert job.result(PATIENCE_S) == float(second)
    assert log.read_text().count("ended") == 1


def test_a_run_that_was_replaced_elsewhere_stops(infra: cm.InfraDict, log: Path, gate: Path) -> None:
    """On a node that Slurm thought lost, it finds that another host runs the job by now: it leaves the job to that one."""
    task = Drawn(log=log, infra=infra).value
    job = task.job()
    wait_for_file(log)
    files = JobFiles(str(Path(str(task.uid_folder()), "submitit").resolve()), str(job.job_id))
    write_record(files.process(0), Started("elsewhere/of another boot:7:7", time.time()))
    with pytest.raises(cm.JobLostError, match="KeyboardInterrupt"):
        job.result(PATIENCE_S)
    assert "was started again (elsewhere" in job.stderr()
    assert not task.is_cached()
    assert "ended" not in log.read_text()


def test_a_folder_that_the_nodes_do_not_see(infra: cm.InfraDict, log: Path) -> None:
    """The job cannot even write a log; the error says what has to be so."""
    infra["slurm_additional_parameters"] = {"hold": True}
    task = Square(log=log, infra=infra).value
    job = task.job()
    folder = Path(str(task.uid_folder()), "submitit").resolve()
    away = folder.rename(folder.with_name("away"))
    slurm("scontrol", "release", str(job.job_id))
    until(lambda: "FAILED" in slurm("scontrol", "show", "job", str(job.job_id)))
    away.rename(folder)
    with pytest.raises(cm.JobLostError, match="never ran: its node cannot write its log"):
        job.result(PATIENCE_S)


def test_out_of_memory_is_not_the_task_s_failure(infra: cm.InfraDict, log: Path) -> None:
    """A MemoryError is raised, and not stored."""
    infra["slurm_setup"] = ["ulimit -v 2000000"]
    task = Hungry(log=log, infra=infra).value
    with pytest.raises(MemoryError):
        task()
    assert not task.is_cached()
    assert Square(log=log, infra=infra).value() == 0


@pytest.mark.parametrize("use_srun", [False, True])
def test_a_job_that_takes_too_much_memory(use_srun: bool, infra: cm.InfraDict, log: Path, gate: Path) -> None:
    """Slurm ends it, and the error says why, what to raise, and how the log ends; nothing is cached, the next call computes."""
    infra |= {"mem_gb": 0.3, "slurm_use_srun": use_srun}
    task = Greedy(log=log, infra=infra).value
    with pytest.raises(
        cm.JobLostError, match=r"killed out of memory.*mem_gb=0\.3.*ask for more with infra\.mem_gb"
    ) as caught:
        task()
    assert "taken: " in str(caught.value)
    assert (task.status(), task.is_cached()) == ("failed", False)

    gate.touch()
    assert Greedy(log=log, infra={**infra, "mem_gb": 0.5}).value() == 0
    assert log.read_text() == "started\nstarted\n"
