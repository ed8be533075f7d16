"""What is sent to Slurm: tasks, maps in chunks, arrays of configurations, jobs within jobs, and every setting."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
import venv
from pathlib import Path

import pytest

import cachedmodel as cm
from cachedmodel.executors import usable_cores
from tests.executors.calls import until
from tests.slurm.models import Ranks, Settings, Slow, Square, Steps, SumOfSquares
from tests.slurm.scheduler import slurm, wait_for_file


def lines(log: Path) -> list[str]:
    return log.read_text().split("\n")[:-1] if log.exists() else []


@pytest.mark.parametrize("cluster", ["slurm", "auto"])
def test_a_task_is_computed_once_as_a_job(cluster: str, infra: cm.InfraDict, log: Path) -> None:
    """The first call waits for a job, those after it read the entry."""
    infra["cluster"] = cluster
    task = Square(log=log, number=3, infra=infra).value

    assert task() == 9
    job_id = task.job().job_id
    assert job_id is not None
    assert job_id.isdecimal()
    assert Square(log=log, number=3, infra=infra).value() == 9
    assert lines(log) == ["3"]


def test_a_map_is_one_array_in_chunks(infra: cm.InfraDict, log: Path) -> None:
    """Items are divided into no more jobs than asked for, of no fewer items; what is stored is not sent again."""
    infra |= {"max_jobs": 2, "min_items_per_job": 3}
    slow = Slow(log=log, infra=infra)
    job = slow.double.submit([1, 2, 3, 4])
    assert list(job) == [2, 4, 6, 8]
    folder = Path(str(slow.double.uid_folder()), "submitit").resolve()
    names = sorted(path.name.partition("_submitted")[0] for path in folder.glob("*_submitted.pkl"))
    assert len(names) == 2
    assert len({name.partition("_")[0] for name in names}) == 1

    assert sorted(slow.double.submit([3, 4, 5]).as_completed()) == [(3, 6), (4, 8), (5, 10)]
    assert sorted(lines(log)) == ["1", "2", "3", "4", "5"]


def test_items_come_while_others_are_computed(infra: cm.InfraDict, log: Path) -> None:
    """The first items are yielded before the last one can be, within a chunk and beyond it."""
    job = Slow(log=log, infra={**infra, "max_jobs": 1}).double.submit([1, 2, 100])
    outputs = iter(job)

    assert [next(outputs), next(outputs)] == [2, 4]
    assert not job.done()
    log.with_name("gate").touch()
    assert next(outputs) == 200


def test_an_array_of_configurations_submits_what_is_missing(infra: cm.InfraDict, log: Path) -> None:
    """One array for all that is not stored, and no more of it at once than asked for."""
    Square(log=log, number=2, infra=infra).value()
    squares = [Square(log=log, number=number, infra=infra) for number in range(4)]
    with squares[0].value.job_array(max_workers=2) as array:
        array.extend(squares)

    jobs = [square.value.job() for square in squares]
    assert [job.result() for job in jobs] == [0, 1, 4, 9]
    ids = {str(jobs[number].job_id) for number in (0, 1, 3)}
    assert len({job_id.partition("_")[0] for job_id in ids}) == 1
    assert {job_id.partition("_")[2] for job_id in ids} == {"0", "1", "2"}
    assert sorted(lines(log)) == ["0", "1", "2", "3"]
    script = next(Path(str(squares[0].value.uid_folder()), "submitit").resolve().glob("*submission.sh"))
    assert "--array=0-2%2" in script.read_text()


def test_a_job_has_other_jobs_compute(infra: cm.InfraDict, log: Path) -> None:
    """A method that runs on Slurm calls other models' tasks on Slurm."""
    assert SumOfSquares(log=log, infra=infra).value() == 5
    assert sorted(lines(log)) == ["1", "2"]


def test_settings_reach_the_job(infra: cm.InfraDict, log: Path) -> None:
    """Slurm has each of them as it was given; the job sees its cores, its GPUs and what was set up."""
    infra |= {
        "job_name": "named",
        "timeout_min": 7,
        "cpus_per_task": 2,
        "gpus_per_node": 1,
        "mem_gb": 0.5,
        "slurm_partition": "urgent",
        "slurm_setup": ["export SETUP=done"],
        "slurm_additional_parameters": {"comment": "remarkable", "nice": 5},
    }
    job = Settings(log=log, infra=infra).value.job()
    seen = job.result()
    shown = slurm("scontrol", "show", "job", str(job.job_id))

    assert (seen["SETUP"], seen["SLURM_JOB_NAME"], seen["SLURM_CPUS_PER_TASK"]) == ("done", "named", "2")
    assert seen["cores"] == min(2, usable_cores())
    assert seen["CUDA_VISIBLE_DEVICES"] in ("0", "1")
    for text in ("JobName=named", "TimeLimit=00:07:00", "Partition=urgent", "Comment=remarkable", "CPUs/Task=2"):
        assert text in shown
    assert "MinMemoryNode=512M" in shown
    assert "gres:gpu:1" in shown or "gres/gpu=1" in shown


