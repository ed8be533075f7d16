"""CachedModel: what a model class is, and which methods it caches."""

from __future__ import annotations

import copy
import re
import sys
import typing as tp
from pathlib import Path

import pydantic
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from . import infra as _infra
from .classbody import check_body, check_config, evaluate_annotations, split_keywords
from .errors import DefinitionError, UidError
from .executors import check_cluster
from .infra import Infra, Mode
from .methods import Method
from .naming import cache_name as _cache_name
from .naming import checked_name
from .resolution import Resolver, merge
from .state import State, first_look, state_of, states
from .workdir import WorkDir

if tp.TYPE_CHECKING:
    import types

    from pydantic._internal._model_construction import ModelMetaclass as _Meta
else:
    _Meta = type(pydantic.BaseModel)


@tp.dataclass_transform(kw_only_default=True, field_specifiers=(pydantic.Field, pydantic.PrivateAttr))
class CachedModelMeta(_Meta):
    """Injects the field ``infra``, registers the cached methods, and refuses classes that cannot work."""

    if tp.TYPE_CHECKING:
        # pyright checks a class statement's keywords against this (mypy only with the plugin), and would put the
        # transform's own in its place without the __init__ beside it
        def __new__(
            mcs,
            cls_name: str,
            bases: tuple[type, ...],
            namespace: dict[str, tp.Any],
            *,
            cache_name: str = ...,
            folder: str | Path | None = ...,
            cluster: str | None = ...,
            mode: Mode = ...,
            keep_in_ram: bool = ...,
            version: str = ...,
            logs: str | Path = ...,
            permissions: int | str | None = ...,
            max_jobs: int | None = ...,
            min_items_per_job: int = ...,
            chunk_size: int = ...,
            forbid_single_item_computation: bool = ...,
            progress: bool = ...,
            allow_pickle: bool = ...,
            trusted_users: tuple[str, ...] | list[str] = ...,
            lease_s: float = ...,
            survive_submitter: bool = ...,
            workdir: WorkDir | dict[str, tp.Any] | None = ...,
            conda_env: str | Path | None = ...,
            job_name: str | None = ...,
            timeout_min: int | None = ...,
            nodes: int | None = ...,
            tasks_per_node: int | None = ...,
            cpus_per_task: int | None = ...,
            gpus_per_node: int | None = ...,
            mem_gb: float | None = ...,
            max_pickle_size_gb: float = ...,
            slurm_constraint: str | None = ...,
            slurm_partition: str | None = ...,
            slurm_account: str | None = ...,
            slurm_qos: str | None = ...,
            slurm_use_srun: bool = ...,
            slurm_additional_parameters: dict[str, int | str | float | bool] | None = ...,
            slurm_setup: list[str] | None = ...,
            methods: dict[str, _infra.InfraDict] = ...,
            frozen: bool = ...,
            title: str | None = ...,
            arbitrary_types_allowed: bool = ...,
            validate_assignment: bool = ...,
            validate_default: bool = ...,
            strict: bool = ...,
            use_enum_values: bool = ...,
            populate_by_name: bool = ...,
            validate_by_name: bool = ...,
            use_attribute_docstrings: bool = ...,
        ) -> tp.Any: ...

        def __init__(self, *args: tp.Any, **kwargs: tp.Any) -> None: ...

    else:

        def __new__(mcs, name, bases, namespace, **kwargs):
            settings, pinned, kwargs = split_keywords(name, bases, kwargs)
            evaluate_annotations(namespace)
            check_config(name, namespace, kwargs)
            check_body(name, bases, namespace)
            defaults = _class_defaults(name, bases, namespace, settings)
            resolver = Resolver(name, defaults)
            namespace["__annotations__"]["infra"] = tp.Annotated[Infra, resolver]
            namespace["infra"] = pydantic.Field(default_factory=resolver.default)
            namespace["__infra_defaults__"] = defaults
            namespace["__infra_resolver__"] = resolver
            if kwargs.setdefault("__pydantic_reset_parent_namespace__", True):
                # pydantic would look for the names of annotations in the frame that called it, which is this one
                kwargs["__pydantic_reset_parent_namespace__"] = False
                namespace["__pydantic_parent_namespace__"] = _names_around(sys._getframe(1), namespace)
            by_statement = "__qualname__" in namespace
            cls = super().__new__(mcs, name, bases, namespace, **kwargs)
            type.__setattr__(cls, "infra", InfraField())
            cls.__cached_methods__ = _methods(cls)
            resolver.methods = cls.__cached_methods__
            _check_methods_named(cls, defaults)
            cls.__cache_name__ = (
                checked_name(pinned, name) if pinned is not None else _cache_name(cls, namespace, by_statement)
            )
            return cls


