"""Python values as nested plain ones: the fields of models for `ConfDict`, and what a YAML file can hold."""

from __future__ import annotations

import collections
import dataclasses
import datetime
import enum
import functools
import os
import typing as tp
from collections.abc import Callable, Mapping

import pydantic

from . import uid
from .errors import UidError
from .loaded import loaded

MASK = "**********"
_SECRETS = (pydantic.SecretStr, pydantic.SecretBytes, pydantic.Secret)
_SCALARS = frozenset((type(None), bool, int, float, str, bytes, datetime.date))
_SEQUENCES = (list, tuple, set, frozenset, collections.deque)


# -- models ---------------------------------------------------------------------------------------------------------


def fields(
    model: pydantic.BaseModel, exclude_defaults: bool = False, keep: frozenset[str] = frozenset()
) -> dict[str, tp.Any]:
    """The fields of a model by name, models inside as dicts and secrets masked; `keep` stay even at their default."""
    found: dict[str, tp.Any] = {}
    told_apart = _all_discriminators(type(model))
    for name, field in type(model).__pydantic_fields__.items():
        # not getattr: it would warn for a deprecated field
        value = model.__dict__[name] if name in model.__dict__ else getattr(model, name)
        if exclude_defaults and name not in keep and _is_default(field, value, model):
            continue
        found[name] = value if type(value) in _SCALARS else nested(value, exclude_defaults, told_apart[name])
    for name, value in (model.__pydantic_extra__ or {}).items():
        found[name] = nested(value, exclude_defaults)
    return found


def of_model(model: pydantic.BaseModel, exclude_defaults: bool = False) -> dict[str, tp.Any]:
    """A model as `ConfDict.from_model` gives it, in plain dicts."""
    value = nested(model, exclude_defaults)
    return value if isinstance(value, dict) else {"root": value}


def nested(value: object, exclude_defaults: bool = False, keep: frozenset[str] = frozenset()) -> tp.Any:
    """The same value with each model and dataclass in it, at any depth, as a dict of its fields."""
    if type(value) in _SCALARS:
        return value
    hook = getattr(type(value), "__conf_value__", None)
    if hook is not None:
        return nested(hook(value), exclude_defaults)
    if isinstance(value, pydantic.RootModel):
        return nested(value.root, exclude_defaults, keep)
    if isinstance(value, pydantic.BaseModel):
        return fields(value, exclude_defaults, keep)
    if isinstance(value, _SECRETS):
        return MASK
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: nested(getattr(value, f.name), exclude_defaults) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {key: nested(sub, exclude_defaults, keep) for key, sub in value.items()}
    if type(value) in (list, tuple):
        return type(value)(nested(sub, exclude_defaults, keep) for sub in value)  # type: ignore[attr-defined,call-arg]
    if isinstance(value, (set, frozenset)) and any(isinstance(sub, (pydantic.BaseModel, *_SECRETS)) for sub in value):
        return [nested(sub, exclude_defaults, keep) for sub in value]  # dicts cannot be in a set
    return value


def _is_default(field: pydantic.fields.FieldInfo, value: object, model: pydantic.BaseModel) -> bool:
    """True where the value equals the default of its field in type and value."""
    if field.is_required():
        return False
    try:
        default = field.get_default(call_default_factory=True, validated_data=model.__dict__)
        try:
            return default is value or uid.canonical(default) == uid.canonical(value)
        except UidError:  # secrets among them
            return type(default) is type(value) and bool(default == value)
    except Exception:  # a factory and a comparison may raise anything: what is unknown is shown
        return False


@functools.lru_cache(maxsize=4096)
def _all_discriminators(cls: type[pydantic.BaseModel]) -> dict[str, frozenset[str]]:
    return {name: _discriminators(field) for name, field in cls.__pydantic_fields__.items()}