def test_account_qos_and_constraint_are_asked_for(infra: cm.InfraDict, log: Path) -> None:
    """Slurm has them as they were given, and refuses what it does not have."""
    if "lab|root" not in slurm("sacctmgr", "-nP", "show", "assoc", "format=account,user"):
        for what in ("account lab", "qos high", "user root account=lab qos=normal,high"):
            slurm("sacctmgr", "-iQ", "add", *what.split())
    infra |= {"slurm_qos": "high", "slurm_account": "lab", "slurm_constraint": "roomy"}
    job = Settings(log=log, infra=infra).value.job()
    job.result()
    shown = slurm("scontrol", "show", "job", str(job.job_id))
    assert "Account=lab" in shown
    assert "QOS=high" in shown
    assert "Features=roomy" in shown
    with pytest.raises(cm.InfraError, match=r"Invalid feature specification[\s\S]*infra\.slurm_constraint"):
        Settings(log=log, number=1, infra={**infra, "slurm_constraint": "nowhere"}).value.job()


def test_a_job_without_time_limit_has_that_of_the_partition(infra: cm.InfraDict, log: Path) -> None:
    """submitit's own default of five minutes is nobody's wish."""
    job = Settings(log=log, infra=infra).value.job()
    assert job.result()["cores"] == 1  # what Slurm gives without being asked
    shown = slurm("scontrol", "show", "job", str(job.job_id))
    # the backfill scheduler writes a year where there is no limit
    assert "TimeLimit=UNLIMITED" in shown or "TimeLimit=365-00:00:00" in shown


def test_tasks_on_several_nodes_are_one_job(infra: cm.InfraDict, log: Path) -> None:
    """With nodes and tasks_per_node each process runs the method; the result is that of the first."""
    job = Ranks(log=log, infra={**infra, "nodes": 2, "tasks_per_node": 2}).value.job()
    assert job.result() == "of 0"
    assert job.wait()
    until(lambda: sorted(lines(log)) == ["0", "1", "2", "3"])
    assert Ranks(log=log, infra=infra).value() == "of 0"


def test_a_job_may_run_without_srun(infra: cm.InfraDict, log: Path) -> None:
    """The script then runs Python itself."""
    infra["slurm_use_srun"] = False
    settings = Settings(log=log, infra=infra)
    settings.value()
    script = next(Path(str(settings.value.uid_folder()), "submitit").resolve().glob("*submission.sh"))
    assert "\nsrun" not in script.read_text()


def test_another_interpreter_runs_the_job(infra: cm.InfraDict, log: Path, tmp_path: Path) -> None:
    """conda_env is the folder of an environment, here a virtual one that imports what this one has."""
    venv.create(tmp_path / "other", symlinks=True)
    site = next((tmp_path / "other" / "lib").glob("python*")) / "site-packages"
    (site / "these.pth").write_text("\n".join(path for path in sys.path if path))
    infra["conda_env"] = str(tmp_path / "other")
    assert Settings(log=log, infra=infra).value()["prefix"] == str(tmp_path / "other")


