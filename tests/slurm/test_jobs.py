"""Jobs as their submitter and other processes see them: states, logs, ends, and who may die meanwhile."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import cachedmodel as cm
from tests.executors.calls import environment_with, until
from tests.slurm.models import Slow, Square, Steps
from tests.slurm.scheduler import PATIENCE_S, environment_without, slurm, wait_for_file

ROOT = str(Path(__file__).parents[2])


@pytest.fixture
def gate(log: Path) -> Iterator[Path]:
    """Opens the way for jobs that wait; open in the end, whatever happens."""
    path = log.with_name("gate")
    yield path
    path.touch()


def run_script(code: str, tmp_path: Path, env: dict[str, str] | None = None) -> subprocess.Popen[str]:
    """Starts another process, for which `log` and `infra` are those of the test."""
    script = tmp_path / "script.py"
    head = f"""
import sys
from pathlib import Path
import cachedmodel as cm
from tests.slurm.models import *

log = Path({str(tmp_path / "log")!r})
infra = dict(folder={str(tmp_path / "cache")!r}, cluster="slurm")
"""
    script.write_text(head + code)
    command = [sys.executable, "-W", "error", str(script)]
    env = {**(env or os.environ), "PYTHONPATH": environment_with(ROOT)["PYTHONPATH"]}
    return subprocess.Popen(command, env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def output_of(process: subprocess.Popen[str]) -> list[str]:
    """What a process printed, once it ended well."""
    out, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, err
    return out.splitlines()


def test_a_job_tells_its_state_and_what_it_prints(infra: cm.InfraDict, log: Path, gate: Path) -> None:
    """Queued, running, completed; its output can be read while it runs; it is awaited like anything else."""
    infra["slurm_additional_parameters"] = {"hold": True}
    task = Steps(log=log, infra=infra).value
    assert task.status() == "not submitted"
    job = task.job()
    assert (job.status(), job.stdout(), job.done()) == ("queued", "", False)
    assert not job.wait(0.01)
    slurm("scontrol", "release", str(job.job_id))

    until(lambda: job.status() == "running")
    until(lambda: "out: started" in job.stdout())
    assert "err: started" in job.stderr()
    gate.touch()

    async def awaited() -> str:
        return await job

    assert asyncio.run(awaited()) == "result 0"
    assert job.status() == "completed"
    assert job.stdout() == "out: started\n"
    until(lambda: task.status() == "completed")


def test_a_failure_comes_back_as_itself(infra: cm.InfraDict, log: Path, gate: Path) -> None:
    """By type, with the traceback and the log of the job; it is stored, and raised again without a job."""
    gate.touch()
    for _ in range(2):
        task = Steps(log=log, fails=True, infra=infra).value
        with pytest.raises(ValueError, match="as asked") as caught:
            task()
        assert "in value" in "".join(caught.value.__notes__)
        assert task.status() == "failed"
    assert log.read_text() == "started\n"


def test_a_cancelled_job_is_lost_and_computed_by_the_next_call(infra: cm.InfraDict, log: Path, gate: Path) -> None:
    """Waiting or running, it ends; whoever waits is told; nothing stays claimed."""
    task = Steps(log=log, infra=infra).value
    job = task.job()
    wait_for_file(log)
    job.cancel()
    with pytest.raises(cm.JobLostError, match=r"Job \d+ of 'slurm' was cancelled\.[\s\S]*Stopped: SIGTERM"):
        job.result(PATIENCE_S)
    assert (job.status(), task.is_cached()) == ("cancelled", False)

    gate.touch()
    assert Steps(log=log, infra=infra).value() == "result 0"


ATTACH = """
task = Steps(log=log, infra=infra).value
print(task.status(), task.job().job_id, task.job().stdout().splitlines()[-1])
log.with_name("gate").touch()
print(task.job().result())
found = cm.find_slurm_job(sys.argv[1] if len(sys.argv) > 1 else task.job().job_id, infra["folder"])
print(found.job_id == task.job().job_id, found.wait(), found.status())
print(cm.find_slurm_job(found.job_id).stdout().splitlines()[-1])
print(cm.find_slurm_job("999999", infra["folder"]), cm.find_slurm_job("999999"))
"""


def test_another_process_finds_the_job(infra: cm.InfraDict, log: Path, tmp_path: Path, gate: Path) -> None:
    """By configuration alone: its state, its output and its result; and by its id."""
    job = Steps(log=log, infra=infra).value.job()
    wait_for_file(log)
    until(lambda: job.status() == "running" and "out: started" in job.stdout())
    assert output_of(run_script(ATTACH, tmp_path)) == [
        f"running {job.job_id} out: started",
        "result 0",
        "True True completed",
        "out: started",
        "None None",
    ]
    assert job.result() == "result 0"
    assert log.read_text() == "started\nended\n"


def test_each_job_of_a_map_is_found_by_its_id(infra: cm.InfraDict, log: Path, gate: Path) -> None:
    """Not the last one alone; with the folder, or from Slurm."""
    gate.touch()
    slow = Slow(log=log, infra={**infra, "max_jobs": 2})
    assert slow.double.submit([1, 2]).result(PATIENCE_S) == [2, 4]
    folder = Path(str(slow.double.uid_folder()), "submitit").resolve()
    ids = sorted(path.name.removesuffix("_submitted.pkl") for path in folder.glob("*_submitted.pkl"))
    assert len(ids) == 2
    for job_id in ids:
        for found in (cm.find_slurm_job(job_id, infra["folder"]), cm.find_slurm_job(job_id)):
            assert found is not None
            assert (found.job_id, found.wait(PATIENCE_S), found.status()) == (job_id, True, "completed")


WAIT = """
import os
job = Steps(log=log, infra=infra).value.job()
print(job.job_id, flush=True)
try:
    print(job.result())
