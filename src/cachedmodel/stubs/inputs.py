"""What a model takes for its fields: their types, what pydantic converts to them, and dicts of nested models."""

from __future__ import annotations

import collections
import dataclasses
import datetime
import decimal
import enum
import inspect
import ipaddress
import keyword
import re
import typing as tp
import uuid
from collections import abc
from pathlib import Path, PurePath

import pydantic
import typing_extensions as te
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from cachedmodel.infra import Infra

from .texts import Texts

#: What pydantic takes for a type without losing anything, beyond what a checker takes for it.
_ALSO: dict[object, tuple[object, ...]] = {
    Path: (str,),
    PurePath: (str,),
    bytes: (str,),
    decimal.Decimal: (int, float, str),
    datetime.datetime: (str,),
    datetime.date: (str,),
    datetime.time: (str,),
    datetime.timedelta: (float, str),
    uuid.UUID: (str,),
    pydantic.SecretStr: (str,),
    pydantic.SecretBytes: (bytes, str),
    re.Pattern: (str,),
    ipaddress.IPv4Address: (str,),
    ipaddress.IPv6Address: (str,),
    pydantic.AnyUrl: (str,),
}
_FROM_ITERABLE = (list, set, frozenset, collections.deque)
_FROM_MAPPING = (dict, collections.OrderedDict, collections.defaultdict, abc.Mapping, abc.MutableMapping)
_ITEMS_ONLY = (abc.Sequence, abc.Iterable, abc.Collection, abc.Set, abc.MutableSequence, abc.MutableSet)
_EARLY = ("before", "wrap", "plain")


class Key(tp.NamedTuple):
    """One keyword of a model's ``__init__``, which is also a key of the dict that stands for the model."""

    name: str
    text: str
    is_required: bool


