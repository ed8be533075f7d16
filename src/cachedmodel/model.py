"""CachedModel: what a model class is, and which methods it caches."""

from __future__ import annotations

import difflib
import typing as tp
from pathlib import Path

import pydantic

from . import infra as _infra
from .binding import State, state_of
from .bound import BoundInfra, InfraField
from .errors import DefinitionError, UidError
from .infra import Infra, Mode, Resolver
from .methods import Map, Method, Task
from .naming import cache_name as _cache_name
from .naming import checked_name
from .workdir import WorkDir

_CONFIG = frozenset(pydantic.ConfigDict.__annotations__)
_RESERVED = frozenset(name for name in dir(pydantic.BaseModel) if not name.startswith("_")) | {"infra"}

if tp.TYPE_CHECKING:
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
            settings, pinned, kwargs = _split(name, bases, kwargs)
            _check_body(name, bases, namespace, kwargs)
            defaults = _class_defaults(name, bases, namespace, settings)
            resolver = Resolver(defaults)
            annotations = namespace.setdefault("__annotations__", {})
            annotations["infra"] = tp.Annotated[Infra, resolver]
            namespace["infra"] = pydantic.Field(default_factory=resolver.default)
            namespace["__infra_defaults__"] = defaults
            cls = super().__new__(mcs, name, bases, namespace, **kwargs)
            type.__setattr__(cls, "infra", InfraField())
            cls.__cached_methods__ = _methods(cls)
            made_by_call = "__module__" not in namespace or kwargs.get("_create_model_module") is not None
            cls.__cache_name__ = (
                checked_name(pinned, name) if pinned is not None else _cache_name(cls, namespace, made_by_call)
            )
            return cls


def _split(
    name: str, bases: tuple[type, ...], kwargs: dict[str, tp.Any]
) -> tuple[dict[str, tp.Any], object, dict[str, tp.Any]]:
    """Class keywords: those that are settings, the pinned name, and pydantic's."""
    settings = {key: value for key, value in kwargs.items() if key in _infra.LIBRARY}
    rest = {key: value for key, value in kwargs.items() if key not in settings and key != "cache_name"}
    takes_more = any(
        "__init_subclass__" in base.__dict__ or "__pydantic_init_subclass__" in base.__dict__
        for parent in bases
        for base in parent.__mro__
        if base is not object and base is not pydantic.BaseModel and not base.__module__.startswith("pydantic.")
    )
    for key in rest:
        if key not in _CONFIG and not key.startswith("_") and not takes_more:
            near = difflib.get_close_matches(key, [*_infra.LIBRARY, "cache_name", *_CONFIG], n=1)
            hint = (
                f"did you mean {near[0]!r}?"
                if near
                else "keywords are 'cache_name', the settings of Infra and of pydantic's ConfigDict"
            )
            raise DefinitionError(f"class {name}: there is no class keyword {key!r}; {hint}")
    return settings, kwargs.get("cache_name"), rest


def _check_body(name: str, bases: tuple[type, ...], namespace: dict[str, tp.Any], kwargs: dict[str, tp.Any]) -> None:
    """Refuses what pydantic would take silently for something else."""
    config = {**dict(namespace.get("model_config", {})), **kwargs}
    if config.get("extra", "forbid") != "forbid":
        raise DefinitionError(
            f"class {name}: extra={config['extra']!r} would let a misspelt field change nothing in the uid: "
            "a CachedModel has extra='forbid'; leave it out"
        )
    annotation = namespace.get("__annotations__", {}).get("infra", Infra)
    if annotation is not Infra and str(annotation).rpartition(".")[2] != "Infra":
        raise DefinitionError(
            f"class {name}: 'infra' is reserved: declare it as infra: Infra = Infra(...), or leave it out"
        )
    if isinstance(namespace.get("infra"), Method):
        raise DefinitionError(f"class {name}: a method cannot be named 'infra', which is a field of every CachedModel")
    fields = {field for base in bases for field in getattr(base, "__pydantic_fields__", {})}
    methods = {method for base in bases for method in getattr(base, "__cached_methods__", {})}
    for key, value in namespace.items():
        if isinstance(value, Method):
            if key in fields:
                raise DefinitionError(
                    f"{name}.{key}: a {value.kind} cannot override the field {key!r}; give it another name"
                )
            if key in _RESERVED:
                raise DefinitionError(
                    f"{name}.{key}: {key!r} is a method of pydantic's; give the {value.kind} another name"
                )
        elif key in methods:
            raise DefinitionError(
                f"{name}.{key} overrides a cached method, and must be one as well: decorate it with @cm.task or @cm.map(...)"
            )
    for key in namespace.get("__annotations__", {}):
        if key in methods or isinstance(namespace.get(key), Method):
            raise DefinitionError(
                f"{name}.{key}: a field cannot have the name of a cached method; give it another name"
            )


