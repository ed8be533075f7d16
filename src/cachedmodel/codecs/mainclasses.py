"""Pickles of classes of `__main__`: they come back as what `__main__` defines today, where it does.

A script's or a notebook's own classes are pickled by value, since jobs cannot import them. Read again by a later run of the
same script, that would make another class of the same name, which no ``isinstance`` and no ``except`` of the script knows.
"""

from __future__ import annotations

import io
import pickle
import sys
import typing as tp
from collections.abc import Callable, Iterable

from cachedmodel.mainmodule import MAIN

_MAKERS = (
    "_make_skeleton_class",
    "_make_skeleton_enum",
)  # of cloudpickle; the name of the class is their second argument


def loads(data: bytes | memoryview, buffers: Iterable[tp.Any] | None = None) -> tp.Any:  # Any: as of pickle.loads
    """As `pickle.loads`."""
    return _Unpickler(io.BytesIO(data), buffers=buffers).load()


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> tp.Any:
        found = super().find_class(module, name)
        if module.partition(".")[0] != "cloudpickle":
            return found
        if name in _MAKERS:
            return _own_or(found)
        return _unless_own(found) if name == "_class_setstate" else found


def _own(name: object) -> type | None:
    """The class that `__main__` has under a name, at its top."""
    cls = getattr(sys.modules.get("__main__"), str(name), None)
    return cls if isinstance(cls, type) and cls.__module__ in MAIN and cls.__qualname__ == name else None


def _own_or(make: Callable[..., type]) -> Callable[..., type]:
    def own_or_made(*args: tp.Any) -> type:
        modules = [arg.get("__module__") if isinstance(arg, dict) else arg for arg in args]
        return (_own(args[1]) if any(main in modules for main in MAIN) else None) or make(*args)

    return own_or_made


def _unless_own(set_state: Callable[[type, object], type]) -> Callable[[type, object], type]:
    def set_unless_own(cls: type, state: object) -> type:
        return cls if _own(cls.__name__) is cls else set_state(cls, state)

    return set_unless_own
