"""What runs and what became of it: `Job` of a task, `MapJob` of a map, `Plan`, and arrays of jobs."""

from __future__ import annotations

import contextlib
import glob
import os
import time
import typing as tp
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence

from .engine import INLINE, Call, Work, submit
from .errors import InfraError, ItemErrors, JobLostError
from .executors import Handle, Status
from .stream import named
from .submission import Part, recorded_job

if tp.TYPE_CHECKING:
    from .methods import BoundTask

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

        return asyncio.get_running_loop().run_in_executor(None, self.result).__await__()


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
        if self.is_inline:
            self._call.look().wait("")
            self._call.finish()
        else:
            submit([self._call])

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
        if handle is not None:
            handle.cancel()

    def stdout(self) -> str:
        """What the job printed so far; empty for what ran in this process."""
        handle = self._handle()
        return handle.stdout() if handle is not None else ""

    def stderr(self) -> str:
        """What the job wrote to its standard error so far; empty for what ran in this process."""
        handle = self._handle()
        return handle.stderr() if handle is not None else ""

    @property
    def job_id(self) -> str | None:
        """Its id on the cluster; None for what ran in this process or its pools."""
        handle = self._handle()
        return handle.job_id if handle is not None else None

    def _handle(self) -> Handle | None:
        return handle_of(self._call)


def handle_of(call: Call) -> Handle | None:
    """The job of a task: submitted here, or found again by the record in its folder."""
    source = call.source("")
    if isinstance(source, Part):
        return source.handle
    return None if call.work.cache is None else recorded_job(call.work.cache.folder)


def status_of(call: Callable[[], Call]) -> Status:
    """Where the computation of a task stands; never raises."""
    try:
        known = call().look()
        if "" in known.values:
            return "completed"
        if "" in known.errors:
            return "cancelled" if _was_cancelled(known) else "failed"
        source = known.source("")
        if isinstance(source, Part):
            known.poll()
            return source.status() if not known.is_known("") else status_of(lambda: known)
        if source is not None:
            return "running"
        cache = known.work.cache
        keeper = cache.holders([""]).get("") if cache is not None else None
        if keeper is None:
            return "not submitted"
        handle = handle_of(known)
        return handle.status() if handle is not None and not handle.done() else "running"
    except Exception:  # a status is asked for to be shown: what cannot be found out is as if nothing was there
        return "not submitted"


def _was_cancelled(call: Call) -> bool:
    source = call.source("")
    return isinstance(source, Part) and isinstance(call.errors[""], JobLostError) and source.status() == "cancelled"


class MapJob(_Awaitable[list[Y_co]], tp.Generic[I_co, Y_co]):
    """The computation of some items of a map."""

    def __init__(self, work: Work, keyed: Sequence[tuple[str, I_co]]) -> None:
        self._keyed = keyed
        self._call = Call(work, dict(keyed))

    def __repr__(self) -> str:
        known = sum(self._call.is_known(key) for key in self._call.items)
        return f"<MapJob of {self._call.work.name}: {known} of {len(self._call.items)} items>"

    def start(self) -> None:
        """Submits what is missing."""
        self._call.look()
        self._call.start()

    def __len__(self) -> int:
        return len(self._keyed)

    def __iter__(self) -> Iterator[Y_co]:
        """The outputs in the order of the items, each as soon as it and those before it are there."""
        failed: dict[str, BaseException] = {}
        for key, _ in self._keyed:
            self._call.wait(key)
            if key in self._call.errors:
                failed[key] = named(self._call, key)
            elif not failed:
                yield tp.cast(Y_co, self._call.values[key])
        self._call.finish()
        self._raise(failed)

    def as_completed(self) -> Iterator[tuple[I_co, Y_co]]:
        """Pairs of item and output, in the order in which the outputs come.

        Raises
        ------
        ItemErrors
            For the failed items, once all others were given.
        """
        failed: dict[str, BaseException] = {}
        pending = dict(self._keyed)
        pause = 0.005
        while pending:
            ready = [key for key in pending if self._call.is_known(key)]
            for key in ready:
                item = pending.pop(key)
                if key in self._call.errors:
                    failed[key] = named(self._call, key)
                else:
                    yield item, tp.cast(Y_co, self._call.values[key])
            if ready or not pending:
                pause = 0.005
                continue
            first = next(iter(pending))
            if self._call.work.infra.cluster in INLINE:
                self._call.wait(first)
            else:
                self._call.wait(first, pause)
                pause = min(2 * pause, 0.5)
        self._call.finish()
        self._raise(failed)

    def result(self, timeout: float | None = None) -> list[Y_co]:
        """All outputs in the order of the items.

        Raises
        ------
        ItemErrors
            If items failed.
        TimeoutError
            If not all are there within `timeout` (seconds); the jobs go on.
        """
        if not self.wait(timeout):
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
        self._call.look()
        self._call.poll()
        return not self._call.unknown()

    def cancel(self) -> None:
        """Asks what computes for it to stop; returns at once."""
        self._call.cancel()

    def _raise(self, failed: dict[str, BaseException]) -> None:
        if failed:
            errors = [error for error in failed.values() if isinstance(error, Exception)]
            raise ItemErrors(f"{len(errors)} item(s) of {self._call.work.name} failed", errors)


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
    known = {key: "failure" if outcome.error else "value" for key, outcome in work.memory.results.items()}
    if work.cache is not None:
        known.update(work.cache.states(keys))
    open_keys = [key for key in keys if key not in known]
    running = set(Call(work, dict.fromkeys(open_keys)).sources())
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
    jobs = [task.new_job() for task in tasks]
    submit([job.call for job in jobs if not job.is_inline], max_workers)
    for job in jobs:
        if job.is_inline:
            job.start()
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


def find_slurm_job(job_id: str, folder: str | os.PathLike[str]) -> Handle | None:
    """The job with an id of Slurm's among those whose records are below a cache folder; None if there is none.

    Parameters
    ----------
    job_id
        As ``squeue`` shows it, eg ``"1234"`` or ``"1234_5"``.
    folder
        The ``infra.folder`` of the models that were submitted.

    Returns
    -------
    Handle
        Has ``status()``, ``stdout()``, ``stderr()``, ``cancel()`` and the job's ``folder``.
    """
    for path in glob.iglob(os.path.join(glob.escape(os.fspath(folder)), "*", "*", "job.json")):
        handle = recorded_job(os.path.dirname(path))
        if handle is not None and handle.job_id == job_id:
            return handle
    return None