class Inputs:
    """The keywords of models, and the TypedDicts of nested ones, which are made where they are asked for.

    Attributes
    ----------
    dicts
        The TypedDicts so far, by name, as source.
    """

    def __init__(self, texts: Texts, taken: tp.Container[str]) -> None:
        self.texts = texts
        self.dicts: dict[str, str] = {}
        self._taken = taken
        self._names: dict[tuple[type, str], str] = {}

    def keys(self, cls: type[pydantic.BaseModel]) -> list[Key]:
        """The keywords that a model takes."""
        found: dict[str, Key] = {}
        for name, field in cls.model_fields.items():
            text = self.accepted(cls, name, field)
            names = [key for key, whole in field_keys(cls, name, field) if whole]
            parts = [key for key, whole in field_keys(cls, name, field) if not whole]
            required = field.is_required() and len(names) == 1 and not parts
            found.update({key: Key(key, text, required) for key in names})
            found.update({key: Key(key, self.texts.any(), False) for key in parts})
        return list(found.values())

    def accepted(self, cls: type[pydantic.BaseModel], name: str, field: FieldInfo) -> str:
        """What a field takes."""
        if name == "infra" and field.annotation is Infra:
            return self.texts.union([self.texts.class_text(Infra), self.texts.named("cachedmodel", "InfraDict")])
        early = [*_early_inputs(cls, name), *_early_of(field.metadata)]
        if any(kind is None for kind in early):
            return self.texts.any(f"{cls.__qualname__}.{name}: a validator runs before, and does not say what it takes")
        if _is_strict(field.metadata, bool(cls.model_config.get("strict"))):
            return self.texts.text(field.annotation)
        tag = field.discriminator if isinstance(field.discriminator, str) else ""
        return self.texts.union([self.lax(field.annotation, tag), *(self.lax(kind) for kind in early)])

    def lax(self, kind: tp.Any, tag: str = "") -> str:  # Any: a type, a generic alias, a special form
        """What pydantic takes for a type; `tag` is the discriminator, without which a dict is not accepted."""
        texts = self.texts
        origin, args = tp.get_origin(kind), tp.get_args(kind)
        if origin is tp.Annotated or origin is te.Annotated:
            return self._annotated(args, tag)
        if isinstance(kind, te.TypeAliasType) and not args:
            return self.lax(kind.__value__, tag) if _holds_model(kind.__value__) else texts.text(kind)
        if "Union" in (type(kind).__name__, type(kind).__name__.removesuffix("Type")) or origin is tp.Union:
            return texts.union(self.lax(arg, tag) for arg in args)
        if origin in _FROM_ITERABLE:
            return f"{texts.named('collections.abc', 'Iterable')}[{self.lax(args[0], tag)}]"
        if origin in _ITEMS_ONLY and args:
            return f"{texts.text(origin)}[{self.lax(args[0], tag)}]"
        if origin in _FROM_MAPPING and len(args) == 2:
            return self._mapping(args, tag)
        if origin is tuple and args:
            return self._tuple(args)
        if inspect.isclass(kind) and origin is None:
            return self._class(kind, tag)
        return texts.text(kind)

    # -- inside --------------------------------------------------------------------------------------------------------

    def _annotated(self, args: tuple[tp.Any, ...], tag: str) -> str:
        early = list(_early_of(args[1:]))
        if any(kind is None for kind in early):
            return self.texts.any("a validator runs before, and does not say what it takes")
        if _is_strict(args[1:], False):
            return self.texts.text(args[0])
        for more in args[1:]:
            named = getattr(more, "discriminator", None)
            tag = named if isinstance(named, str) else tag
        return self.texts.union([self.lax(args[0], tag), *(self.lax(kind) for kind in early)])

    def _mapping(self, args: tuple[tp.Any, ...], tag: str) -> str:
        base, value = self.texts.named("collections.abc", "Mapping"), self.lax(args[1], tag)
        # the keys of a Mapping are invariant: each kind of key by itself
        kinds = [self.texts.text(args[0]), *map(self.texts.text, _ALSO.get(args[0], ()))]
        return self.texts.union(f"{base}[{kind}, {value}]" for kind in kinds)

    def _tuple(self, args: tuple[tp.Any, ...]) -> str:
        if len(args) == 2 and args[1] is ...:
            return f"{self.texts.named('collections.abc', 'Iterable')}[{self.lax(args[0])}]"
        if any(tp.get_origin(arg) in (tp.Unpack, te.Unpack) for arg in args):
            return self.texts.text(tuple[args])  # type: ignore[valid-type]  # made at run time
        each = [self.lax(arg) for arg in args]
        return self.texts.union([f"tuple[{', '.join(each)}]", f"list[{self.texts.union(each)}]"])

    def _class(self, cls: type, tag: str) -> str:
        texts = self.texts
        text = texts.text(cls)
        if issubclass(cls, Infra):
            return texts.union([text, texts.named("cachedmodel", "InfraDict")])
        if issubclass(cls, pydantic.RootModel):
            return texts.union([text, self.lax(cls.model_fields["root"].annotation)])
        if issubclass(cls, pydantic.BaseModel):
            return texts.union([text, self._dict_of(cls, tag)])
        if issubclass(cls, enum.Enum):
            values = [member.value for member in cls if isinstance(member.value, (str, int))]
            return texts.union([text, texts.literal(values)]) if values else text
        if dataclasses.is_dataclass(cls):
            return texts.union([text, self._any_dict()])
        for base, more in _ALSO.items():
            if cls is base:
                return texts.union([text, *map(texts.text, more)])
        return text

    def _any_dict(self) -> str:
        return f"{self.texts.named('collections.abc', 'Mapping')}[str, {self.texts.any()}]"

    def _dict_of(self, cls: type[pydantic.BaseModel], tag: str) -> str:
        """The name of the TypedDict of a model."""
        generic = getattr(cls, "__pydantic_generic_metadata__", {"parameters": ()})
        if generic["parameters"] or not all(
            is_identifier(key) for name, field in cls.model_fields.items() for key, _ in field_keys(cls, name, field)
        ):
            return self._any_dict()
        tag = tag if tag in cls.model_fields else ""
        if (cls, tag) not in self._names:
            stem = "_" + re.sub(r"\W+", "_", cls.__qualname__).strip("_") + (f"_{tag}_Dict" if tag else "Dict")
            name, number = stem, 2
            while name in self._taken or name in self._names.values():
                name, number = f"{stem}{number}", number + 1
            self._names[cls, tag] = name
            self.dicts[name] = ""  # keeps its place: its fields may ask for others, or for itself
            self.dicts[name] = self._dict_source(name, cls, tag)
        return self._names[cls, tag]

    def _dict_source(self, name: str, cls: type[pydantic.BaseModel], tag: str) -> str:
        texts = self.texts
        tags = {key for key, _ in field_keys(cls, tag, cls.model_fields[tag])} if tag else set()
        lines = [f"@{texts.named('typing', 'type_check_only')}"]
        lines += [f"class {name}({texts.named('typing', 'TypedDict')}, total=False):"]
        for key in self.keys(cls):
            required = key.is_required or key.name in tags
            lines.append(
                f"    {key.name}: {texts.named('typing', 'Required') + f'[{key.text}]' if required else key.text}"
            )
        return "\n".join(lines if len(lines) > 2 else [*lines, "    pass"]) + "\n"


