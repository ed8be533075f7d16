"""Jobs through submitit, which only this module imports: Slurm, whatever plugins provide, and the inside of a job."""

from __future__ import annotations

import contextlib
import os
import pickle
import shlex
import shutil
import sys
import time
import typing as tp
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import submitit
from submitit.core.plugins import get_executors
from submitit.core.utils import DelayedSubmission, UncompletedJobError
from submitit.local.local import Controller

from cachedmodel.errors import InfraError, JobLostError
from cachedmodel.executors.base import Status
from cachedmodel.executors.jobfiles import (
    BATCH,
    Batch,
    Ended,
    JobFiles,
    make_batch_folder,
    read_record,
    read_text,
    remove,
    touch,
    write_bytes,
    write_record,
)
from cachedmodel.executors.outcome import Raised
from cachedmodel.executors.packing import interpreter_command, own_import_path, pack_calls
from cachedmodel.executors.places import lend_place, set_place

NO_LIMIT_S = 10 * 365 * 24 * 3600  # submitit's controller knows no job without a time limit
OWN = ("conda_env", "max_pickle_size_gb", "job_name")  # parameters that submitit does not have by that name
MAX_JOBS = 128
POLL_S = 0.5
FILES_S = 5.0  # what a network file system may take to show a file


class JobCall:
    """A callable on its way into a job, and what the job does around it."""

    def __init__(self, call: bytes) -> None:
        self.call = call
        self.path = own_import_path()

    def __call__(self) -> None:
        """Runs the call; what it raises is kept in a file, and raised again so that the scheduler sees a failure."""
        environment = submitit.JobEnvironment()
        files = JobFiles(str(environment.paths.folder), environment.job_id)
        rank = environment.global_rank
        remove(files.raised(rank))  # of a run before the job was queued again
        sys.path[1:1] = [folder for folder in self.path if folder not in sys.path]
        set_place(_Place(files))
        try:
            pickle.loads(self.call)()
        except (KeyboardInterrupt, UncompletedJobError):  # stopped from outside: nobody's failure
            raise
        except BaseException as error:
            write_bytes(files.raised(rank), Raised.of(error).dumps())
            raise

    def checkpoint(self) -> DelayedSubmission:
        """What runs when the job was preempted and is queued again: the same; what it had stored, it finds."""
        return DelayedSubmission(self)


class _Place:
    """The place of this job in the queue that started it; a marker file lends it."""

    def __init__(self, files: JobFiles) -> None:
        self._files = files

    def lend(self) -> None:
        touch(self._files.waits)

    def take_back(self) -> None:
        remove(self._files.waits)


