"""What the package adds to the time that Slurm and submitit take."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest
import submitit

import cachedmodel as cm
from tests.executors.calls import environment_with
from tests.slurm.models import Square

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


SUBMIT = """
import os, subprocess, sys, time
from pathlib import Path
import cachedmodel as cm
from tests.executors.calls import environment_with
from tests.slurm.models import Square

infra = {"folder": sys.argv[1], "cluster": "slurm", "slurm_additional_parameters": {"hold": True}}
tasks = [Square(log=Path(sys.argv[1], "log"), number=number, infra=infra).value for number in range(1000)]
began, began_here = time.monotonic(), os.times().user
jobs = cm.job_array(tasks)
print(f"1000 configurations: {time.monotonic() - began:.2f} s", file=sys.stderr)
print(os.times().user - began_here)
subprocess.run(["scancel", "--quiet", jobs[0].job_id.partition("_")[0]])
"""


def test_submitting_many_configurations_is_quick(tmp_path: Path) -> None:
    """1,000 configurations in one array take two seconds at most, without what the file system needs for their files."""
    script = tmp_path / "script.py"
    script.write_text(SUBMIT)
    run = subprocess.run(
        [sys.executable, script, str(tmp_path)],
        env=environment_with(str(Path(__file__).parents[2])),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    assert float(run.stdout) < 2.0
