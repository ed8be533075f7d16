"""Values to bytes that tell them apart: the canonical, type-tagged encoding behind every uid.

The encoding is injective: every value starts with a tag for its type and says how long it is, so that no two
values that differ in value or type share one. Equal values of one type share one in every process, under every hash
seed and Python version: sets and mappings are sorted by their encodings. A value that cannot be told apart
faithfully is refused with a `UidError` rather than approximated.

`atoms` and `containers` say how exact types are encoded; here `_handler` decides once for every other type.
"""

from __future__ import annotations

import dataclasses
import enum
import functools
import operator
import pathlib
import re
import typing as tp
from _blake2 import blake2b  # what hashlib hands out, without loading OpenSSL

from .atoms import ATOMS, of_function, of_str, of_zone, tagged
from .classpath import class_path, is_named
from .containers import CONTAINERS, Handler, Walk, items_of
from .errors import UidError
from .loaded import loaded

_MAX_READABLE = 128
_PATHS = (pathlib.PurePosixPath, pathlib.PureWindowsPath, pathlib.PosixPath, pathlib.WindowsPath)
#: How the part of a subclass's value that is its base's is read, whatever it overrides.
_BASES: dict[type, tp.Callable[[tp.Any], object]] = {
    str: str.__str__,
    int: int.__int__,
    float: float.__float__,
    bytes: bytes.__bytes__,
    list: lambda value: list(list.__iter__(value)),
    tuple: lambda value: tuple(tuple.__iter__(value)),
    dict: lambda value: dict(dict.items(value)),
    set: lambda value: set(set.__iter__(value)),
    frozenset: lambda value: frozenset(frozenset.__iter__(value)),
}


@functools.lru_cache(maxsize=4096)
def _handler(kind: tp.Any) -> Handler:
    """How values of a type are encoded."""
    if hasattr(kind, "__uid_value__"):
        return _hooked
    if hasattr(kind, "__pydantic_fields__") and hasattr(kind, "model_fields"):
        return lambda self, value: self.model(value)
    if issubclass(kind, enum.Enum):
        return _enum
    if kind in _PATHS:
        tag = "path" if issubclass(kind, pathlib.Path) else "purepath"
        flavour = "windows" if issubclass(kind, pathlib.PureWindowsPath) else "posix"
        return lambda self, value: tagged(tag, of_str(flavour), of_str(str(value)))
    if issubclass(kind, type):
        return _class
    numpy, torch = loaded("numpy"), loaded("torch")
    if numpy is not None and issubclass(kind, (numpy.ndarray, numpy.generic, numpy.dtype)):
        from .uidarrays import of_numpy

        return _of_library(of_numpy)
    if torch is not None and issubclass(kind, (torch.Tensor, torch.dtype, torch.device)):
        from .uidarrays import of_torch

        return _of_library(of_torch)
    base = next((base for base in kind.__mro__ if base in ATOMS or base in CONTAINERS), None)
    if base is not None:
        return _subclass(base) if base in _BASES else _refused
    return _dataclass if dataclasses.is_dataclass(kind) else _other(kind)


def _of_library(
    parts: tp.Callable[[Walk, tp.Any], tuple[str, list[bytes]]],
) -> Handler:
    def encode(self: Walk, value: tp.Any) -> bytes:
        tag, encodings = parts(self, value)
        return tagged(tag, *encodings)

    return encode


def _hook(value: tp.Any) -> bytes:
    return canonical(type(value).__uid_value__(value))


def _hook_items(value: tp.Any) -> tuple[object, ...]:
    return items_of(type(value).__uid_value__(value))


def _hooked(self: Walk, value: tp.Any) -> bytes:
    found = type(value).__uid_value__(value)
    # of a mapping of values that cannot change, the same ones at each call, a look at them tells: settings are such
    is_plain = type(found) is dict and all(type(item) in ATOMS for item in items_of(found))
    again = _hook_items(value) if is_plain else ()
    is_kept = is_plain and len(again) == 2 * len(found) and all(map(operator.is_, items_of(found), again))
    self.watch(_hook_items if is_kept else _hook, value)
    return tagged("custom", of_str(class_path(type(value))), canonical(found))


def _enum(self: Walk, value: enum.Enum) -> bytes:
    name = (
        "" if isinstance(value, enum.Flag) else value.name
    )  # a flag is its bits; versions of Python name them otherwise
    try:
        content = canonical(value.value)
    except UidError:  # a function, say: the name tells a member from all others
        content = b""
    return tagged("enum", of_str(class_path(type(value))), of_str(name or ""), content)


def _class(self: Walk, value: type) -> bytes:
    if not is_named(value):
        raise UidError(
            f"the class {value.__qualname__} of {value.__module__!r} has no name under which another process would find "
            "the very same: define it at the top level of a module"
        )
    return tagged("class", of_str(class_path(value)))