def _names_around(frame: types.FrameType, namespace: dict[str, tp.Any]) -> dict[str, tp.Any] | None:
    """Of the variables where a class is made, those that its annotations name; None at the top of a module."""
    if frame.f_locals is frame.f_globals:
        return None
    words = set(re.findall(r"[^\W\d]\w*", " ".join(map(str, namespace["__annotations__"].values()))))
    return {key: value for key, value in frame.f_locals.items() if key in words}


def _class_defaults(
    name: str, bases: tuple[type, ...], namespace: dict[str, tp.Any], settings: dict[str, tp.Any]
) -> dict[str, tp.Any]:
    """The defaults of a class: its parents', the ``infra`` of its body, its keywords."""
    defaults: dict[str, tp.Any] = {}
    for base in reversed(bases):
        defaults = merge(defaults, getattr(base, "__infra_defaults__", {}))
    body = namespace.get("infra")
    if isinstance(body, FieldInfo) and body.default is not PydanticUndefined:
        body = body.default
    if body is not None:
        if not isinstance(body, (Infra, dict)):
            raise DefinitionError(f"class {name}: infra = {body!r} gives no settings: write infra: Infra = Infra(...)")
        defaults = merge(defaults, _infra.validated(body, f"class {name}"))
    defaults = merge(defaults, _infra.validated(settings, f"class {name}"))
    check_cluster(defaults.get("cluster"))
    return defaults


def _methods(cls: type[CachedModel]) -> dict[str, Method]:
    """The cached methods of a class by name, parents' first."""
    found: dict[str, Method] = {}
    for base in reversed(cls.__mro__):
        for key, value in base.__dict__.items():
            if isinstance(value, Method):
                found[key] = value
            elif key in found:
                raise DefinitionError(
                    f"{base.__name__}.{key} hides a cached method of {cls.__name__}, and must be one as well: "
                    "decorate it with @cm.task or @cm.map(item_uid=...)"
                )
    for method in found.values():
        method.check(cls)
    return found


def _check_methods_named(cls: type[CachedModel], defaults: dict[str, tp.Any]) -> None:
    for name in defaults.get("methods", ()):
        if name not in cls.__cached_methods__:
            raise DefinitionError(
                f"class {cls.__name__}: methods names {name!r}, which is no cached method of it: "
                f"it has {', '.join(map(repr, cls.__cached_methods__)) or 'none'}"
            )


class InfraField(property):
    """What the class attribute ``infra`` is: reading it on an instance binds the settings to that very instance."""

    def __init__(self) -> None:
        # a property: those are what mypy.stubtest lets stand for a field
        super().__init__(fset=self.__set__, doc="Where to run and where to keep results: the settings of this model.")

    def __get__(self, obj: tp.Any, owner: type | None = None) -> tp.Any:
        if obj is None:
            raise AttributeError("infra")  # as pydantic has it for all fields
        try:
            infra = given = obj.__dict__["infra"]
        except KeyError:
            raise AttributeError(f"{type(obj).__name__!r} object has no attribute 'infra'") from None
        if getattr(infra, "__infra_model__", None) is not obj:
            from .bound import bind  # with it comes what a class does not need

            if not isinstance(infra, Infra):  # by model_construct or model_copy(update=...), which validate nothing
                infra = type(obj).__infra_resolver__.validate(infra)
            with first_look:  # threads get the same
                if obj.__dict__["infra"] is given:
                    obj.__dict__["infra"] = bind(infra, obj)
            return obj.__dict__["infra"]
        return infra

    def __set__(self, obj: tp.Any, value: object) -> None:
        raise AttributeError("infra")  # CachedModel.__setattr__ sets it

    def __reduce__(self) -> tuple[tp.Any, ...]:
        return InfraField, ()  # with a class that is pickled by value; a property is not pickled by itself


if tp.TYPE_CHECKING:
    # `infra` is declared on a base that is no BaseModel: pydantic's mypy plugin would declare it again in every subclass,
    # with the type of what can be set
    class _InfraBase(metaclass=CachedModelMeta):
        infra: Infra = Infra()
else:

    class _InfraBase:
        __slots__ = ()


