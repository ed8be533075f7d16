"""The contract of an executor: where callables run, and how to ask after them. No models and no caches here."""

from __future__ import annotations

import typing as tp
from collections.abc import Callable, Sequence

Status = tp.Literal["not submitted", "queued", "running", "completed", "failed", "cancelled"]


class Handle(tp.Protocol):
    """One submitted callable. Its value is of no interest: results travel through the cache."""

    @property
    def job_id(self) -> str | None:
        """Name of the job where there is a queue (Slurm, local), else None."""
        ...

    @property
    def folder(self) -> str | None:
        """Where the job keeps its files and logs; with `job_id` it finds the job from any process. Else None."""
        ...

    def done(self) -> bool:
        """True once the callable ended, in whatever way; never blocks for long."""
        ...

    def wait(self, timeout: float | None = None) -> bool:
        """Blocks until the callable ended or `timeout` (seconds) passed; True if it ended."""
        ...

    def error(self) -> BaseException | None:
        """Once done: None if the callable returned, what it raised, or a `JobLostError` if it was lost or cancelled.

        Always the same object. Before it is done: None.
        """
        ...

    def status(self) -> Status: ...

    def cancel(self) -> None:
        """Asks the callable not to start, or to stop where that is possible; returns at once."""
        ...

    def stdout(self) -> str:
        """What the job printed so far; empty where it prints to this process's own streams."""
        ...

    def stderr(self) -> str: ...


class Executor(tp.Protocol):
    """A place where callables run."""

    def submit(self, calls: Sequence[Callable[[], object]], *, max_jobs: int | None = None) -> Sequence[Handle]:
        """Starts or queues the calls as one array, never more than `max_jobs` of them at once; does not wait.

        They start in this order. Calls that cannot be submitted at all raise here, and then none is started.
        """
        ...
