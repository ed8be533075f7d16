"""CachedModel: what a model class is, and which methods it caches."""

from __future__ import annotations

import copy
import inspect
import re
import sys
import typing as tp
from pathlib import Path

import pydantic
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from . import infra as _infra
from .errors import DefinitionError, UidError
from .executors import check_cluster
from .infra import Infra, Mode
from .methods import Map, Method, Task
from .naming import cache_name as _cache_name
from .naming import checked_name
from .resolution import Resolver, merge
from .state import State, first_look, state_of, states
from .workdir import WorkDir

if tp.TYPE_CHECKING:
    import types

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
            _evaluate_annotations(namespace)
            _check_config(name, namespace, kwargs)
            _check_body(name, bases, namespace)
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


def _split(
    name: str, bases: tuple[type, ...], kwargs: dict[str, tp.Any]
) -> tuple[dict[str, tp.Any], object, dict[str, tp.Any]]:
    """Class keywords: those that are settings, the pinned name, and those for pydantic and ``__init_subclass__``."""
    settings = {key: value for key, value in kwargs.items() if key in _infra.LIBRARY}
    rest = {key: value for key, value in kwargs.items() if key not in settings and key != "cache_name"}
    unknown = [key for key in rest if key not in _CONFIG and not key.startswith("_")]
    if unknown:
        import difflib  # for messages alone

        named, takes_any = _hook_parameters(bases)
        for key in unknown:
            near = difflib.get_close_matches(key, [*_infra.LIBRARY, "cache_name", *_CONFIG], n=1)
            if key in named or (takes_any and not near):
                continue
            hint = (
                f"did you mean {near[0]!r}?"
                if near
                else "keywords are 'cache_name', the settings of Infra and of pydantic's ConfigDict"
            )
            raise DefinitionError(f"class {name}: there is no class keyword {key!r}; {hint}")
    return settings, kwargs.get("cache_name"), rest


def _hook_parameters(bases: tuple[type, ...]) -> tuple[set[str], bool]:
    """Names that the bases' own ``__init_subclass__`` take, and whether one of them takes any."""
    named: set[str] = set()
    takes_any = False
    for base in {base: None for parent in bases for base in parent.__mro__}:
        if base is object or base.__module__.split(".")[0] in ("pydantic", "typing", "abc", __package__):
            continue
        for hook in ("__init_subclass__", "__pydantic_init_subclass__"):
            if hook in base.__dict__:
                for parameter in inspect.signature(base.__dict__[hook].__func__).parameters.values():
                    named.add(parameter.name)
                    takes_any = takes_any or parameter.kind is parameter.VAR_KEYWORD
    return named, takes_any


def _evaluate_annotations(namespace: dict[str, tp.Any]) -> None:
    """Sees to it that a class body has a dict of annotations, to which one can be added."""
    if sys.version_info >= (3, 14) and "__annotations__" not in namespace:  # they come as a function
        import annotationlib

        annotate = annotationlib.get_annotate_from_class_namespace(namespace)
        if annotate is not None:
            namespace["__annotations__"] = annotationlib.call_annotate_function(
                annotate, annotationlib.Format.FORWARDREF
            )
    namespace.setdefault("__annotations__", {})


def _check_config(name: str, namespace: dict[str, tp.Any], kwargs: dict[str, tp.Any]) -> None:
    """Refuses a configuration of pydantic's that cannot work, and sees to what must hold whatever the bases say."""
    given = {**vars(namespace.get("Config", object)), **dict(namespace.get("model_config", {})), **kwargs}
    if given.get("extra", "forbid") != "forbid":
        raise DefinitionError(
            f"class {name}: extra={given['extra']!r} would let a misspelt field change nothing in the uid: "
            "a CachedModel has extra='forbid'; leave it out"
        )
    kwargs["extra"] = "forbid"  # also where another base says otherwise
    kwargs["ignored_types"] = tuple({**dict.fromkeys(given.get("ignored_types", ())), Task: None, Map: None})


def _check_body(name: str, bases: tuple[type, ...], namespace: dict[str, tp.Any]) -> None:
    """Refuses what pydantic would take silently for something else."""
    annotations = namespace["__annotations__"]
    annotation = annotations.get("infra", Infra)
    if annotation is not Infra and str(annotation).rpartition(".")[2].strip("'\"") != "Infra":
        raise DefinitionError(
            f"class {name}: 'infra' is reserved: declare it as infra: Infra = Infra(...), or leave it out"
        )
    if isinstance(namespace.get("infra"), Method):
        raise DefinitionError(f"class {name}: a method cannot be named 'infra', which is a field of every CachedModel")
    if "infra" in namespace and "infra" not in annotations:
        raise DefinitionError(f"class {name}: infra has no annotation: write infra: Infra = Infra(...)")
    fields = {field for base in bases for field in getattr(base, "__pydantic_fields__", {})}
    methods = {method for base in bases for method in getattr(base, "__cached_methods__", {})}
    for key, value in namespace.items():
        if isinstance(value, Method):
            if key in annotations:
                raise DefinitionError(f"{name}.{key} is both a field and a {value.kind}; give one of them another name")
            if key in fields:
                raise DefinitionError(
                    f"{name}.{key}: a {value.kind} cannot override the field {key!r}; give it another name"
                )
            if key in _RESERVED:
                raise DefinitionError(
                    f"{name}.{key}: {key!r} is a method of pydantic's; give the {value.kind} another name"
                )
        elif _is_wrapped_method(value):
            raise DefinitionError(
                f"{name}.{key}: a cached method cannot be a {type(value).__name__}: only a plain method can be decorated; "
                f"write def {key}(self...): below the decorator"
            )
        elif key in methods and key not in annotations:
            raise DefinitionError(
                f"{name}.{key} overrides a cached method, and must be one as well: decorate it with @cm.task or "
                "@cm.map(item_uid=...)"
            )
    for key in annotations:
        if key in methods:
            raise DefinitionError(
                f"{name}.{key}: a field cannot have the name of a cached method; give it another name"
            )


def _is_wrapped_method(value: object) -> bool:
    inner = getattr(value, "__func__", None) or getattr(value, "fget", None) or getattr(value, "func", None)
    return not isinstance(value, Method) and isinstance(inner, Method)


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
