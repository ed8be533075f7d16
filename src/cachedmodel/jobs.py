"""What runs and what became of it: `Job` of a task, `MapJob` of a map, `Plan`, and arrays of jobs."""

from __future__ import annotations

import contextlib
import glob
import os
import time
import typing as tp
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence

from .computing import parts_at
from .engine import Call
from .errors import InfraError, JobLostError
from .executors import Handle, Status, find_on_slurm
from .outcomes import Raised
from .progress import Bar
from .stream import item_error, item_errors
from .submission import recorded_job, submit
from .waits import Wait
from .work import INLINE, Work

if tp.TYPE_CHECKING:
    from .boundmethods import BoundTask

_READ = 256  # values at once
_POLL_S, _POLL_MAX_S = 0.005, 0.5

R_co = tp.TypeVar("R_co", covariant=True)
I_co = tp.TypeVar("I_co", covariant=True)
Y_co = tp.TypeVar("Y_co", covariant=True)
T = tp.TypeVar("T")
T_co = tp.TypeVar("T_co", covariant=True)


class _Awaitable(tp.Generic[T_co]):
    """Can be awaited: its result is waited for in a thread, so that the event loop goes on."""

    def result(self, timeout: float | None = None) -> T_co:
        raise NotImplementedError  # by Job and MapJob

    def __await__(self) -> Generator[tp.Any, None, T_co]:
        import asyncio

        return asyncio.to_thread(self.result).__await__()


class Job(_Awaitable[R_co], tp.Generic[R_co]):
    """The computation of a task: here, in a pool, in a job, or in another process."""

    def __init__(self, call: Call) -> None:
        self._call = call

    def __repr__(self) -> str:
        return f"<Job {self.job_id or ''} of {self._call.work.name}: {self.status()}>"

    @property
    def call(self) -> Call:
        """What the engine does for it."""
        return self._call

    @property
    def is_inline(self) -> bool:
        """True if it is computed by this very thread."""
        return self._call.work.infra.cluster in INLINE

    def start(self) -> None:
        """Has the task computed if it is not; with ``cluster=None`` it is computed when this returns."""
        if not self.is_inline:
            submit([self._call])
        elif not self._call.look().is_known(""):
            self._call.wait("")
            self._call.finish()

    def result(self, timeout: float | None = None) -> R_co:
        """The task's result, waited for; its exception is raised.

        Parameters
        ----------
        timeout
            Seconds to wait at most; None: as long as it takes.

        Raises
        ------
        TimeoutError
            If it is not there in time; the job goes on.
        JobLostError
            If the job was killed, timed out, or was cancelled.
        """
        return tp.cast(R_co, self._call.result("", timeout))

    def done(self) -> bool:
        """True once there is a result or an exception."""
        return self.status() in ("completed", "failed", "cancelled")

    def wait(self, timeout: float | None = None) -> bool:
        """Waits for the end, at most `timeout` (seconds); True if it ended."""
        return self._call.wait("", timeout)

    def status(self) -> Status:
        """Where the computation stands; never raises."""
        return status_of(lambda: self._call)

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """The exception of the task, waited for; None if it has a result."""
        if not self._call.wait("", timeout):
            raise TimeoutError(f"{self._call.work.name} has not ended after {timeout} s; it goes on: ask again")
        return self._call.errors.get("")

    def cancel(self) -> None:
        """Asks the job not to start, or to stop; returns at once."""
        self._call.cancel()
        handle = self._handle()
        if handle is not None and not self._call.is_known(""):
            handle.cancel()

    def stdout(self) -> str:
        """What the job printed so far; empty for what ran in this process or its pools."""
        handle = self._handle()
        return handle.stdout() if handle is not None else ""

    def stderr(self) -> str:
        """What the job wrote to its standard error so far; empty for what ran in this process or its pools."""
        handle = self._handle()
        return handle.stderr() if handle is not None else ""

    @property
    def job_id(self) -> str | None:
        """Its id on the cluster; None for what ran in this process or its pools."""
        handle = self._handle()
        return handle.job_id if handle is not None else None

    def _handle(self) -> Handle | None:
        return _handle_of(self._call)


def _handle_of(call: Call) -> Handle | None:
    """The job of a task: submitted here, or found again by the record in its folder."""
    part = call.part("")
    if part is not None:
        return part.handle
    return None if call.work.cache is None else recorded_job(call.work.cache.folder)


def status_of(make_call: Callable[[], Call]) -> Status:
    """Where the computation of a task stands; never raises."""
    try:
        return _status(make_call())
    except Exception:  # a status is asked for to be shown: what cannot be found out is as if nothing was there
        return "not submitted"


