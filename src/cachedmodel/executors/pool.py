"""Pools in this process: as many calls at once as there are cores, each in a thread; `processes` builds on it.

A thread starts when there is work for it and ends when there is none, so an idle pool holds no thread (and none is
alive across a fork). What the program does not wait for ends with it: at its end, calls that have not started are
cancelled, and those that run in a thread are waited for.
"""

from __future__ import annotations

import contextvars
import functools
import itertools
import logging
import threading
from collections.abc import Callable, Sequence

from cachedmodel.errors import JobLostError
from cachedmodel.executors.base import Status
from cachedmodel.executors.cores import usable_cores
from cachedmodel.executors.places import lend_place, set_place
from cachedmodel.executors.queue import Queue, Ticket

logger: logging.Logger = logging.getLogger("cachedmodel")
_number = itertools.count(1)


class PoolCall:
    """A call in a pool: its handle, and the place it takes up."""

    job_id: str | None = None
    folder: str | None = None

    def __init__(self, pool: Pool, call: Callable[[], object], timeout_min: float | None = None) -> None:
        self.call: Callable[[], object] = call
        self.timeout_min = timeout_min
        self.ticket: Ticket[PoolCall]
        self.cancel_asked = False
        self._pool = pool
        self._status: Status = "queued"
        self._error: BaseException | None = None
        self._ended = threading.Event()

    def done(self) -> bool:
        return self._ended.is_set()

    def wait(self, timeout: float | None = None) -> bool:
        if self._ended.is_set():
            return True
        with lend_place():
            return self._ended.wait(timeout)

    def error(self) -> BaseException | None:
        return self._error

    def status(self) -> Status:
        return self._status

    def cancel(self) -> None:
        self._pool.cancel(self)

    def stdout(self) -> str:
        return ""

    def stderr(self) -> str:
        return ""

    def lend(self) -> None:
        self._pool.lend(self)

    def take_back(self) -> None:
        self._pool.take_back(self)

    def start(self) -> None:
        self._status = "running"

    def end(self, error: BaseException | None, status: Status | None = None) -> None:
        self._error = error
        self._status = status or ("completed" if error is None else "failed")
        self.call = _ended_already  # the call may hold large arguments
        self._ended.set()


def _ended_already() -> None:
    """Stands in for a call that ended."""


class Pool:
    """Calls in threads; a subclass may have a call run elsewhere while its thread waits for it."""

    name = "threadpool"
    daemon = False

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._queue: Queue[PoolCall] = Queue()
        self._threads: set[threading.Thread] = set()

    def submit(
        self,
        calls: Sequence[Callable[[], object]],
        *,
        max_jobs: int | None = None,
        timeout_min: float | None = None,
    ) -> Sequence[PoolCall]:
        """See the contract. A call that runs longer than `timeout_min` is stopped where that is possible, not in a thread."""
        handles = [PoolCall(self, call, timeout_min) for call in self._prepare(calls)]
        with self._lock:
            tickets = self._queue.put(handles, places=usable_cores(), max_jobs=max_jobs)
            for handle, ticket in zip(handles, tickets, strict=True):
                handle.ticket = ticket
            self._start_threads()
        return handles

    def cancel(self, call: PoolCall) -> None:
        """A call that has not started never does; in a thread, one that runs cannot be stopped."""
        with self._lock:
            call.cancel_asked = True
            if call.status() == "queued":
                self._queue.withdraw(call.ticket)
                call.end(JobLostError(f"The call was cancelled before it started in the {self.name}."), "cancelled")

    def lend(self, call: PoolCall) -> None:
        with self._lock:
            self._queue.leave(call.ticket)
            self._start_threads()

    def take_back(self, call: PoolCall) -> None:
        with self._lock:
            self._queue.resume(call.ticket)

    def forget(self) -> None:
        """In a forked child, which has none of the threads."""

    def _prepare(self, calls: Sequence[Callable[[], object]]) -> Sequence[Callable[[], object]]:
        """The calls, with the context variables of the submitter."""
        return [functools.partial(contextvars.copy_context().run, call) for call in calls]

    def _start_threads(self) -> None:
        while (call := self._take()) is not None:
            name = f"cachedmodel-{self.name}-{next(_number)}"
            thread = threading.Thread(target=self._work, args=(call,), name=name, daemon=self.daemon)
            try:
                thread.start()
            except RuntimeError as error:  # no more threads: the system's limit, or the interpreter is about to end
                self._queue.leave(call.ticket)
                call.end(JobLostError(f"No thread could be started for the call in the {self.name}: {error}."))
            else:
                self._threads.add(thread)

    def _take(self) -> PoolCall | None:
        ticket = self._queue.take()
        if ticket is None:
            return None
        ticket.item.start()
        return ticket.item

    def _work(self, first: PoolCall) -> None:
        call: PoolCall | None = first
        while call is not None:
            set_place(call)
            try:
                self._run(call)
            except BaseException as error:  # SystemExit of the user's code too: the thread has other calls to run
                call.end(error)
            set_place(None)
            with self._lock:
                self._queue.leave(call.ticket)
                if not threading.main_thread().is_alive():
                    self._drop_waiting()
                call = self._take()
                if call is None:
                    self._threads.discard(threading.current_thread())

    def _run(self, call: PoolCall) -> None:
        """Runs the call and ends it, or raises its error."""
        call.call()
        call.end(None)

    def _drop_waiting(self) -> None:
        dropped = self._queue.withdraw_those(lambda call: True)
        for call in dropped:
            call.end(JobLostError(f"The program ended before the call started in the {self.name}."), "cancelled")
        if dropped:
            logger.warning(
                "%d calls had not started in the %s when the program ended, and were dropped.", len(dropped), self.name
            )
