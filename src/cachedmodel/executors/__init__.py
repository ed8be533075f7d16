"""Where callables run: this process, pools, jobs. `get_executor` is the only door; it imports what is needed."""

from __future__ import annotations

import os
import threading
import typing as tp
from collections.abc import Mapping

from cachedmodel.errors import InfraError
from cachedmodel.executors.base import Executor, Handle, Status
from cachedmodel.executors.cores import usable_cores
from cachedmodel.executors.places import lend_place, ranks

if tp.TYPE_CHECKING:
    from cachedmodel.executors.pool import Pool

__all__ = [
    "Executor",
    "Handle",
    "Status",
    "attach",
    "available_clusters",
    "check_cluster",
    "find_on_slurm",
    "get_executor",
    "lend_place",
    "ranks",
    "resolve_cluster",
    "usable_cores",
    "was_submitted",
]

CLUSTERS = ("auto", "debug", "local", "processpool", "slurm", "threadpool")
"""Those that need no submitit plugin."""

_pools: dict[str, Pool] = {}
_lock = threading.Lock()


def get_executor(
    cluster: str | None,
    *,
    folder: str | None = None,
    parameters: Mapping[str, object] | None = None,
    max_jobs: int | None = None,
    survive_submitter: bool = False,
) -> Executor:
    """The executor of a cluster; the pools of this process are shared by all who ask.

    Parameters
    ----------
    cluster
        None and "debug" (this thread, at once), "threadpool", "processpool", "local", "slurm", "auto" (Slurm where
        there is one, else "local"), or the name of an executor of an installed submitit plugin.
    folder
        Where jobs keep their files and logs; made if need be, with mode 0700 for what is in it.
    parameters
        What a job asks for: ``timeout_min``, ``nodes``, ``tasks_per_node``, ``cpus_per_task``, ``gpus_per_node``,
        ``mem_gb``, ``job_name``, ``conda_env``, ``max_pickle_size_gb`` and those of the cluster (``slurm_...``).
        None counts as not given. The clusters in this process ignore them, but "processpool" stops a call after ``timeout_min``.
    max_jobs
        Never more calls of an array at once; for "local", never more jobs of this process at once.
    survive_submitter
        Whether local jobs go on, and queued ones start, after this process ended.

    Raises
    ------
    InfraError
        If there is no such cluster, or the cluster needs a folder, or cannot do what the parameters ask for.
    """
    cluster = resolve_cluster(cluster)
    if cluster is None or cluster == "debug":
        from cachedmodel.executors.inline import InlineExecutor

        return InlineExecutor(debug=cluster == "debug")
    if cluster in ("threadpool", "processpool"):
        return _Bounded(_pool(cluster), max_jobs, tp.cast("float | None", (parameters or {}).get("timeout_min")))
    if folder is None:
        raise InfraError(f"cluster={cluster!r} needs a folder for its jobs: set infra.folder.")
    if cluster == "local":
        from cachedmodel.executors.local import LocalExecutor

        return LocalExecutor(folder, parameters or {}, max_jobs=max_jobs, survive_submitter=survive_submitter)
    from cachedmodel.executors.cluster import ClusterExecutor

    return ClusterExecutor(cluster, folder, parameters or {}, max_jobs=max_jobs)


def attach(cluster: str, folder: str, job_id: str) -> Handle:
    """The handle of a job that this or another process submitted: `folder` and `job_id` are its handle's."""
    if cluster == "local":
        from cachedmodel.executors.local import LocalHandle

        return LocalHandle(folder, job_id)
    from cachedmodel.executors.cluster import attach_job

    return attach_job(cluster, folder, job_id)


def was_submitted(folder: str, job_id: str) -> bool:
    """Whether a job with that id is one of those that keep their files in a folder."""
    from cachedmodel.executors.jobfiles import JobFiles

    return os.path.exists(JobFiles(folder, job_id).submitted)


def find_on_slurm(job_id: str) -> Handle | None:
    """The job with an id of Slurm's, by where Slurm says that it writes; None if it is not one of ours, or forgotten."""
    from cachedmodel.executors import slurm

    folder = slurm.log_folder(job_id)
    return attach("slurm", folder, job_id) if folder and was_submitted(folder, job_id) else None


def resolve_cluster(cluster: str | None) -> str | None:
    """The cluster that is meant: "auto" is Slurm where one is configured, else "local"; unknown names are refused."""
    check_cluster(cluster)
    if cluster == "auto":
        from cachedmodel.executors import slurm

        return "slurm" if slurm.is_configured() else "local"
    return cluster


def check_cluster(cluster: str | None) -> None:
    """Raises an `InfraError` that lists the valid names, if there is no such cluster; quick for the usual ones."""
    if cluster is not None and cluster not in CLUSTERS and cluster not in available_clusters():
        raise InfraError(f"There is no cluster {cluster!r}: use None, {', '.join(map(repr, available_clusters()))}.")


def available_clusters() -> tuple[str, ...]:
    """Names of all clusters, those of installed submitit plugins included."""
    from cachedmodel.executors.cluster import plugin_clusters

    return tuple(sorted({*CLUSTERS, *plugin_clusters()}))


class _Bounded:
    """A shared pool, with the bounds of one user."""

    def __init__(self, pool: Pool, max_jobs: int | None, timeout_min: float | None) -> None:
        self._pool = pool
        self._max_jobs = max_jobs
        self._timeout_min = timeout_min

    def submit(
        self, calls: tp.Sequence[tp.Callable[[], object]], *, max_jobs: int | None = None
    ) -> tp.Sequence[Handle]:
        return self._pool.submit(calls, max_jobs=max_jobs or self._max_jobs, timeout_min=self._timeout_min)


def _pool(name: str) -> Pool:
    with _lock:
        if name not in _pools:
            from cachedmodel.executors.pool import Pool
            from cachedmodel.executors.processes import ProcessPool

            _pools[name] = Pool() if name == "threadpool" else ProcessPool()
        return _pools[name]


def _forget_after_fork() -> None:
    """A forked child has none of the threads, and its pools would wait for them."""
    global _lock
    _lock = threading.Lock()
    for pool in _pools.values():
        pool.forget()
    _pools.clear()


os.register_at_fork(after_in_child=_forget_after_fork)