class CachedModel(pydantic.BaseModel, _InfraBase, metaclass=CachedModelMeta):
    """A pydantic model whose methods marked with `task` or `map` are computed once for each configuration.

    Class keywords are pydantic's, any setting of `Infra` as a default for the instances (``class T(CachedModel,
    version="1", cluster="auto")``), and ``cache_name="..."``, which pins the name that folders carry.

    Parameters
    ----------
    infra
        Where to run and where to keep results: an `Infra`, a dict of its settings, or nothing.

    Examples
    --------
    >>> import cachedmodel as cm
    >>> class Training(cm.CachedModel, version="1"):
    ...     param: int = 12
    ...     @cm.task
    ...     def process(self) -> int:
    ...         return self.param + 1
    >>> Training(param=3).process()
    4
    >>> Training(param=3).process.uid().split("-")[0]
    'param=3'
    """

    # deferred for this class alone: building a schema takes as long as importing all of the package; pydantic's mypy
    # plugin reads it here
    model_config: tp.ClassVar[pydantic.ConfigDict] = pydantic.ConfigDict(extra="forbid", defer_build=True)
    __slots__ = ("__cachedmodel__", "__weakref__")
    __infra_defaults__: tp.ClassVar[dict[str, tp.Any]]
    __infra_resolver__: tp.ClassVar[Resolver]
    __cached_methods__: tp.ClassVar[dict[str, Method]]
    __cache_name__: tp.ClassVar[str]

    if tp.TYPE_CHECKING:

        @property  # a slot, which dataclass_transform would take for a field
        def __cachedmodel__(self) -> State: ...

    else:

        def __setattr__(self, name, value):
            if name == "infra":
                self._set_infra(value)
                return
            if name in type(self).__pydantic_fields__:
                self._refuse_if_frozen(name)
            super().__setattr__(name, value)

        def __delattr__(self, name):
            if name in type(self).__pydantic_fields__:
                self._refuse_if_frozen(name)
            super().__delattr__(name)

    def __copy__(self) -> tp.Self:
        out = super().__copy__()
        _unbind(out.__dict__)
        return out

    def __deepcopy__(self, memo: dict[int, tp.Any] | None = None) -> tp.Self:
        out = super().__deepcopy__(memo)
        _unbind(out.__dict__)
        infra = out.__dict__.get("infra")
        if isinstance(infra, Infra):  # pydantic copies the default of a field, which was made with its class
            out.__dict__["infra"] = type(out).__infra_resolver__.renewed(infra)
        return out

    def __getstate__(self) -> dict[tp.Any, tp.Any]:
        state = super().__getstate__()
        values = state["__dict__"] = dict(state["__dict__"])
        _unbind(values)
        return state

    def __setstate__(self, state: dict[tp.Any, tp.Any]) -> None:
        super().__setstate__(state)
        states.new(self, arrived=True)

    def __repr_args__(self) -> tp.Iterator[tuple[str | None, tp.Any]]:
        last = []
        for name, value in super().__repr_args__():
            if name != "infra":
                yield name, value
            elif not isinstance(value, Infra) or list(value.__repr_args__()):
                last = [(name, value)]
        yield from last

    def _refuse_if_frozen(self, name: str) -> None:
        if state_of(self).frozen and not self.model_config.get("frozen"):  # pydantic refuses those itself
            raise UidError(
                f"the uid of this {type(self).__name__} was computed, so its field {name!r} cannot change: "
                f"make another with infra.clone_obj({{{name!r}: ...}})"
            )

    def _set_infra(self, value: object) -> None:
        if self.model_config.get("frozen"):
            raise pydantic.ValidationError.from_exception_data(
                type(self).__name__, [{"type": "frozen_instance", "loc": ("infra",), "input": value}]
            )
        infra = type(self).__infra_resolver__.validate(value)
        state = state_of(self)
        if infra.version != self.infra.version:
            self._refuse_if_frozen("infra.version")
        self.__dict__["infra"] = infra
        self.__pydantic_fields_set__.add("infra")
        for bound in state.values():
            bound.forget()


del CachedModel.model_config["defer_build"]
states.keep_in(CachedModel.__dict__["__cachedmodel__"])


def _unbind(values: dict[str, tp.Any]) -> None:
    """Takes the settings of another model out of copied values of fields: they are bound again where they are read."""
    infra = values.get("infra")
    if hasattr(infra, "__infra_model__"):
        values["infra"] = copy.copy(infra)
