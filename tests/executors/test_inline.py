"""Calls in this thread, with and without the debugger."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from cachedmodel.executors import get_executor
from tests.conformance import ExecutorTests
from tests.executors import calls


class TestDebug(ExecutorTests):
    """Without a terminal, "debug" only runs the calls."""

    cluster = "debug"


def test_calls_run_when_they_are_submitted() -> None:
    """Without a cluster, a handle is finished when submit returns it."""
    log: list[int] = []
    handles = get_executor(None).submit([partial(log.append, 1), partial(log.append, 2)])

    assert log == [1, 2]
    assert [(handle.job_id, handle.folder, handle.stdout()) for handle in handles] == [(None, None, "")] * 2


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_an_interruption_is_not_a_failure_of_the_call(error: type[BaseException]) -> None:
    """Ctrl-C and sys.exit leave `submit`, and what follows does not run."""
    log: list[int] = []
    with pytest.raises(error):
        get_executor(None).submit([partial(calls.fail, error()), partial(log.append, 1)])
    assert log == []


def test_debug_opens_the_debugger_at_a_terminal(tmp_path: Path) -> None:
    """Where a call failed, pdb shows its frame; when it is left, the failure goes its way."""
    script = tmp_path / "script.py"
    script.write_text(
        "from cachedmodel.executors import get_executor\n"
        "def broken(number):\n"
        "    return 1 / number\n"
        "handle = get_executor('debug').submit([lambda: broken(0)])[0]\n"
        "print(repr(handle.error()))\n"
    )
    ours, its = pty.openpty()
    os.write(ours, b"print(number + 41)\nquit\n")
    run = subprocess.run([sys.executable, script], stdin=its, capture_output=True, text=True, check=True)
    os.close(its)
    os.close(ours)

    assert "return 1 / number" in run.stdout
    assert "41" in run.stdout.splitlines()[-2]
    assert run.stdout.endswith("ZeroDivisionError('division by zero')\n")
