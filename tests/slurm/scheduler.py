"""Slurm as the tests ask it and push it about, beside the package."""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from pathlib import Path

from tests.executors.calls import until

NODES = 3
CPUS = 8  # of a node
PATIENCE_S = 120.0


def slurm(*command: str) -> str:
    """What a program of Slurm's prints."""
    run = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    return run.stdout.strip()


def node_states() -> set[str]:
    return set(slurm("sinfo", "--noheader", "--Node", "--partition=main", "--format=%T").split())


def resume_nodes() -> None:
    """Has all nodes idle again, whatever a test did to them."""
    deadline = time.monotonic() + PATIENCE_S
    while (states := node_states()) != {"idle"}:
        assert time.monotonic() < deadline, states
        down = slurm("sinfo", "--noheader", "--Node", "--partition=main", "--states=down,drain", "--format=%N").split()
        if down:
            slurm("scontrol", "update", f"nodename={','.join(sorted(set(down)))}", "state=resume")
        time.sleep(0.3)


def state_of(job_id: str) -> str:
    """The state of a job; "" if it is neither queued nor running."""
    return slurm("squeue", "--noheader", "--array", "--me", f"--jobs={job_id}", "--format=%T")


def node_of(job_id: str) -> str:
    return slurm("squeue", "--noheader", "--array", f"--jobs={job_id}", "--format=%N")


def step_daemons(job_id: str) -> list[int]:
    """The slurmstepd processes of a job, by the id that Slurm has for it inside."""
    return processes_like(f"slurmstepd: [{job_id}.")


def processes_like(command: str) -> list[int]:
    """The processes of this machine whose command has these words in it."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if command.encode() in (folder / "cmdline").read_bytes().replace(b"\0", b" "):
                found.append(int(folder.name))
    return found


def in_seconds(job_id: str, seconds: int) -> None:
    """Moves the time limit of a running job to so many seconds from now: asked for, it would be a minute at least."""
    slurm("scontrol", "update", f"jobid={job_id}", f"EndTime=now+{seconds}")


def wait_for_file(path: Path, patience_s: float = PATIENCE_S) -> str:
    """The text of a file, once there is some."""
    until(lambda: path.exists() and path.stat().st_size, patience_s)
    return path.read_text()


def environment_without(folder: Path, *programs: str) -> dict[str, str]:
    """The environment, with a PATH on which some programs of Slurm's are not."""
    folder.mkdir()
    for source in os.environ["PATH"].split(os.pathsep):
        for file in Path(source).iterdir() if Path(source).is_dir() else ():
            if file.name not in programs and not (folder / file.name).exists():
                (folder / file.name).symlink_to(file)
    return {**os.environ, "PATH": str(folder)}
