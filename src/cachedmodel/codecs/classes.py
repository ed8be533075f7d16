"""Instances of the user's own classes: dataclasses, pydantic models, enums and named tuples, without pickle.

A class is stored by the path that leads to it, with the names of its fields, and found again by importing its module.
Only these four sorts are taken, and that is checked when they are read too. No method of the class runs: what was in
the instance is put back. An instance of a class that has changed its fields since is not restored.
"""

from __future__ import annotations

import dataclasses
import enum
import importlib
import sys
import typing as tp

from cachedmodel.errors import CacheError
from cachedmodel.mainmodule import MAIN

from .base import Declined
from .kinds import Kind, State

_HOOKS = ("__reduce__", "__reduce_ex__", "__getstate__", "__setstate__", "__getnewargs__", "__getnewargs_ex__")


def find(cls: type) -> Kind | None:
    """The kind of the instances of `cls`."""
    return _KIND_OF_SORT.get(_sort(cls))


def describe(cls: type) -> tuple[str, str, str, str]:
    """Sort, module, path inside it and fields of a class; raises `Declined` if they do not lead back to it."""
    sort, module, path = _sort(cls), cls.__module__, cls.__qualname__
    reason = why_not_found(cls)
    if reason is not None:
        raise Declined(reason)
    return sort, module, path, ",".join(_fields(sort, cls))


def why_not_found(cls: type) -> str | None:
    """What is in the way of finding a class again by its path, as the end of a sentence; else None."""
    name = f"is of the class {cls.__module__}.{cls.__qualname__}"
    if cls.__module__ in MAIN:
        return f"{name}, which other processes do not find: define it in a module"
    if "<locals>" in cls.__qualname__:
        return f"{name}, which is local to a function: define it at the top of its module"
    if _at(sys.modules.get(cls.__module__), cls.__qualname__) is not cls:
        return f"{name}, and another object is found under this name"
    return None


def find_class(sort: str, module: str, path: str, fields: str) -> type:
    """The class that was described; raises `CacheError` if it is not there, of another sort, or has other fields."""
    if module in MAIN or not all(part.isidentifier() for part in module.split(".")):
        raise ValueError(f"malformed module name {module!r}")
    try:
        cls = _at(importlib.import_module(module), path)
    except (Exception, SystemExit) as error:  # whatever importing a module of the user's raises
        raise CacheError(
            f"a stored value is of the class {module}.{path}, whose module cannot be imported "
            f"({type(error).__name__}: {error})"
        ) from error
    if not isinstance(cls, type) or sort not in _KIND_OF_SORT or _sort(cls) != sort:
        raise CacheError(f"a stored value is of the {sort} {module}.{path}, which is not there any more")
    if ",".join(_fields(sort, cls)) != fields:
        raise CacheError(
            f"a stored value is of the class {module}.{path}, which has other fields now "
            f"(were: {fields}): it has to be computed again"
        )
    return cls


def _at(module: object, path: str) -> object:
    found = module
    for name in path.split("."):
        # Not getattr, which may run code: __getattr__ of a module, properties of a metaclass.
        found = getattr(found, "__dict__", {}).get(name)
    return found


def _sort(cls: type) -> str:
    """Which of the four sorts a class is, if its instances hold nothing but their fields; else an empty string."""
    if issubclass(cls, enum.Enum):
        return "enum"
    if issubclass(cls, tuple):
        is_named = isinstance(getattr(cls, "_fields", None), tuple) and cls.__new__ is not tuple.__new__
        return "namedtuple" if is_named and not _has_hooks(cls, tuple, ("__getnewargs__",)) else ""
    pydantic = sys.modules.get("pydantic")
    if pydantic is not None and issubclass(cls, pydantic.BaseModel):
        return "" if _has_hooks(cls, pydantic.BaseModel) else "model"
    if dataclasses.is_dataclass(cls):
        # Other ways to be made than object's mean other contents than attributes.
        return "" if cls.__new__ is not object.__new__ or _has_hooks(cls, object) else "dataclass"
    return ""