except cm.JobLostError as error:
    print(error.args[0].splitlines()[0])
"""


def test_a_lost_job_is_told_to_all_who_wait(infra: cm.InfraDict, log: Path, tmp_path: Path, gate: Path) -> None:
    """Another process that waits for the job does not send it again after it was cancelled."""
    job = Steps(log=log, infra=infra).value.job()
    wait_for_file(log)
    other = run_script(WAIT, tmp_path)
    assert other.stdout is not None
    assert other.stdout.readline().strip() == job.job_id
    job.cancel()
    assert output_of(other)[0].startswith(f"Job {job.job_id} of 'slurm' was cancelled")
    assert log.read_text() == "started\n"


SUBMIT = """
import time
job = Slow(log=log, infra={**infra, "max_jobs": 2}).double.submit([1, 2, 100, 101])
task = Steps(log=log, infra=infra).value.job()
print("submitted", flush=True)
time.sleep(300)
"""


def test_a_killed_submitter_loses_and_repeats_nothing(
    infra: cm.InfraDict, log: Path, tmp_path: Path, gate: Path
) -> None:
    """After kill -9 the jobs go on, and others wait for them instead of computing again."""
    submitter = run_script(SUBMIT, tmp_path)
    assert submitter.stdout is not None
    assert submitter.stdout.readline() == "submitted\n"
    submitter.send_signal(signal.SIGKILL)
    submitter.communicate()

    slow, steps = Slow(log=log, infra=infra), Steps(log=log, infra=infra)
    until(lambda: sorted(slow.double.plan([1, 2, 100, 101]).cached) == [1, 2])
    assert slow.double.plan([1, 2, 100, 101, 102]).running == [100, 101]
    assert steps.value.status() in ("queued", "running")
    job = slow.double.submit([1, 2, 100, 101])
    gate.touch()
    assert job.result(PATIENCE_S) == [2, 4, 200, 202]
    assert steps.value() == "result 0"
    assert sorted(log.read_text().split()) == ["1", "100", "101", "2", "ended", "started"]


INTERRUPTED = """
task = Steps(log=log, infra=infra).value
job = task.job()
print(job.job_id, flush=True)
task()
"""


def test_an_interrupted_wait_leaves_the_job_running(infra: cm.InfraDict, log: Path, tmp_path: Path, gate: Path) -> None:
    """Ctrl-C says which jobs go on, how to wait for them again and how to cancel them."""
    waiting = run_script(INTERRUPTED, tmp_path)
    assert waiting.stdout is not None
    job_id = waiting.stdout.readline().strip()
    wait_for_file(log)
    waiting.send_signal(signal.SIGINT)
    error = waiting.communicate(timeout=PATIENCE_S)[1]
    assert f"1 job(s) go on: {job_id}; logs: " in error
    assert f"scancel {job_id}" in error

    gate.touch()
    assert Steps(log=log, infra=infra).value() == "result 0"
    assert log.read_text() == "started\nended\n"


SQUEUE_ONLY = """
import shutil
print(shutil.which("sacct"))
task = Steps(log=log, infra=infra).value
job = task.job()
until(lambda: job.status() == "running")
job.cancel()
print(type(job.exception(100)).__name__, job.status())
log.with_name("gate").touch()
print(Steps(log=log, infra=infra).value())
"""


def test_a_cluster_without_accounting_is_enough(log: Path, tmp_path: Path, gate: Path) -> None:
    """Where there is no sacct, squeue tells all that is needed."""
    env = environment_without(tmp_path / "bin", "sacct")
    assert output_of(run_script(SQUEUE_ONLY, tmp_path, env)) == ["None", "JobLostError cancelled", "result 0"]


def test_the_logs_may_go(infra: cm.InfraDict, log: Path) -> None:
    """Removing all that submitit has written never loses a result."""
    square = Square(log=log, number=5, infra=infra).value
    assert square() == 25
    folder = Path(str(square.uid_folder()), "submitit").resolve()
    subprocess.run(["rm", "-r", folder], check=True)
    again = Square(log=log, number=5, infra=infra).value
    assert (again(), again.job().stdout()) == (25, "")
    until(lambda: again.status() == "completed")
