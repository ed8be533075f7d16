"""A job of a cluster, by its files and what its scheduler says: what all schedulers share."""

from __future__ import annotations

import contextlib
import os
import pickle
import time

from cachedmodel.errors import JobLostError
from cachedmodel.executors.base import Status
from cachedmodel.executors.jobfiles import BATCH, Batch, JobFiles, read_record, read_text, touch
from cachedmodel.executors.places import wait_until
from cachedmodel.failure import Failure

POLL_S = 0.5
FILES_S = 5.0  # what a network file system may take to show a file


class JobHandle:
    """A job that was submitted through submitit, by this or another process. Subclasses ask the scheduler."""

    def __init__(self, cluster: str, folder: str, job_id: str) -> None:
        self.job_id: str = job_id
        self.folder: str = folder
        self.cluster = cluster
        self.files: JobFiles = JobFiles(folder, job_id)
        self._batch: Batch | None = None
        self._over_since: float | None = None
        self._error: BaseException | None = None
        self._done = False

    # -- what the scheduler says

    def _is_over(self) -> bool:
        """True if the scheduler says that the job ended, or does not know it."""
        raise NotImplementedError

    def _is_queued(self) -> bool:
        """Whether one that is not over waits to be started."""
        return not os.path.exists(self.files.stdout(0))

    def _over_for(self) -> float:
        """Of one that is over, since how many seconds at least."""
        self._over_since = time.monotonic() if self._over_since is None else self._over_since
        return time.monotonic() - self._over_since

    def _was_cancelled(self) -> bool:
        """Once it is over: whether somebody had it cancelled."""
        return os.path.exists(self.files.cancel)

    def _how_it_ended(self) -> str:
        """Of a job without a result: what happened, and the remedy, as what follows "Job 12"."""
        raise NotImplementedError

    def _stop(self) -> None:
        """Asks the scheduler to cancel it."""
        raise NotImplementedError

    # -- the contract

    def done(self) -> bool:
        if not self._done and (self._has_results() or self._ended_without()):
            self._error = self._read_error()
            self._done = True
        return self._done

    def wait(self, timeout: float | None = None) -> bool:
        return wait_until(self.done, timeout, POLL_S, POLL_S)

    def error(self) -> BaseException | None:
        self.done()
        return self._error

    def status(self) -> Status:
        if self.done():
            if isinstance(self._error, JobLostError) and self._was_cancelled():
                return "cancelled"
            return "completed" if self._error is None else "failed"
        return "queued" if self._is_queued() else "running"

    def cancel(self) -> None:
        if not self.done():
            touch(self.files.cancel)
            self._stop()

    def stdout(self) -> str:
        return "".join(read_text(self.files.stdout(rank)) for rank in range(self.batch.ranks))

    def stderr(self) -> str:
        return "".join(read_text(self.files.stderr(rank)) for rank in range(self.batch.ranks))

    # -- inside

    @property
    def batch(self) -> Batch:
        """What the job shares with those it was submitted with."""
        self._batch = self._batch or read_record(os.path.join(self.folder, BATCH), Batch)
        return self._batch or Batch(self.cluster, 1, None, "")

    def _has_results(self) -> bool:
        return all(os.path.exists(self.files.result(rank)) for rank in range(self.batch.ranks))

    def _ended_without(self) -> bool:
        """The scheduler says that it is over, and files had the time to come over a network file system."""
        if not self._is_over():
            self._over_since = None
            return False
        return not os.path.exists(self.files.stdout(0)) or self._over_for() > FILES_S

    def _read_error(self) -> BaseException | None:
        ranks = range(self.batch.ranks)
        for rank in ranks:
            with contextlib.suppress(FileNotFoundError), open(self.files.raised(rank), "rb") as file:
                where = f"Raised in job {self.job_id} of {self.cluster!r}, whose log is {self.files.stderr(rank)!r}."
                return Failure.from_bytes(file.read()).exception(where=where)
        if self._has_results() and all(_succeeded(self.files.result(rank)) for rank in ranks):
            return None
        end = self.files.end_of_log(self.batch.ranks)
        return JobLostError(f"Job {self.job_id} of {self.cluster!r} {self._how_it_ended()}\n{end}")


def _succeeded(path: str) -> bool:
    with open(path, "rb") as file:
        return bool(pickle.load(file)[0] == "success")
