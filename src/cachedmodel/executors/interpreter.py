"""Starts a fresh interpreter that runs one function of this package, with this process's import path and arguments."""

from __future__ import annotations

import sys
import typing as tp
from collections.abc import Callable, Sequence

if tp.TYPE_CHECKING:
    import subprocess


def start(
    function: Callable[[int], None], fd: int, *, log: str | None = None, session: bool = False
) -> subprocess.Popen[bytes]:
    """Starts an interpreter that calls `function(fd)`, in a process group of its own.

    Its `__main__` is empty: nothing of this program runs again, and what it defines arrives by value.

    Parameters
    ----------
    function
        A function of a module.
    fd
        The only file descriptor it inherits.
    log
        File that takes its output; None: it prints where this process prints.
    session
        Detach it from the terminal.
    """
    import subprocess

    code = (
        f"import sys; sys.path[:] = {sys.path!r}; sys.argv[:] = {sys.argv!r}; "
        f"from {function.__module__} import {function.__name__} as run; run({fd})"
    )
    command = [sys.executable, *_flags(), "-c", code]
    with open(log, "ab") if log else open("/dev/null", "ab") as out:
        return subprocess.Popen(
            command,
            pass_fds=[fd],
            stdin=subprocess.DEVNULL,
            stdout=out if log else None,
            stderr=out if log else None,
            start_new_session=session,
            process_group=None if session else 0,
        )


def _flags() -> Sequence[str]:
    """This interpreter's own flags: warnings, optimization, -X."""
    import subprocess

    # private, but what multiprocessing itself starts its interpreters with
    return tp.cast("Sequence[str]", subprocess._args_from_interpreter_flags())  # type: ignore[attr-defined]