def _class_defaults(
    name: str, bases: tuple[type, ...], namespace: dict[str, tp.Any], settings: dict[str, tp.Any]
) -> dict[str, tp.Any]:
    """The defaults of a class: its parents', the ``infra`` of its body, its keywords."""
    defaults: dict[str, tp.Any] = {}
    for base in reversed(bases):
        defaults = _infra.merge(defaults, getattr(base, "__infra_defaults__", {}))
    body = namespace.get("infra")
    if body is not None:
        if not isinstance(body, (Infra, dict)):
            raise DefinitionError(f"class {name}: infra = {body!r} gives no settings: write infra: Infra = Infra(...)")
        defaults = _infra.merge(defaults, _infra.validated(body, f"class {name}"))
    return _infra.merge(defaults, _infra.validated(settings, f"class {name}"))


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

    model_config = pydantic.ConfigDict(extra="forbid", ignored_types=(Task, Map))
    __slots__ = ("__cachedmodel__", "__weakref__")
    __infra_defaults__: tp.ClassVar[dict[str, tp.Any]]
    __cached_methods__: tp.ClassVar[dict[str, Method]]
    __cache_name__: tp.ClassVar[str]

    if tp.TYPE_CHECKING:

        @property  # a slot, which dataclass_transform would take for a field
        def __cachedmodel__(self) -> State: ...

    else:

        def __setattr__(self, name, value):
            if name in type(self).__pydantic_fields__:
                self._refuse_if_frozen(name)
            if name == "infra":
                self._set_infra(value)
            else:
                super().__setattr__(name, value)

        def __delattr__(self, name):
            if name in type(self).__pydantic_fields__:
                self._refuse_if_frozen(name)
            super().__delattr__(name)

    def __getstate__(self) -> dict[tp.Any, tp.Any]:
        state = super().__getstate__()
        infra = state["__dict__"].get("infra")
        if isinstance(infra, BoundInfra):  # bound again where it is read
            unbound = _infra.make(dict(infra.__dict__), dict(infra.given), infra.__infra_base__, infra.__infra_class__)
            state["__dict__"] = {**state["__dict__"], "infra": unbound}
        return state

    def __setstate__(self, state: dict[tp.Any, tp.Any]) -> None:
        super().__setstate__(state)
        object.__setattr__(self, "__cachedmodel__", State(arrived=True))

    def _refuse_if_frozen(self, name: str) -> None:
        if state_of(self).frozen:
            raise UidError(
                f"the uid of this {type(self).__name__} was computed, so its field {name!r} cannot change: "
                f"make another with infra.clone_obj({{{name!r}: ...}})"
            )

    def _set_infra(self, value: object) -> None:
        if self.model_config.get("frozen"):
            raise pydantic.ValidationError.from_exception_data(
                type(self).__name__, [{"type": "frozen_instance", "loc": ("infra",), "input": value}]
            )
        given = _infra.validated(tp.cast("tp.Mapping[str, object]", value), f"{type(self).__name__}.infra")
        self.__dict__["infra"] = _infra.resolve(type(self).__infra_defaults__, given, _infra.base())
        self.__pydantic_fields_set__.add("infra")
        for bound in state_of(self).values():
            bound.forget()
