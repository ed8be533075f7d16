"""A new model from the values of another, some of them updated."""

from __future__ import annotations

import dataclasses
import typing as tp
from collections.abc import Mapping

import pydantic
from pydantic_core import PydanticUndefined

from .confkeys import REPLACE, is_index, split
from .infra import Infra, make, validated

if tp.TYPE_CHECKING:
    from .model import CachedModel

Model = tp.TypeVar("Model", bound=pydantic.BaseModel)


class _Merge(dict[tp.Any, tp.Any]):
    """Updates by name that are merged into what is there; `replace` if they take its place."""

    replace = False


def clone(model: CachedModel, *updates: Mapping[str, tp.Any]) -> CachedModel:
    """A new model of the same class with the values of `model`, which stay exactly what they are, but for the updates.

    Parameters
    ----------
    updates
        Values by name; ``"a.b"`` names a field of a nested model, a key of a mapping or an index of a list, and a
        backslash before a dot makes it part of a key. A mapping is merged into what is there, unless it holds
        ``"=replace=": True``.
    """
    merge = _Merge()
    for update in updates:
        _add(merge, update)
    return _cloned(model, merge)


def _add(merge: _Merge, update: Mapping[tp.Any, tp.Any]) -> None:
    for key, value in update.items():
        if key == REPLACE and value is True:
            merge.clear()
            merge.replace = True
    for key, value in update.items():
        if key == REPLACE and value is True:
            continue
        *parents, last = split(key)
        inner = merge
        for name in parents:
            inner = _inner(inner, name)
        if isinstance(value, Mapping):
            _add(_inner(inner, last), value)
        else:
            inner[last] = value


def _inner(merge: _Merge, name: object) -> _Merge:
    if not isinstance(merge.get(name), _Merge):
        merge[name] = _Merge()
    return tp.cast(_Merge, merge[name])


def _cloned(model: Model, merge: _Merge) -> Model:
    values = _values(model)
    given = set(model.model_fields_set)
    for name, update in merge.items():
        values[name] = _merged(values.get(name, model.__dict__.get(name)), update)
        given.add(name)
    out = type(model).model_validate(values, by_name=True)
    object.__setattr__(out, "__pydantic_fields_set__", given & set(type(model).model_fields))
    for name in values.keys() - merge.keys():
        if type(out.__dict__[name]) is not type(model.__dict__[name]) and name != "infra":
            out.__dict__[name] = model.__dict__[name]  # a default, or an assigned value, that was never validated
    return out


def _values(model: pydantic.BaseModel) -> dict[str, tp.Any]:  # Any: values of fields
    """What gives the same model again: all values but the defaults, which need not be valid."""
    values = {}
    for name, field in type(model).model_fields.items():
        value = model.__dict__.get(name, PydanticUndefined)
        if name in model.model_fields_set or value is not field.default:
            values[name] = value
    return values


def _merged(old: tp.Any, update: tp.Any) -> tp.Any:
    """What comes of an update of a value."""
    if not isinstance(update, _Merge):
        return update
    if isinstance(old, Infra):
        return _infra_merged(old, update)
    if update.replace or not isinstance(old, (pydantic.BaseModel, Mapping, list, tuple)):
        if not update.replace and dataclasses.is_dataclass(old) and not isinstance(old, type):
            values = {field.name: getattr(old, field.name) for field in dataclasses.fields(old)}
            return {**values, **{key: _merged(values.get(key), value) for key, value in update.items()}}
        return {key: _merged(None, value) for key, value in update.items()}
    if isinstance(old, pydantic.RootModel):
        return _merged(old.root, update)
    if isinstance(old, pydantic.BaseModel):
        return _nested(old, update)
    if isinstance(old, Mapping):
        return {**old, **{key: _merged(old.get(key), value) for key, value in update.items()}}
    return _items(old, update)


def _nested(old: pydantic.BaseModel, update: _Merge) -> object:
    """A nested model of the same class; where that does not take the update, values for another member of a union."""
    try:
        return _cloned(old, update)
    except pydantic.ValidationError:
        values = _values(old)
        return {**values, **{key: _merged(values.get(key), value) for key, value in update.items()}}


def _items(old: list[tp.Any] | tuple[tp.Any, ...], update: _Merge) -> object:
    if not all(is_index(key) and -len(old) <= int(key) < len(old) for key in update):
        return {key: _merged(None, value) for key, value in update.items()}  # pydantic says what is wrong with it
    items = list(old)
    for key, value in update.items():
        items[int(key)] = _merged(items[int(key)], value)
    return type(old)(items)


def _infra_merged(old: Infra, update: _Merge) -> Infra:
    """Settings over those given to the original; what held below them goes on to hold."""
    given = {} if update.replace else dict(old.given)
    changes = {key: _merged(given.get(key), value) for key, value in update.items()}
    given.update(validated(changes, "infra"))
    return make({**old.__dict__, **given}, given, old.layers)
