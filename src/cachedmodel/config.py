"""A model as a `ConfDict`: all of it, the part that counts in a uid, or what differs from the defaults that count."""

from __future__ import annotations

import typing as tp

import pydantic

from .confdict import ConfDict
from .confplain import of_model
from .confsimple import text
from .differing import Shown
from .schema import fields_of

_SCALARS = frozenset((type(None), bool, int, float, str, bytes))


def whole(model: pydantic.BaseModel) -> ConfDict:
    """All fields, secrets masked; of settings, those that were given."""
    return ConfDict.from_model(model)


def counted(model: pydantic.BaseModel, exclude: frozenset[str]) -> ConfDict:
    """The fields that count in a uid, at any depth."""
    return ConfDict.from_nested(_counted(model, exclude))


def different(shown: tp.Iterable[Shown], exclude: frozenset[str] = frozenset()) -> ConfDict:
    """What differs from the defaults that count, from an identity's ``shown``."""
    return ConfDict.from_nested(_different(shown, exclude))


def files(
    model: pydantic.BaseModel, shown: tp.Iterable[Shown], exclude: frozenset[str]
) -> tp.Iterator[tuple[str, str]]:
    """Name and text of the files that tell what a folder is about: the YAML of the three above, without making them."""
    yield "config.yaml", text(of_model(model))
    yield "full-uid.yaml", text(dict(_counted(model, exclude)))
    yield "uid.yaml", text(_different(shown, exclude))


def _different(shown: tp.Iterable[Shown], exclude: frozenset[str]) -> dict[str, tp.Any]:
    out: dict[str, tp.Any] = {}  # Any: nested dicts of values of fields
    for names, _, value, _ in shown:
        inner = out
        for name in names[:-1]:
            inner = inner.setdefault(name, {})
        inner[names[-1]] = _counted(value, exclude, f"{'.'.join(names)}.")
    return out


def _counted(value: tp.Any, exclude: frozenset[str], prefix: str = "") -> tp.Any:  # Any: values of fields
    """A value without the fields in it that do not count; `prefix` comes before the dotted names of those fields."""
    if type(value) in _SCALARS:
        return value
    hook = getattr(type(value), "__uid_value__", None)
    if hook is not None:
        return hook(value)
    if isinstance(value, pydantic.RootModel):
        return _counted(value.root, exclude, prefix)
    if isinstance(value, pydantic.BaseModel):
        fields = _counting(value, exclude, prefix)
        return {name: _counted(field, exclude, f"{prefix}{name}.") for name, field in fields.items()}
    if isinstance(value, dict):
        return {key: _counted(item, exclude, prefix) for key, item in value.items()}
    if type(value) in (list, tuple):
        return type(value)(_counted(item, exclude, prefix) for item in value)
    return value


def _counting(model: pydantic.BaseModel, exclude: frozenset[str], prefix: str) -> dict[str, object]:
    """The fields of a model that count, by name."""
    state = model.__dict__
    values = {field.name: state[field.name] for field in fields_of(type(model)) if prefix + field.name not in exclude}
    if model.__pydantic_extra__:
        extra = model.__pydantic_extra__.items()
        values.update({name: value for name, value in extra if prefix + name not in exclude})
    return values
