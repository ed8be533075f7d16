"""Names a process such that others can tell, later, whether it still lives: a pid alone is given to others again."""

from __future__ import annotations

import functools
import os


def process_id(pid: int) -> str:
    """Name of a living process of this host: host, pid and start time."""
    return f"{_host()}:{pid}:{_start_time(pid)}"


def is_alive(name: str) -> bool | None:
    """Whether the process of that name lives; None if it is one of another host, which cannot be told from here."""
    host, pid, start = name.rsplit(":", 2)
    if host != _host():
        return None
    return start == _start_time(int(pid)) != ""


@functools.cache
def _host() -> str:
    """This host since its last boot, and its namespace of pids: containers of one host do not see each other's."""
    parts = [os.uname().nodename]
    try:
        with open("/proc/sys/kernel/random/boot_id") as file:
            parts.append(file.read().strip()[:8])
        parts.append(os.readlink("/proc/self/ns/pid"))
    except OSError:  # not Linux
        pass
    return "/".join(parts)


def _start_time(pid: int) -> str:
    """When a process started, in words of the system; "" if it does not run (any more)."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            fields = file.read().rpartition(")")[2].split()
    except OSError:
        return "" if os.path.exists("/proc/self/stat") else _start_time_from_ps(pid)
    return "" if fields[0] in "ZX" else fields[19]  # a zombie has ended


def _start_time_from_ps(pid: int) -> str:
    import subprocess

    run = subprocess.run(["ps", "-o", "state=,lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
    state, _, start = run.stdout.strip().partition(" ")
    return "" if state.startswith("Z") else start.strip().replace(":", ".")
