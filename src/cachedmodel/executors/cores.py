"""How many cores and which GPUs this process may use: the machine's, less what affinity, cgroup and the pool around it take."""

from __future__ import annotations

import functools
import glob
import math
import os
from collections.abc import MutableMapping

THREAD_LIMITS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
_share: int | None = None


def usable_cores() -> int:
    """Number of cores that this process may use, at least 1.

    CPU affinity and cgroup quotas (containers, Slurm) count, what Slurm gave to this job even where it does not enforce it,
    and the environment variable ``CACHEDMODEL_CORES``. In a worker of a process pool it is the worker's share: pools within
    pools do not multiply.
    """
    if _share is not None:
        return _share
    wanted = os.environ.get("CACHEDMODEL_CORES", "")
    most = int(wanted) if wanted.isdecimal() and int(wanted) else math.inf
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, int(min(affinity, _cgroup_quota(), _slurm_share(), most)))


def usable_gpus() -> list[str]:
    """The GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them: those it names, else all of the machine."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        return [
            device for device in (name.strip() for name in named.split(",")) if device not in ("", "-1", "NoDevFiles")
        ]
    return sorted((path[len("/dev/nvidia") :] for path in glob.glob("/dev/nvidia[0-9]*")), key=int)


def set_share(cores: int) -> None:
    """Limits this process, a worker of a pool, to its part of the cores."""
    global _share
    _share = cores


def limit_threads(environ: MutableMapping[str, str], cores: int) -> None:
    """Has BLAS and OpenMP use so many cores, where the environment does not say it already."""
    for name in THREAD_LIMITS:
        environ.setdefault(name, str(cores))


def _slurm_share() -> float:
    """Cores that Slurm gave to this task of its job; infinity outside of jobs."""
    names = ("SLURM_CPUS_PER_TASK", "SLURM_CPUS_ON_NODE", "SLURM_NTASKS_PER_NODE")
    per_task, on_node, tasks = (int(text) if (text := os.environ.get(name, "")).isdecimal() else 0 for name in names)
    if "SLURM_JOB_ID" not in os.environ or not (per_task or on_node):
        return math.inf
    return per_task or max(1, on_node // max(1, tasks))


@functools.cache
def _cgroup_quota() -> float:
    """Cores that the control group of this process may use, rounded up; infinity without a quota."""
    try:
        with open("/sys/fs/cgroup/cpu.max") as file:  # cgroup v2
            quota, period = file.read().split()
    except (OSError, ValueError):
        try:
            with open("/sys/fs/cgroup/cpu/cpu.cfs_quota_us") as file:  # cgroup v1
                quota = file.read().strip()
            with open("/sys/fs/cgroup/cpu/cpu.cfs_period_us") as file:
                period = file.read().strip()
        except OSError:
            return math.inf
    if not quota.isdecimal() or not period.isdecimal():  # "max", or -1: unlimited
        return math.inf
    return math.ceil(int(quota) / int(period))
