"""Jobs through submitit, which only this module and `clusterjob`, its inside, import: Slurm, and whatever plugins provide."""

from __future__ import annotations

import contextlib
import functools
import os
import shlex
import shutil
import time
import typing as tp
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import submitit
from submitit.core.plugins import get_executors
from submitit.local.local import Controller

from cachedmodel.errors import InfraError
from cachedmodel.executors import slurm
from cachedmodel.executors.clusterjob import JobCall, submission_of
from cachedmodel.executors.jobfiles import BATCH, Batch, Ended, JobFiles, make_batch_folder, write_record
from cachedmodel.executors.jobhandle import JobHandle
from cachedmodel.executors.packing import interpreter_command, pack_calls
from cachedmodel.executors.slurmhandle import SlurmHandle

NO_LIMIT_S = 10 * 365 * 24 * 3600  # submitit's controller knows no job without a time limit
OWN = ("conda_env", "max_pickle_size_gb", "job_name")  # parameters that submitit does not have by that name
MAX_JOBS = 128
LOG_LEVEL = "SUBMITIT_LOG_LEVEL"
UNSAID = "NOCONFIG"  # of submitit's own lines in a job's output, which is to be what the user's code printed; its errors stay


def write_submissions(
    calls: Sequence[Callable[[], object]], paths: Sequence[str], parameters: Mapping[str, object]
) -> None:
    """Writes the calls as submitit's jobs read them."""
    for call, path in zip(pack_calls(calls, parameters), paths, strict=True):
        submission_of(call, NO_LIMIT_S // 60).dump(path)


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
    os.environ.setdefault(LOG_LEVEL, UNSAID)
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

    def submit(self, calls: Sequence[Callable[[], object]], *, max_jobs: int | None = None) -> Sequence[JobHandle]:
        if not calls:
            return []
        packed = [JobCall(call) for call in pack_calls(calls, self._parameters)]
        if self._cluster == "slurm":
            _check_for_sbatch(self._folder)
            if "array" in tp.cast("Mapping[str, object]", self._parameters.get("slurm_additional_parameters") or {}):
                raise InfraError("slurm_additional_parameters cannot have 'array': it says how many jobs there are.")
        folder = make_batch_folder(self._folder)
        began, most = time.time(), max_jobs or self._max_jobs or MAX_JOBS
        try:
            with _as_outside_of_jobs():
                jobs = self._submit_arrays(packed, folder, most)
        except InfraError:
            raise
        except (RuntimeError, ValueError, NameError, AssertionError) as error:
            given = ", ".join(f"{name}={value!r}" for name, value in self._parameters.items()) or "none"
            remedy = slurm.remedy(str(error), self._parameters) if self._cluster == "slurm" else "Change the settings"
            raise InfraError(
                f"{self._cluster!r} did not accept the submission: {error}\n{remedy}; given were: {given}."
            ) from error
        timeout_min, mem_gb = (
            tp.cast("float | None", self._parameters.get(name)) for name in ("timeout_min", "mem_gb")
        )
        name = slurm.cluster_name() if self._cluster == "slurm" else ""
        arrays = list(dict.fromkeys(job.job_id.partition("_")[0] for job in jobs))
        batch = Batch(self._cluster, jobs[0].num_tasks, timeout_min, "", began, most, name, mem_gb, arrays)
        write_record(os.path.join(folder, BATCH), batch)
        if self._cluster == "slurm":
            return [attach_job(self._cluster, folder, job.job_id) for job in jobs]
        return [PluginHandle(self._cluster, folder, job.job_id, job) for job in jobs]

    def _submit_arrays(self, calls: Sequence[JobCall], folder: str, max_jobs: int) -> list[submitit.Job[None]]:
        """As few arrays as the cluster allows. Each waits for the one before: at once, they would be too many."""
        size = slurm.max_array_size() if self._cluster == "slurm" and len(calls) > 1 else len(calls)
        jobs: list[submitit.Job[None]] = []
        try:
            for start in range(0, len(calls), size):
                after = jobs[-1].job_id.partition("_")[0] if jobs else None
                executor = self._executor(folder, max_jobs, after)
                jobs += executor.submit_array(calls[start : start + size])
        except BaseException:
            for array in {job.job_id.partition("_")[0] for job in jobs}:
                slurm.cancel(array)
            raise
        return jobs

    def _executor(self, folder: str, max_jobs: int, after: str | None) -> submitit.AutoExecutor:
        own = {}
        if "conda_env" in self._parameters:
            own[f"{self._cluster}_python"] = interpreter_command(self._parameters)
        executor = submitit.AutoExecutor(folder, cluster=self._cluster, **own)
        given = {name: value for name, value in self._parameters.items() if name not in OWN}
        if self._cluster == "slurm":
            given["slurm_time"] = _slurm_time(tp.cast("float | None", given.pop("timeout_min", None)))
            setup = tp.cast("Sequence[str]", given.get("slurm_setup") or ())
            given["slurm_setup"] = [f"export {LOG_LEVEL}=${{{LOG_LEVEL}:-{UNSAID}}}", *setup]
            if (given.get("nodes") or 1, given.get("tasks_per_node") or 1) != (1, 1):
                given["slurm_use_srun"] = True  # without it one process would run, and the others be waited for
        if after is not None:
            more = dict(tp.cast("Mapping[str, object]", given.get("slurm_additional_parameters") or {}))
            more["dependency"] = ",".join(filter(None, [str(more.get("dependency") or ""), f"afterany:{after}"]))
            given["slurm_additional_parameters"] = more
        executor.update_parameters(
            **given, name=self._parameters.get("job_name", "cachedmodel"), slurm_array_parallelism=max_jobs
        )
        if self._cluster == "slurm" and given["slurm_time"] is None:
            # without a limit that of the partition counts, not submitit's 5 minutes; AutoExecutor passes over None
            executor._executor.update_parameters(time=None)
        return executor


def _check_for_sbatch(folder: str) -> None:
    """Refuses what sbatch has no way to quote in its scripts, or replaces in names of logs."""
    odd = sorted({character for character in folder if character in "'\"\\\n\r%"})
    if odd:
        raise InfraError(
            f"Slurm cannot write logs to {folder!r}: its scripts have no way to write {', '.join(map(repr, odd))}. Say "
            "infra.logs='/another/folder'."
        )


def _slurm_time(minutes: float | None) -> str | None:
    """A time limit in words of Slurm's; None leaves it to the partition."""
    if minutes is None:
        return None
    whole, seconds = divmod(max(1, round(60 * minutes)), 60)
    return f"{whole}:{seconds:02d}"


class PluginHandle(JobHandle):
    """A job of another scheduler, which submitit's plugin asks."""

    def __init__(self, cluster: str, folder: str, job_id: str, job: submitit.Job[None] | None = None) -> None:
        super().__init__(cluster, folder, job_id)
        kind = get_executors()[cluster].job_class
        self._job = job or kind(folder=folder, job_id=job_id, tasks=list(range(self.batch.ranks)))

    def _is_over(self) -> bool:
        return self._job.done()

    def _how_it_ended(self) -> str:
        cancelled = " It was cancelled." if self._was_cancelled() else ""
        return f"ended without a result, in state {self._job.state!r}.{cancelled}"

    def _stop(self) -> None:
        self._job.cancel(check=False)


@functools.lru_cache(maxsize=4096)
def attach_job(cluster: str, folder: str, job_id: str) -> JobHandle:
    """The handle of a job by its names; the same one each time, since it remembers since when the job is over."""
    return SlurmHandle(cluster, folder, job_id) if cluster == "slurm" else PluginHandle(cluster, folder, job_id)


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