def test_a_conda_environment_runs_the_job_by_its_name(
    infra: cm.InfraDict, log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As "conda run" does, wherever the environment lies."""
    (tmp_path / "bin").mkdir()
    conda = tmp_path / "bin" / "conda"
    conda.write_text(
        f'#!/bin/sh\n[ "$1 $2 $3 $5" = "run --no-capture-output --name python" ] || exit 2\n'
        f'export SETUP="$4"\nshift 5\nexec {sys.executable} "$@"\n'
    )
    conda.chmod(0o755)
    monkeypatch.setenv("PATH", os.pathsep.join([str(conda.parent), os.environ["PATH"]]))
    assert Settings(log=log, infra={**infra, "conda_env": "my env"}).value()["SETUP"] == "my env"


WORKDIR_SCRIPT = """
import sys
from pathlib import Path
import cachedmodel as cm
from project import model

xp = model.Model(infra={"folder": "cache", "cluster": "slurm", "workdir": {"copied": ["project"]}})
job = xp.process.job()
Path("project/model.py").write_text("raise RuntimeError('the edited original')")
Path("go").touch()
print(job.result())
code = Path(xp.process.uid_folder()) / "code"
print(code.is_symlink(), (code / "project" / "model.py").exists())
"""

MODEL = """
import time
from pathlib import Path
import cachedmodel as cm

class Model(cm.CachedModel):
    @cm.task
    def process(self) -> str:
        from project.late import text
        return text
"""


def test_a_job_runs_the_code_of_its_submission(tmp_path: Path) -> None:
    """With workdir, editing the original changes nothing for a job that is queued; `code` links to the copy."""
    (tmp_path / "project").mkdir()
    (tmp_path / "project" / "__init__.py").touch()
    (tmp_path / "project" / "model.py").write_text(MODEL)
    (tmp_path / "project" / "late.py").write_text("text = 'as submitted'")
    script = tmp_path / "script.py"
    script.write_text(WORKDIR_SCRIPT)
    run = subprocess.run([sys.executable, script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert run.stdout.splitlines() == ["as submitted", "True True"], run.stderr


def test_refused_submissions_release_what_they_claimed(infra: cm.InfraDict, log: Path) -> None:
    """Slurm's own words and the setting to change are raised at once; with other settings the task can be computed."""
    for settings, words, remedy in (
        ({"slurm_partition": "nowhere"}, "nvalid partition", "slurm_partition"),
        ({"conda_env": "/nowhere"}, "has no interpreter '/nowhere/bin/python'", ""),
        ({"slurm_additional_parameters": {"array": "0-3"}}, "how many jobs", ""),
        ({"mem_gb": 1000.0}, "node configuration is not available", "mem_gb"),
        ({"gpus_per_node": 9}, "node configuration is not available", "gpus_per_node"),
        ({"slurm_additional_parameters": {"no-such-option": 1}}, "unrecognized option", "slurm_additional_parameters"),
    ):
        task = Square(log=log, infra=cm.Infra.model_validate({**infra, **settings})).value
        with pytest.raises(cm.InfraError, match=rf"{words}[\s\S]*Change infra\.{remedy};" if remedy else words):
            task()
        assert task.status() == "not submitted"
    assert Square(log=log, infra=infra).value() == 0


def test_a_job_that_may_never_start_is_told(infra: cm.InfraDict, log: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Slurm accepts what its partition never gives; whoever waits is told why, once."""
    task = Square(log=log, infra={**infra, "nodes": 17}).value
    job = task.job()
    until(lambda: "reason is Partition" in caplog.text or job.wait(0.1))
    assert (job.status(), len(caplog.records)) == ("queued", 1)
    assert f"Job {job.job_id} may wait for ever" in caplog.text
    job.cancel()
    with pytest.raises(cm.JobLostError, match="was cancelled"):
        job.result(20)


def test_an_array_larger_than_the_cluster_allows_is_split(infra: cm.InfraDict, log: Path) -> None:
    """The second array waits for the first, so that never more run than asked for; submitting takes little time here."""
    size = 1001
    infra["slurm_additional_parameters"] = {"hold": True}
    squares = [Square(log=log, number=number, infra=infra).value for number in range(size + 1)]
    jobs = cm.job_array(squares, max_workers=3)
    try:
        ids = [str(job.job_id) for job in jobs]
        first, second = ids[0].partition("_")[0], ids[-1].partition("_")[0]
        assert ids[size - 1] == f"{first}_{size - 1}"
        assert first != second
        assert f"afterany:{first}" in slurm("scontrol", "show", "job", second)
        assert {job.status() for job in jobs} == {"queued"}
    finally:
        slurm("scancel", "--quiet", *{str(job.job_id).partition("_")[0] for job in jobs})


def test_the_queue_is_asked_once_for_all(
    infra: cm.InfraDict, log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is running and what is queued comes from one query a second, however many jobs there are."""
    (tmp_path / "bin").mkdir()
    squeue, asked = tmp_path / "bin" / "squeue", tmp_path / "asked"
    squeue.write_text(f'#!/bin/sh\necho >>{asked}\nexec {shutil.which("squeue")} "$@"\n')
    squeue.chmod(0o755)
    monkeypatch.setenv("PATH", os.pathsep.join([str(squeue.parent), os.environ["PATH"]]))
    began = time.monotonic()
    steps = [Steps(log=log, number=number, infra=infra).value for number in range(20)]
    jobs = cm.job_array(steps, max_workers=1)
    wait_for_file(log)
    until(lambda: sorted(job.status() for job in jobs) == 19 * ["queued"] + ["running"])
    assert sorted(step.status() for step in steps) == 19 * ["queued"] + ["running"]
    assert asked.stat().st_size <= time.monotonic() - began + 2
    for array in {str(job.job_id).partition("_")[0] for job in jobs}:
        slurm("scancel", array)
    log.with_name("gate").touch()
