"""The reading half of the tree: nodes and buffers become a value again. See objects.py.

The bytes may be malformed, or made to harm: whatever they say, reading takes time and memory in proportion to their
length, runs no code but that of the classes it names, and ends in a value or an exception.
"""

from __future__ import annotations

import sys
import typing as tp
from array import array
from collections.abc import Callable
from itertools import accumulate, pairwise

from .base import ALIGNMENT
from .writer import MAX_DEPTH, is_plain

LoadNamed = Callable[[str, memoryview, bool], object]

_NUMBERS = frozenset(b"dbhiq")

Restore = Callable[[tuple[tp.Any, ...], bool], object]

#: What to do with the only buffer of a value, by skeleton and size of the payload: arrays of a map often differ in it alone.
_known: dict[tuple[bytes, int], tuple[Restore, tuple[object, ...], int]] = {}
_MOST_KNOWN, _LONGEST_KNOWN = 256, 1024

DECODERS: list[Callable[[Reader], object]] = []
"""Decoder of each tag, by its code."""


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
        "buffers",
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
        self.payload: memoryview[int] = payload
        self.views: bool = views
        self.allow_pickle: bool = allow_pickle
        self.load_named: LoadNamed = load_named
        self.position: int = 0
        self.data: bytes = b""
        self.end: int = 0  # of what was used of the payload
        self.buffers: int = -1  # where what lies beside the skeleton begins
        self.depth: int = 0
        self.hashed: int = 0
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
            self.buffers = self.end + -self.end % ALIGNMENT
            known = _known.get((self.data, len(payload)))
            if known is not None:
                restore, state, start = known
                return restore((*state, payload[start:]), self.views)
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
        return DECODERS[self.data[position]](self)

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
        data, decoders = self.data, DECODERS
        values = []
        for _ in range(count):
            position = self.position
            self.position = position + 1
            values.append(decoders[data[position]](self))
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

    def learn(self, restore: Restore, state: tuple[object, ...]) -> None:
        """Notes how the whole value is made of its buffer, if it is of this state, and the last part is the only buffer."""
        *plain, content = state or (None,)
        if type(content) is not memoryview or content.obj is not self.payload.obj or not all(map(is_plain, plain)):
            return
        start = len(self.payload) - len(content)
        if start != self.buffers or not len(content) or len(self.data) > _LONGEST_KNOWN:
            return
        if len(_known) >= _MOST_KNOWN:
            _known.clear()
        _known[self.data, len(self.payload)] = restore, tuple(plain), start

    def keep(self, value: object) -> object:
        """Remembers a value that later nodes may refer to."""
        self.met.append(value)
        return value
