"""The files of a job, and of the batch it was submitted with: the only place that knows their names.

A batch has a new folder of its own, of mode 0700 because what travels is pickled. Names follow submitit's
(``<job>_submitted.pkl``, ``<job>_<rank>_log.out``), so that its tools work on it. Ours are beside them::

    batch.json                what all jobs of the batch share, and which process runs them
    batch_reserve             room to tell that jobs could not be started, for "local": the disk may be full by then
    <job>_started.json        made exclusively by who starts the job, or cancels it before: so only one of the two
    <job>_ended.json          how it ended, for "local"
    <job>_reserve             room for that, while it runs: its disk may be full by then
    <job>_cancel              asks to stop it
    <job>_waits               it waits for others, and lends its place
    <job>_<rank>_raised.pkl   what the call raised
    <job>_<rank>_process.json the process that runs it
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import json
import os
import time
import typing as tp

from cachedmodel.errors import InfraError

BATCH = "batch.json"
LOG_END_LINES = 20
_ROOM = 2048


@dataclasses.dataclass(frozen=True, slots=True)
class Started:
    """Who started a job; for a job that was cancelled before: nobody."""

    process: str
    time: float


@dataclasses.dataclass(frozen=True, slots=True)
class Ended:
    """How a local job ended: by exit codes of its ranks (negative: a signal), or for a reason of ours."""

    codes: list[int | None]
    timed_out: bool = False
    cancelled: str = ""
    lost: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class Batch:
    """What the jobs of a batch share."""

    cluster: str
    ranks: int
    timeout_min: float | None
    runner: str
    submitted: float = 0.0
    max_jobs: int = 0
    cluster_name: str = ""
    mem_gb: float | None = None
    arrays: list[str] = dataclasses.field(default_factory=list)


R = tp.TypeVar("R", Started, Ended, Batch)


class JobFiles:
    """The files of one job."""

    def __init__(self, folder: str, job_id: str) -> None:
        self.folder = folder
        self.job_id = job_id
        stem = os.path.join(folder, job_id)
        self.batch: str = os.path.join(folder, BATCH)
        self.batch_reserve: str = os.path.join(folder, "batch_reserve")
        self.submitted: str = f"{stem}_submitted.pkl"
        self.started: str = f"{stem}_started.json"
        self.ended: str = f"{stem}_ended.json"
        self.reserve: str = f"{stem}_reserve"
        self.cancel: str = f"{stem}_cancel"
        self.waits: str = f"{stem}_waits"

    def result(self, rank: int) -> str:
        return os.path.join(self.folder, f"{self.job_id}_{rank}_result.pkl")

    def raised(self, rank: int) -> str:
        return os.path.join(self.folder, f"{self.job_id}_{rank}_raised.pkl")

    def process(self, rank: int) -> str:
        return os.path.join(self.folder, f"{self.job_id}_{rank}_process.json")

    def stdout(self, rank: int) -> str:
        return os.path.join(self.folder, f"{self.job_id}_{rank}_log.out")

    def stderr(self, rank: int) -> str:
        return os.path.join(self.folder, f"{self.job_id}_{rank}_log.err")

    def end_of_log(self, ranks: int) -> str:
        """The last lines of what the job wrote to its standard error, or else to its output, and where to find all."""
        for path in [*map(self.stderr, range(ranks)), *map(self.stdout, range(ranks))]:
            lines = read_text(path).rstrip().splitlines()
            if lines:
                return f"The log {path!r} ends with:\n" + "\n".join(lines[-LOG_END_LINES:])
        return f"It wrote no log ({self.stderr(0)!r})."

    def claim_start(self, started: Started) -> bool:
        """True for exactly one of those who ask, whether to start the job or to cancel it before."""
        try:
            fd = os.open(self.started, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        except FileExistsError:
            return False
        with open(fd, "w") as file:
            json.dump(dataclasses.asdict(started), file)
        return True

    def keep_room(self) -> None:
        """Makes sure that the end can be told, though the job may fill the disk."""
        with contextlib.suppress(OSError):
            write_bytes(self.reserve, b" " * _ROOM)

    def keep_room_for_batch(self) -> None:
        """Makes sure that it can be told of all jobs of the batch that they could not be started."""
        write_bytes(self.batch_reserve, b" " * _ROOM)

    def write_end(self, ended: Ended) -> None:
        """Tells how the job ended."""
        try:
            write_record(self.ended, ended)
        except OSError as error:
            rooms = filter(os.path.exists, (self.reserve, self.batch_reserve))
            room = next(rooms, None) if error.errno in (errno.ENOSPC, errno.EDQUOT) else None
            if room is None:
                raise
            told = dataclasses.replace(ended, lost=ended.lost or f"ended on a disk without room for its files: {error}")
            self._write_in(room, json.dumps(dataclasses.asdict(told)).encode().ljust(_ROOM))
        remove(self.reserve)

    def _write_in(self, room: str, end: bytes) -> None:
        """In place, which takes no more room, nor does a link: what is told of one job of a batch without room is told of all."""
        if os.stat(room).st_nlink == 1:
            with open(room, "r+b", buffering=0) as file:
                file.write(end)
        with contextlib.suppress(FileExistsError):
            os.link(room, self.ended)


def make_batch_folder(folder: str) -> str:
    """A new folder for the jobs of one submission, for this user only."""
    name = time.strftime("%Y%m%d-%H%M%S-") + os.urandom(4).hex()
    path = os.path.join(os.path.abspath(folder), name)
    if any(tag in path for tag in ("%j", "%t", "%A", "%a")):
        raise InfraError(f"The folder of jobs {folder!r} contains '%j', '%t', '%A' or '%a', which submitit replaces.")
    os.makedirs(os.path.dirname(path), exist_ok=True)
    os.mkdir(path, 0o700)
    return path


def read_text(path: str) -> str:
    """The text of a log; "" as long as there is none."""
    try:
        with open(path, errors="replace") as file:
            return file.read()
    except FileNotFoundError:
        return ""


def read_record(path: str, kind: type[R]) -> R | None:
    """A record, if its file is there and complete."""
    try:
        with open(path) as file:
            return kind(**json.load(file))
    except (FileNotFoundError, ValueError):
        return None


def write_record(path: str, record: Started | Ended | Batch) -> None:
    """Writes a record at once: readers see all of it or nothing."""
    write_bytes(path, json.dumps(dataclasses.asdict(record)).encode())


def write_bytes(path: str, data: bytes) -> None:
    temporary = f"{path}.{os.getpid()}.tmp"
    try:
        with open(temporary, "wb") as file:
            file.write(data)
        os.replace(temporary, path)
    except OSError:
        remove(temporary)
        raise


def touch(path: str) -> None:
    with open(path, "ab"):
        pass


def remove(path: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.remove(path)