def _status(call: Call) -> Status:
    part = call.part("")
    if part is not None and part.finished and not call.is_known(""):
        call.collect(part)
    if call.is_known(""):
        return "completed" if "" in call.values else "cancelled" if call.is_cancelled else "failed"
    stored = call.states([""])
    if stored:  # whose job may be still ending
        return "completed" if stored[""] == "value" else "failed"
    if part is not None and not part.finished:
        return part.status()
    cache = call.work.cache
    handle = _handle_of(call)
    if cache is not None and cache.holders([""]):
        return handle.status() if handle is not None and not handle.done() else "running"
    if handle is not None and isinstance(handle.error(), JobLostError):  # nothing is stored of it
        return handle.status()
    return "cancelled" if call.is_cancelled else "not submitted"


class MapJob(_Awaitable[list[Y_co]], tp.Generic[I_co, Y_co]):
    """The computation of some items of a map."""

    def __init__(self, work: Work, keyed: Sequence[tuple[str, I_co]]) -> None:
        self._keyed = keyed
        self._call = Call(work, dict(keyed))

    def __repr__(self) -> str:
        known = sum(self._call.is_known(key) for key in self._call.items)
        return f"<MapJob of {self._call.work.name}: {known} of {len(self._call.items)} items>"

    def start(self) -> None:
        """Submits what is missing. In this process an item is computed when it is asked for."""
        if not self._is_inline:
            submit([self._call])

    def __len__(self) -> int:
        return len(self._keyed)

    def __iter__(self) -> Iterator[Y_co]:
        """The outputs in the order of the items, each as soon as it and those before it are there."""
        failed: dict[str, Exception] = {}
        with self._bar() as bar:
            for start in range(0, len(self._keyed), _READ):
                keys = [key for key, _ in self._keyed[start : start + _READ]]
                self._call.look(keys)
                for key in keys:
                    self._call.wait(key)
                    if key in self._call.errors:
                        failed[key] = item_error(self._call, key)
                    elif not failed:
                        yield tp.cast(Y_co, self._call.values[key])
                    bar.update(1)
        self._end(failed)

    def as_completed(self) -> Iterator[tuple[I_co, Y_co]]:
        """Pairs of item and output, in the order in which the outputs come.

        Raises
        ------
        ItemErrors
            For the failed items, once all others were given.
        """
        failed: dict[str, Exception] = {}
        pending: dict[str, list[I_co]] = {}
        for key, item in self._keyed:
            pending.setdefault(key, []).append(item)
        with self._bar() as bar, Wait(self._call.work.target(), "") as wait:
            pause = _POLL_S
            while pending:
                self._call.look(pending)
                ready = [key for key in pending if self._call.is_known(key)]
                for key in ready:
                    items = pending.pop(key)
                    bar.update(len(items))
                    if key in self._call.errors:
                        failed[key] = item_error(self._call, key)
                        continue
                    for item in items:
                        yield item, tp.cast(Y_co, self._call.values[key])
                pause = _POLL_S if ready else min(2 * pause, _POLL_MAX_S)
                if pending:
                    self._call.advance(list(pending), pause)
                    wait.look(next(iter(pending)))
        self._end(failed)

    def result(self, timeout: float | None = None) -> list[Y_co]:
        """All outputs in the order of the items.

        Raises
        ------
        ItemErrors
            If items failed.
        TimeoutError
            If not all are there within `timeout` (seconds); the jobs go on.
        """
        if timeout is not None and not self.wait(timeout):
            raise TimeoutError(f"{self!r} has not ended after {timeout} s; it goes on: ask again")
        return list(self)

    def wait(self, timeout: float | None = None) -> bool:
        """Waits for the end, at most `timeout` (seconds); True if it ended."""
        deadline = None if timeout is None else time.monotonic() + timeout
        return all(
            self._call.wait(key, None if deadline is None else deadline - time.monotonic()) for key in self._call.items
        )

    def done(self) -> bool:
        """True once every item has an output or an exception."""
        unknown = self._call.unknown()
        if unknown and not self._is_inline:
            self._call.advance(unknown, 0.0)
            unknown = self._call.unknown()
        return not unknown or len(self._call.states(unknown)) == len(unknown)

    def cancel(self) -> None:
        """Asks what computes for it to stop; returns at once."""
        self._call.cancel()

    @property
    def _is_inline(self) -> bool:
        return self._call.work.infra.cluster in INLINE

    def _bar(self) -> contextlib.closing[Bar]:
        return contextlib.closing(Bar(self._call.work.infra, self._call.work.name, len(self._keyed)))

    def _end(self, failed: dict[str, Exception]) -> None:
        self._call.finish()
        if failed:
            raise item_errors(self._call.work, failed)