def _has_hooks(cls: type, base: type, allowed: tuple[str, ...] = ()) -> bool:
    """True if the class says itself how it is pickled."""
    for name in _HOOKS:
        hook = getattr(cls, name, None)
        if hook is getattr(base, name, None) or name in allowed:
            continue
        # Frozen dataclasses with slots get theirs from the decorator: they do what is done here.
        if getattr(hook, "__module__", None) != "dataclasses":
            return True
    return False


def _fields(sort: str, cls: tp.Any) -> list[str]:  # Any: a class of one of the four sorts
    if sort == "dataclass":
        return [field.name for field in dataclasses.fields(cls)]
    if sort == "model":
        return list(cls.model_fields)
    return list(cls._fields) if sort == "namedtuple" else []


def _slots(cls: type) -> list[str]:
    """Names of the slots of the instances, as they are kept in the class."""
    names = []
    for base in cls.__mro__:
        slots = base.__dict__.get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            if name not in ("__dict__", "__weakref__"):
                is_private = name.startswith("__") and not name.endswith("__")
                names.append(f"_{base.__name__.lstrip('_')}{name}" if is_private else name)
    return names


def _reduce_dataclass(value: tp.Any) -> State:
    cls = type(value)
    slots = {name: getattr(value, name) for name in _slots(cls) if hasattr(value, name)}
    return cls, getattr(value, "__dict__", {}), slots


def _restore_dataclass(state: State, views: bool) -> object:
    cls, attributes, slots = state
    value = object.__new__(_checked(cls, "dataclass"))
    if attributes:
        value.__dict__.update(attributes)
    known = _slots(cls)
    for name, content in slots.items():
        if name not in known:
            raise ValueError(f"{name!r} is no slot of {cls.__qualname__}")
        object.__setattr__(value, name, content)
    return value


def _reduce_model(value: tp.Any) -> State:
    return (
        type(value),
        value.__dict__,
        value.__pydantic_fields_set__,
        value.__pydantic_extra__,
        value.__pydantic_private__,
    )


def _restore_model(state: State, views: bool) -> object:
    cls, attributes, fields_set, extra, private = state
    value = object.__new__(_checked(cls, "model"))
    object.__setattr__(value, "__dict__", attributes)
    object.__setattr__(value, "__pydantic_fields_set__", fields_set)
    object.__setattr__(value, "__pydantic_extra__", extra)
    object.__setattr__(value, "__pydantic_private__", private)
    return value


def _reduce_named_tuple(value: tp.Any) -> State:
    if getattr(value, "__dict__", None):
        raise Declined("is a named tuple with more attributes")
    return type(value), tuple(value)


def _restore_named_tuple(state: State, views: bool) -> object:
    cls, values = state
    if len(values) != len(_checked(cls, "namedtuple")._fields):
        raise ValueError("a named tuple has another length than its class says")
    return tuple.__new__(cls, values)


def _reduce_enum(value: enum.Enum) -> State:
    cls = type(value)
    if isinstance(value, enum.Flag):
        return cls, value.value
    if cls.__members__.get(value.name) is not value:
        raise Declined("is no member of its class")
    return cls, value.name


def _restore_enum(state: State, views: bool) -> object:
    cls, content = state
    _checked(cls, "enum")
    return cls(content) if issubclass(cls, enum.Flag) else cls.__members__[content]


def _checked(cls: object, sort: str) -> tp.Any:  # Any: a class of that sort
    if not isinstance(cls, type) or _sort(cls) != sort:
        raise ValueError(f"a value is not of a {sort}")
    return cls


_KIND_OF_SORT = {
    "dataclass": Kind("cls.dataclass", _reduce_dataclass, _restore_dataclass, atom=False),
    "model": Kind("cls.model", _reduce_model, _restore_model, atom=False),
    "namedtuple": Kind("cls.namedtuple", _reduce_named_tuple, _restore_named_tuple, atom=False),
    "enum": Kind("cls.enum", _reduce_enum, _restore_enum),
}
KINDS = tuple(_KIND_OF_SORT.values())
