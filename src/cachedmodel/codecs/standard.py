"""The standard library: dates, paths, exact numbers, collections, and some small things."""

from __future__ import annotations

import array
import collections
import datetime
import decimal
import fractions
import pathlib
import re
import sys
import types
import typing as tp
import uuid
import zoneinfo
from collections.abc import Callable

from .base import Declined
from .kinds import Kind, State, expect

_FACTORIES: dict[str, type] = {
    cls.__name__: cls for cls in (bool, int, float, complex, str, bytes, bytearray, list, tuple, set, frozenset, dict)
}
_PATHS = {
    cls.__name__: cls
    for cls in (
        pathlib.PurePath,
        pathlib.PurePosixPath,
        pathlib.PureWindowsPath,
        pathlib.Path,
        pathlib.PosixPath,
        pathlib.WindowsPath,
    )
}
_MAX_FRACTION_BITS = 1 << 16  # reducing a fraction takes time in proportion to the square
# Of the same size everywhere, unlike "l" and "u".
_TYPECODES = "bBhHiIqQfd"


def find(cls: type) -> Kind | None:
    """The kind of the instances of `cls`."""
    return _KIND_OF.get(cls)


def _reduce_time(value: datetime.time) -> State:
    return (value.hour, value.minute, value.second, value.microsecond), value.tzinfo, value.fold


def _restore_time(state: State, views: bool) -> object:
    (hour, minute, second, microsecond), tz, fold = state
    return datetime.time(hour, minute, second, microsecond, tz, fold=fold)


def _reduce_datetime(value: datetime.datetime) -> State:
    date = value.year, value.month, value.day
    return (*date, value.hour, value.minute, value.second, value.microsecond), value.tzinfo, value.fold


def _restore_datetime(state: State, views: bool) -> object:
    (year, month, day, hour, minute, second, microsecond), tz, fold = state
    return datetime.datetime(year, month, day, hour, minute, second, microsecond, tz, fold=fold)


def _reduce_timezone(value: datetime.timezone) -> State:
    offset, *name = tp.cast(tuple[tp.Any, ...], value.__getinitargs__())  # type: ignore[attr-defined]  # not in the stubs
    return offset, *name


def _reduce_zone(value: zoneinfo.ZoneInfo) -> State:
    if value.key is None or zoneinfo.ZoneInfo(value.key) is not value:
        raise Declined("is a time zone that its key does not lead back to")
    return (value.key,)


def _reduce_fraction(value: fractions.Fraction) -> State:
    if max(abs(value.numerator), value.denominator).bit_length() > _MAX_FRACTION_BITS:
        raise Declined("is a fraction of very large numbers")
    return value.numerator, value.denominator


def _restore_fraction(state: State, views: bool) -> object:
    numerator, denominator = (expect(number, int) for number in state)
    if max(numerator.bit_length(), denominator.bit_length()) > _MAX_FRACTION_BITS:
        raise ValueError("a fraction is out of range")
    return fractions.Fraction(numerator, denominator)


def _reduce_uuid(value: uuid.UUID) -> State:
    return value.bytes, value.is_safe.value


def _restore_uuid(state: State, views: bool) -> object:
    content, is_safe = state
    return uuid.UUID(bytes=content, is_safe=uuid.SafeUUID(is_safe))


def _reduce_path(value: pathlib.PurePath) -> State:
    return type(value).__name__, str(value)


def _restore_path(state: State, views: bool) -> object:
    name, text = state
    return _PATHS[name](expect(text, str))


def _reduce_mapping(value: collections.OrderedDict[tp.Any, tp.Any] | collections.Counter[tp.Any]) -> State:
    # Attributes, too: torch keeps some in the OrderedDict that a state_dict is.
    return dict(value), vars(value)


def _restore_mapping(make: Callable[[], dict[tp.Any, tp.Any]]) -> Callable[[State, bool], object]:
    """Fills what `make` makes, without counting."""

    def restore(state: State, views: bool) -> object:
        content, attributes = state
        mapping = make()
        for key, value in expect(content, dict).items():
            mapping[key] = value
        vars(mapping).update(expect(attributes, dict))
        return mapping

    return restore


