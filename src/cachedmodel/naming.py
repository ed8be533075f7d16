"""The name that a class's or a function's folders carry, so that two of them never share one by accident."""

from __future__ import annotations

import inspect
import os
import re
import sys
import types
import typing as tp
from collections.abc import Callable, Mapping, Sequence

from . import uid as _uid
from .classpath import class_path
from .errors import DefinitionError, UidError
from .mainmodule import MAIN


def cache_name(cls: type, namespace: Mapping[str, tp.Any], by_statement: bool) -> str:
    """The name of a class in folders, and for those it is nested in.

    Module and qualified name. A class of ``__main__`` carries the script's name and a hash of its place; one of a
    notebook, a function or ``create_model`` a hash of its fields and source.

    Parameters
    ----------
    cls
        The class, complete.
    namespace
        Its body.
    by_statement
        False if it was made by a call, as of ``create_model``.
    """
    generic = cls.__dict__["__pydantic_generic_metadata__"]
    if generic["origin"] is not None:
        return class_path(cls)
    module, is_named = _module(cls.__module__, list(filter(None, map(_function, namespace.values()))))
    name = cls.__qualname__
    if not is_named or not by_statement or "<locals>" in name:
        name = f"{name.replace('<locals>.', '')}-{_uid.digest(_uid.canonical(_content(cls, namespace)))}"
    return f"{module}:{name}"


def function_name(func: Callable[..., tp.Any]) -> str:
    """The name of a function in folders, by the same rules."""
    module, is_named = _module(func.__module__, [func])
    name = func.__qualname__
    if not is_named or "<" in name:
        name = f"{name.replace('<locals>.', '')}-{_uid.digest(_uid.canonical(_source(func, ())))}"
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


def _module(name: str, functions: Sequence[Callable[..., tp.Any]]) -> tuple[str, bool]:
    """The name of a module in folders, and whether that tells these functions, or a class of them, from all others."""
    if name not in MAIN:
        # what is typed at a prompt of another name (python -m code), or made by exec, may be made anew under its name
        may_be_typed = bool(functions) or name not in sys.modules
        return name, not (may_be_typed and _are_typed(functions))
    if _are_typed(functions):
        return MAIN[0], False
    main = sys.modules.get(name) or sys.modules[MAIN[0]]  # a job knows the first name alone
    spec, file = getattr(main, "__spec__", None), getattr(main, "__file__", None)
    if spec is not None and spec.name not in MAIN:  # python -m package.module
        return spec.name, True
    if file is not None and os.path.exists(file):
        place = os.path.realpath(file)
        stem = os.path.splitext(os.path.basename(place))[0]
        return f"{_uid.clean(stem)}-{_uid.digest(os.fsencode(place))}", True
    return MAIN[0], False  # a notebook


def _are_typed(functions: Sequence[Callable[..., tp.Any]]) -> bool:
    """Whether they stand in no file. Their module may have one all the same: ``python -i``, and the prompt of Python 3.13."""
    files = [func.__code__.co_filename for func in functions]
    return all(file.startswith("<") for file in files) if files else hasattr(sys, "ps1")


def _type_name(annotation: object, cls: type) -> str:
    """An annotation; its ``repr`` alone would not tell apart two local classes of one name."""
    args = tp.get_args(annotation)
    if args:
        return f"{tp.get_origin(annotation)!r}[{','.join(_type_name(arg, cls) for arg in args)}]"
    if not isinstance(annotation, type) or annotation is cls:  # which has no path yet
        return re.sub(" at 0x[0-9a-f]+", "", repr(annotation))
    return class_path(annotation)


def _content(cls: tp.Any, namespace: Mapping[str, tp.Any]) -> list[str]:
    """Fields and source of a class."""
    parts = [class_path(base) for base in cls.__mro__[1:] if base.__module__ != "builtins"]
    for name, info in sorted(cls.__pydantic_fields__.items()):
        if name != "infra":
            parts += [name, _type_name(info.annotation, cls), _text(info.default, ()), _text(info.default_factory, ())]
    for name, value in sorted(namespace.items()):
        func = _function(value)
        if func is not None:
            parts += [name, _source(func, ())]
        elif not name.startswith("__") and name not in cls.__pydantic_fields__:
            parts += [name, _text(value, ())]
    return parts


def _function(value: object) -> types.FunctionType | None:
    """The function behind a method of whatever kind."""
    for name in ("func", "fget", "__func__", "wrapped"):
        value = getattr(value, name, value)
    return value if isinstance(value, types.FunctionType) else None


def _source(func: tp.Any, seen: tuple[object, ...]) -> str:
    """The source of a function, and what it closes over."""
    try:
        text = inspect.getsource(func)
    except (OSError, TypeError):  # typed at a prompt, or made by exec
        text = _code(func.__code__)
    free = zip(func.__code__.co_freevars, func.__closure__ or (), strict=True)
    defaults = _text([*(func.__defaults__ or ()), *(func.__kwdefaults__ or {}).items()], (*seen, func))
    return f"{text}{defaults}" + "".join(
        f"{name}={_cell(cell, (*seen, func))};" for name, cell in free if name != "__class__"
    )


def _code(code: types.CodeType) -> str:
    consts = [_code(const) if isinstance(const, types.CodeType) else repr(const) for const in code.co_consts]
    return f"{code.co_code.hex()} {consts} {code.co_names}"


def _cell(cell: types.CellType, seen: tuple[object, ...]) -> str:
    try:
        return _text(cell.cell_contents, seen)
    except ValueError:  # not filled yet
        return ""


def _text(value: object, seen: tuple[object, ...]) -> str:
    """Something that differs where a value does, as far as that can be known."""
    if any(value is other for other in seen):
        return "itself"
    func = _function(value)
    if func is not None:
        return _source(func, seen)
    try:
        return _uid.digest(_uid.canonical(value))
    except UidError:
        pass
    if isinstance(value, (list, tuple)):
        return ",".join(_text(item, (*seen, value)) for item in value)
    if isinstance(value, dict):
        return ",".join(f"{key!r}:{_text(item, (*seen, value))}" for key, item in value.items())
    state = getattr(value, "__dict__", None)
    return f"{type(value).__qualname__}({_text(dict(state), (*seen, value)) if state else ''})"
