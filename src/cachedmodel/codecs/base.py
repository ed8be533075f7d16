"""The contract of a codec: one kind of value, to bytes and back, exactly."""

from __future__ import annotations

import typing as tp
from collections.abc import Sequence

from cachedmodel.errors import CacheError

Buffer = bytes | bytearray | memoryview

ALIGNMENT = 64
"""Offsets of arrays in a payload are multiples of this: a cache line, and what vector instructions like."""


class Payload(tp.NamedTuple):
    """A value as bytes.

    Attributes
    ----------
    codec
        Name of the codec that can load it; written on disk, so it never changes meaning.
    parts
        The bytes, in order; their concatenation is what ``load`` receives. Offsets that must be
        aligned (arrays) are aligned to 64 bytes from the start of the payload, by the codec's own padding.
        Parts may be views of the value's own memory: write or copy them before the value can change.
        A memoryview is contiguous and of single bytes, so that ``len`` is its size.
    pickled
        True if loading may run code (pickle), anywhere inside.
    """

    codec: str
    parts: Sequence[Buffer]
    pickled: bool = False


class Codec(tp.Protocol):
    """One kind of value, to bytes and back: type and value come back the same, or ``dump`` declines."""

    @property
    def name(self) -> str:
        """What is written on disk beside the bytes; a new format needs a new name."""
        ...

    def dump(self, value: tp.Any) -> Payload | None:  # Any: a codec may say the only type it takes
        """The value as bytes, or None if this codec cannot give back exactly this value and type."""
        ...

    def load(self, payload: memoryview) -> object:
        """The value; `payload` is the concatenation of the parts (64-byte aligned start, read-only)."""
        ...


class PickleRefusedError(CacheError):
    """A pickle would have to be written or loaded, and ``allow_pickle=False`` forbids it.

    A type of its own, because the cache raises it where any other unreadable entry is computed again.
    """


class Declined(Exception):  # not an error: the next codec is tried
    """A codec cannot give back this value exactly; says why, and which part of the value is the cause.

    Attributes
    ----------
    reason
        What is in the way, as the end of a sentence that starts with the part.
    path
        Keys, indices and attributes that lead to the part, innermost first.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.path: list[str] = []

    def where(self) -> str:
        """The part as an expression, eg ``value['a'][2].name``."""
        return "value" + "".join(reversed(self.path))
