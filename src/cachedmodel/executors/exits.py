"""Children that end: how they did, in words, and nothing of theirs left behind."""

from __future__ import annotations

import contextlib
import os
import signal


def see_off(pid: int) -> int | None:
    """Exit code of a child that leads its process group, None while it runs. What it left behind is killed."""
    if hasattr(os, "waitid"):  # not on macOS before Python 3.13
        if os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            return None
        kill_group(pid)  # as long as the pid cannot be another's
    ended, status = os.waitpid(pid, os.WNOHANG)
    if not ended:
        return None
    if not hasattr(os, "waitid"):
        kill_group(pid)
    return os.waitstatus_to_exitcode(status)


def kill_group(pid: int) -> None:
    """Ends a process group at once."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def describe_exit(code: int) -> str:
    """What an exit code says; a negative one is the signal that killed the process."""
    if code >= 0:
        return f"exited with code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    hint = " (out of memory, or kill -9)" if name == "SIGKILL" else ""
    return f"was killed by {name}{hint}"
