"""What is submitted: chunks of the right sizes, as few arrays as the settings allow, told in one line."""

from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path

import pytest

import cachedmodel as cm
from cachedmodel.executors import usable_cores
from cachedmodel.submission import chunks, logs_folder, workers
from tests.experiment import QUICK, experiment, notes


def sizes(count: int, **settings: object) -> list[int]:
    """How many items are computed together."""
    infra = cm.Infra(**settings)  # type: ignore[arg-type]  # settings of all types
    return [len(keys) for keys in chunks(infra, [str(n) for n in range(count)])]


def test_chunks_of_jobs(tmp_path: Path) -> None:
    """At most max_jobs, none smaller than min_items_per_job unless it is the last."""
    cores = usable_cores()
    assert sizes(10, cluster="slurm", folder=tmp_path, max_jobs=3) == [4, 4, 2]
    assert sizes(10, cluster="slurm", folder=tmp_path) == [1] * 10
    assert len(sizes(1000, cluster="slurm", folder=tmp_path)) == 125
    assert sizes(10, cluster="slurm", folder=tmp_path, min_items_per_job=4) == [4, 4, 2]
    assert len(sizes(100 * cores, cluster="local", folder=tmp_path)) == cores
    assert sizes(0, cluster="local", folder=tmp_path) == []


def test_chunks_of_pools() -> None:
    """Some for each worker, at most chunk_size each."""
    assert sizes(80, cluster="threadpool", max_jobs=1) == [20] * 4
    assert sizes(10, cluster="processpool", max_jobs=1, chunk_size=2) == [2] * 5
    assert sizes(10, cluster="processpool", max_jobs=1, min_items_per_job=8) == [8, 2]


def test_workers_are_the_cores_or_fewer() -> None:
    """On this machine."""
    assert workers(cm.Infra()) == usable_cores()
    assert workers(cm.Infra(max_jobs=1)) == 1
    assert workers(cm.Infra(max_jobs=10**6)) == usable_cores()


def test_logs_are_in_the_folder_unless_said(tmp_path: Path) -> None:
    """With the user's name in their path."""
    assert logs_folder(cm.Infra()) is None
    assert str(logs_folder(cm.Infra(folder=tmp_path))).startswith(f"{tmp_path}/logs/")
    assert logs_folder(cm.Infra(folder=tmp_path, logs=str(tmp_path / "elsewhere"))) == str(tmp_path / "elsewhere")


@pytest.mark.parametrize("cluster", QUICK)
def test_one_line_for_each_call_that_submits(
    cluster: str | None, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Of a task, a map in several chunks and windows, an array; none for what is stored, or computed here."""
    caplog.set_level(logging.INFO, "cachedmodel")
    for _ in range(2):
        experiment(tmp_path, cluster).double()
        list(experiment(tmp_path, cluster, chunk_size=2).doubles(range(20)))
        for job in cm.job_array(experiment(tmp_path, cluster, n=n, chunk_size=n + 1).double for n in range(2, 5)):
            job.result()

    lines = [record.getMessage() for record in caplog.records if record.name == "cachedmodel"]
    assert len(lines) == (0 if cluster in (None, "debug") else 3)
    if lines:
        assert (
            lines[0]
            == f"Sent 1 item(s) of tests.experiment.Experiment.double in 1 chunk(s), 1 array(s), to {cluster!r}"
        )


@pytest.mark.slow
def test_one_array_for_each_group_of_settings(tmp_path: Path) -> None:
    """Jobs of one group share a folder of logs."""
    models = [experiment(tmp_path, "local", n=n, timeout_min=5 if n < 3 else 6) for n in range(4)]
    for job in cm.job_array(model.double for model in models):
        job.result(60)
    (user,) = (tmp_path / "cache" / "logs").iterdir()
    batches = [folder for folder in user.iterdir() if (folder / "batch.json").exists()]
    assert sorted(len(list(folder.glob("*_submitted.pkl"))) for folder in batches) == [1, 3]


def test_what_cannot_be_submitted_leaves_no_claim(tmp_path: Path) -> None:
    """The error is raised at once, and another process computes at once."""
    with pytest.raises(cm.InfraError, match="no interpreter"):
        experiment(tmp_path, "local", conda_env="/no/such/env").double()
    script = "import sys; from pathlib import Path; from tests.experiment import experiment\n"
    script += "print(experiment(Path(sys.argv[1])).double())"
    run = subprocess.run([sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, timeout=60)
    assert (run.stdout, run.stderr) == ("2\n", "")
    assert notes(tmp_path) == ["double 1"]
