"""The process pool: each call in a worker process, a fresh interpreter that never imports `__main__` again.

Each thread of the pool drives one worker over a socket, so a worker that is lost costs the call it ran and no other,
and a call that runs can be stopped by killing its worker. (The pools of `concurrent.futures` and loky give up all
that is queued and running when one worker dies.) Workers are kept for the next calls; they end when they were idle
for a minute, when this process ends, or is gone.

A call sees the environment, the working directory and the import path of the time when it was submitted, with BLAS
and OpenMP limited to one thread unless the environment says otherwise: the pool itself uses all cores.
"""

from __future__ import annotations

import atexit
import dataclasses
import math
import pickle
import time
import typing as tp
from collections.abc import Callable, Sequence

from cachedmodel.errors import InfraError, JobLostError
from cachedmodel.executors import interpreter, worker
from cachedmodel.executors.calls import dump_call
from cachedmodel.executors.cores import limit_threads, usable_cores
from cachedmodel.executors.exits import describe_exit, kill_group, see_off
from cachedmodel.executors.pool import Pool, PoolCall
from cachedmodel.failure import Failure

if tp.TYPE_CHECKING:
    import subprocess

ATTEMPTS = 3  # to hand a call to a worker that ends before it takes it
LOOK_S = 1.0  # a child of the worker may hold the socket open when the worker is gone


class WorkerGoneError(Exception):
    """The worker ended before it took the call: another one can have it."""


@dataclasses.dataclass(frozen=True, slots=True)
class DumpedCall:
    """A call that can be sent to a worker; not to be called here."""

    call: bytes
    surroundings: worker.Surroundings

    def __call__(self) -> object:
        return pickle.loads(self.call)()


class Worker:
    """A worker process and the socket to it."""

    def __init__(self) -> None:
        from multiprocessing.connection import Connection
        from socket import socketpair

        mine, its = socketpair()
        with its:
            self.process: subprocess.Popen[bytes] = interpreter.start(worker.serve, its.fileno())
        self._connection = Connection(mine.detach())

    def run(
        self, message: worker.Message, on_signal: Callable[[bytes], None], timeout_min: float | None = None
    ) -> Failure | None:
        """Runs a call; raises `WorkerGoneError`, or `JobLostError` once it had started."""
        started, ends = False, math.inf
        try:
            self._connection.send_bytes(pickle.dumps(message))
            while (answer := self._receive(ends))[:1] != worker.ENDED:
                if not started and timeout_min is not None:
                    ends = time.monotonic() + 60 * timeout_min
                started = True
                on_signal(answer[:1])
        except (EOFError, OSError):
            self.close()
            how = describe_exit(self.process.returncode) + "."
            if time.monotonic() >= ends:
                how = (
                    f"was stopped after timeout_min={timeout_min:g}: ask for more with infra.timeout_min. Call again to go on "
                    "with what is not stored yet."
                )
            how = f"Worker process {self.process.pid} of the process pool {how}"
            raise (JobLostError if started else WorkerGoneError)(how) from None
        return Failure.from_bytes(answer[1:]) if len(answer) > 1 else None

    def _receive(self, ends: float) -> bytes:
        """What the worker says next; EOFError if it is gone, or said nothing until `ends` (monotonic time)."""
        while not self._connection.poll(max(0.0, min(LOOK_S, ends - time.monotonic()))):
            is_late = time.monotonic() >= ends
            if (is_late or not self.is_alive()) and not self._connection.poll(0):
                raise EOFError
        return self._connection.recv_bytes()

    def is_alive(self) -> bool:
        if self.process.returncode is None:
            self.process.returncode = see_off(self.process.pid)
        return self.process.returncode is None

    def kill(self) -> None:
        """Ends the worker and what it started, at once."""
        if self.process.returncode is None:
            kill_group(self.process.pid)

    def close(self) -> None:
        """Sees a worker off that has ended, or ends now, with what it started."""
        self.kill()
        self.process.wait()
        self._connection.close()

    def forget(self) -> None:
        """In a forked child, whose worker it is not."""
        self._connection.close()
        self.process.returncode = 0  # else Popen warns of a process that was not waited for


