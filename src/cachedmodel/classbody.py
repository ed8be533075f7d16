"""What a class statement may say: its keywords, its configuration of pydantic's and its body; all else is refused."""

from __future__ import annotations

import inspect
import sys
import typing as tp

import pydantic

from .errors import DefinitionError
from .infra import LIBRARY, Infra
from .methods import Map, Method, Task

_CONFIG = frozenset(pydantic.ConfigDict.__annotations__)
_RESERVED = frozenset(name for name in dir(pydantic.BaseModel) if not name.startswith("_")) | {"infra"}


def split_keywords(
    name: str, bases: tuple[type, ...], kwargs: dict[str, tp.Any]
) -> tuple[dict[str, tp.Any], object, dict[str, tp.Any]]:
    """Class keywords: those that are settings, the pinned name, and those for pydantic and ``__init_subclass__``."""
    settings = {key: value for key, value in kwargs.items() if key in LIBRARY}
    rest = {key: value for key, value in kwargs.items() if key not in settings and key != "cache_name"}
    unknown = [key for key in rest if key not in _CONFIG and not key.startswith("_")]
    if unknown:
        import difflib  # for messages alone

        named, takes_any = _hook_parameters(bases)
        for key in unknown:
            near = difflib.get_close_matches(key, [*LIBRARY, "cache_name", *_CONFIG], n=1)
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


def evaluate_annotations(namespace: dict[str, tp.Any]) -> None:
    """Sees to it that a class body has a dict of annotations, to which one can be added."""
    if sys.version_info >= (3, 14) and "__annotations__" not in namespace:  # they come as a function
        import annotationlib

        annotate = annotationlib.get_annotate_from_class_namespace(namespace)
        if annotate is not None:
            namespace["__annotations__"] = annotationlib.call_annotate_function(
                annotate, annotationlib.Format.FORWARDREF
            )
    namespace.setdefault("__annotations__", {})


def check_config(name: str, namespace: dict[str, tp.Any], kwargs: dict[str, tp.Any]) -> None:
    """Refuses a configuration of pydantic's that cannot work, and sees to what must hold whatever the bases say."""
    given = {**vars(namespace.get("Config", object)), **dict(namespace.get("model_config", {})), **kwargs}
    if given.get("extra", "forbid") != "forbid":
        raise DefinitionError(
            f"class {name}: extra={given['extra']!r} would let a misspelt field change nothing in the uid: "
            "a CachedModel has extra='forbid'; leave it out"
        )
    kwargs["extra"] = "forbid"  # also where another base says otherwise
    kwargs["ignored_types"] = tuple({**dict.fromkeys(given.get("ignored_types", ())), Task: None, Map: None})


def check_body(name: str, bases: tuple[type, ...], namespace: dict[str, tp.Any]) -> None:
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