def is_identifier(key: str) -> bool:
    """True if a key can be written as a keyword of a call."""
    return key.isidentifier() and not keyword.iskeyword(key)


def field_keys(cls: type[pydantic.BaseModel], name: str, field: FieldInfo) -> list[tuple[str, bool]]:
    """The keys under which a model takes a field, and whether each holds the whole value."""
    config = cls.model_config
    given = field.validation_alias if field.validation_alias is not None else field.alias
    by_name = config.get("validate_by_name") or config.get("populate_by_name")
    keys: list[tuple[str, bool]] = []
    if given is not None and config.get("validate_by_alias", True):
        for choice in given.choices if isinstance(given, pydantic.AliasChoices) else [given]:
            keys.append((choice, True) if isinstance(choice, str) else (str(choice.path[0]), False))
    return keys if keys and not by_name else [(name, True), *keys]


def _is_strict(metadata: tp.Iterable[object], is_strict: bool) -> bool:
    for one in metadata:
        said = getattr(one, "strict", None)
        is_strict = said if isinstance(said, bool) else is_strict
    return is_strict


def _early_inputs(cls: type[pydantic.BaseModel], name: str) -> tp.Iterator[object]:
    """What the validators of a class take that run before the type of a field is checked; None: they do not say."""
    for validator in cls.__pydantic_decorators__.field_validators.values():
        info = validator.info
        if info.mode in _EARLY and (name in info.fields or "*" in info.fields):
            yield _taken_by(validator.func, info.json_schema_input_type)


def _early_of(metadata: tp.Iterable[object]) -> tp.Iterator[object]:
    for one in metadata:
        if isinstance(one, (pydantic.BeforeValidator, pydantic.WrapValidator, pydantic.PlainValidator)):
            yield _taken_by(one.func, one.json_schema_input_type)


def _taken_by(func: tp.Any, declared: object) -> object:  # Any: functions of several signatures
    """The type of the value that a validator takes; None if it does not say."""
    if declared is not PydanticUndefined and declared is not tp.Any:
        return declared
    try:
        parameter = next(iter(inspect.signature(func).parameters))
        said: object = tp.get_type_hints(inspect.unwrap(getattr(func, "__func__", func))).get(parameter)
    except (StopIteration, TypeError, ValueError, NameError):
        return None
    return None if said in (tp.Any, object) else said


def _holds_model(kind: object) -> bool:
    """True if there are models in what an alias stands for: they are accepted as dicts too."""
    if inspect.isclass(kind) and not tp.get_args(kind):
        return issubclass(kind, (pydantic.BaseModel, *(base for base in _ALSO if isinstance(base, type))))
    return any(_holds_model(arg) for arg in tp.get_args(kind))
