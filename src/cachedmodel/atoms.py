"""Values that hold no others to bytes: `ATOMS` says how exact types are encoded, each with a tag and its length."""

from __future__ import annotations

import datetime
import decimal
import fractions
import struct
import sys
import types
import typing as tp
import uuid

from .errors import UidError
from .mainmodule import MAIN

Encoder = tp.Callable[[tp.Any], bytes]  # Any: each encoder takes the type it is registered for

_pack_float = struct.Struct(">cd").pack
_NAN = _pack_float(b"f", float("nan"))


def of_str(value: str) -> bytes:
    """A text; lone surrogates too."""
    data = value.encode("utf-8", "surrogatepass")
    return b"s%d:%b" % (len(data), data)


def of_float(value: float) -> bytes:
    """A float, of which all NaN are one."""
    return _pack_float(b"f", value) if value == value else _NAN


def of_bytes(value: bytes) -> bytes:
    """Bytes as they are."""
    return b"b%d:%b" % (len(value), value)


def tagged(tag: str, *parts: bytes) -> bytes:
    """One value from a tag and encodings that each say where they end."""
    name = tag.encode("utf-8", "surrogatepass")
    return b"<%d:%b%d;%b" % (len(name), name, len(parts), b"".join(parts))


def of_function(value: tp.Any) -> bytes:  # Any: a function or a builtin, which share no type
    """A function by its name, where that leads to it."""
    module, name = getattr(value, "__module__", None), getattr(value, "__qualname__", "")
    found: object = sys.modules.get(module or "")
    for part in name.split("."):
        found = getattr(found, part, None)
    if found is not value or module in MAIN:
        raise UidError(
            f"the function {value!r} has no name under which another process would find the very same: "
            "use a function at the top level of a module"
        )
    return tagged("function", of_str(f"{module}:{name}"))


_UTC = ("UTC", "Etc/UTC", "Zulu")


def of_zone(zone: datetime.tzinfo | None) -> bytes:
    """A time zone: fixed offsets by their offset alone, which is all that their equality and a JSON file know."""
    if zone is None:
        return b"N"
    key = getattr(zone, "key", None)
    if isinstance(key, str) and type(zone).__module__.partition(".")[0] == "zoneinfo":
        return _offset(datetime.timedelta()) if key in _UTC else tagged("zone", of_str(key))
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
    return tagged("datetime", of_str(again.replace(tzinfo=None).isoformat()), of_zone(value.tzinfo), b"i%x;" % fold)


def _time(value: datetime.time) -> bytes:
    return tagged("time", of_str(value.replace(tzinfo=None, fold=0).isoformat()), of_zone(value.tzinfo))


ATOMS: dict[type, Encoder] = {
    type(None): lambda _: b"N",
    bool: lambda value: b"T" if value else b"F",
    int: b"i%x;".__mod__,
    float: of_float,
    str: of_str,
    bytes: of_bytes,
    complex: lambda value: tagged("complex", of_float(value.real), of_float(value.imag)),
    decimal.Decimal: lambda value: tagged("Decimal", of_str(str(value))),
    fractions.Fraction: lambda value: tagged("Fraction", b"i%x;" % value.numerator, b"i%x;" % value.denominator),
    uuid.UUID: lambda value: tagged("UUID", of_bytes(value.bytes)),
    datetime.datetime: _datetime,
    datetime.date: lambda value: tagged("date", of_str(value.isoformat())),
    datetime.time: _time,
    datetime.timedelta: lambda value: tagged(
        "timedelta", *(b"i%x;" % x for x in (value.days, value.seconds, value.microseconds))
    ),
    datetime.timezone: of_zone,
    types.FunctionType: of_function,
    types.BuiltinFunctionType: of_function,
    type(Ellipsis): lambda _: b"<E",
}
atoms: tp.Final = ATOMS.get
