"""The reading half of the tree: nodes and buffers become a value again. See objects.py.

The bytes may be malformed, or made to harm: whatever they say, reading takes time and memory in proportion to their
length, runs no code but that of the classes it names, and ends in a value or an exception.
"""

from __future__ import annotations

import struct
import sys
import typing as tp
from array import array
from collections.abc import Callable
from itertools import accumulate, pairwise

from cachedmodel.errors import CacheError

from .base import ALIGNMENT
from .kinds import is_atom, kind_named
from .writer import MAX_DEPTH, MAX_SHAPE

LoadNamed = Callable[[str, memoryview, bool], object]

_unpack_float = struct.Struct("<d").unpack_from
_unpack_complex = struct.Struct("<dd").unpack_from
_NUMBERS = frozenset(b"dbhiq")


class Reader:
    """Makes one value from a payload.

    Parameters
    ----------
    payload
        What a writer made.
    views
        True if arrays may be read-only views of the payload.
    allow_pickle
        Handed on to the codecs of users.
    load_named
        Loads a part that a user's codec wrote: name, payload, allow_pickle.
    """

    __slots__ = (
        "allow_pickle",
        "classes",
        "data",
        "depth",
        "end",
        "hashed",
        "load_named",
        "met",
        "payload",
        "position",
        "shapes",
        "views",
    )

    def __init__(self, payload: memoryview, views: bool, allow_pickle: bool, load_named: LoadNamed) -> None:
        self.payload = payload
        self.views = views
        self.allow_pickle = allow_pickle
        self.load_named = load_named
        self.position = 0
        self.data = b""
        self.end = 0  # of what was used of the payload
        self.depth = 0
        self.hashed = 0
        self.met: list[object] = []
        self.shapes: list[tuple[str, ...]] = []
        self.classes: list[type] = []

    def whole(self) -> object:
        """The value; raises an exception if a single byte is missing, or left."""
        payload = self.payload
        if payload[0] == 66:  # B
            self.data = bytes(payload[:12])
            self.position = 1
            size = self.size()
            self.end = self.position + size
            self.data = bytes(payload[self.position : self.end])
            self.position = 0
        else:
            self.data = bytes(payload)
            self.end = len(payload)
        value = self.read()
        if self.position != len(self.data) or self.end != len(payload):
            raise ValueError("bytes are left after the value")
        return value

    def read(self) -> tp.Any:  # Any: whatever the bytes hold
        """The value of the next node."""
        position = self.position
        self.position = position + 1
        return _DECODERS[self.data[position]](self)

    def size(self) -> int:
        """The next non-negative integer."""
        number = shift = 0
        while True:
            byte = self.data[self.position]
            self.position += 1
            if byte < 128:
                return number | byte << shift
            number |= (byte & 127) << shift
            shift += 7
            if shift > 63:
                raise ValueError("a size is out of range")

    def blob(self) -> memoryview | bytes:
        """The next bytes: a view of the payload if they lie beside the skeleton."""
        size = self.size()
        if size & 1:
            start = self.end + -self.end % ALIGNMENT
            self.end = end = start + (size >> 1)
            if end > len(self.payload):
                raise ValueError("the payload is too short")
            return self.payload[start:end]
        start = self.position
        self.position = end = start + (size >> 1)
        if end > len(self.data):
            raise ValueError("the payload is too short")
        return self.data[start:end]

    def text(self) -> str:
        """The next string without its tag."""
        return str(self.blob(), "utf-8", "surrogatepass")

    def column(self) -> list[tp.Any]:
        """The next column of values."""
        layout = self.data[self.position]
        self.position += 1
        if layout == 42:  # *
            count = self.size()
            if count > len(self.data) - self.position:
                raise ValueError("a count is out of range")
            return self.nodes(count)
        if layout in _NUMBERS:
            return self.numbers(layout)
        if layout == 115:  # s
            return self.strings()
        if layout == 63:  # ?
            flags = bytes(self.blob())
            if flags.strip(b"\0\1"):
                raise ValueError("a boolean is neither 0 nor 1")
            return list(map(bool, flags))
        raise ValueError(f"unknown layout {layout}")

    def nodes(self, count: int) -> list[tp.Any]:
        """The values of the next nodes."""
        self.depth += 1
        if self.depth > MAX_DEPTH + 1:
            raise ValueError("nested too deep")
        read = self.read
        values = [read() for _ in range(count)]
        self.depth -= 1
        return values

    def numbers(self, typecode: int) -> list[tp.Any]:
        """The next column of floats or integers, without its layout."""
        numbers = array(chr(typecode))
        numbers.frombytes(self.blob())
        if sys.byteorder == "big":
            numbers.byteswap()
        return numbers.tolist()

    def strings(self) -> list[str]:
        """The next column of strings, without its layout."""
        layout = self.data[self.position]
        self.position += 1
        if layout not in _NUMBERS or layout == 100:  # d
            raise ValueError("the lengths of strings are no integers")
        lengths = self.numbers(layout)
        text = self.text()
        if sum(lengths) != len(text) or (lengths and min(lengths) < 0):
            raise ValueError("the lengths of strings are wrong")
        return [text[start:end] for start, end in pairwise(accumulate(lengths, initial=0))]

    def keys(self) -> list[tp.Any]:
        """The next column of values that will be hashed."""
        self.hashed += 1
        values = self.column()
        self.hashed -= 1
        return values

    def keep(self, value: object) -> object:
        """Remembers a value that later nodes may refer to."""
        self.met.append(value)
        return value


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


_DECODERS: list[Callable[[Reader], object]] = [_unknown] * 256
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
    _DECODERS[ord(_tag)] = tp.cast(Callable[[Reader], object], _decode)
