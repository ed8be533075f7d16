"""The readable part of a uid: values in a few characters, the same for whatever has the same encoding.

So nothing here may depend on the order of a set or a mapping, on addresses, on versions or settings of libraries, or on the
name of a class that is no part of the encoding.
"""

from __future__ import annotations

import datetime
import decimal
import enum
import fractions
import pathlib
import typing as tp
import uuid

import pydantic

_ITEMS = 8
_LENGTH = 40
_LOW, _HIGH = -1 << 127, 1 << 127


def readable(shown: tp.Iterable[tuple[object, str, object, str]]) -> str:
    """The fields that differ as one line, from an identity's ``shown``."""
    texts = []
    value: tp.Any  # whatever a field can hold
    for _, title, value, label in shown:
        kind = type(value)
        if kind is str:
            label = value[:_LENGTH]
        elif kind is float:
            label = "%.6g" % value  # noqa: UP031  # a format takes half as long again
        elif kind is int and _LOW < value < _HIGH:
            label = str(value)
        elif not label:
            label = _short(kind, _other)(value)[:_LENGTH]
        texts.append(title + label)
    return ",".join(texts)


def short(value: tp.Any) -> str:  # Any: whatever a field can hold
    """A value in about forty characters."""
    return _short(type(value), _other)(value)[:_LENGTH]


def _int(value: int) -> str:
    return str(value) if _LOW < value < _HIGH else f"{value:x}"  # Python refuses to write large ones in decimals


def _sequence(value: tp.Sequence[object]) -> str:
    return ",".join(
        [str(item) if type(item) is int and _LOW < item < _HIGH else short(item) for item in value[:_ITEMS]]
    )


def _unordered(texts: tp.Iterable[str]) -> str:
    return ",".join(sorted(texts)[:_ITEMS])


def _set(value: tp.AbstractSet[object]) -> str:
    return _unordered(short(item) for item in value)


def _mapping(value: tp.Mapping[object, object]) -> str:
    return _unordered(f"{short(key)}-{short(item)}" for key, item in value.items())


def _datetime(value: datetime.datetime) -> str:
    return value.replace(tzinfo=None).isoformat()


def _other(value: tp.Any) -> str:
    kind = type(value)
    hook = getattr(kind, "__uid_value__", None)
    if hook is not None:
        return short(hook(value))
    if isinstance(value, pydantic.BaseModel):
        return "model"
    if isinstance(value, enum.Enum):
        return short(value.value) if isinstance(value, enum.Flag) else str(value.name)
    if isinstance(value, pathlib.PurePath):
        return str(value)
    if isinstance(value, type):
        return value.__name__
    if kind.__module__ == "numpy" and hasattr(value, "dtype"):
        scalar = value.dtype.kind in "biufc" and value.dtype.itemsize <= 8 and not value.shape
        return short(value.item()) if scalar else "x".join([value.dtype.kind, *map(str, value.shape)])
    return kind.__name__


_SHORT: dict[type, tp.Callable[[tp.Any], str]] = {
    str: str,
    int: _int,
    float: "{:.6g}".format,
    bool: str,
    type(None): str,
    bytes: lambda value: value[:_LENGTH].decode("ascii", "replace"),
    list: _sequence,
    tuple: _sequence,
    set: _set,
    frozenset: _set,
    dict: _mapping,
    complex: "{:.6g}".format,
    datetime.datetime: _datetime,
    datetime.date: str,
    uuid.UUID: str,
    decimal.Decimal: str,
    fractions.Fraction: lambda value: f"{_int(value.numerator)}_{_int(value.denominator)}",
}
_short = _SHORT.get
