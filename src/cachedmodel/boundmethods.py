"""What a decorated method is on an instance: callable, and what there is to ask of its results and jobs."""

from __future__ import annotations

import typing as tp
from collections.abc import Iterable, Iterator, Mapping

from .binding import Bound
from .cache import Cache, MapView
from .engine import Call
from .executors import Status
from .jobs import Job, MapJob, Plan, filled_array, new_plan, status_of
from .outcomes import Raised
from .state import state_of
from .stream import few, stream

if tp.TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from .methods import Map

R_co = tp.TypeVar("R_co", covariant=True)
I_contra = tp.TypeVar("I_contra", contravariant=True)
Y_co = tp.TypeVar("Y_co", covariant=True)

#: As if it had been raised: looked up anew.
_NOT_KEPT = Raised(KeyError())


class BoundTask(Bound, tp.Generic[R_co]):
    """A task of an instance: callable, and what there is to ask of its result and its job."""

    single = True

    def __call__(self) -> R_co:
        """The result: from memory, from disk, or computed once where ``infra.cluster`` says.

        Raises
        ------
        MissingError
            If it is not stored and ``infra.mode`` is "read-only".
        JobLostError
            If its job was lost; the next call computes again.
        """
        kept: tp.Any  # no cast below, which would take a quarter of the time
        try:
            kept = self._kept[""]
        except KeyError:
            kept = _NOT_KEPT
        if type(kept) is Raised:
            return tp.cast(R_co, self._call().look().result(""))
        known = self._known
        if known is None or (known.mutable and not known.looks_same()):
            self._identity()
        return kept  # type: ignore[no-any-return]

    def job(self) -> Job[R_co]:
        """The job that computes the result: submitted if there is none yet, without waiting; here if cluster is None."""
        job = self.new_job()
        job.start()
        return job

    def new_job(self) -> Job[R_co]:
        """The job, not started yet."""
        return Job(self._call())

    def status(self) -> Status:
        """Where the computation stands; never raises."""
        return status_of(self._call)

    def is_cached(self) -> bool:
        """True if a result is stored, which is not looked into; False for a stored failure."""
        folder = self._home().folder
        if folder is not None and self._work_now is None and self._memory_now is None:
            # thousands are asked in a row: nothing is made that only computing needs
            identity = self._identity()
            return Cache.task_state(f"{folder}/{identity.uid}", identity.agrees) == "value"
        work = self._work()
        if "" in work.memory.results:
            return type(work.memory.results[""]) is not Raised
        return work.cache is not None and work.cache.states([""]).get("") == "value"

    def provenance(self) -> dict[str, object] | None:
        """When, where, by whom and with what the stored result was computed, and the seconds it took; None if there is none."""
        return self._provenance("")

    def clear(self) -> None:
        """Forgets the result or failure; the next call computes again."""
        self._clear([""])

    def job_array(
        self, max_workers: int = 256, allow_empty: bool = False, allow_repeated_tasks: bool = False
    ) -> AbstractContextManager[list[tp.Any]]:  # Any: the model's own type, which infra.job_array() knows
        """A list of models to fill in a ``with`` block; this task of all of them is submitted at its end, as one array.

        Parameters
        ----------
        max_workers
            Never more jobs at once.
        allow_empty
            Whether a list left empty is fine.
        allow_repeated_tasks
            Whether models with one uid may come twice; they are computed once.
        """
        return filled_array(self._method.name, max_workers, allow_empty, allow_repeated_tasks)

    def _compute(self, items: list[tp.Any]) -> Iterable[object]:
        state_of(self._model).frozen = True
        for _ in items:
            yield self._method.func(self._model)

    def _call(self) -> Call:
        return Call(self._work(), {"": None})


class BoundMap(Bound, tp.Generic[I_contra, Y_co]):
    """A map of an instance: callable on items, and what there is to ask of its entries and jobs."""

    single = False

    @tp.overload
    def __call__(self, items: Iterable[I_contra], /, *, on_error: tp.Literal["raise"] = "raise") -> Iterator[Y_co]: ...
    @tp.overload
    def __call__(
        self, items: Iterable[I_contra], /, *, on_error: tp.Literal["return"]
    ) -> Iterator[Y_co | Exception]: ...
    def __call__(
        self, items: Iterable[I_contra], /, *, on_error: tp.Literal["raise", "return"] = "raise"
    ) -> Iterator[Y_co | Exception]:
        """The outputs in the order of the items, each as soon as it and those before it are there.

        Parameters
        ----------
        items
            Any iterable; an endless one works where the items are computed in this process or its pools.
        on_error
            "return" gives the exception of a failed item in its place.

        Raises
        ------
        ItemErrors
            At the first failed item, once the others are through.
        """
        method: Map[I_contra, Y_co] = self._method  # type: ignore[assignment]  # a map has no other
        values = few(self._kept, items, method.item_uid) if self._kept else None
        if values is not None:
            known = self._known
            if known is None or (known.mutable and not known.looks_same()):
                self._identity()
            return tp.cast("Iterator[Y_co]", iter(values))
        if on_error not in ("raise", "return"):
            raise ValueError(f"on_error={on_error!r}: it is 'raise' or 'return'")
        work = self._work()
        return tp.cast("Iterator[Y_co]", stream(work, items, method.keys, return_errors=on_error == "return"))

    def submit(self, items: Iterable[I_contra], /) -> MapJob[I_contra, Y_co]:
        """Has the missing outputs computed, without waiting; in this process they are computed as they are asked for."""
        job: MapJob[I_contra, Y_co] = MapJob(self._work(), self._keyed(items))
        job.start()
        return job

    def plan(self, items: Iterable[I_contra], /) -> Plan[I_contra]:
        """Which items are cached, running, failed or missing; computes nothing."""
        return new_plan(self._work(), self._keyed(items))

    def provenance(self, item: I_contra, /) -> dict[str, object] | None:
        """When, where, by whom and with what the stored output of an item was computed; None if there is none."""
        return self._provenance(tp.cast("Map[I_contra, Y_co]", self._method).key(item))

    @property
    def cache(self) -> Mapping[str, Y_co]:
        """What is stored, as a read-only mapping of item uid to output."""
        work = self._work()
        if work.cache is None:
            return {key: tp.cast(Y_co, kept) for key, kept in work.memory.results.items() if type(kept) is not Raised}
        return MapView(work.cache)

    def clear(self, items: Iterable[I_contra] | None = None) -> None:
        """Forgets the outputs and failures of some items, or of all."""
        self._clear(None if items is None else [key for key, _ in self._keyed(items)])

    def _keyed(self, items: Iterable[I_contra]) -> list[tuple[str, I_contra]]:
        items = list(items)
        return list(zip(tp.cast("Map[I_contra, Y_co]", self._method).keys(items), items, strict=True))

    def _compute(self, items: list[tp.Any]) -> Iterable[object]:
        state_of(self._model).frozen = True
        outputs: Iterable[object] = self._method.func(self._model, items)
        return outputs