class ProcessPool(Pool):
    """Calls in worker processes."""

    name = "processpool"
    daemon = True  # at exit the workers are killed, which ends the threads

    def __init__(self) -> None:
        super().__init__()
        self._idle: list[Worker] = []
        self._busy: dict[PoolCall, Worker] = {}
        self._closed = False
        atexit.register(self.close)

    def cancel(self, call: PoolCall) -> None:
        super().cancel(call)
        with self._lock:
            if call in self._busy:
                self._busy[call].kill()

    def close(self) -> None:
        """Ends all workers, and what is queued or running."""
        with self._lock:
            self._closed = True
            self._drop_waiting()
            for busy in self._busy.values():
                busy.kill()
            threads = list(self._threads)
        for thread in threads:
            thread.join()
        for idle in self._idle:
            idle.close()
        self._idle.clear()

    def forget(self) -> None:
        """In a forked child, whose workers they are not."""
        atexit.unregister(self.close)
        for its in [*self._idle, *self._busy.values()]:
            its.forget()

    def _prepare(self, calls: Sequence[Callable[[], object]]) -> Sequence[Callable[[], object]]:
        surroundings = worker.Surroundings.of_this_process()
        limit_threads(surroundings.environ, 1)
        try:
            return [DumpedCall(dump_call(call), surroundings) for call in calls]
        except Exception as error:  # whatever the user's __reduce__ raises
            raise InfraError(
                f"The call cannot be sent to the process pool, because it does not pickle: {error!r}.\n"
                "Use cluster='threadpool', or leave out of the model what cannot be pickled."
            ) from error

    def _run(self, call: PoolCall) -> None:
        try:
            raised, pid = self._run_in_worker(call)
        except JobLostError as error:
            if call.cancel_asked:
                call.end(JobLostError("The call was cancelled while it ran in the processpool."), "cancelled")
            else:
                call.end(error)
        else:
            call.end(
                None
                if raised is None
                else raised.exception(where=f"Raised in worker process {pid} of the process pool.")
            )

    def _run_in_worker(self, call: PoolCall) -> tuple[Failure | None, int]:
        dumped = tp.cast(DumpedCall, call.call)
        how = ""
        for _ in range(ATTEMPTS):
            its = self._worker_for(call)
            signals = _Signals(call)
            try:
                message = worker.Message(dumped.call, dumped.surroundings, self._share())
                raised = its.run(message, signals, call.timeout_min)
            except WorkerGoneError as gone:
                how = str(gone)
                if call.cancel_asked or self._closed:
                    break
            else:
                with self._lock:
                    self._idle.append(its)
                return raised, its.process.pid
            finally:
                signals.close()
                with self._lock:
                    self._busy.pop(call, None)
        raise JobLostError(f"{how}\nNo worker could take the call; the standard error of this process may say why.")

    def _worker_for(self, call: PoolCall) -> Worker:
        with self._lock:
            ended = [idle for idle in self._idle if not idle.is_alive()]
            self._idle = [idle for idle in self._idle if idle not in ended]
            its = self._idle.pop() if self._idle else None
        for gone in ended:
            gone.close()
        its = its or Worker()
        with self._lock:
            self._busy[call] = its
            if call.cancel_asked or self._closed:
                its.kill()
        return its

    def _share(self) -> int:
        """Cores for one worker: all of them, if its call is alone."""
        with self._lock:
            return max(1, usable_cores() // (self._queue.running + self._queue.waiting))


class _Signals:
    """What a worker says of its call while it runs: that it waits for others, and that it goes on."""

    def __init__(self, call: PoolCall) -> None:
        self._call = call
        self._lent = False

    def __call__(self, kind: bytes) -> None:
        if kind == worker.WAITS:
            self._call.lend()
            self._lent = True
        elif kind == worker.GOES_ON:
            self.close()

    def close(self) -> None:
        if self._lent:
            self._call.take_back()
            self._lent = False
