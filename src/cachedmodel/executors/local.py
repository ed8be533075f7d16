"""Jobs on this machine: a queue of processes, with files, logs and ids that any process can ask, as on a cluster.

The queue is kept by a `runner`, a process of its own. A handle only reads the files of its job, so one made
by `attach` in another process knows as much as the first.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import pickle
import signal
import threading
import time
import typing as tp
from collections.abc import Callable, Mapping, Sequence

from cachedmodel.errors import InfraError, JobLostError
from cachedmodel.executors import interpreter, runner
from cachedmodel.executors.base import Status
from cachedmodel.executors.cores import limit_threads, usable_cores, usable_gpus
from cachedmodel.executors.exits import describe_exit
from cachedmodel.executors.jobfiles import (
    Batch,
    Ended,
    JobFiles,
    Started,
    make_batch_folder,
    read_record,
    read_text,
    touch,
    write_record,
)
from cachedmodel.executors.packing import interpreter_command
from cachedmodel.executors.places import wait_until
from cachedmodel.executors.processid import is_alive, process_id
from cachedmodel.executors.queue import Needs
from cachedmodel.executors.worker import Surroundings
from cachedmodel.failure import Failure

if tp.TYPE_CHECKING:
    import subprocess
    from multiprocessing.connection import Connection

POLL_S = (0.005, 0.1)  # between looks at a job's end: first, and at most
LOOK_S = 0.5  # between looks at the processes that run a job


class LocalExecutor:
    """Queues calls as jobs of this machine.

    Parameters
    ----------
    folder
        Where each submission makes a folder of its own.
    parameters
        ``timeout_min`` (None: no limit), ``tasks_per_node`` (processes that each run the call), ``cpus_per_task``
        (limits BLAS, OpenMP and `usable_cores` in the job; the cores of the machine are shared out), ``gpus_per_node`` (the
        GPUs are shared out, by CUDA_VISIBLE_DEVICES), ``conda_env`` and ``max_pickle_size_gb`` count; what only a cluster can
        do is ignored.
    max_jobs
        Never start a job while that many jobs of this process are running; the cores by default.
    survive_submitter
        Whether the jobs go on, and queued ones start, after this process ended.
    """

    def __init__(
        self,
        folder: str,
        parameters: Mapping[str, object],
        *,
        max_jobs: int | None = None,
        survive_submitter: bool = False,
    ) -> None:
        if parameters.get("nodes") not in (None, 1):
            raise InfraError(
                f"nodes={parameters['nodes']} cannot work with cluster='local': use nodes=1, or a cluster."
            )
        wanted, gpus = parameters.get("gpus_per_node") or 0, len(usable_gpus())
        if gpus and tp.cast(int, wanted) > gpus:  # where there are none, a program that can do without them runs
            raise InfraError(f"gpus_per_node={wanted}, but this machine has {gpus}: ask for fewer, or use a cluster.")
        self._folder = folder
        self._parameters = {name: value for name, value in parameters.items() if value is not None}
        self._max_jobs = max_jobs
        self._survive = survive_submitter

    def submit(self, calls: Sequence[Callable[[], object]], *, max_jobs: int | None = None) -> Sequence[LocalHandle]:
        from cachedmodel.executors.cluster import write_submissions

        if not calls:
            return []
        folder = make_batch_folder(self._folder)
        array = os.path.basename(folder).rpartition("-")[2]
        files = [JobFiles(folder, f"{array}_{number}") for number in range(len(calls))]
        write_submissions(calls, [each.submitted for each in files], self._parameters)
        files[0].keep_room_for_batch()
        ranks = tp.cast(int, self._parameters.get("tasks_per_node", 1))
        timeout_min = tp.cast("float | None", self._parameters.get("timeout_min"))
        gpus = usable_gpus()
        surroundings = Surroundings.of_this_process()
        if "cpus_per_task" in self._parameters:
            cores = tp.cast(int, self._parameters["cpus_per_task"])
            limit_threads(surroundings.environ, cores)
            surroundings.environ.setdefault("CACHEDMODEL_CORES", str(cores))
        order = runner.Order(
            folder=folder,
            job_ids=tuple(each.job_id for each in files),
            places=max_jobs or self._max_jobs or usable_cores(),
            survive=self._survive,
            python=interpreter_command(self._parameters),
            ranks=ranks,
            timeout_min=timeout_min,
            surroundings=surroundings,
            needs=self._needs(ranks, len(gpus), is_bounded=bool(max_jobs or self._max_jobs)),
            gpus=tuple(gpus),
        )
        with _client.lock:
            name = _client.ready(folder)
            write_record(files[0].batch, Batch("local", ranks, timeout_min, name))
            _client.send(order)
        return [LocalHandle(folder, each.job_id) for each in files]

    def _needs(self, ranks: int, gpus: int, *, is_bounded: bool) -> Needs:
        """What a job takes. If it does not ask for cores it takes one, unless max_jobs says how many jobs there may be."""
        cores = tp.cast("int | None", self._parameters.get("cpus_per_task"))
        wanted = tp.cast(int, self._parameters.get("gpus_per_node", 0))
        if cores is None and not is_bounded:
            cores = 1
        return Needs((cores or 0) * ranks, usable_cores(), wanted if gpus else 0, gpus)


class LocalHandle:
    """A job of this machine, by its files."""

    def __init__(self, folder: str, job_id: str) -> None:
        self.job_id: str = job_id
        self.folder: str = folder
        self._files = JobFiles(folder, job_id)
        self._ended: Ended | None = None
        self._error: BaseException | None = None
        self._looked = 0.0
        self._batch: Batch | None = None

    def done(self) -> bool:
        if self._ended is not None:
            return True
        ended = read_record(self._files.ended, Ended)
        if ended is None and time.monotonic() > self._looked + LOOK_S and self._is_lost():
            # a second look: it may have ended in between
            ended = read_record(self._files.ended, Ended) or Ended([], lost=self._how_lost())
        if ended is not None:
            self._error = self._read_error(ended)
            self._ended = ended
        return ended is not None

    def wait(self, timeout: float | None = None) -> bool:
        return wait_until(self.done, timeout, *POLL_S)

    def error(self) -> BaseException | None:
        self.done()
        return self._error

    def status(self) -> Status:
        if self.done():
            if self._ended is not None and self._ended.cancelled:
                return "cancelled"
            return "completed" if self._error is None else "failed"
        if os.path.exists(self._files.started):
            return "running"
        return "queued" if os.path.exists(self._files.submitted) else "not submitted"

    def cancel(self) -> None:
        if self.done():
            return
        if self._files.claim_start(Started("", time.time())):
            write_record(self._files.ended, Ended([], cancelled="before it started"))
            return
        touch(self._files.cancel)
        _client.look()
        started = read_record(self._files.started, Started)
        if started is not None and started.process and self._runner_is_dead() and is_alive(started.process):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(int(started.process.rsplit(":", 2)[1]), signal.SIGINT)

    def stdout(self) -> str:
        return "".join(read_text(self._files.stdout(rank)) for rank in range(self._ranks()))

    def stderr(self) -> str:
        return "".join(read_text(self._files.stderr(rank)) for rank in range(self._ranks()))

    def _is_lost(self) -> bool:
        self._looked = time.monotonic()
        if not self._runner_is_dead():
            return not os.path.isdir(self.folder)
        started = read_record(self._files.started, Started)
        return started is None or not started.process or is_alive(started.process) is False

    def _how_lost(self) -> str:
        return (
            "was killed, together with its queue" if os.path.isdir(self.folder) else "lost its folder: it was removed"
        )

    def _runner_is_dead(self) -> bool:
        self._batch = self._batch or read_record(self._files.batch, Batch)
        return self._batch is not None and is_alive(self._batch.runner) is False

    def _ranks(self) -> int:
        self._batch = self._batch or read_record(self._files.batch, Batch)
        return 1 if self._batch is None else self._batch.ranks

    def _read_error(self, ended: Ended) -> BaseException | None:
        name = f"Job {self.job_id} in {self.folder!r}"
        if ended.cancelled:
            return JobLostError(f"{name} was cancelled {ended.cancelled}.")
        for rank in range(self._ranks()):
            with contextlib.suppress(FileNotFoundError), open(self._files.raised(rank), "rb") as file:
                where = f"Raised in job {self.job_id}, whose log is {self._files.stderr(rank)!r}."
                return Failure.from_bytes(file.read()).exception(where=where)
        if ended.codes and all(
            code == 0 and os.path.exists(self._files.result(rank)) for rank, code in enumerate(ended.codes)
        ):
            return None
        return JobLostError(f"{name} {self._how(ended)}.\n{self._files.end_of_log(self._ranks())}")

    def _how(self, ended: Ended) -> str:
        if ended.lost:
            return ended.lost
        if ended.timed_out and self._batch is not None:
            return (
                f"was stopped after timeout_min={self._batch.timeout_min:g}: ask for more with infra.timeout_min. Call again to "
                "go on with what is not stored yet"
            )
        codes = [code for code in ended.codes if code] or [0]
        return f"ended without a result: its process {describe_exit(codes[0])}"


class _Client:
    """The submitter's end of its runner, started when it is first needed."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self._connection: Connection | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._name = ""

    def ready(self, folder: str) -> str:
        """Name of the process of the runner, which is started if there is none; its own log goes to `folder`."""
        if self._process is not None and self._process.poll() is not None:
            self.close()
        if self._process is None:
            from multiprocessing.connection import Connection
            from socket import socketpair

            mine, its = socketpair()
            with its:
                self._process = interpreter.start(
                    runner.serve, its.fileno(), log=os.path.join(folder, "runner.log"), session=True
                )
            self._connection = Connection(mine.detach())
            self._name = process_id(self._process.pid)
        return self._name

    def send(self, order: runner.Order | None) -> None:
        if self._connection is not None:
            with contextlib.suppress(OSError):  # the runner was killed: the jobs' handles notice
                self._connection.send_bytes(pickle.dumps(order))

    def look(self) -> None:
        """Has the runner look at the files of its jobs at once."""
        with self.lock:
            self.send(None)

    def close(self) -> None:
        """The runner ends when its jobs do; those that may not survive this process are cancelled."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        if self._process is not None:
            if self._process.poll() is None:
                self._process.returncode = 0  # it may outlive this process; else Popen warns of that
            self._process = None


_client = _Client()
atexit.register(lambda: _client.close())


def _forget_after_fork() -> None:
    """A forked child gets a runner of its own: the parent's must notice when the parent is gone."""
    global _client
    _client.close()
    _client = _Client()


os.register_at_fork(after_in_child=_forget_after_fork)
