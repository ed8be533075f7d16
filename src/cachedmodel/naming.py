"""The name that a class's folders carry, so that two classes never share one by accident."""

from __future__ import annotations

import inspect
import os
import sys
import types
import typing as tp

from . import uid as _uid
from .errors import DefinitionError, UidError


def cache_name(cls: type, namespace: tp.Mapping[str, tp.Any], made_by_call: bool) -> str:
    """The name of a class in folders, and for those it is nested in.

    Module and qualified name. A class of ``__main__`` carries the script's name and a hash of its place; one of a
    notebook, a function or ``create_model`` a hash of its fields and source.

    Parameters
    ----------
    cls
        The class, complete.
    namespace
        Its body.
    made_by_call
        True if it was not made by a class statement.
    """
    module, name = cls.__module__, cls.__qualname__
    dynamic = made_by_call or "<locals>" in name
    if module == "__main__":
        main = sys.modules["__main__"]
        spec, file = getattr(main, "__spec__", None), getattr(main, "__file__", None)
        if spec is not None and spec.name != "__main__":  # python -m package.module
            module = spec.name
        elif file is not None and os.path.exists(file):
            place = os.path.realpath(file)
            stem = os.path.splitext(os.path.basename(place))[0]
            module = f"{_uid.clean(stem)}-{_uid.digest(os.fsencode(place))}"
        else:
            dynamic = True
    if dynamic:
        name = f"{name.replace('<locals>.', '')}-{_uid.digest(_content(cls, namespace))}"
    return f"{module}:{name}"


def checked_name(name: object, cls: str) -> str:
    """A ``cache_name`` that was asked for.

    Raises
    ------
    DefinitionError
        If it cannot be part of a folder's name.
    """
    if not isinstance(name, str) or not name or _uid.clean(name, 120) != name:
        raise DefinitionError(
            f"{cls}: cache_name={name!r} names folders: use 1 to 120 letters, digits, '_', '.', '+', '=' or '-', not a '.' first"
        )
    return name


def _content(cls: tp.Any, namespace: tp.Mapping[str, tp.Any]) -> bytes:
    """Fields and source of a class, as bytes."""
    parts = [_uid.class_path(base) for base in cls.__mro__[1:] if base.__module__ != "builtins"]
    for name, info in sorted(cls.__pydantic_fields__.items()):
        if name != "infra":
            parts += [name, repr(info.annotation), _text(info.default), _source(info.default_factory)]
    for name, value in sorted(namespace.items()):
        func = getattr(value, "func", value)  # a task or a map
        func = getattr(func, "fget", func)
        func = getattr(func, "__func__", func)
        if isinstance(func, types.FunctionType):
            parts += [name, _source(func)]
    return _uid.canonical(parts)


def _source(func: tp.Any) -> str:
    """The source of a function and what it closes over."""
    if not isinstance(func, types.FunctionType):
        return _text(func)
    try:
        text = inspect.getsource(func)
    except (OSError, TypeError):  # typed at a prompt, or made by exec
        code = func.__code__
        text = f"{code.co_code.hex()} {_text(code.co_consts)} {code.co_names}"
    free = zip(func.__code__.co_freevars, func.__closure__ or (), strict=True)
    return text + "".join(f"{name}={_cell(cell)};" for name, cell in free if name != "__class__")


def _cell(cell: types.CellType) -> str:
    try:
        return _text(cell.cell_contents)
    except ValueError:  # not filled yet
        return ""


def _text(value: object) -> str:
    try:
        return _uid.digest(_uid.canonical(value))
    except UidError:
        return type(value).__qualname__
