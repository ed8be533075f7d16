"""Chunks to jobs: claimed, grouped by settings into as few arrays as possible, and handed to the executor of their cluster."""

from __future__ import annotations

import contextlib
import getpass
import json
import logging
import os
import typing as tp
from collections import defaultdict
from collections.abc import Callable, Sequence

from .cache import files
from .executors import attach, get_executor, resolve_cluster, usable_cores
from .infra import Infra
from .run import Run

if tp.TYPE_CHECKING:
    from .engine import Call
    from .executors import Handle, Status

logger = logging.getLogger("cachedmodel")
_RECORD = "job.json"

#: Settings that an executor is given under their own name.
PARAMETERS = (
    "conda_env", "job_name", "timeout_min", "nodes", "tasks_per_node", "cpus_per_task", "gpus_per_node", "mem_gb",
    "max_pickle_size_gb", "slurm_constraint", "slurm_partition", "slurm_account", "slurm_qos", "slurm_use_srun",
    "slurm_additional_parameters", "slurm_setup",
)  # fmt: skip


class Part:
    """Items that an executor computes together.

    Attributes
    ----------
    keys
        Uids of the items.
    run
        The run, where it is one in this process whose outcomes can be seen as they come.
    handle
        What the executor gave for it.
    """

    def __init__(self, keys: Sequence[str], run: Run | None = None) -> None:
        self.keys = list(keys)
        self.run = run
        self.handle: Handle | None = None
        self._ended = False
        self._on_end: list[Callable[[Part], object]] = []

    def on_end(self, call: Callable[[Part], object]) -> None:
        """Has `call(part)` called once, when it is seen that the part ended."""
        self._on_end.append(call)

    @property
    def finished(self) -> bool:
        """True once the executor is through with it."""
        if not self._ended and self.handle is not None and self.handle.done():
            self.end()
        return self._ended

    def end(self) -> None:
        """Lets go of what waits for the end."""
        self._ended = True
        calls, self._on_end = self._on_end, []
        for call in calls:
            call(self)

    def error(self) -> BaseException | None:
        """Why it ended, if it was not because all was computed."""
        if self.run is not None and self.run.error is not None:
            return self.run.error
        return self.handle.error() if self.handle is not None else None

    def status(self) -> Status:
        """What the executor says of it."""
        return self.handle.status() if self.handle is not None else "queued"

    def wait(self, key: str, timeout: float) -> None:
        """Waits a little for news of an item."""
        if self.run is not None:
            self.run.wait(key, timeout)
        elif self.handle is not None:
            self.handle.wait(timeout)

    def cancel(self) -> None:
        """Asks the executor not to start it, or to stop it."""
        if self.run is not None:
            self.run.stop()
        if self.handle is not None:
            self.handle.cancel()


def workers(infra: Infra) -> int:
    """How many chunks of these settings run at once in this process's pools."""
    cores = usable_cores()
    return min(cores, infra.max_jobs or cores)


def submit_chunks(chunks: Sequence[tuple[Call, list[str]]], max_jobs: int | None = None) -> None:
    """Submits what can be claimed of the chunks; those of one group of settings as one array.

    Raises
    ------
    Exception
        What the executor says of a submission that cannot be. Nothing stays claimed then.
    """
    groups: dict[str, list[tuple[Call, Part]]] = defaultdict(list)
    for call, keys in chunks:
        parts: list[Part] = []

        def source(free: list[str], call: Call = call, parts: list[Part] = parts) -> Part:
            run = call.run_here(free) if call.work.infra.cluster == "threadpool" else None
            parts.append(Part(free, run))
            return parts[-1]

        call.claim(keys, source)
        if parts:
            groups[_group(call.work.infra)].append((call, parts[0]))
    try:
        for group in groups.values():
            _submit_group(group, max_jobs)
    except BaseException:
        for group in groups.values():
            for _, part in group:
                if part.handle is None:
                    part.end()
        raise


def _group(infra: Infra) -> str:
    """What tells settings apart that cannot go into one array."""
    names = ("cluster", "folder", "logs", "max_jobs", "survive_submitter", "workdir", *PARAMETERS)
    return repr([infra.__dict__[name] for name in names])


def _submit_group(group: Sequence[tuple[Call, Part]], max_jobs: int | None) -> None:
    infra = group[0][0].work.infra
    assert infra.cluster is not None
    logs = logs_folder(infra)
    executor = get_executor(
        infra.cluster,
        folder=logs,
        parameters={name: infra.__dict__[name] for name in PARAMETERS if infra.__dict__[name] is not None},
        survive_submitter=infra.survive_submitter,
    )
    code = infra.workdir.prepare(os.path.join(logs, "code"), skip=[str(infra.folder), logs]) if infra.workdir is not None and logs else None
    calls = [part.run.drive if part.run is not None else call.travelling(part.keys, code) for call, part in group]
    handles = executor.submit(calls, max_jobs=min(filter(None, (max_jobs, infra.max_jobs)), default=None))
    for (call, part), handle in zip(group, handles, strict=True):
        part.handle = handle
        if call.work.cache is not None and handle.folder is not None:
            _record(call.work.cache.folder, infra.cluster, handle)
            if code is not None:
                _link(call.work.cache.folder, "code", os.fspath(code))
    names = sorted({call.work.name for call, _ in group})
    logger.info(
        "Sent %d item(s) of %s in %d chunk(s) to %r%s",
        sum(len(part.keys) for _, part in group),
        ", ".join(names[:3]) + (", ..." if len(names) > 3 else ""),
        len(group),
        infra.cluster,
        f"; logs: {handles[0].folder}" if handles and handles[0].folder else "",
    )


def logs_folder(infra: Infra) -> str | None:
    """Where jobs of these settings keep their files; None where there is no folder."""
    if infra.folder is None:
        return None
    return os.path.abspath(infra.logs.replace("{folder}", os.fspath(infra.folder)).replace("{user}", getpass.getuser()))


def _record(folder: str, cluster: str, handle: Handle) -> None:
    """Notes the job beside the entries, for whoever looks for it later, and links to its logs, for people."""
    assert handle.folder is not None
    where = os.path.relpath(handle.folder, folder)
    job = {"cluster": resolve_cluster(cluster), "job_id": handle.job_id, "folder": where}
    files.publish(os.path.join(folder, _RECORD), [json.dumps(job).encode()])
    _link(folder, "submitit", handle.folder)


def recorded_job(folder: str) -> Handle | None:
    """The job that was last submitted for the entries in a folder; None if there was none, or its files are gone."""
    try:
        with open(os.path.join(folder, _RECORD), encoding="utf-8") as file:
            job = json.load(file)
        where = os.path.normpath(os.path.join(folder, job["folder"]))
        return attach(job["cluster"], where, job["job_id"]) if os.path.isdir(where) else None
    except (OSError, ValueError, LookupError):
        return None


def _link(folder: str, name: str, target: str) -> None:
    """A relative symlink beside the entries, to be followed by people; one that stands is replaced."""
    path = os.path.join(folder, name)
    # two submitters at once, or a file system without symlinks: nothing depends on it
    with contextlib.suppress(OSError):
        if os.path.islink(path):
            os.unlink(path)
        os.symlink(os.path.relpath(target, folder), path)