def _reduce_default(value: collections.defaultdict[tp.Any, tp.Any]) -> State:
    factory: tp.Any = value.default_factory
    name = None if factory is None else getattr(factory, "__name__", "")
    if name is not None and _FACTORIES.get(name) is not factory:
        raise Declined("has a default_factory that is no builtin type")
    return name, dict(value)


def _restore_default(state: State, views: bool) -> object:
    name, content = state
    return collections.defaultdict(None if name is None else _FACTORIES[name], expect(content, dict))


def _reduce_array(value: array.array[tp.Any]) -> State:
    if value.typecode not in _TYPECODES:
        raise Declined(f"has items of the type {value.typecode!r}, whose size differs between platforms")
    copy = value[:]
    if sys.byteorder == "big":
        copy.byteswap()
    return value.typecode, memoryview(copy.tobytes())


def _restore_array(state: State, views: bool) -> object:
    typecode, content = state
    if typecode not in tuple(_TYPECODES):
        raise ValueError(f"unknown typecode {typecode!r}")
    value: array.array[tp.Any] = array.array(typecode)
    value.frombytes(expect(content, memoryview))
    if sys.byteorder == "big":
        value.byteswap()
    return value


def _restore_namespace(state: State, views: bool) -> object:
    (content,) = state
    return types.SimpleNamespace(**expect(content, dict))


def _restore_deque(state: State, views: bool) -> object:
    content, maxlen = state
    return collections.deque(expect(content, tuple), maxlen)


def _by(make: Callable[..., object]) -> Callable[[State, bool], object]:
    """Restores by calling `make` with the state."""
    return lambda state, views: make(*state)


_KIND_OF: dict[type, Kind] = {
    datetime.date: Kind("std.date", lambda value: (value.year, value.month, value.day), _by(datetime.date)),
    datetime.time: Kind("std.time", _reduce_time, _restore_time),
    datetime.datetime: Kind("std.datetime", _reduce_datetime, _restore_datetime),
    datetime.timedelta: Kind(
        "std.timedelta", lambda value: (value.days, value.seconds, value.microseconds), _by(datetime.timedelta)
    ),
    datetime.timezone: Kind("std.timezone", _reduce_timezone, _by(datetime.timezone)),
    zoneinfo.ZoneInfo: Kind("std.zone", _reduce_zone, _by(zoneinfo.ZoneInfo)),
    decimal.Decimal: Kind("std.decimal", lambda value: (str(value),), _by(decimal.Decimal)),
    fractions.Fraction: Kind("std.fraction", _reduce_fraction, _restore_fraction),
    uuid.UUID: Kind("std.uuid", _reduce_uuid, _restore_uuid),
    re.Pattern: Kind("std.pattern", lambda value: (value.pattern, value.flags), _by(re.compile)),
    range: Kind("std.range", lambda value: (value.start, value.stop, value.step), _by(range)),
    slice: Kind("std.slice", lambda value: (value.start, value.stop, value.step), _by(slice), atom=False),
    type(...): Kind("std.ellipsis", lambda value: (), lambda state, views: ...),
    collections.OrderedDict: Kind(
        "std.ordered", _reduce_mapping, _restore_mapping(collections.OrderedDict), atom=False
    ),
    collections.Counter: Kind("std.counter", _reduce_mapping, _restore_mapping(collections.Counter), atom=False),
    collections.defaultdict: Kind("std.defaultdict", _reduce_default, _restore_default, atom=False),
    collections.deque: Kind("std.deque", lambda value: (tuple(value), value.maxlen), _restore_deque, atom=False),
    array.array: Kind("std.array", _reduce_array, _restore_array, atom=False),
    types.SimpleNamespace: Kind("std.namespace", lambda value: (vars(value),), _restore_namespace, atom=False),
}
_path_kind = Kind("std.path", _reduce_path, _restore_path)
_KIND_OF.update(dict.fromkeys(_PATHS.values(), _path_kind))
KINDS = (*_KIND_OF.values(),)
