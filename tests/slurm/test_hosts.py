"""A job that goes on, on another host, after Slurm lost sight of it: with another name, other processes and another boot."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

import cachedmodel as cm
from tests.executors.calls import until
from tests.slurm.models import Placed
from tests.slurm.scheduler import PATIENCE_S, node_of, processes_like, slurm, wait_for_file

CLUSTER = Path(__file__).with_name("cluster")
NODE, OTHERS = "n3", ("n1", "n2")
HERE, ELSEWHERE = os.uname().nodename, "elsewhere"

NAMESPACES = ("unshare", "--uts", "--pid", "--mount", "--fork", "--mount-proc", "true")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.alone,
    pytest.mark.skipif(
        subprocess.run(NAMESPACES, capture_output=True, check=False).returncode != 0,
        reason="this user may not make namespaces (unshare --uts --pid --mount)",
    ),
]


@pytest.fixture(autouse=True)
def elsewhere(cluster: None) -> Iterator[None]:
    """One of the nodes is another host; what ran on it ends with the test."""
    with subprocess.Popen([CLUSTER, ELSEWHERE, NODE], stderr=subprocess.DEVNULL) as host:
        try:
            until(lambda: processes_like(f"slurmd -D -N {NODE}"))
            slurm("scontrol", "update", f"nodename={','.join(OTHERS)}", "state=drain", "reason=test")
            yield
        finally:
            host.kill()
    subprocess.run([CLUSTER, "up"], check=True)


def gate_of(host: str, log: Path) -> Path:
    return log.with_name(f"gate of {host}")


def workers_of(log: Path) -> list[int]:
    """The processes that run jobs of this test."""
    return processes_like(f"submitit.core._submit {log.parent}")


@pytest.fixture
def job(infra: cm.InfraDict, log: Path) -> Iterator[cm.Job[str]]:
    """One that runs on the other host alone, whose daemons were killed."""
    job = Placed(log=log, infra=infra).value.job()
    assert wait_for_file(log) == f"{ELSEWHERE} started\n"
    for pid in (*processes_like(f"slurmstepd: [{job.job_id}."), *processes_like(f"slurmd -D -N {NODE}")):
        os.kill(pid, signal.SIGKILL)
    assert len(workers_of(log)) == 1
    yield job
    for host in (HERE, ELSEWHERE):
        gate_of(host, log).touch()


def start_again(job: cm.Job[str]) -> None:
    """Has Slurm notice that the host is lost, and start the job on this one."""
    slurm("scontrol", "update", f"nodename={','.join(OTHERS)}", "state=resume")
    slurm("scontrol", "update", f"nodename={NODE}", "state=down", "reason=lost")
    until(lambda: node_of(str(job.job_id)) in OTHERS, PATIENCE_S)


def test_the_orphan_stops_before_the_other_run_computes(job: cm.Job[str], infra: cm.InfraDict, log: Path) -> None:
    """It sees that it is not the last run any more: one computes, begun twice and ended once."""
    start_again(job)
    until(lambda: f"{HERE} started" in log.read_text(), PATIENCE_S)
    gate_of(ELSEWHERE, log).touch()
    assert len(workers_of(log)) == 1
    assert "was started again" in job.stderr()
    gate_of(HERE, log).touch()
    assert job.result(PATIENCE_S) == Placed(log=log, infra=infra).value() == HERE
    assert log.read_text().splitlines() == [f"{ELSEWHERE} started", f"{HERE} started", f"{HERE} ended"]


def test_what_the_orphan_hands_out_stays(job: cm.Job[str], infra: cm.InfraDict, log: Path) -> None:
    """It ends before the other run computes, which then has nothing left to do."""
    start_again(job)
    gate_of(ELSEWHERE, log).touch()
    assert job.result(PATIENCE_S) == ELSEWHERE
    gate_of(HERE, log).touch()
    until(lambda: not workers_of(log), PATIENCE_S)
    assert Placed(log=log, infra=infra).value() == ELSEWHERE
    assert log.read_text().splitlines() == [f"{ELSEWHERE} started", f"{ELSEWHERE} ended"]


def test_an_orphan_that_stood_still_changes_nothing(job: cm.Job[str], infra: cm.InfraDict, log: Path) -> None:
    """As a host without its network does: the other run ends meanwhile, and what that one has handed out stays."""
    (orphan,) = workers_of(log)
    os.kill(orphan, signal.SIGSTOP)
    start_again(job)
    gate_of(HERE, log).touch()
    assert job.result(PATIENCE_S) == HERE
    gate_of(ELSEWHERE, log).touch()
    os.kill(orphan, signal.SIGCONT)
    until(lambda: not workers_of(log), PATIENCE_S)
    assert Placed(log=log, infra=infra).value() == HERE
