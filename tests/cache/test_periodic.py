"""A thread that does something again and again, except while its process is forked."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import pytest

from cachedmodel.cache.periodic import Periodic

from .processes import wait_for


def _threads(name: str) -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == name]


def test_it_goes_on_until_it_is_stopped() -> None:
    """The action is called again and again; after `stop` it is not, and can be started again."""
    calls: list[int] = []

    def action() -> bool:
        calls.append(1)
        return True

    periodic = Periodic(action, 0.001, "test-until-stopped")
    for _ in range(2):
        calls.clear()
        periodic.start()
        wait_for(lambda: len(calls) > 2)
        periodic.stop()
        assert not _threads("test-until-stopped")
    periodic.stop()


def test_it_ends_when_the_action_says_so() -> None:
    """An action that returns False is the last."""
    calls: list[int] = []

    def action() -> bool:
        calls.append(1)
        return len(calls) < 3

    Periodic(action, 0.001, "test-says-so").start()
    wait_for(lambda: not _threads("test-says-so"))

    assert len(calls) == 3


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_no_fork_finds_it_alive() -> None:
    """The thread is not there when the process is forked, not in the child, and goes on in the parent."""
    calls: list[int] = []

    def action() -> bool:
        calls.append(1)
        return True

    periodic = Periodic(action, 0.001, "test-fork")
    periodic.start()
    pid = os.fork()
    if pid == 0:
        os._exit(1 if _threads("test-fork") else 0)
    assert os.waitpid(pid, 0)[1] == 0

    calls.clear()
    wait_for(lambda: calls)
    periodic.stop()


ENDING = """
import atexit, threading
atexit.register(lambda: print([thread.name for thread in threading.enumerate()]))
from cachedmodel.cache.periodic import Periodic
Periodic(lambda: True, 0.001, "test-end").start()
"""


def test_no_end_of_the_interpreter_finds_it_alive() -> None:
    """It is stopped before the interpreter is taken down, which would kill it with whatever it holds."""
    ended = subprocess.run([sys.executable, "-c", ENDING], capture_output=True, text=True, check=True, timeout=60)

    assert ended.stdout == "['MainThread']\n"