class Plan(tp.NamedTuple, tp.Generic[T]):
    """What a call of a map would find.

    Attributes
    ----------
    cached, running, failed, missing
        The items whose output is stored, is being computed by somebody, failed before, or is not there.
    """

    cached: list[T]
    running: list[T]
    failed: list[T]
    missing: list[T]


def new_plan(work: Work, keyed: Sequence[tuple[str, T]]) -> Plan[T]:
    """Sorts items by what is known of them; loads and computes nothing."""
    keys = list(dict(keyed))
    known = {key: "failure" if type(kept) is Raised else "value" for key, kept in work.memory.results.items()}
    if work.cache is not None:
        known.update(work.cache.states(keys))
    open_keys = [key for key in keys if key not in known]
    running = parts_at(work.place).keys() & set(open_keys)
    if work.cache is not None:
        running |= set(work.cache.holders([key for key in open_keys if key not in running]))
    plan: Plan[T] = Plan([], [], [], [])
    for key, item in keyed:
        state = known.get(key, "running" if key in running else "missing")
        {"value": plan.cached, "failure": plan.failed, "running": plan.running, "missing": plan.missing}[state].append(
            item
        )
    return plan


def job_array(tasks: Iterable[BoundTask[T]], max_workers: int | None = None) -> list[Job[T]]:
    """The jobs of many tasks, of any models: what is missing is submitted in as few arrays as the settings allow.

    Parameters
    ----------
    tasks
        Bound tasks, eg ``[Training(seed=seed).process for seed in range(10)]``.
    max_workers
        Never more jobs of an array at once; None: each task's ``infra.max_jobs``.

    Examples
    --------
    >>> import cachedmodel as cm
    >>> class Square(cm.CachedModel):
    ...     n: int
    ...     @cm.task
    ...     def value(self) -> int:
    ...         return self.n**2
    >>> [job.result() for job in cm.job_array(Square(n=n).value for n in range(3))]
    [0, 1, 4]
    """
    asked = list(tasks)
    for task in asked:
        if not hasattr(task, "new_job"):  # the model, or the result of a call
            raise InfraError(f"job_array takes tasks, as in job_array(model.train for model in models), not {task!r}")
    jobs = [task.new_job() for task in asked]
    submit([job.call for job in jobs if not job.is_inline], max_workers)
    here = [job for job in jobs if job.is_inline]
    if here:
        with contextlib.closing(Bar(here[0].call.work.infra, here[0].call.work.name, len(here))) as bar:
            for job in here:
                job.start()
                bar.update(1)
    return jobs


@contextlib.contextmanager
def filled_array(
    name: str, max_workers: int, allow_empty: bool, allow_repeated_tasks: bool
) -> Iterator[list[tp.Any]]:  # Any: the model's own type, as the caller says
    """A list of models to fill; their method `name` is submitted at the end, as one array."""
    models: list[tp.Any] = []
    yield models
    if not models and not allow_empty:
        raise InfraError("the job array is empty: append models to its list, or say allow_empty=True")
    tasks = [getattr(model, name) for model in models]
    if not allow_repeated_tasks:
        seen: dict[tuple[str, object], int] = {}
        for index, task in enumerate(tasks):
            first = seen.setdefault((task.uid(), str(task.uid_folder())), index)
            if first != index:
                raise InfraError(
                    f"models {first} and {index} of the job array have the same uid {task.uid()!r}: append different ones, or "
                    "say allow_repeated_tasks=True to have it computed once"
                )
    job_array(tasks, max_workers)


def find_slurm_job(job_id: str, folder: str | os.PathLike[str] | None = None) -> Handle | None:
    """The job with an id of Slurm's; None if there is none.

    Parameters
    ----------
    job_id
        As ``squeue`` shows it, eg ``"1234"`` or ``"1234_5"``.
    folder
        The ``infra.folder`` of the models that were submitted. None: Slurm is asked where the job writes, which it forgets some
        minutes after the job ended.

    Returns
    -------
    Handle
        Has ``status()``, ``stdout()``, ``stderr()``, ``cancel()`` and the job's ``folder``.
    """
    if folder is None:
        return find_on_slurm(job_id)
    for path in glob.iglob(os.path.join(glob.escape(os.fspath(folder)), "*", "*", "job.json")):
        handle = recorded_job(os.path.dirname(path), job_id)
        if handle is not None:
            return handle
    return None
