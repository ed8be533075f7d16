"""Values to bytes that tell them apart: the canonical, type-tagged encoding behind every uid.

The encoding is injective: every value starts with a tag for its type and says how long it is, so that no two
values that differ in value or type share one. Equal values of one type share one in every process, under every hash
seed and Python version: sets and mappings are sorted by their encodings. A value that cannot be told apart
faithfully is refused with a `UidError` rather than approximated.

`_ATOMS` and `_CONTAINERS` say how exact types are encoded, `_handler` decides once for every other type.
"""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import enum
import fractions
import functools
import operator
import pathlib
import re
import struct
import sys
import types
import typing as tp
import uuid
from _blake2 import blake2b  # what hashlib hands out, without loading OpenSSL
from collections import Counter, OrderedDict, defaultdict, deque

from .classpath import class_path as class_path
from .classpath import is_named
from .errors import UidError

Encoder = tp.Callable[[tp.Any], bytes]  # Any: each encoder takes the type it is registered for
#: How to look at something that can change in place: at its items, or at bytes that stand for it.
Probe = tp.Callable[[tp.Any], tp.Collection[object]]
#: That, the thing, and what was seen: items by identity, or bytes.
Watched = tuple[Probe, object, tuple[object, ...] | bytes]

_pack_float = struct.Struct(">cd").pack
_NAN = _pack_float(b"f", float("nan"))
_MAX_READABLE = 128


# -- atoms ------------------------------------------------------------------------------------------------------


def _str(value: str) -> bytes:
    data = value.encode("utf-8", "surrogatepass")
    return b"s%d:%b" % (len(data), data)


def _float(value: float) -> bytes:
    return _pack_float(b"f", value) if value == value else _NAN


def _bytes(value: bytes) -> bytes:
    return b"b%d:%b" % (len(value), value)


def tagged(tag: str, *parts: bytes) -> bytes:
    """One value from a tag and encodings that each say where they end."""
    name = tag.encode("utf-8", "surrogatepass")
    return b"<%d:%b%d;%b" % (len(name), name, len(parts), b"".join(parts))


def _function(value: tp.Any) -> bytes:  # Any: a function or a builtin, which share no type
    module, name = getattr(value, "__module__", None), getattr(value, "__qualname__", "")
    found: object = sys.modules.get(module or "")
    for part in name.split("."):
        found = getattr(found, part, None)
    if found is not value or module == "__main__":
        raise UidError(
            f"the function {value!r} has no name under which another process would find the very same: "
            "use a function at the top level of a module"
        )
    return tagged("function", _str(f"{module}:{name}"))


_UTC = ("UTC", "Etc/UTC", "Zulu")


def _zone(zone: datetime.tzinfo | None) -> bytes:
    """A time zone: fixed offsets by their offset alone, which is all that their equality and a JSON file know."""
    if zone is None:
        return b"N"
    key = getattr(zone, "key", None)
    if isinstance(key, str) and type(zone).__module__.partition(".")[0] == "zoneinfo":
        return _offset(datetime.timedelta()) if key in _UTC else tagged("zone", _str(key))
    if isinstance(zone, datetime.timezone) or type(zone).__module__.startswith("pydantic_core"):
        return _offset(zone.utcoffset(None))
    raise UidError(f"a time zone of type {type(zone).__name__} cannot be told from others: use zoneinfo or UTC")


