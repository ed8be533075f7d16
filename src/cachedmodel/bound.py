"""``xp.infra``: settings bound to their model, and what they say of its one cached method."""

from __future__ import annotations

import os
import typing as tp
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager

from .binding import Bound
from .boundmethods import BoundTask
from .clone import clone
from .confdict import ConfDict
from .errors import InfraError, UidError
from .executors import Status
from .infra import Infra, fill, make, own, unknown_setting, validated
from .jobs import Job
from .state import state_of

if tp.TYPE_CHECKING:
    from .model import CachedModel

M_co = tp.TypeVar("M_co", covariant=True)


class BoundInfra(Infra, tp.Generic[M_co], defer_build=True):
    """The settings of one very model: what reading ``xp.infra`` gives.

    Where the model has exactly one cached method, or with ``method="name"``, it answers for that method.
    """

    __slots__ = ("__infra_model__",)
    __cache_name__ = "cachedmodel.infra:Infra"  # binding changes nothing in the uid of a model that is nested
    __infra_model__: CachedModel

    # -- the model's methods ------------------------------------------------------------------------------------------

    def uid(self, method: str | None = None) -> str:
        """The uid of the configuration; see `BoundTask.uid`."""
        return self._bound(method).uid()

    def uid_folder(self, method: str | None = None, *, create: bool = False) -> os.PathLike[str] | None:
        """The folder of the results; see `BoundTask.uid_folder`."""
        return self._bound(method).uid_folder(create)

    def config(self, uid: bool = True, exclude_defaults: bool = False, *, method: str | None = None) -> ConfDict:
        """The configuration; see `BoundTask.config`."""
        return self._bound(method).config(uid, exclude_defaults)

    def job(self, method: str | None = None) -> Job[tp.Any]:  # Any: the method is named at run time
        """The job of the task; see `BoundTask.job`."""
        return self._task(method).job()

    def status(self, method: str | None = None) -> Status:
        """Where the task stands; see `BoundTask.status`."""
        return self._task(method).status()

    def clear_job(self, method: str | None = None) -> None:
        """Forgets the result; see `BoundTask.clear`."""
        self._task(method).clear()

    def job_array(
        self,
        max_workers: int = 256,
        allow_empty: bool = False,
        allow_repeated_tasks: bool = False,
        *,
        method: str | None = None,
    ) -> AbstractContextManager[list[M_co]]:
        """A list of models to fill and submit; see `BoundTask.job_array`."""
        array: tp.Any = self._task(method).job_array(max_workers, allow_empty, allow_repeated_tasks)
        return tp.cast("AbstractContextManager[list[M_co]]", array)

    def iter_cached(self, method: str | None = None) -> Iterator[M_co]:
        """Models of this class whose results are stored; see `BoundTask.iter_cached`."""
        return tp.cast("Iterator[M_co]", self._bound(method).iter_cached())

    def clone_obj(self, *updates: Mapping[str, tp.Any], **kwargs: tp.Any) -> M_co:  # Any: values of any fields
        """A new model with every value of this one but the updated; see `clone`."""
        return tp.cast(M_co, clone(self.__infra_model__, *updates, kwargs))

    # -- inside -----------------------------------------------------------------------------------------------------------

    def _bound(self, name: str | None) -> Bound:
        model = self.__infra_model__
        methods = type(model).__cached_methods__
        if name is None:
            if len(methods) != 1:
                what = f"{len(methods)} cached methods ({', '.join(methods)})" if methods else "no cached method"
                raise InfraError(
                    f"{type(model).__name__} has {what}: say which, as in infra.uid(method={next(iter(methods), '...')!r})"
                )
            name = next(iter(methods))
        if name not in methods:
            raise InfraError(
                f"{type(model).__name__} has no cached method {name!r}: it has {', '.join(methods) or 'none'}"
            )
        bound: Bound = getattr(model, name)
        return bound

    def _task(self, name: str | None) -> BoundTask[tp.Any]:
        bound = self._bound(name)
        if not isinstance(bound, BoundTask):
            raise InfraError(
                f"{bound!r} is a map, which has a job for each call: use its submit(items) and plan(items)"
            )
        return bound

    def __setattr__(self, name: str, value: object) -> None:
        model = self.__infra_model__
        if name not in Infra.__pydantic_fields__:
            raise InfraError(unknown_setting(name))
        if model.model_config.get("frozen"):
            raise UidError(
                f"{type(model).__name__} is frozen, and so is its infra: use infra.clone_obj({{'infra.{name}': ...}})"
            )
        state = state_of(model)
        if name == "version" and state.frozen and value != self.version:
            raise UidError(
                f"the uid of this {type(model).__name__} was computed, so its version cannot change: "
                "use infra.clone_obj({'infra.version': ...})"
            )
        change = validated({name: value}, "infra")
        type(model).__infra_resolver__.check(make({**self.__dict__, **change}, {**self.given, **change}, self.layers))
        for values in (self.__dict__, self.given, self.__pydantic_fields_set__):
            values.update(change)
        object.__setattr__(self, "__infra_derived__", {})
        model.__pydantic_fields_set__.add("infra")
        for bound in state.values():
            bound.forget()


def bind(infra: Infra, model: CachedModel) -> BoundInfra[tp.Any]:
    """A copy of settings that belongs to a model."""
    bound: BoundInfra[tp.Any] = BoundInfra.__new__(BoundInfra)
    fill(bound, own(infra), dict(infra.given), infra.layers)
    object.__setattr__(bound, "__infra_derived__", infra.derived)
    object.__setattr__(bound, "__infra_model__", model)
    return bound
