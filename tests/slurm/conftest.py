"""The cluster that these tests run on: a Slurm that answers, which `tests/slurm/cluster up` starts."""

from __future__ import annotations

import fcntl
import functools
import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import cachedmodel as cm
from tests.slurm.scheduler import NODES, node_states, resume_nodes, slurm

LOCK = Path(tempfile.gettempdir()) / "cachedmodel-slurm-tests.lock"


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", "alone: takes nodes of the Slurm cluster away, so no other test may use it meanwhile"
    )


@functools.cache
def answers() -> bool:
    """Whether there is a Slurm with the nodes that the tests need."""
    try:
        return len(slurm("sinfo", "--noheader", "--Node", "--partition=main").splitlines()) == NODES
    except (OSError, subprocess.SubprocessError):
        return False


def pytest_runtest_setup() -> None:
    """Skips where there is no cluster, except in CI; from a hook, so that all of them are one line of the report."""
    if answers():
        return
    if os.environ.get("SLURM_TESTS") == "required":
        pytest.fail("no Slurm answers, and SLURM_TESTS=required: tests/slurm/cluster up starts one", pytrace=False)
    pytest.skip("no Slurm answers here: `tests/slurm/cluster up` starts one (Debian, as root)")


@pytest.fixture(autouse=True)
def cluster(request: pytest.FixtureRequest) -> Iterator[None]:
    """The cluster, which a test marked `alone` shares with no other test."""
    alone = request.node.get_closest_marker("alone") is not None
    with LOCK.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        if alone and node_states() != {"idle"}:
            resume_nodes()
        yield
        if alone:
            resume_nodes()


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Where computations leave a line."""
    return tmp_path / "log"


@pytest.fixture
def infra(tmp_path: Path) -> cm.InfraDict:
    """A new cache, filled by jobs of Slurm."""
    return {"folder": str(tmp_path / "cache"), "cluster": "slurm"}
