"""Chunks to jobs: claimed, grouped by settings into as few arrays as possible, and handed to the executor of their cluster."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import json
import os
import time
import typing as tp
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence

from .cache import Keeper, files
from .cache.lives import me
from .chain import chain
from .chunk import Chunk, open_cache
from .executors import attach, get_executor, resolve_cluster, usable_cores, was_submitted
from .part import Part, watch
from .workdir import InWorkDir

if tp.TYPE_CHECKING:
    from .executors import Handle
    from .infra import Infra
    from .starting import Starting

POOLS = ("threadpool", "processpool")
_RECORD = "job.json"
_JOB_FLUSH_S = 1.0
_POOL_FLUSH_S = 0.02
_MOST_NAMED = 5
_MOST_JOBS = 128  # of one map on a cluster, unless it says otherwise

#: Settings that an executor is given under their own name.
PARAMETERS = (
    "conda_env", "job_name", "timeout_min", "nodes", "tasks_per_node", "cpus_per_task", "gpus_per_node", "mem_gb",
    "max_pickle_size_gb", "slurm_constraint", "slurm_partition", "slurm_account", "slurm_qos", "slurm_use_srun",
    "slurm_additional_parameters", "slurm_setup",
)  # fmt: skip


def workers(infra: Infra) -> int:
    """How many chunks of these settings run at once on this machine."""
    cores = usable_cores()
    return min(cores, infra.max_jobs or cores)


def chunks(infra: Infra, keys: Sequence[str]) -> list[Sequence[str]]:
    """Items cut into those that are computed together."""
    if infra.cluster in POOLS:  # some for each worker, since they take different times
        size = min(infra.chunk_size, max(infra.min_items_per_job, -(-len(keys) // (4 * workers(infra)))))
    else:  # a job on this machine takes a while to start
        jobs = workers(infra) if resolve_cluster(infra.cluster) == "local" else infra.max_jobs or _MOST_JOBS
        size = max(infra.min_items_per_job, -(-len(keys) // jobs))
    return [keys[start : start + size] for start in range(0, len(keys), size)]


def submit(calls: Sequence[Starting], max_jobs: int | None = None, *, log: bool = True) -> bool:
    """Has what is missing of several calls computed: as few arrays as their settings allow, without waiting.

    Parameters
    ----------
    calls
        Calls whose cluster is not this process.
    max_jobs
        Never more jobs of an array at once, whatever ``infra.max_jobs`` allows.
    log
        Whether to tell what was submitted.

    Returns
    -------
    bool
        True if something was submitted.

    Raises
    ------
    Exception
        What the executor says of a submission that cannot be. Nothing stays claimed then.
    """
    groups: dict[str, list[tuple[Starting, Part]]] = defaultdict(list)
    for call in calls:
        for keys in chunks(call.work.infra, call.prepare()):
            part = call.claim(keys)
            if part is not None:
                groups[_group(call.work.infra)].append((call, part))
    try:
        for group in groups.values():
            _submit_group(group, max_jobs)
    except BaseException:
        for group in groups.values():
            for _, part in group:
                if part.handle is None:
                    part.end()
        raise
    if groups and log:
        _log([pair for group in groups.values() for pair in group], len(groups))
    return bool(groups)


def _group(infra: Infra) -> str:
    """What tells settings apart that cannot go into one array."""
    names = ("cluster", "folder", "logs", "max_jobs", "survive_submitter", "workdir", *PARAMETERS)
    return repr([infra.__dict__[name] for name in names])


def _submit_group(group: Sequence[tuple[Starting, Part]], max_jobs: int | None) -> None:
    infra = group[0][0].work.infra
    cluster = resolve_cluster(infra.cluster)
    assert cluster is not None
    logs = logs_folder(infra)
    executor = get_executor(
        cluster,
        folder=logs,
        parameters={name: infra.__dict__[name] for name in PARAMETERS if infra.__dict__[name] is not None},
        survive_submitter=infra.survive_submitter,
    )
    code = infra.workdir.prepare(os.path.join(logs, "code")) if infra.workdir is not None and logs else None
    callables = [part.run.drive if part.run is not None else travelling(call, part.keys, code) for call, part in group]
    handles = executor.submit(callables, max_jobs=min(filter(None, (max_jobs, infra.max_jobs)), default=None))
    submitted = time.time()
    last: dict[str, Handle] = {}  # of the jobs of a map, by folder
    for (call, part), handle in zip(group, handles, strict=True):
        part.handle = handle
        cache = call.work.cache
        if cache is not None and handle.folder is not None and handle.job_id is not None:
            where = os.path.relpath(handle.folder, cache.root)
            part.keeper = Keeper.job(f"{cluster}:{where}", handle.job_id, submitted)
            cache.hand_over(part.keys, part.keeper)
            last[cache.folder] = handle
    for folder, handle in last.items():
        _record(folder, cluster, handle)
        if code is not None:
            _link(folder, "code", os.fspath(code))
    watch(part for _, part in group)


def travelling(call: Starting, keys: Sequence[str], code: os.PathLike[str] | None = None) -> Callable[[], object]:
    """A callable for another process, which runs it in the copy `code` of the user's code, if there is one."""
    work, cache = call.work, call.work.cache
    assert cache is not None
    identity = cache.options.header_identity()
    options = dataclasses.replace(cache.options, accept=None, job_alive=None, identity=identity)
    chunk = Chunk(
        name=work.name,
        scope=work.scope,
        compute=work.compute,
        items={key: call.items[key] for key in keys},
        stored={key: cache.version(key) for key in call.irreplaceable(keys)},
        open_cache=functools.partial(open_cache, cache.folder, cache.root, cache.single, options),
        chain=chain.get(),
        flush_s=_POOL_FLUSH_S if work.infra.cluster in POOLS else _JOB_FLUSH_S,
        submitter=me().life,
    )
    return chunk if code is None else InWorkDir(os.fspath(code), chunk)


