"""The name that tells a class from others, in every process that may meet it."""

from __future__ import annotations

import dataclasses
import enum
import functools
import re
import typing as tp
from _blake2 import blake2b  # what hashlib hands out, without loading OpenSSL

from .mainmodule import MAIN

_ADDRESS = re.compile(r" at 0x[0-9a-f]+")


def class_path(cls: type) -> str:
    """Module and qualified name of a class, or what it was given as its cache name.

    Only what travels with a class that is pickled by value goes into it, so that a job finds the same path. Where module
    and name may mean another class elsewhere, in a script or in a function, the fields are hashed into it.
    """
    return _path(tp.cast("tp.Hashable", cls))  # a class, which checkers do not take for hashable


@functools.lru_cache(maxsize=4096)
def _path(cls: tp.Any) -> str:  # Any: a class of any kind
    generic: dict[str, tp.Any] = cls.__dict__.get("__pydantic_generic_metadata__") or {}  # Any: pydantic's
    if generic.get("origin") is not None:  # its own name does not say of which module its arguments are
        return f"{class_path(generic['origin'])}[{','.join(_type_name(arg) for arg in generic['args'])}]"
    own = cls.__dict__.get("__cache_name__")
    if isinstance(own, str):
        return own
    path = f"{_module(cls)}:{cls.__qualname__}"
    if not _is_found(cls):
        path += "#" + blake2b("\n".join(_schema(cls)).encode("utf-8", "surrogatepass"), digest_size=10).hexdigest()
    return path


def is_named(cls: type) -> bool:
    """True if `class_path` tells a class from all others: by name, or by the fields it has."""
    return _is_found(cls) or isinstance(cls.__dict__.get("__cache_name__"), str) or bool(_schema(cls))


def _is_found(cls: type) -> bool:
    return cls.__module__ not in MAIN and "<locals>" not in cls.__qualname__


def _module(cls: type) -> str:
    return MAIN[0] if cls.__module__ in MAIN else cls.__module__


def _schema(cls: type) -> list[str]:
    """The names and types of what a class holds; addresses in reprs differ in every process."""
    rows: list[str] = []
    if hasattr(cls, "__pydantic_fields__"):
        rows = [f"{name}:{_type_name(field.annotation)}" for name, field in cls.__pydantic_fields__.items()]
    elif dataclasses.is_dataclass(cls):
        rows = [f"{field.name}:{_type_name(field.type)}" for field in dataclasses.fields(cls)]
    elif issubclass(cls, enum.Enum):
        rows = [f"{name}={member.value!r}" for name, member in cls.__members__.items()]
    elif issubclass(cls, tuple):
        rows = list(getattr(cls, "_fields", ()))
    return [_ADDRESS.sub("", row) for row in rows]


def _type_name(annotation: object) -> str:
    if not isinstance(annotation, type) or tp.get_origin(annotation) is not None:
        return _ADDRESS.sub("", repr(annotation))
    if annotation.__module__ in MAIN:  # not its path: classes may name each other in a circle
        return f"{MAIN[0]}:{annotation.__qualname__}"
    return class_path(annotation)
