"""Calls that run at once, in this thread, in order; "debug" opens the debugger where one fails at a terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

from cachedmodel.executors.base import Status


class InlineHandle:
    """A call that has ended."""

    job_id: str | None = None
    folder: str | None = None

    def __init__(self, error: Exception | None) -> None:
        self._error = error

    def done(self) -> bool:
        return True

    def wait(self, timeout: float | None = None) -> bool:
        return True

    def error(self) -> BaseException | None:
        return self._error

    def status(self) -> Status:
        return "completed" if self._error is None else "failed"

    def cancel(self) -> None:
        """It has ended already."""

    def stdout(self) -> str:
        return ""

    def stderr(self) -> str:
        return ""


class InlineExecutor:
    """Runs each call when it is submitted. KeyboardInterrupt and SystemExit are not failures: `submit` raises them.

    Parameters
    ----------
    debug
        Open `pdb` where a call failed, if the standard input is a terminal.
    """

    def __init__(self, debug: bool = False) -> None:
        self._debug = debug

    def submit(self, calls: Sequence[Callable[[], object]], *, max_jobs: int | None = None) -> Sequence[InlineHandle]:
        return [self._run(call) for call in calls]

    def _run(self, call: Callable[[], object]) -> InlineHandle:
        try:
            call()
        except Exception as error:
            if self._debug and sys.stdin is not None and sys.stdin.isatty():
                import pdb  # noqa: T100 - this is what "debug" is for

                pdb.post_mortem(error.__traceback__)
            return InlineHandle(error)
        return InlineHandle(None)