def _log(submitted: Sequence[tuple[Starting, Part]], arrays: int) -> None:
    import logging  # not for a result that is stored

    names = sorted({call.work.name for call, _ in submitted})
    logs = next((part.handle.folder for _, part in submitted if part.handle is not None), None)
    logging.getLogger("cachedmodel").info(
        "Sent %d item(s) of %s in %d chunk(s), %d array(s), to %s%s",
        sum(len(part.keys) for _, part in submitted),
        ", ".join(names[:3]) + (", ..." if len(names) > 3 else ""),
        len(submitted),
        arrays,
        ", ".join(sorted({repr(resolve_cluster(call.work.infra.cluster)) for call, _ in submitted})),
        f"; logs: {logs}" if logs else "",
    )


def logs_folder(infra: Infra) -> str | None:
    """Where jobs of these settings keep their files; None where there is no folder."""
    import getpass

    if infra.folder is None:
        return None
    return os.path.abspath(infra.logs.replace("{folder}", os.fspath(infra.folder)).replace("{user}", getpass.getuser()))


# -- jobs of any process ----------------------------------------------------------------------------------------------


def is_job_alive(root: str, scheduler: str, job_id: str, submitted: float) -> bool | None:
    """Whether a job that keeps a claim below a cache's root is queued or running; None if that cannot be told."""
    try:
        handle = _job(root, scheduler, job_id)
        return handle is not None and not handle.done()
    except Exception:  # no such scheduler here, or it does not answer
        return None


def keeping_job(root: str, keeper: Keeper) -> Handle | None:
    """The job that keeps a claim below a cache's root; None if a process does, or the job cannot be found."""
    try:
        return _job(root, keeper.scheduler, keeper.job_id) if keeper.kind == "job" else None
    except Exception:  # no such scheduler here
        return None


def _job(root: str, scheduler: str, job_id: str) -> Handle | None:
    """A job by its keeper's names; None if its logs were cleaned away: it is over, or has nothing left to run."""
    cluster, _, where = scheduler.partition(":")
    folder = os.path.normpath(os.path.join(root, where))
    return attach(cluster, folder, job_id) if os.path.isdir(folder) else None


def going_on(parts: Iterable[Part], infra: Infra) -> str:
    """What is to be known of jobs when their waiting submitter is interrupted; "" if none go on."""
    if resolve_cluster(infra.cluster) == "local" and not infra.survive_submitter:
        return ""
    handles = {part.handle for part in parts if not part.finished and part.handle is not None}
    jobs = sorted((handle.folder, handle.job_id) for handle in handles if handle.folder and handle.job_id)
    if not jobs:
        return ""
    ids = [job_id for _, job_id in jobs]
    shown = ", ".join(ids[:_MOST_NAMED]) + (", ..." if len(ids) > _MOST_NAMED else "")
    # of a few, those alone: others of their array may be somebody else's
    named = ids if len(ids) <= _MOST_NAMED else sorted({job_id.partition("_")[0] for job_id in ids})
    return (
        f"{len(jobs)} job(s) go on: {shown}; logs: {jobs[0][0]}. Call again to wait for their results. To cancel them, use "
        f"cancel() of what job() or submit(...) gives, or the cluster's own command (Slurm: scancel {' '.join(named)})."
    )


def recorded_job(folder: str, job_id: str | None = None) -> Handle | None:
    """The job that was last submitted for the entries in a folder, or another one that was submitted with it.

    None if there was none, or its files are gone.
    """
    try:
        with open(os.path.join(folder, _RECORD), encoding="utf-8") as file:
            job = json.load(file)
        where = os.path.normpath(os.path.join(folder, job["folder"]))
        if not os.path.isdir(where) or (job_id is not None and not was_submitted(where, job_id)):
            return None
        return attach(job["cluster"], where, job_id or job["job_id"])
    except (OSError, ValueError, LookupError):
        return None


def forget_job(folder: str) -> None:
    """Removes the record of the job that was last submitted; its logs stay."""
    with contextlib.suppress(OSError):
        os.unlink(os.path.join(folder, _RECORD))


def _record(folder: str, cluster: str, handle: Handle) -> None:
    """Notes the job beside the entries, for whoever looks for it later, and links to its logs, for people."""
    assert handle.folder is not None
    job = {"cluster": cluster, "job_id": handle.job_id, "folder": os.path.relpath(handle.folder, folder)}
    files.publish(os.path.join(folder, _RECORD), [json.dumps(job).encode()])
    _link(folder, "submitit", handle.folder)


def _link(folder: str, name: str, target: str) -> None:
    """A relative symlink beside the entries, to be followed by people; one that stands is replaced."""
    path = os.path.join(folder, name)
    where = os.path.relpath(target, folder)
    # two submitters at once, or a file system without symlinks: nothing depends on it
    with contextlib.suppress(OSError):
        try:
            os.symlink(where, path)
        except FileExistsError:
            if os.path.islink(path):  # what a user has put there stays
                os.unlink(path)
                os.symlink(where, path)
