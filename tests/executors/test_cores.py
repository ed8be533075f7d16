"""How many cores count."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from cachedmodel.executors import usable_cores


def test_affinity_counts() -> None:
    """A process that is bound to one core has one."""
    code = "import os; os.sched_setaffinity(0, [min(os.sched_getaffinity(0))]); "
    code += "from cachedmodel.executors import usable_cores; print(usable_cores())"
    if not hasattr(os, "sched_setaffinity"):
        pytest.skip("this system has no affinity")
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert run.stdout.strip() == "1"


@pytest.mark.parametrize(("value", "cores"), [("1", 1), ("1000000", None), ("0", None), ("many", None), ("", None)])
def test_the_environment_can_lower_the_number(monkeypatch: pytest.MonkeyPatch, value: str, cores: int | None) -> None:
    """CACHEDMODEL_CORES limits, and never adds; what is no number counts for nothing."""
    usable = usable_cores()
    monkeypatch.setenv("CACHEDMODEL_CORES", value)

    assert usable_cores() == (usable if cores is None else cores)


@pytest.mark.parametrize(
    ("given", "cores"),
    [
        ({"SLURM_JOB_ID": "7", "SLURM_CPUS_PER_TASK": "1", "SLURM_CPUS_ON_NODE": "64"}, 1),
        ({"SLURM_JOB_ID": "7", "SLURM_CPUS_ON_NODE": "1"}, 1),
        ({"SLURM_JOB_ID": "7", "SLURM_CPUS_ON_NODE": "4", "SLURM_NTASKS_PER_NODE": "4"}, 1),
        ({"SLURM_JOB_ID": "7", "SLURM_CPUS_ON_NODE": "2", "SLURM_NTASKS_PER_NODE": "4"}, 1),
        ({"SLURM_JOB_ID": "7", "SLURM_CPUS_ON_NODE": "1000000"}, None),
        ({"SLURM_JOB_ID": "7"}, None),
        ({"SLURM_CPUS_PER_TASK": "1"}, None),
    ],
)
def test_a_job_of_slurm_has_what_it_was_given(
    monkeypatch: pytest.MonkeyPatch, given: dict[str, str], cores: int | None
) -> None:
    """Also on nodes that do not bind jobs to their cores: others compute there too."""
    usable = usable_cores()
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    assert usable_cores() == (usable if cores is None else cores)
