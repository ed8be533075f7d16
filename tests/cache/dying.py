"""Processes that die in the midst of what they do to files: at the first such step, at the second, and so on."""

from __future__ import annotations

import os
import signal
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator

#: What Python tells of before it does it.
_STEPS = {"open", "os.rename", "os.remove", "os.link", "os.chown", "os.chmod", "os.mkdir", "os.listdir", "os.scandir"}


def dies_at(step: int, call: Callable[[], object]) -> bool:
    """Calls something in a fork that is killed before its step of that number; False if it came to its end first."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # a heart may beat: the child has none of its own yet
        pid = os.fork()
    if pid == 0:
        status = 1
        try:
            left = step

            def count(event: str, _: object) -> None:
                nonlocal left
                if event in _STEPS:
                    left -= 1
                    if left < 0:
                        os.kill(os.getpid(), signal.SIGKILL)

            sys.addaudithook(count)
            call()
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    status = os.waitpid(pid, 0)[1]
    assert status == 0 or os.WTERMSIG(status) == signal.SIGKILL, "it failed: see its traceback"
    return status != 0


def each_step(call: Callable[[], object], stride: int = 1) -> Iterator[int]:
    """Lets it die at one step after the other, until it comes to its end."""
    step = 0
    while dies_at(step, call):
        yield step
        step += stride