def _discriminators(annotation: object) -> frozenset[str]:
    """Names of the fields that say which member of a union a model is: a config without them could not be read."""
    own = getattr(annotation, "discriminator", None)  # of a FieldInfo or a Discriminator
    names = frozenset([own]) if isinstance(own, str) else frozenset()
    inner = [getattr(annotation, "annotation", None), *tp.get_args(annotation)]
    inner += [*getattr(annotation, "metadata", ()), *getattr(annotation, "__metadata__", ())]
    return names.union(*(_discriminators(sub) for sub in inner if not isinstance(sub, (str, int, bytes, type(None)))))


# -- what YAML can hold -----------------------------------------------------------------------------------------------


def plain(value: object, key: Callable[[str], str] = str) -> tp.Any:
    """The value from None, bool, int, float, str, bytes, date, datetime, list and dict alone.

    Those come through unchanged, all others as something readable: tuples, sets (sorted) and arrays as lists,
    enums as their values, paths, decimals, UUIDs and times as text, numpy scalars as numbers, models and dataclasses
    as dicts, secrets masked, classes and functions as ``"module:name"``, anything else as its ``repr``.
    Keys that are strings are passed through `key`.
    """
    if type(value) in _SCALARS:
        return value
    if isinstance(value, enum.Enum):
        return plain(value.value, key)
    if isinstance(value, bytes):
        return bytes(value)
    for base in (str, float, int):  # numpy.float64 and numpy.str_ among them
        if isinstance(value, base):
            return base(value)
    if isinstance(value, datetime.datetime):
        return value if _is_yaml_time(value) else value.isoformat()
    if isinstance(value, (pydantic.BaseModel, *_SECRETS)) or (dataclasses.is_dataclass(value) and _is_object(value)):
        return plain(nested(value), key)
    if isinstance(value, Mapping):
        return _plain_mapping(value, key)
    if isinstance(value, _SEQUENCES):
        items = [plain(sub, key) for sub in value]
        return sorted(items, key=_order) if isinstance(value, (set, frozenset)) else items
    return _plain_other(value, key)


def _plain_mapping(value: Mapping[tp.Any, object], key: Callable[[str], str]) -> dict[tp.Any, tp.Any]:
    out: dict[tp.Any, tp.Any] = {}
    for name, sub in value.items():
        flat = name if type(name) is str else plain(name, key)
        if isinstance(flat, str):
            flat = key(flat)
        elif isinstance(flat, (list, dict)):
            flat = repr(name)
        if flat in out:
            raise ValueError(f"two keys of a mapping are both written {flat!r}, one of them {name!r}: rename one")
        out[flat] = plain(sub, key)
    return out


def _plain_other(value: object, key: Callable[[str], str]) -> tp.Any:
    numpy = loaded("numpy")
    if numpy is not None and isinstance(value, (numpy.ndarray, numpy.generic)):
        inner = value.tolist()
        # long doubles and times of a resolution of their own stay what they are
        return str(value) if isinstance(inner, numpy.generic) else plain(inner, key)
    if isinstance(value, bytearray | memoryview):
        return bytes(value)
    if isinstance(value, os.PathLike):
        return plain(os.fspath(value), key)
    if isinstance(value, (datetime.date, datetime.time)):
        return value.isoformat()
    name = getattr(value, "__qualname__", None)
    if isinstance(name, str):
        return f"{getattr(value, '__module__', None)}:{name}"
    return str(value)


def _is_object(value: object) -> bool:
    return not isinstance(value, type)


def _is_yaml_time(value: datetime.datetime) -> bool:
    """YAML knows offsets in minutes only."""
    offset = value.utcoffset()
    return offset is None or not (offset.seconds % 60 or offset.microseconds)


def _order(item: object) -> tuple[bool, object, str]:
    """Numbers by value, then all others by their text."""
    number = isinstance(item, (int, float)) and item == item
    return not number, item if number else 0, "" if number else f"{type(item).__name__} {item!r}"
