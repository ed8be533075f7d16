"""A model as a `ConfDict`: all of it, the part that counts in a uid, or what differs from the defaults that count."""

from __future__ import annotations

import typing as tp

import pydantic

from .confdict import ConfDict
from .differing import Shown
from .schema import fields_of

_SCALARS = frozenset((type(None), bool, int, float, str, bytes))


def whole(model: pydantic.BaseModel) -> ConfDict:
    """All fields, secrets masked; of settings, those that were given."""
    return ConfDict.from_model(model)


def counted(model: pydantic.BaseModel, exclude: frozenset[str]) -> ConfDict:
    """The fields that count in a uid, at any depth."""
    return ConfDict.from_nested(_counted(model, exclude, ()))


def different(shown: tp.Iterable[Shown], exclude: frozenset[str] = frozenset()) -> ConfDict:
    """What differs from the defaults that count, from an identity's ``shown``."""
    out: dict[str, tp.Any] = {}  # Any: nested dicts of values of fields
    for names, _, value, _ in shown:
        inner = out
        for name in names[:-1]:
            inner = inner.setdefault(name, {})
        inner[names[-1]] = _counted(value, exclude, names)
    return ConfDict.from_nested(out)


def _counted(value: tp.Any, exclude: frozenset[str], names: tuple[str, ...]) -> tp.Any:  # Any: values of fields
    if type(value) in _SCALARS:
        return value
    hook = getattr(type(value), "__uid_value__", None)
    if hook is not None:
        return hook(value)
    if isinstance(value, pydantic.RootModel):
        return _counted(value.root, exclude, names)
    if isinstance(value, pydantic.BaseModel):
        fields = _counting(value, exclude, names)
        return {name: _counted(field, exclude, (*names, name)) for name, field in fields.items()}
    if isinstance(value, dict):
        return {key: _counted(item, exclude, names) for key, item in value.items()}
    if type(value) in (list, tuple):
        return type(value)(_counted(item, exclude, names) for item in value)
    return value


def _counting(model: pydantic.BaseModel, exclude: frozenset[str], names: tuple[str, ...]) -> dict[str, object]:
    """The fields of a model that count, by name; `names` lead to the model."""
    values = {field.name: model.__dict__[field.name] for field in fields_of(type(model))}
    values.update(model.__pydantic_extra__ or {})
    return {name: value for name, value in values.items() if ".".join((*names, name)) not in exclude}