def _fields(value: tp.Any) -> tuple[object, ...]:
    return tuple(getattr(value, field.name) for field in dataclasses.fields(value))


def _dataclass(self: Walk, value: tp.Any) -> bytes:
    kind = type(value)
    names = [field.name for field in dataclasses.fields(value)]
    extra = set(getattr(value, "__dict__", ())) - set(names)
    if extra:
        raise UidError(f"a dataclass {kind.__qualname__} carries more than its fields: {sorted(extra)}")
    if not kind.__dataclass_params__.frozen:
        self.watch(_fields, value)
    parts = [of_str(name) + self.value(getattr(value, name)) for name in names]
    return tagged("dataclass", of_str(class_path(kind)), *parts)


def _subclass(base: type) -> Handler:
    def encode(self: Walk, value: tp.Any) -> bytes:
        kind = type(value)
        slots = any(cls.__dict__.get("__slots__") for cls in kind.__mro__ if cls is not base and issubclass(cls, base))
        if slots or getattr(value, "__dict__", None):
            raise UidError(
                f"a {kind.__qualname__} may hold more than the {base.__name__} it is: give its class a method "
                f"__uid_value__ that returns plain values, or use a plain {base.__name__}"
            )
        self.opaque |= base in (list, dict, set)
        return tagged("sub", of_str(class_path(kind)), self.value(_BASES[base](value)))

    return encode


def _other(kind: type) -> Handler:
    """Types of libraries by name, and what is left: by its own name, or refused."""
    root = kind.__module__.partition(".")[0]
    if root == "zoneinfo" or (root == "pydantic_core" and kind.__name__ == "TzInfo"):
        return lambda self, value: of_zone(value)
    if root in ("pydantic", "pydantic_core"):
        if "Secret" in kind.__name__:
            return _secret
        if kind.__name__.endswith(("Url", "Dsn")):
            return lambda self, value: tagged("url", of_str(kind.__name__), of_str(str(value)))
    if root == "ipaddress":
        return lambda self, value: tagged(kind.__name__, of_str(str(value)))
    return _refused


def _secret(self: Walk, value: object) -> bytes:
    raise UidError("a secret cannot be part of a uid, which is readable: mark the field NotInUid")


def _refused(self: Walk, value: tp.Any) -> bytes:
    if callable(value) and isinstance(
        getattr(value, "__qualname__", None), str
    ):  # a function of another type, as numpy's and jit-compiled ones
        return of_function(value)
    kind = type(value)
    raise UidError(
        f"a value of type {kind.__module__}.{kind.__qualname__} cannot be told from others by its content: mark the "
        "field NotInUid, exclude it, or give its class a method __uid_value__ that returns plain values"
    )


class Encoding(Walk):
    """One pass over any value."""

    def other(self, kind: tp.Any) -> Handler:
        return _handler(kind)


# -- what others use ----------------------------------------------------------------------------------------------


def canonical(value: object) -> bytes:
    """The type-tagged encoding of a value.

    Raises
    ------
    UidError
        If the value, or one in it, cannot be told apart faithfully from others.

    Examples
    --------
    >>> canonical(1) == canonical(1.0), canonical(1) == canonical(True)
    (False, False)
    >>> canonical({"a": 1, "b": {2, 3}}) == canonical({"b": {3, 2}, "a": 1})
    True
    """
    try:
        return Encoding().value(value)
    except RecursionError:
        raise UidError(f"a value of type {type(value).__qualname__} contains itself, or is nested too deeply") from None


# to copy one takes half as long as to make one
_SHORT: tp.Final = blake2b(digest_size=10)
_LONG: tp.Final = blake2b(digest_size=16)


def digest(encoding: bytes) -> str:
    """80 bits of an encoding as 20 lower-case letters and digits, safe on file systems that fold case."""
    state = _SHORT.copy()
    state.update(encoding)
    return state.hexdigest()


def complete_digest(encoding: bytes) -> bytes:
    """128 bits of an encoding."""
    state = _LONG.copy()
    state.update(encoding)
    return state.digest()


_UNSAFE = re.compile(r"[^A-Za-z0-9_.,=+-]+")
_is_safe = re.compile(r"[A-Za-z0-9_,=+][A-Za-z0-9_.,=+-]*").fullmatch


def clean(text: str, limit: int = _MAX_READABLE) -> str:
    """Text cut to `limit` characters that are safe in a file name and mean nothing in a glob."""
    if len(text) <= limit and _is_safe(text):
        return text
    return _UNSAFE.sub("_", text[: 4 * limit])[:limit].lstrip(".-") or "_"


def text(readable: str, encoding: bytes) -> str:
    """A name for an encoding: what a person recognises, then its hash; below 255 bytes, safe as a file name.

    Examples
    --------
    >>> text("lr=0.1,name=a/b", b"...").startswith("lr=0.1,name=a_b-")
    True
    """
    return f"{clean(readable)}-{digest(encoding)}"