def _offset(value: datetime.timedelta | None) -> bytes:
    assert value is not None  # of a fixed offset
    return tagged("offset", b"i%x;" % (value // datetime.timedelta(microseconds=1)))


def _datetime(value: datetime.datetime) -> bytes:
    # `fold` counts where it says which of two hours is meant; anywhere else it is no part of equality
    again = value.replace(fold=0)
    fold = value.fold if value.tzinfo is not None and value.utcoffset() != again.utcoffset() else 0
    return tagged("datetime", _str(again.replace(tzinfo=None).isoformat()), _zone(value.tzinfo), b"i%x;" % fold)


def _time(value: datetime.time) -> bytes:
    return tagged("time", _str(value.replace(tzinfo=None, fold=0).isoformat()), _zone(value.tzinfo))


_ATOMS: dict[type, Encoder] = {
    type(None): lambda _: b"N",
    bool: lambda value: b"T" if value else b"F",
    int: b"i%x;".__mod__,
    float: _float,
    str: _str,
    bytes: _bytes,
    complex: lambda value: tagged("complex", _float(value.real), _float(value.imag)),
    decimal.Decimal: lambda value: tagged("Decimal", _str(str(value))),
    fractions.Fraction: lambda value: tagged("Fraction", b"i%x;" % value.numerator, b"i%x;" % value.denominator),
    uuid.UUID: lambda value: tagged("UUID", _bytes(value.bytes)),
    datetime.datetime: _datetime,
    datetime.date: lambda value: tagged("date", _str(value.isoformat())),
    datetime.time: _time,
    datetime.timedelta: lambda value: tagged(
        "timedelta", *(b"i%x;" % x for x in (value.days, value.seconds, value.microseconds))
    ),
    datetime.timezone: _zone,
    types.FunctionType: _function,
    types.BuiltinFunctionType: _function,
    type(Ellipsis): lambda _: b"<E",
}
atoms: tp.Final = _ATOMS.get


# -- containers ---------------------------------------------------------------------------------------------------


class Encoding:
    """One pass over a value. Subclasses say how models are encoded.

    Attributes
    ----------
    watched
        What was met that can change in place, with what it held.
    opaque
        True once something was met whose changes only a new pass can tell: an array, a tensor.
    """

    watched: list[Watched]
    opaque: bool = False

    def __init__(self) -> None:
        self.watched = []

    def model(self, value: tp.Any) -> bytes:  # Any: a pydantic model, which this layer does not import
        """A model is its class and all of its fields."""
        self.opaque = True
        state = {name: value.__dict__.get(name) for name in type(value).__pydantic_fields__}
        parts = self.mapping(state), self.value(value.__pydantic_extra__ or {})
        return tagged("model", _str(class_path(type(value))), *parts)

    def mapping(self, value: tp.Mapping[tp.Any, object]) -> bytes:
        """Key and value encodings, sorted: the order of a mapping is no part of its value."""
        pairs = sorted((self.value(key), self.value(val)) for key, val in value.items())
        return b"d%d:" % len(pairs) + b"".join([key + val for key, val in pairs])

    def sequence(self, tag: bytes, values: tp.Collection[object]) -> bytes:
        """A list or tuple as its tag, its length and its values."""
        kinds = {*map(type, values)}
        encode = atoms(kinds.pop()) if len(kinds) == 1 else None
        return b"%b%d:%b" % (tag, len(values), b"".join(map(encode or self.value, values)))

    def members(self, tag: bytes, values: tp.Collection[object]) -> bytes:
        """A set as its tag, its length and its values, sorted."""
        return tag + b"%d:" % len(values) + b"".join(sorted([self.value(value) for value in values]))

    def value(self, value: tp.Any) -> bytes:  # Any: whatever a field can hold
        """The canonical encoding of any value, or a `UidError`."""
        kind = type(value)
        encoder = _ATOMS.get(kind)
        if encoder is not None:
            return encoder(value)
        return (_CONTAINERS.get(kind) or _handler(tp.cast("tp.Hashable", kind)))(self, value)

    def watch(self, probe: Probe, value: object) -> None:
        """Remembers what something holds now."""
        seen = probe(value)
        self.watched.append((probe, value, seen if isinstance(seen, bytes) else tuple(seen)))


def is_same(watched: tp.Iterable[Watched]) -> bool:
    """Whether nothing that was watched holds other objects now.

    False proves no change: an item may have been replaced by an equal one.
    """
    for probe, value, before in watched:
        now = probe(value)
        if type(before) is bytes:
            if now != before:
                return False
        elif len(now) != len(before) or not all(map(operator.is_, before, now)):
            return False
    return True


def items_of(value: tp.Mapping[object, object]) -> tuple[object, ...]:
    """The keys and values of a mapping, to be watched."""
    return *value, *value.values()


def _list(self: Encoding, value: list[object]) -> bytes:
    self.watched.append((tuple, value, tuple(value)))
    return self.sequence(b"l", value)


def _set(self: Encoding, value: set[object]) -> bytes:
    self.watch(tuple, value)
    return self.members(b"S", value)


def _deque(self: Encoding, value: deque[object]) -> bytes:
    self.watch(tuple, value)
    return tagged("deque", self.value(value.maxlen), self.sequence(b"l", value))


def _bytearray(self: Encoding, value: bytearray) -> bytes:
    self.watch(bytes, value)
    return tagged("bytearray", _bytes(bytes(value)))


def _dict(self: Encoding, value: dict[object, object]) -> bytes:
    self.watch(items_of, value)
    return self.mapping(value)


def _ordered(self: Encoding, value: OrderedDict[object, object]) -> bytes:
    self.watch(items_of, value)
    return tagged("OrderedDict", self.sequence(b"l", [x for pair in value.items() for x in pair]))


def _tagged_mapping(tag: str) -> tp.Callable[[Encoding, tp.Any], bytes]:
    def encode(self: Encoding, value: tp.Any) -> bytes:
        self.watch(items_of, value)
        return tagged(tag, self.value(getattr(value, "default_factory", None)), self.mapping(value))

    return encode


def _attributes(tag: str, *names: str) -> tp.Callable[[Encoding, tp.Any], bytes]:
    def encode(self: Encoding, value: tp.Any) -> bytes:
        return tagged(tag, *(self.value(getattr(value, name)) for name in names))

    return encode


_CONTAINERS: dict[type, tp.Callable[[Encoding, tp.Any], bytes]] = {
    list: _list,
    tuple: lambda self, value: self.sequence(b"t", value),
    dict: _dict,
    set: _set,
    frozenset: lambda self, value: self.members(b"Z", value),
    bytearray: _bytearray,
    deque: _deque,
    OrderedDict: _ordered,
    defaultdict: _tagged_mapping("defaultdict"),
    Counter: _tagged_mapping("Counter"),
    types.MappingProxyType: _tagged_mapping("mappingproxy"),
    re.Pattern: _attributes("pattern", "pattern", "flags"),
    range: _attributes("range", "start", "stop", "step"),
    slice: _attributes("slice", "start", "stop", "step"),
    functools.partial: _attributes("partial", "func", "args", "keywords"),
}


containers: tp.Final = _CONTAINERS.get


# -- all other types ------------------------------------------------------------------------------------------------

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
def _handler(kind: tp.Any) -> tp.Callable[[Encoding, tp.Any], bytes]:
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
        return lambda self, value: tagged(tag, _str(flavour), _str(str(value)))
    if issubclass(kind, type):
        return _class
    numpy, torch = sys.modules.get("numpy"), sys.modules.get("torch")
    if numpy is not None and issubclass(kind, (numpy.ndarray, numpy.generic, numpy.dtype)):
        from .uidarrays import of_numpy

        return _of_library(of_numpy)
    if torch is not None and issubclass(kind, (torch.Tensor, torch.dtype, torch.device)):
        from .uidarrays import of_torch

        return _of_library(of_torch)
    base = next((base for base in kind.__mro__ if base in _ATOMS or base in _CONTAINERS), None)
    if base is not None:
        return _subclass(base) if base in _BASES else _refused
    return _dataclass if dataclasses.is_dataclass(kind) else _other(kind)


def _of_library(
    parts: tp.Callable[[Encoding, tp.Any], tuple[str, list[bytes]]],
) -> tp.Callable[[Encoding, tp.Any], bytes]:
    def encode(self: Encoding, value: tp.Any) -> bytes:
        tag, encodings = parts(self, value)
        return tagged(tag, *encodings)

    return encode


def _hook(value: tp.Any) -> bytes:
    return canonical(type(value).__uid_value__(value))


def _hook_items(value: tp.Any) -> tuple[object, ...]:
    return items_of(type(value).__uid_value__(value))


def _hooked(self: Encoding, value: tp.Any) -> bytes:
    found = type(value).__uid_value__(value)
    # of a mapping of values that cannot change, the same ones at each call, a look at them tells: settings are such
    is_plain = type(found) is dict and all(type(item) in _ATOMS for item in items_of(found))
    again = _hook_items(value) if is_plain else ()
    is_kept = is_plain and len(again) == 2 * len(found) and all(map(operator.is_, items_of(found), again))
    self.watch(_hook_items if is_kept else _hook, value)
    return tagged("custom", _str(class_path(type(value))), canonical(found))


def _enum(self: Encoding, value: enum.Enum) -> bytes:
    name = (
        "" if isinstance(value, enum.Flag) else value.name
    )  # a flag is its bits; versions of Python name them otherwise
    try:
        content = canonical(value.value)
    except UidError:  # a function, say: the name tells a member from all others
        content = b""
    return tagged("enum", _str(class_path(type(value))), _str(name or ""), content)


def _class(self: Encoding, value: type) -> bytes:
    if not is_named(value):
        raise UidError(
            f"the class {value.__qualname__} of {value.__module__!r} has no name under which another process would find "
            "the very same: define it at the top level of a module"
        )
    return tagged("class", _str(class_path(value)))


def _fields(value: tp.Any) -> tuple[object, ...]:
    return tuple(getattr(value, field.name) for field in dataclasses.fields(value))


def _dataclass(self: Encoding, value: tp.Any) -> bytes:
    kind = type(value)
    names = [field.name for field in dataclasses.fields(value)]
    extra = set(getattr(value, "__dict__", ())) - set(names)
    if extra:
        raise UidError(f"a dataclass {kind.__qualname__} carries more than its fields: {sorted(extra)}")
    if not kind.__dataclass_params__.frozen:
        self.watch(_fields, value)
    parts = [_str(name) + self.value(getattr(value, name)) for name in names]
    return tagged("dataclass", _str(class_path(kind)), *parts)


def _subclass(base: type) -> tp.Callable[[Encoding, tp.Any], bytes]:
    def encode(self: Encoding, value: tp.Any) -> bytes:
        kind = type(value)
        slots = any(cls.__dict__.get("__slots__") for cls in kind.__mro__ if cls is not base and issubclass(cls, base))
        if slots or getattr(value, "__dict__", None):
            raise UidError(
                f"a {kind.__qualname__} may hold more than the {base.__name__} it is: give its class a method "
                f"__uid_value__ that returns plain values, or use a plain {base.__name__}"
            )
        self.opaque |= base in (list, dict, set)
        return tagged("sub", _str(class_path(kind)), self.value(_BASES[base](value)))

    return encode


def _other(kind: type) -> tp.Callable[[Encoding, tp.Any], bytes]:
    """Types of libraries by name, and what is left: by its own name, or refused."""
    root = kind.__module__.partition(".")[0]
    if root == "zoneinfo" or (root == "pydantic_core" and kind.__name__ == "TzInfo"):
        return lambda self, value: _zone(value)
    if root in ("pydantic", "pydantic_core"):
        if "Secret" in kind.__name__:
            return _secret
        if kind.__name__.endswith(("Url", "Dsn")):
            return lambda self, value: tagged("url", _str(kind.__name__), _str(str(value)))
    if root == "ipaddress":
        return lambda self, value: tagged(kind.__name__, _str(str(value)))
    return _refused


def _secret(self: Encoding, value: object) -> bytes:
    raise UidError("a secret cannot be part of a uid, which is readable: mark the field NotInUid")


def _refused(self: Encoding, value: tp.Any) -> bytes:
    if callable(value) and isinstance(
        getattr(value, "__qualname__", None), str
    ):  # a function of another type, as numpy's and jit-compiled ones
        return _function(value)
    kind = type(value)
    raise UidError(
        f"a value of type {kind.__module__}.{kind.__qualname__} cannot be told from others by its content: mark the "
        "field NotInUid, exclude it, or give its class a method __uid_value__ that returns plain values"
    )


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


def digest(encoding: bytes) -> str:
    """80 bits of an encoding as 20 lower-case letters and digits, safe on file systems that fold case."""
    return blake2b(encoding, digest_size=10).hexdigest()


def complete_digest(encoding: bytes) -> bytes:
    """128 bits of an encoding."""
    return blake2b(encoding, digest_size=16).digest()


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
