"""Jobs of Slurm keep the contract of an executor."""

from __future__ import annotations

from pathlib import Path

import pytest

from cachedmodel.errors import InfraError
from cachedmodel.executors import Executor, get_executor
from tests.conformance import HOSTILE_NAME, ProcessExecutorTests
from tests.executors import calls


class TestSlurm(ProcessExecutorTests):
    """As every executor whose calls run in processes of their own."""

    cluster = "slurm"

    def executor(self, tmp_path: Path, max_jobs: int | None = None) -> Executor:
        return get_executor("slurm", folder=str(tmp_path / "jobs of $HOME; é"), max_jobs=max_jobs)


def test_a_folder_that_no_script_can_name_is_refused(tmp_path: Path) -> None:
    """Quotes and newlines in the name of the folder are told, with the remedy, and nothing is submitted."""
    with pytest.raises(InfraError, match=r"its scripts have no way to write .* Say infra\.logs="):
        get_executor("slurm", folder=str(tmp_path / HOSTILE_NAME)).submit([calls.nothing])
    assert list(tmp_path.iterdir()) == []
