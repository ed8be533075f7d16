"""Classes of a stub that are pydantic models: explicit ``__init__``, made of what the class is at run time."""

from __future__ import annotations

import inspect
import typing as tp

import pydantic

from cachedmodel.functions import ConfigFactory, FunctionConfig
from cachedmodel.methods import Map, Method, Task
from cachedmodel.model import CachedModel

from .inputs import Inputs, is_identifier
from .texts import Texts

_OURS = ("pydantic.", "cachedmodel.")


def is_model(value: object) -> tp.TypeGuard[type[pydantic.BaseModel]]:
    """True for the classes that get an ``__init__`` of their own."""
    return inspect.isclass(value) and issubclass(value, pydantic.BaseModel)


def init_lines(cls: type[pydantic.BaseModel], inputs: Inputs) -> list[str]:
    """The ``__init__`` of a model, one keyword a line; none if the user wrote one, here or in a parent."""
    texts = inputs.texts
    if not _has_pydantic_init(cls):
        return []
    if issubclass(cls, pydantic.RootModel):
        missing = texts.named("pydantic_core", "PydanticUndefinedType")  # which is the default at run time
        root = texts.union([inputs.accepted(cls, "root", cls.model_fields["root"]), missing])
        return [f"def __init__(self, /, root: {root} = ..., **data: {texts.any()}) -> None: ..."]
    keys = inputs.keys(cls)
    parts = ["self"]
    named = [key for key in keys if is_identifier(key.name)]
    if named:
        parts.append("*")
        parts += [f"{key.name}: {key.text}" + ("" if key.is_required else " = ...") for key in named]
    others = sorted({key.name for key in keys} - {key.name for key in named})
    if others:
        texts.note(f"{cls.__qualname__}: {', '.join(others)} cannot be written as keywords, so any keyword is taken")
    if others or cls.model_config.get("extra") == "allow":
        parts.append(f"**data: {texts.any()}")
    if len(parts) == 1:
        return ["def __init__(self) -> None: ..."]
    return ["def __init__(", *(f"    {part}," for part in parts), ") -> None: ..."]


def dynamic_lines(cls: type[pydantic.BaseModel], name: str, inputs: Inputs) -> list[str]:
    """A model that no class statement made, as a class statement."""
    texts = inputs.texts
    bases = ", ".join(texts.class_text(base) for base in cls.__bases__)
    inherited = {key: field for base in cls.__bases__ for key, field in getattr(base, "model_fields", {}).items()}
    body = []
    for key, field in cls.model_fields.items():
        if key != "infra" and (key not in inherited or inherited[key].annotation != field.annotation):
            body.append(
                f"{key}: {texts.text(field.annotation)}{'' if field.is_required() else f' = {texts.default()}'}"
            )
    for key, method in vars(cls).items():
        if isinstance(method, Method):
            body.append(f"{key}: {texts.named('typing', 'ClassVar')}[{_method(method, texts)}]")
    return [f"class {name}({bases}):", *(f"    {line}" for line in [*body, *init_lines(cls, inputs)] or ["..."])]


def factory_lines(factory: ConfigFactory[tp.Any, tp.Any], name: str, inputs: Inputs) -> list[str]:
    """What `to_config_model` made: called with the function's own arguments, it gives a model that has them as fields."""
    texts, model = inputs.texts, factory.model
    only = texts.named("typing", "type_check_only")
    result = texts.text(_result(model))
    base = texts.named("cachedmodel.functions", "FunctionConfig")
    lines = [f"@{only}", f"class _{name}Config({base}[{result}]):"]
    lines += [
        f"    {key}: {texts.text(field.annotation)}" for key, field in model.model_fields.items() if key != "infra"
    ]
    lines += [f"    {line}" for line in init_lines(model, inputs)]
    parameters = ["self", *_parameters(model, inputs)]
    lines += [
        f"@{only}",
        f"class _{name}Factory({texts.named('cachedmodel.functions', 'ConfigFactory')}[..., {result}]):",
        f"    model: type[_{name}Config]",
        f"    def __init__(self, func: {texts.named('collections.abc', 'Callable')}[..., {texts.any()}]) -> None: ...",
        "    def __call__(",
        *(f"        {parameter}," for parameter in parameters),
        f"    ) -> _{name}Config: ...",
        f"{name}: _{name}Factory",
    ]
    return lines


def _has_pydantic_init(cls: type) -> bool:
    owner = next(base for base in cls.__mro__ if "__init__" in base.__dict__)
    return owner.__module__.startswith(_OURS)


def _method(method: Method, texts: Texts) -> str:
    """A cached method that was added at run time."""
    try:
        hints = tp.get_type_hints(method.func)
    except (NameError, TypeError):
        hints = {}
    result = hints.pop("return", tp.Any)
    if isinstance(method, Task):
        return f"{texts.class_text(Task)}[{texts.text(result)}]"
    items = next(iter(hints.values()), tp.Any)
    kinds = [next(iter(tp.get_args(kind)), tp.Any) for kind in (items, result)]
    return f"{texts.class_text(Map)}[{', '.join(map(texts.text, kinds))}]"


def _result(model: type[FunctionConfig[tp.Any]]) -> object:
    try:
        return tp.get_type_hints(model.__function__).get("return", tp.Any)
    except (NameError, TypeError):
        return tp.Any


def _parameters(model: type[FunctionConfig[tp.Any]], inputs: Inputs) -> list[str]:
    """The parameters of the function, with what their fields take, and ``infra``."""
    parameters: list[str] = []
    keyword_only = False
    for parameter in inspect.signature(model.__function__).parameters.values():
        if parameter.kind is parameter.KEYWORD_ONLY and not keyword_only:
            parameters.append("*")
            keyword_only = True
        text = inputs.accepted(model, parameter.name, model.model_fields[parameter.name])
        default = "" if parameter.default is parameter.empty else " = ..."
        parameters.append(f"{parameter.name}: {text}{default}")
    if not keyword_only:
        parameters.append("*")
    infra = inputs.accepted(model, "infra", CachedModel.model_fields["infra"])
    return [*parameters, f"infra: {infra} = ..."]
