"""What a job's end is called, by what Slurm says and what it wrote to the job's log. How it comes to that: tests/slurm."""

from __future__ import annotations

import pytest

from cachedmodel.executors.slurm import Seen
from cachedmodel.executors.slurmhandle import how_it_ended

KILLED, FAILED = 9, 1 << 8


@pytest.mark.parametrize(
    ("end", "log"),
    [
        (Seen("OUT_OF_MEMORY", 125), ""),
        (Seen("FAILED", FAILED), "srun: error: n1: task 0: Out Of Memory"),
        (Seen("FAILED", KILLED), "5\nslurmstepd-n1: error: Exceeded job memory limit\n"),
        (
            Seen("FAILED", KILLED),
            "slurmstepd: error: StepId=7.0 exceeded memory limit (391254016 > 209715200), being killed",
        ),
        (
            Seen("FAILED", FAILED),
            "slurmstepd: error: Detected 1 oom-kill event(s) in StepId=7.0. Some of your processes may have been killed",
        ),
    ],
)
def test_out_of_memory_is_told_whoever_noticed_it(end: Seen, log: str) -> None:
    """The kernel with its control groups, a node that polls, srun: each tells it another way."""
    text = how_it_ended(end, log, timeout_min=None, mem_gb=2)
    assert text.startswith("was killed out of memory: it took more than its limit (mem_gb=2); ask for more with infra")
    assert "(that of its partition)" in how_it_ended(end, log, timeout_min=None, mem_gb=None)


def test_what_the_job_itself_prints_of_memory_is_not_slurm_s_word() -> None:
    """A GPU without memory, say, is the failure of the program."""
    log = "RuntimeError: CUDA error: out of memory\nerror: exceeded memory limit"
    text = how_it_ended(Seen("FAILED", FAILED), log, timeout_min=None, mem_gb=2)
    assert text == "ended without a result: its process exited with code 1."


@pytest.mark.parametrize("code", [11, (128 + 11) << 8])
def test_a_signal_is_told_by_its_name(code: int) -> None:
    """As Slurm has it, and as a shell does."""
    text = how_it_ended(Seen("FAILED", code), "", timeout_min=None, mem_gb=None)
    assert text == "ended without a result: its process was killed by SIGSEGV."


def test_a_job_without_a_folder_is_told() -> None:
    """Slurm has a signal of its own for it, which says nothing."""
    assert "All nodes must see infra.folder" in how_it_ended(Seen("FAILED", 181), "", timeout_min=None, mem_gb=None)


def test_the_limit_that_was_reached_is_told() -> None:
    """That of the job, or else it was that of the partition."""
    told = [how_it_ended(Seen("TIMEOUT"), "", timeout_min=limit, mem_gb=None) for limit in (30, None)]
    assert "reached its time limit (timeout_min=30): ask for more with infra.timeout_min" in told[0]
    assert "(that of its partition)" in told[1]


def test_a_state_without_words_here_is_told_as_it_is() -> None:
    """Slurm may have others one day."""
    text = how_it_ended(Seen("DISSOLVED", 3), "", timeout_min=None, mem_gb=None)
    assert text == "ended without a result, in state DISSOLVED (exit status 3)."