def write_submissions(
    calls: Sequence[Callable[[], object]], paths: Sequence[str], parameters: Mapping[str, object]
) -> None:
    """Writes the calls as submitit's jobs read them."""
    for call, path in zip(pack_calls(calls, parameters), paths, strict=True):
        submission = DelayedSubmission(JobCall(call))
        submission.set_timeout(NO_LIMIT_S // 60, 0)
        submission.dump(path)


def control(files: JobFiles, python: str, ranks: int, timeout_min: float | None) -> Ended:
    """Runs a local job to its end, in a process of its own: starts its ranks, stops them in time."""

    class Watched(Controller):
        codes: Sequence[int | None] = ()

        def wait(self, freq: int = 24) -> Sequence[int | None]:
            self.codes = super().wait(freq)
            return self.codes

    timeout_s = NO_LIMIT_S if timeout_min is None else max(1, round(60 * timeout_min))
    os.environ.update(
        SUBMITIT_EXECUTOR="local",
        SUBMITIT_LOCAL_COMMAND=f"{python} -u -m submitit.core._submit {shlex.quote(files.folder)}",
        SUBMITIT_LOCAL_NTASKS=str(ranks),
        SUBMITIT_LOCAL_JOB_NUM_NODES="1",
        SUBMITIT_LOCAL_NODEID="0",
        SUBMITIT_LOCAL_TIMEOUT_S=str(timeout_s),
        SUBMITIT_LOCAL_SIGNAL_DELAY_S="0",
        SUBMITIT_STDERR_TO_STDOUT="",
        SUBMITIT_LOCAL_WITH_SHELL="",
    )
    controller = Watched(Path(files.folder))
    controller.pid = files.job_id  # submitit names a local job by its pid, which another job will have one day
    controller.run()
    return Ended(list(controller.codes), timed_out=None in controller.codes)


class ClusterExecutor:
    """Submits calls to Slurm, or to the executor of a submitit plugin, as one array.

    Parameters
    ----------
    cluster
        The name that submitit has for it.
    folder
        Where each submission makes a folder of its own; all nodes must see it.
    parameters
        Those of submitit's `AutoExecutor` (``timeout_min``, ``mem_gb``, ``slurm_partition`` ...), ``job_name``,
        ``conda_env`` and ``max_pickle_size_gb``. Those of other clusters are ignored.
    max_jobs
        Never more jobs of an array at once.
    """

    def __init__(
        self, cluster: str, folder: str, parameters: Mapping[str, object], *, max_jobs: int | None = None
    ) -> None:
        if cluster == "slurm" and shutil.which("sbatch") is None:
            raise InfraError("There is no Slurm here (no sbatch on the PATH): use cluster='auto' or 'local'.")
        self._cluster = cluster
        self._folder = folder
        self._parameters = {name: value for name, value in parameters.items() if value is not None}
        self._max_jobs = max_jobs

    def submit(self, calls: Sequence[Callable[[], object]], *, max_jobs: int | None = None) -> Sequence[ClusterHandle]:
        if not calls:
            return []
        packed = [JobCall(call) for call in pack_calls(calls, self._parameters)]
        folder = make_batch_folder(self._folder)
        try:
            with _as_outside_of_jobs():
                executor = self._executor(folder, max_jobs or self._max_jobs or MAX_JOBS)
                jobs = executor.submit_array(packed)
        except (RuntimeError, ValueError, NameError, AssertionError) as error:
            given = ", ".join(f"{name}={value!r}" for name, value in self._parameters.items()) or "none"
            raise InfraError(
                f"{self._cluster!r} did not accept the submission: {error}\nChange the settings; given were: {given}."
            ) from error
        timeout_min = tp.cast("float | None", self._parameters.get("timeout_min"))
        write_record(os.path.join(folder, BATCH), Batch(self._cluster, jobs[0].num_tasks, timeout_min, ""))
        return [ClusterHandle(self._cluster, folder, job) for job in jobs]

    def _executor(self, folder: str, max_jobs: int) -> submitit.AutoExecutor:
        own = {}
        if "conda_env" in self._parameters:
            own[f"{self._cluster}_python"] = interpreter_command(self._parameters)
        executor = submitit.AutoExecutor(folder, cluster=self._cluster, **own)
        given = {name: value for name, value in self._parameters.items() if name not in OWN}
        executor.update_parameters(
            **given, name=self._parameters.get("job_name", "cachedmodel"), slurm_array_parallelism=max_jobs
        )
        return executor


class ClusterHandle:
    """A job of submitit's."""

    def __init__(self, cluster: str, folder: str, job: submitit.Job[None]) -> None:
        self.job_id: str = job.job_id
        self.folder: str = folder
        self._cluster = cluster
        self._job = job
        self._files = JobFiles(folder, job.job_id)
        self._ended_at: float | None = None
        self._error: BaseException | None = None
        self._done = False

    def done(self) -> bool:
        if not self._done and (self._has_results() or self._has_ended()):
            self._error = self._read_error()
            self._done = True
        return self._done

    def wait(self, timeout: float | None = None) -> bool:
        deadline = None if timeout is None else time.monotonic() + timeout
        if self.done():
            return True
        with lend_place():
            while not self.done():
                left = POLL_S if deadline is None else deadline - time.monotonic()
                if left <= 0:
                    return False
                time.sleep(min(POLL_S, left))
        return True

    def error(self) -> BaseException | None:
        self.done()
        return self._error

    def status(self) -> Status:
        if self.done():
            if isinstance(self._error, JobLostError) and os.path.exists(self._files.cancel):
                return "cancelled"
            return "completed" if self._error is None else "failed"
        return "running" if os.path.exists(self._files.stdout(0)) else "queued"

    def cancel(self) -> None:
        if not self.done():
            touch(self._files.cancel)
            self._job.cancel(check=False)

    def stdout(self) -> str:
        return "".join(read_text(self._files.stdout(rank)) for rank in range(self._job.num_tasks))

    def stderr(self) -> str:
        return "".join(read_text(self._files.stderr(rank)) for rank in range(self._job.num_tasks))

    def _has_results(self) -> bool:
        return all(os.path.exists(self._files.result(rank)) for rank in range(self._job.num_tasks))

    def _has_ended(self) -> bool:
        """The scheduler says so, and files had the time to come over a network file system."""
        if self._ended_at is None and self._job.done():
            self._ended_at = time.monotonic()
        return self._ended_at is not None and time.monotonic() > self._ended_at + FILES_S

    def _read_error(self) -> BaseException | None:
        ranks = range(self._job.num_tasks)
        for rank in ranks:
            with contextlib.suppress(FileNotFoundError), open(self._files.raised(rank), "rb") as file:
                where = f"in job {self.job_id} of {self._cluster!r}, whose log is {self._files.stderr(rank)!r}"
                return Raised.loads(file.read()).exception(where)
        if self._has_results() and all(_succeeded(self._files.result(rank)) for rank in ranks):
            return None
        cancelled = " It was cancelled." if os.path.exists(self._files.cancel) else ""
        return JobLostError(
            f"Job {self.job_id} of {self._cluster!r} ended without a result, in state {self._job.state!r}.{cancelled}\n"
            f"{self._files.end_of_log(self._job.num_tasks)}"
        )


def _succeeded(path: str) -> bool:
    with open(path, "rb") as file:
        return bool(pickle.load(file)[0] == "success")


def attach_job(cluster: str, folder: str, job_id: str) -> ClusterHandle:
    """The handle of a job by its names."""
    batch = read_record(os.path.join(folder, BATCH), Batch)
    ranks = 1 if batch is None else batch.ranks
    kind = get_executors()[cluster].job_class
    return ClusterHandle(cluster, folder, kind(folder=folder, job_id=job_id, tasks=list(range(ranks))))


def plugin_clusters() -> list[str]:
    """Names of the executors that submitit knows, those of plugins included."""
    return list(get_executors())


@contextlib.contextmanager
def _as_outside_of_jobs() -> Iterator[None]:
    """Hides the job around this process, if there is one: Slurm would take its settings for those of the new job."""
    if not any(name in os.environ for name in ("SLURM_JOB_ID", "SUBMITIT_EXECUTOR")):
        yield
        return
    configuration = os.environ.get("SLURM_CONF")
    with submitit.helpers.clean_env():
        if configuration is not None:
            os.environ["SLURM_CONF"] = configuration
        yield
