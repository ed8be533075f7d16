"""How the reader reads each node: the other side of encoders.py."""

from __future__ import annotations

import struct
import typing as tp
from collections.abc import Callable

from cachedmodel.errors import CacheError

from .kinds import is_atom, kind_named
from .reader import Reader
from .writer import MAX_SHAPE

_unpack_float = struct.Struct("<d").unpack_from
_unpack_complex = struct.Struct("<dd").unpack_from


def _int(reader: Reader) -> int:
    return int.from_bytes(reader.blob(), "little", signed=True)


def _float(reader: Reader) -> float:
    position = reader.position
    reader.position = position + 8
    number: float = _unpack_float(reader.data, position)[0]
    return number


def _complex(reader: Reader) -> complex:
    position = reader.position
    reader.position = position + 16
    return complex(*_unpack_complex(reader.data, position))


def _set(reader: Reader) -> object:
    values = reader.keys()
    return reader.keep(_all_of(set(values), values))


def _frozenset(reader: Reader) -> object:
    values = reader.keys()
    return reader.keep(_all_of(frozenset(values), values))


def _dict(reader: Reader) -> object:
    keys = tuple(reader.keys())
    if len(keys) <= MAX_SHAPE and set(map(type, keys)) == {str}:
        reader.shapes.append(keys)
    return _dict_of(reader, keys)


def _dict_again(reader: Reader) -> object:
    return _dict_of(reader, reader.shapes[reader.size()])


def _dict_of(reader: Reader, keys: tuple[tp.Any, ...]) -> object:
    return reader.keep(_all_of(dict(zip(keys, reader.column(), strict=True)), keys))


_Container = tp.TypeVar("_Container", set[tp.Any], frozenset[tp.Any], dict[tp.Any, tp.Any])


def _all_of(container: _Container, keys: tp.Sized) -> _Container:
    if len(container) != len(keys):
        raise ValueError("a key comes twice")
    return container


def _kind(reader: Reader) -> object:
    kind = kind_named(reader.text())
    count = reader.size()
    if count > 64:
        raise ValueError("a state is too long")
    state = tuple(reader.nodes(count))
    if not reader.depth and reader.position == len(reader.data) and reader.end == len(reader.payload):
        reader.learn(kind.restore, state)
    return reader.keep(kind.restore(state, reader.views))


def _class(reader: Reader) -> type:
    from .classes import find_class

    cls = find_class(reader.text(), reader.text(), reader.text(), reader.text())
    reader.classes.append(cls)
    return cls


def _again(reader: Reader) -> object:
    value = reader.met[reader.size()]
    if reader.hashed and not is_atom(type(value)):
        raise ValueError("a key refers to a container")
    return value


def _codec(reader: Reader) -> object:
    name = reader.text()
    return reader.keep(reader.load_named(name, memoryview(reader.blob()), reader.allow_pickle))


def _unknown(reader: Reader) -> tp.NoReturn:
    tag = reader.data[reader.position - 1]
    raise CacheError(f"unknown tag {tag}: the value is damaged, or was stored by a newer version of cachedmodel")


BUILT_IN: list[Callable[[Reader], object]] = [_unknown] * 256
for _tag, _decode in {
    "N": lambda reader: None,
    "T": lambda reader: True,
    "F": lambda reader: False,
    "i": _int,
    "d": _float,
    "c": _complex,
    "s": Reader.text,
    "y": lambda reader: bytes(reader.blob()),
    "a": lambda reader: reader.keep(bytearray(reader.blob())),
    "S": lambda reader: reader.keep(reader.text()),
    "Y": lambda reader: reader.keep(bytes(reader.blob())),
    "[": lambda reader: reader.keep(reader.column()),
    "(": lambda reader: reader.keep(tuple(reader.column())),
    "{": _set,
    "<": _frozenset,
    "M": _dict,
    "m": _dict_again,
    "K": _kind,
    "V": lambda reader: memoryview(reader.blob()),
    "^": _class,
    "~": lambda reader: reader.classes[reader.size()],
    "@": _again,
    "C": _codec,
}.items():
    BUILT_IN[ord(_tag)] = tp.cast(Callable[[Reader], object], _decode)
