"""Threads in this process."""

from __future__ import annotations

import contextvars
import os
import subprocess
import sys
import threading
from functools import partial
from pathlib import Path

from cachedmodel.executors import get_executor
from tests.conformance import QueuedExecutorTests
from tests.executors import calls
from tests.executors.calls import PATIENCE_S


class TestThreads(QueuedExecutorTests):
    """Threads share memory, and cannot be stopped."""

    cluster = "threadpool"


def test_context_variables_are_those_of_the_submitter() -> None:
    """A call sees the context of the time it was submitted, and its changes stay its own."""
    variable = contextvars.ContextVar("variable", default="outside")
    seen: list[str] = []

    def look() -> None:
        seen.append(variable.get())
        variable.set("changed")

    token = variable.set("inside")
    handles = get_executor("threadpool").submit([look, look])
    variable.reset(token)
    assert all(handle.wait(PATIENCE_S) for handle in handles)

    assert seen == ["inside", "inside"]
    assert variable.get() == "outside"


def test_an_idle_pool_has_no_threads() -> None:
    """Threads end with the last call."""
    handles = get_executor("threadpool").submit([calls.nothing] * 8)
    assert all(handle.wait(PATIENCE_S) for handle in handles)

    calls.until(lambda: not [thread for thread in threading.enumerate() if "threadpool" in thread.name])


def test_system_exit_in_a_thread_is_that_calls_error() -> None:
    """A call that exits ends only itself."""
    first, second = get_executor("threadpool").submit([partial(sys.exit, 3), calls.nothing], max_jobs=1)

    assert second.wait(PATIENCE_S)
    assert isinstance(first.error(), SystemExit)
    assert second.error() is None


def test_queued_calls_end_with_the_program(tmp_path: Path) -> None:
    """At the end of the program running threads are waited for, queued calls are dropped, and a warning says so."""
    script = tmp_path / "script.py"
    script.write_text(
        "import pathlib, threading\n"
        "from cachedmodel.executors import get_executor\n"
        "started = threading.Event()\n"
        "def call(number):\n"
        "    started.set()\n"
        "    threading.main_thread().join()\n"
        "    pathlib.Path(str(number)).touch()\n"
        "calls = [lambda number=number: call(number) for number in range(3)]\n"
        "get_executor('threadpool').submit(calls, max_jobs=1)\n"
        "started.wait()\n"
    )
    run = subprocess.run(
        [sys.executable, "-W", "error", script], cwd=tmp_path, capture_output=True, text=True, check=True
    )

    assert [(tmp_path / str(number)).exists() for number in range(3)] == [True, False, False]
    assert run.stderr == "2 calls had not started in the threadpool when the program ended, and were dropped.\n"


def test_a_forked_child_has_pools_of_its_own() -> None:
    """A pool that was busy at the fork does not stop the child."""
    release = threading.Event()
    held = get_executor("threadpool").submit([partial(release.wait, PATIENCE_S)])[0]
    calls.until(lambda: held.status() == "running")
    child = os.fork()
    if child == 0:  # only os._exit leaves here: the rest of pytest is the parent's
        done = get_executor("threadpool").submit([calls.nothing])[0].wait(PATIENCE_S)
        os._exit(0 if done else 1)
    release.set()

    assert os.waitpid(child, 0)[1] == 0
    assert held.wait(PATIENCE_S)
