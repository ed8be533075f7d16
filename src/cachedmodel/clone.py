"""A new model from the values of another, some of them updated."""

from __future__ import annotations

import typing as tp
from collections.abc import Mapping

import pydantic

from .confdict import ConfDict
from .infra import Infra

if tp.TYPE_CHECKING:
    from .model import CachedModel


def clone(model: CachedModel, *updates: Mapping[str, tp.Any]) -> CachedModel:
    """A new model of the same class with the values of `model`, which stay exactly what they are, but for the updates.

    Parameters
    ----------
    updates
        Values by name; ``"a.b"`` names a field of a nested model or a key of a mapping. A mapping is merged into what is
        there, unless it holds ``"=replace=": True``.
    """
    conf = ConfDict()
    for update in updates:
        conf.update(update)
    values = dict(model.__dict__)
    given = set(model.model_fields_set)
    for name, update in dict(conf).items():
        values[name] = _merged(values.get(name), update)
        given.add(name)
    out = type(model).model_validate(values, by_name=True)
    object.__setattr__(out, "__pydantic_fields_set__", given & set(type(model).model_fields))
    return out


def _merged(old: tp.Any, update: tp.Any) -> tp.Any:
    if not isinstance(update, Mapping):
        return update
    update = dict(update)
    replace = update.pop("=replace=", False)
    if isinstance(old, Infra):
        old = {} if replace else dict(old.given)
        return {**old, **{key: _merged(old.get(key), value) for key, value in update.items()}}
    if replace or not isinstance(old, (pydantic.BaseModel, Mapping)):
        return update
    values: dict[tp.Any, tp.Any] = dict(old.__dict__ if isinstance(old, pydantic.BaseModel) else old)
    if isinstance(old, pydantic.BaseModel):
        fields = type(old).model_fields
        known = {name: value for name, value in values.items() if name in old.model_fields_set or name in update}
        values = {fields[name].alias or name: value for name, value in known.items() if name in fields}
        update = {(fields[name].alias or name if name in fields else name): value for name, value in update.items()}
    return {**values, **{key: _merged(values.get(key), value) for key, value in update.items()}}
