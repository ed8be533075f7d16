"""The door: which executor is whose."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from cachedmodel.errors import InfraError
from cachedmodel.executors import available_clusters, check_cluster, get_executor, resolve_cluster


@pytest.mark.parametrize("name", ["nowhere", "Slurm", ""])
def test_an_unknown_cluster_is_refused_with_all_names(name: str) -> None:
    """The message lists what can be said instead."""
    with pytest.raises(InfraError, match="'auto', 'debug', 'local', 'processpool', 'slurm', 'threadpool'"):
        get_executor(name, folder="jobs")


def test_known_names_are_checked_without_submitit() -> None:
    """Constructing a model must not cost an import of submitit, nor may the package import more than it needs."""
    code = (
        "import sys; from cachedmodel.executors import check_cluster; "
        "[check_cluster(name) for name in (None, 'auto', 'local', 'slurm', 'processpool')]; "
        "print([name for name in ('submitit', 'subprocess', 'multiprocessing', 'cloudpickle') if name in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert run.stdout.strip() == "[]"


def test_auto_is_slurm_where_there_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An sbatch on the PATH is the sign, unless Slurm says that it knows of no cluster."""
    monkeypatch.setenv("PATH", str(tmp_path))
    assert resolve_cluster("auto") == "local"

    (tmp_path / "sbatch").touch(mode=0o755)
    assert resolve_cluster("auto") == "slurm"


def test_slurm_where_there_is_none_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message says what is missing, and what works."""
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(InfraError, match=r"no sbatch on the PATH.*'auto' or 'local'"):
        get_executor("slurm", folder="jobs")


def test_all_clusters_are_available() -> None:
    """submitit's own are among them, and each passes the check."""
    assert {"auto", "debug", "local", "processpool", "slurm", "threadpool"} <= set(available_clusters())
    for name in available_clusters():
        check_cluster(name)


def test_pools_are_shared() -> None:
    """Executors of one kind use the same workers, whoever asks."""
    pids: list[int] = []
    for _ in range(2):
        get_executor("threadpool").submit([lambda: pids.append(os.getpid())])[0].wait()

    assert pids == [os.getpid()] * 2
