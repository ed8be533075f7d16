"""Names of processes."""

from __future__ import annotations

import os
import subprocess
import sys

from cachedmodel.executors.processid import is_alive, process_id


def test_a_process_is_alive_until_it_ends() -> None:
    """A process that was not waited for (a zombie) has ended too."""
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    name = process_id(process.pid)
    assert is_alive(name) is True

    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert is_alive(name) is False
    process.communicate()
    assert is_alive(name) is False


def test_another_process_with_the_same_pid_is_another() -> None:
    """The start time tells them apart."""
    host, pid, start = process_id(os.getpid()).rsplit(":", 2)

    assert is_alive(f"{host}:{pid}:{start}") is True
    assert is_alive(f"{host}:{pid}:{int(start) + 1}") is False


def test_of_other_hosts_nothing_is_known() -> None:
    """Neither alive nor dead can be said of a process of another host."""
    assert is_alive("elsewhere:1:1") is None
