"""Kinds: how values that are not JSON-like become a few simpler values, and are made again from them.

A kind reduces a value to a tuple (its state) of anything the tree can hold, of raw buffers (memoryviews) and of
classes. The first part of its name tells the file that knows it, which is imported only when such a value is met, or
read: a value can only be an array if numpy is imported already.
"""

from __future__ import annotations

import importlib
import typing as tp
import weakref
from collections.abc import Callable

from cachedmodel.errors import CacheError

State = tuple[tp.Any, ...]  # Any: whatever the kind is made of
Reduce = Callable[[tp.Any], State]
Restore = Callable[[State, bool], object]


class Kind(tp.NamedTuple):
    """One kind of value.

    Attributes
    ----------
    name
        ``"<file>.<kind>"``, written on disk: it never changes meaning.
    reduce
        The state of a value; raises `Declined` if it would not come back exactly.
    restore
        The value, given its state and whether arrays may be read-only views of the payload. The state may come
        from malformed bytes: it is checked, and any exception means that the value cannot be read.
    atom
        True if hashing such a value takes no longer than reading it did, whatever it is made of.
    """

    name: str
    reduce: Reduce
    restore: Restore
    atom: bool = True


class KindFile(tp.Protocol):
    """What a file of kinds offers."""

    KINDS: tuple[Kind, ...]

    def find(self, cls: type) -> Kind | None: ...


_FILES = {
    "std": "standard",
    "cls": "classes",
    "np": "arrays",
    "torch": "tensors",
    "pd": "tables",
    "pa": "arrow",
}
_PREFIX_OF_LIBRARY = {"numpy": "np", "torch": "torch", "pandas": "pd", "pyarrow": "pa"}

_by_type: weakref.WeakKeyDictionary[type, Kind | None] = weakref.WeakKeyDictionary()
_by_name: dict[str, Kind] = {}


def kind_of(cls: type) -> Kind | None:
    """The kind of the instances of exactly this class, if there is one."""
    try:
        return _by_type[cls]
    except KeyError:
        kind = _by_type[cls] = _find(cls)
        return kind


def kind_named(name: str) -> Kind:
    """The kind of this name, which was read from disk."""
    kind = _by_name.get(name)
    if kind is None:
        prefix = name.partition(".")[0]
        if prefix in _FILES:
            _by_name.update((kind.name, kind) for kind in _file(prefix).KINDS)
        if name not in _by_name:
            raise CacheError(f"a value of the kind {name!r} was stored by a newer version of cachedmodel: update it")
        kind = _by_name[name]
    return kind


_T = tp.TypeVar("_T")


def expect(value: object, cls: type[_T]) -> _T:
    """`value`, which has to be a `cls`: much that is iterable is small on disk, and endless in memory (a range)."""
    if not isinstance(value, cls):
        raise ValueError(f"a {cls.__name__} was expected, not a {type(value).__name__}")
    return value


def is_atom(cls: type) -> bool:
    """True if keys may refer to an instance of `cls` that was met before."""
    if cls is str or cls is bytes:
        return True
    kind = None if cls is tuple or cls is frozenset else kind_of(cls)
    return kind is not None and kind.atom


def _find(cls: type) -> Kind | None:
    library = _PREFIX_OF_LIBRARY.get(str(cls.__module__).partition(".")[0])
    for prefix in ("std", "cls") if library is None else (library, "std", "cls"):
        kind = _file(prefix).find(cls)
        if kind is not None:
            return kind
    return None


def _file(prefix: str) -> KindFile:
    try:
        return tp.cast(KindFile, importlib.import_module(f"{__package__}.{_FILES[prefix]}"))
    except ImportError as error:
        raise CacheError(f"a stored value needs the package {error.name!r}, which cannot be imported here") from error
