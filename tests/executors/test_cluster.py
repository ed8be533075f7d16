"""Jobs through submitit, on the executor of a small plugin: its jobs are processes that it starts at once."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.executors.calls import environment_with

PLUGIN = """
import submitit
from submitit.local.local import LocalExecutor, LocalJob

class MeadowJob(LocalJob):
    pass

class MeadowExecutor(LocalExecutor):
    job_class = MeadowJob

    def _submit_command(self, command):
        if self.parameters.get("mem_gb", 0) > 100:
            raise RuntimeError("meadow: no host has that much memory")
        job = super()._submit_command(command)
        return MeadowJob(job.paths.folder, job.job_id, list(range(job.num_tasks)), job._process)
"""

SCRIPT = """
import os, sys, time
from functools import partial
from pathlib import Path
from cachedmodel.executors import attach, available_clusters, get_executor
from tests.executors import calls

tmp_path = Path(sys.argv[1])
parameters = {"timeout_min": 1, "slurm_partition": "ignored here", "mem_gb": None, "job_name": "meadow"}
executor = get_executor("meadow", folder=str(tmp_path / "jobs"), parameters=parameters)
"""


def run_script(tmp_path: Path, code: str) -> list[str]:
    """Runs a script for which the plugin is installed; the lines it printed."""
    info = tmp_path / "site" / "meadow-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: meadow\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[submitit]\nexecutor = meadow:MeadowExecutor\n")
    (tmp_path / "site" / "meadow.py").write_text(PLUGIN)
    script = tmp_path / "script.py"
    script.write_text(SCRIPT + code)
    run = subprocess.run(
        [sys.executable, script, str(tmp_path)],
        env=environment_with(str(tmp_path / "site"), os.getcwd()),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert run.returncode == 0, run.stderr
    return run.stdout.splitlines()


def test_a_plugin_is_a_cluster(tmp_path: Path) -> None:
    """Its name is valid; calls run, errors come back by type, logs can be read, another handle finds the job."""
    lines = run_script(
        tmp_path,
        """
print("meadow" in available_clusters())
failure = partial(calls.fail, calls.OneArgumentError("why"))
good, bad = executor.submit([partial(calls.write, tmp_path / "written"), failure])
print(good.wait(30), good.status(), good.error(), (tmp_path / "written").exists())
print(bad.wait(30), bad.status(), type(bad.error()).__name__, bad.error(), "OneArgumentError: why" in bad.stderr())
print(bad.error().__notes__[0].splitlines()[-1].startswith(f"Raised in job {bad.job_id} of 'meadow', whose log is "))
again = attach("meadow", bad.folder, bad.job_id)
print(again.status(), repr(again.error()))
print(list(executor.submit([])))
""",
    )

    assert lines == [
        "True",
        "True completed None True",
        "True failed OneArgumentError why True",
        "True",
        "failed OneArgumentError('why')",
        "[]",
    ]


@pytest.mark.slow
def test_models_compute_on_a_plugin(tmp_path: Path) -> None:
    """Its name is all that a model needs: tasks, maps, arrays, and the job that is found again by its configuration."""
    lines = run_script(
        tmp_path,
        """
import cachedmodel as cm
from tests.experiment import experiment, notes
xp = experiment(tmp_path, "meadow", timeout_min=1)
print(xp.double(), list(xp.doubles([1, 2])), xp.double.status())
print(experiment(tmp_path, "meadow", timeout_min=1).double.job().job_id == xp.double.job().job_id != None)
jobs = cm.job_array(experiment(tmp_path, "meadow", timeout_min=1, n=n).double for n in range(3))
print([job.result(60) for job in jobs], sorted(notes(tmp_path)))
""",
    )
    assert lines == ["2 [2, 4] completed", "True", "[0, 2, 4] ['1', '2', 'double 0', 'double 1', 'double 2']"]


def test_a_refused_submission_is_told(tmp_path: Path) -> None:
    """The scheduler's own words, and the settings that were given."""
    lines = run_script(
        tmp_path,
        """
from cachedmodel.errors import InfraError
for parameters in ({"mem_gb": 1000}, {"nodes": "two"}):
    try:
        get_executor("meadow", folder=str(tmp_path / "jobs"), parameters=parameters).submit([calls.nothing])
    except InfraError as error:
        print(error)
""",
    )

    assert lines[0] == "'meadow' did not accept the submission: meadow: no host has that much memory"
    assert lines[1] == "Change the settings; given were: mem_gb=1000."
    assert lines[2].startswith("'meadow' did not accept the submission: Parameter \"nodes\" expected type")
    assert lines[3] == "Change the settings; given were: nodes='two'."


@pytest.mark.slow
def test_a_lost_job_is_told(tmp_path: Path) -> None:
    """Killed or cancelled, there is no result: the error says so, in the end."""
    lines = run_script(
        tmp_path,
        """
hold = partial(calls.hold, tmp_path / "started", tmp_path / "go")
killed, cancelled = executor.submit([partial(calls.die, 9), hold])
calls.until((tmp_path / "started").exists)
print(cancelled.status(), cancelled.wait(0.01))
cancelled.cancel()
print(killed.wait(60), killed.status(), type(killed.error()).__name__)
text = f"Job {killed.job_id} of 'meadow' ended without a result, in state 'FINISHED'."
print(str(killed.error()).splitlines()[0] == text)
print(cancelled.wait(60), cancelled.status(), "It was cancelled." in str(cancelled.error()))
""",
    )

    assert lines == ["running False", "True failed JobLostError", "True", "True cancelled True"]
