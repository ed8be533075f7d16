"""What a type alone tells: values that can surely not be stored are refused before they are computed."""

from __future__ import annotations

import collections.abc
import inspect
import io
import sys
import threading
import types
import typing as tp

from .classes import why_not_found
from .kinds import kind_of
from .objects import MEMMAP, TREE
from .pickles import PICKLE
from .registry import built_in, known, registered_for
from .writer import ENCODERS, name_of

_NEVER: dict[type, str] = {
    collections.abc.Generator: "a generator: return a list, or write a map that yields",
    collections.abc.AsyncGenerator: "a generator: return a list",
    collections.abc.Coroutine: "a coroutine: await it, and return its result",
    types.ModuleType: "a module",
    types.FrameType: "a frame",
    types.TracebackType: "a traceback: return it as text",
    memoryview: "a view of memory: return bytes or an array",
    io.TextIOWrapper: "an open file: return its path or what is in it",
    io.BufferedIOBase: "an open file: return its path or what is in it",
    io.RawIOBase: "an open file: return its path or what is in it",
    threading.Thread: "a thread",
    **dict.fromkeys(
        (type(threading.Lock()), type(threading.RLock()), threading.Condition, threading.Semaphore, threading.Event),
        "a lock",
    ),
}
# Looked at only if something has imported them already.
_NEVER_BY_NAME = {
    ("socket", "socket"): "a connection",
    ("sqlite3", "Connection"): "a connection",
    ("subprocess", "Popen"): "a process",
    ("asyncio", "Future"): "a future: return its result",
    ("concurrent.futures", "Future"): "a future: return its result",
    ("concurrent.futures", "Executor"): "an executor",
}
_IN_MEMORY = (io.BytesIO,)
_IO = (tp.IO, tp.TextIO, tp.BinaryIO)


def why_not(annotation: object, codec: str | None, allow_pickle: bool) -> str | None:
    """Why values of a type can surely not be stored, as a sentence without its end; None if they may.

    Parameters
    ----------
    annotation
        A type, as an evaluated annotation has it. What is not understood may be stored.
    codec
        The codec that is asked for, or None.
    allow_pickle
        As in `dump`.

    Examples
    --------
    >>> why_not(list[float], None, True)
    >>> why_not(memoryview, None, True)
    'memoryview cannot be stored, being a view of memory: return bytes or an array'
    """
    if codec is not None:
        name = known(codec)
        if not built_in(name):
            return None
        if name == PICKLE and not allow_pickle:
            return "codec 'pickle' pickles, and allow_pickle=False"
        allow_pickle = allow_pickle and name not in (TREE, MEMMAP)
    return _why_not(annotation, allow_pickle)


def _why_not(annotation: object, allow_pickle: bool) -> str | None:
    origin, args = tp.get_origin(annotation), tp.get_args(annotation)
    if origin is tp.Annotated:
        return _why_not(args[0], allow_pickle)
    if origin is tp.Union or origin is types.UnionType:
        reasons = [_why_not(arg, allow_pickle) for arg in args]
        return reasons[0] if all(reasons) else None
    if type(annotation).__name__ == "TypeAliasType":  # since Python 3.12
        return _why_not(getattr(annotation, "__value__", None), allow_pickle)
    if isinstance(annotation, tp.NewType):
        return _why_not(annotation.__supertype__, allow_pickle)
    if annotation is threading.Lock or annotation is threading.RLock:  # functions, before Python 3.13
        return _sentence(type(threading.Lock()), "a lock")
    if annotation in _IO or origin in _IO:
        return _sentence(annotation, _NEVER[io.TextIOWrapper])
    if origin is collections.abc.Callable or annotation in (tp.Callable, collections.abc.Callable):
        return None if allow_pickle else _pickle_only(annotation)
    if isinstance(origin, type):
        if issubclass(origin, collections.abc.Collection) and not issubclass(origin, str):
            reasons = [_why_not(arg, allow_pickle) for arg in args]
            return next(filter(None, reasons), None)
        return _why_not_class(origin, allow_pickle)
    if isinstance(annotation, type):
        return _why_not_class(annotation, allow_pickle)
    return None


def _why_not_class(cls: type, allow_pickle: bool) -> str | None:
    if registered_for(cls):
        return None
    by_name = {getattr(sys.modules.get(module), name, None): why for (module, name), why in _NEVER_BY_NAME.items()}
    for never, why in (*_NEVER.items(), *by_name.items()):
        if never is not None and issubclass(cls, never) and not issubclass(cls, _IN_MEMORY):
            return _sentence(cls, why)
    if allow_pickle or cls in ENCODERS or cls is object or tp.is_typeddict(cls):
        return None
    # The values may be of subclasses, which may be simpler to store than their parent.
    if inspect.isabstract(cls) or getattr(cls, "_is_protocol", False) or type.__subclasses__(cls):
        return None
    kind = kind_of(cls)
    if kind is None:
        return _pickle_only(cls)
    reason = why_not_found(cls) if kind.name.startswith("cls.") else None
    return None if reason is None else f"{_pickle_only(cls)}: it {reason}"


def _sentence(annotation: object, why: str) -> str:
    return f"{_name(annotation)} cannot be stored, being {why}"


def _pickle_only(annotation: object) -> str:
    return f"{_name(annotation)} can only be stored by pickle, and that is not allowed"


def _name(annotation: object) -> str:
    return name_of(annotation) if isinstance(annotation, type) else str(annotation)
