"""The contract of a codec: one kind of value, to bytes and back, exactly."""

from __future__ import annotations

import typing as tp
from collections.abc import Sequence

Buffer = bytes | bytearray | memoryview


class Payload(tp.NamedTuple):
    """A value as bytes.

    Attributes
    ----------
    codec
        Name of the codec that can load it; written on disk, so it never changes meaning.
    parts
        The bytes, in order; their concatenation is what ``load`` receives. Offsets that must be
        aligned (arrays) are aligned to 64 bytes from the start of the payload, by the codec's own padding.
    pickled
        True if loading may run code (pickle), anywhere inside.
    """

    codec: str
    parts: Sequence[Buffer]
    pickled: bool = False


class Codec(tp.Protocol):
    """One kind of value, to bytes and back: type and value come back the same, or ``dump`` declines."""

    name: str

    def dump(self, value: object) -> Payload | None:
        """The value as bytes, or None if this codec cannot give back exactly this value and type."""
        ...

    def load(self, payload: memoryview) -> object:
        """The value; `payload` is the concatenation of the parts (64-byte aligned start, read-only)."""
        ...
