"""The queue of local jobs: a process of its own that starts them in order, so many at once, and sees how they end.

A submitting process has one runner, however many calls and arrays it submits, and talks to it over a socket. So the
queue works on while the submitter computes, and every end of the submitter, kill -9 too, is noticed: then jobs of
``survive_submitter=False`` are cancelled, and the runner stays for the others until all are done. It has one thread,
forks submitit's controller for each job (a session of its own: what a job leaves behind is killed with it), and
keeps its state in the files of the jobs, where any process can read it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pickle
import select
import signal
import time
import typing as tp
from collections import Counter
from collections.abc import Sequence
from multiprocessing.connection import Connection

from cachedmodel.executors.exits import describe_exit, kill_group, see_off
from cachedmodel.executors.jobfiles import Ended, JobFiles, Started, read_record
from cachedmodel.executors.processid import process_id
from cachedmodel.executors.queue import Needs, Queue, Ticket
from cachedmodel.executors.worker import Surroundings

TICK_S = 0.2  # between looks at what other processes ask for by files
GRACE_S = 5.0  # from the request to stop until everything is killed; submitit's controller takes 1 s of it


@dataclasses.dataclass(frozen=True, slots=True)
class Order:
    """Jobs that were submitted together."""

    folder: str
    job_ids: tuple[str, ...]
    places: int
    survive: bool
    python: str
    ranks: int
    timeout_min: float | None
    surroundings: Surroundings
    needs: Needs
    gpus: tuple[str, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Job:
    files: JobFiles
    order: Order


@dataclasses.dataclass(slots=True)
class Running:
    """A job whose controller runs."""

    job: Job
    ticket: Ticket[Job]
    gpus: Sequence[str] = ()
    cancelled: str = ""
    kill_at: float = 0.0
    lent: bool = False


def serve(fd: int) -> None:
    """Runs jobs until the submitter is gone and none is left."""
    os.set_inheritable(fd, False)
    Runner(Connection(fd)).run()


class Runner:
    """See the module."""

    def __init__(self, connection: Connection) -> None:
        self._connection: Connection | None = connection
        self._queue: Queue[Job] = Queue()
        self._running: dict[int, Running] = {}
        self._unwritten: list[tuple[JobFiles, Ended]] = []
        self._wake, wakes = os.pipe()
        os.set_blocking(self._wake, False)
        os.set_blocking(wakes, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(wakes, warn_on_full_buffer=False)

    def run(self) -> None:
        while self._connection is not None or self._running or self._queue.waiting:
            self._sleep()
            self._receive()
            self._reap()
            self._look()
            self._write_ends()
            self._start()

    def _sleep(self) -> None:
        """Until a message, the end of a child, or the next look at the files."""
        sources: list[tp.Any] = [self._wake]  # Any: select takes whatever has a fileno
        if self._connection is not None:
            sources.append(self._connection)
        select.select(sources, [], [], TICK_S if self._running or self._unwritten else None)
        with contextlib.suppress(BlockingIOError):
            os.read(self._wake, 4096)

    def _receive(self) -> None:
        try:
            while self._connection is not None and self._connection.poll(0):
                order: Order | None = pickle.loads(self._connection.recv_bytes())
                if order is not None:  # else only to look at once
                    jobs = [Job(JobFiles(order.folder, job_id), order) for job_id in order.job_ids]
                    self._queue.put(jobs, places=order.places, needs=order.needs)
        except (EOFError, OSError):
            self._connection = None
            self._end_with_submitter()

    def _end_with_submitter(self) -> None:
        reason = "because the process that submitted it ended (survive_submitter=False)"
        for job in self._queue.withdraw_those(lambda job: not job.order.survive):
            self._unwritten.append((job.files, Ended([], cancelled=reason)))
        for pid, running in self._running.items():
            if not running.job.order.survive:
                _stop(pid, running, reason)

    def _start(self) -> None:
        while (ticket := self._queue.take()) is not None:
            job = ticket.item
            gpus = self._free_gpus(job.order)
            if os.path.exists(job.files.started) or (pid := self._fork(job, gpus)) is None:
                self._queue.leave(ticket)  # cancelled before it started, or lost
            else:
                self._running[pid] = Running(job, ticket, gpus)

    def _free_gpus(self, order: Order) -> list[str]:
        """The GPUs that the fewest running jobs have; only one that waits for others has to share."""
        taken = Counter(gpu for running in self._running.values() for gpu in running.gpus)
        return sorted(order.gpus, key=lambda gpu: taken[gpu])[: order.needs.gpus]

    def _fork(self, job: Job, gpus: Sequence[str]) -> int | None:
        try:
            pid = os.fork()
        except OSError as error:
            self._unwritten.append((job.files, Ended([], lost=f"could not be started: {error}")))
            return None
        if pid == 0:
            try:
                self._become_controller(job, gpus)
            finally:
                os._exit(1)
        return pid

    def _become_controller(self, job: Job, gpus: Sequence[str]) -> None:
        """In the forked child: submitit's controller of the job, and of nothing else."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        if self._connection is not None:
            self._connection.close()
        os.setsid()
        try:
            if not job.files.claim_start(Started(process_id(os.getpid()), time.time())):
                return
        except OSError as error:
            job.files.write_end(Ended([], lost=f"could not be started: {error}: {job.order.folder!r}"))
            return
        job.files.keep_room()
        try:
            from cachedmodel.executors.cluster import control

            job.order.surroundings.enter()
            if gpus:
                os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(gpus)
            ended = control(job.files, job.order.python, job.order.ranks, job.order.timeout_min)
        except KeyboardInterrupt:
            ended = Ended([], cancelled="while it ran")
        job.files.write_end(ended)

    def _reap(self) -> None:
        for pid in list(self._running):
            code = see_off(pid)
            if code is None:
                continue
            running = self._running.pop(pid)
            if running.lent:
                self._queue.resume(running.ticket)
            self._queue.leave(running.ticket)
            files = running.job.files
            ended = read_record(files.ended, Ended)
            if running.cancelled and (ended is None or ended.cancelled):
                self._unwritten.append((files, Ended([], cancelled=running.cancelled)))
            elif ended is None:
                how = f"lost its controlling process, which {describe_exit(code)}"
                self._unwritten.append((files, Ended([], lost=how)))

    def _write_ends(self) -> None:
        """Tells how jobs ended; on a full disk, as soon as there is room."""
        unwritten, self._unwritten = self._unwritten, []
        for files, ended in unwritten:
            try:
                files.write_end(ended)
            except FileNotFoundError:  # the folder was removed, which the handles see
                pass
            except OSError:
                self._unwritten.append((files, ended))

    def _look(self) -> None:
        """What files ask for: cancelled jobs stop, waiting jobs lend their places."""
        for pid, running in self._running.items():
            if not running.cancelled and os.path.exists(running.job.files.cancel):
                _stop(pid, running, "while it ran")
            if running.kill_at and time.monotonic() > running.kill_at:
                kill_group(pid)
            if os.path.exists(running.job.files.waits) != running.lent:
                running.lent = not running.lent
                (self._queue.leave if running.lent else self._queue.resume)(running.ticket)


def _stop(pid: int, running: Running, reason: str) -> None:
    """Asks the controller to end, which interrupts the job and kills it a second later."""
    running.cancelled = reason
    running.kill_at = time.monotonic() + GRACE_S
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGINT)
