"""How the writer writes JSON-like values, and those that users' codecs take."""

from __future__ import annotations

import struct
import sys
import typing as tp
from array import array
from collections.abc import Callable, Collection

from .base import Codec, Declined
from .writer import INLINE, MAX_SHAPE, Writer

_pack_float = struct.Struct("<d").pack
_pack_complex = struct.Struct("<dd").pack


def _none(writer: Writer, value: None) -> None:
    writer.out += b"N"


def _bool(writer: Writer, value: bool) -> None:
    writer.out += b"T" if value else b"F"


def _int(writer: Writer, value: int) -> None:
    writer.out += b"i"
    writer.blob(int_bytes(value))


def int_bytes(value: int) -> bytes:
    """Little-endian two's complement, as short as it can be."""
    return value.to_bytes((value.bit_length() + 8) // 8, "little", signed=True)


def _float(writer: Writer, value: float) -> None:
    writer.out += b"d" + _pack_float(value)


def _complex(writer: Writer, value: complex) -> None:
    writer.out += b"c" + _pack_complex(value.real, value.imag)


def _str(writer: Writer, value: str) -> None:
    if len(value) <= INLINE:
        writer.out += b"s"
        writer.text(value)
    elif writer.enter(value):
        writer.out += b"S"
        writer.text(value)
        writer.leave(value)


def _bytes(writer: Writer, value: bytes) -> None:
    if len(value) <= INLINE:
        writer.out += b"y"
        writer.blob(value)
    elif writer.enter(value):
        writer.out += b"Y"
        writer.blob(value)
        writer.leave(value)


def _bytearray(writer: Writer, value: bytearray) -> None:
    if writer.enter(value):
        writer.out += b"a"
        # A copy: a view would lock the size of the user's own object for as long as the payload lives.
        writer.blob(bytes(value))
        writer.leave(value)


def _list(writer: Writer, value: list[object]) -> None:
    if writer.enter(value):
        writer.out += b"["
        writer.column(value)
        writer.leave(value)


def _tuple(writer: Writer, value: tuple[object, ...]) -> None:
    if writer.enter(value):
        writer.out += b"("
        writer.column(value)
        writer.leave(value)


def _set(writer: Writer, value: set[object]) -> None:
    if writer.enter(value):
        writer.out += b"{"
        writer.keys(value)
        writer.leave(value)


def _frozenset(writer: Writer, value: frozenset[object]) -> None:
    if writer.enter(value):
        writer.out += b"<"
        writer.keys(value)
        writer.leave(value)


def _dict(writer: Writer, value: dict[object, object]) -> None:
    if not writer.enter(value):
        return
    keys = tuple(value)
    # Dicts with the same few keys are the rows of a table: the keys are written once.
    is_shape = len(keys) <= MAX_SHAPE and set(map(type, keys)) == {str}
    index = writer.shapes.get(tp.cast(tuple[str, ...], keys)) if is_shape else None
    if index is not None:
        writer.out += b"m"
        writer.size(index)
    else:
        writer.out += b"M"
        writer.keys(keys)
        if is_shape:
            writer.shapes[tp.cast(tuple[str, ...], keys)] = len(writer.shapes)
    try:
        writer.column(value.values())
    except Declined as declined:
        position = int(declined.path.pop()[1:-1])
        declined.path.append(f"[{keys[position]!r}]")
        raise
    writer.leave(value)


def _floats(writer: Writer, values: Collection[float]) -> bool:
    _packed(writer, array("d", values))
    return True


def _ints(writer: Writer, values: Collection[int]) -> bool:
    for typecode in "bhiq":
        try:
            packed = array(typecode, values)
        except OverflowError:
            continue
        _packed(writer, packed)
        return True
    return False


def _bools(writer: Writer, values: Collection[bool]) -> bool:
    writer.out += b"?"
    writer.blob(bytes(values))
    return True


def _strs(writer: Writer, values: Collection[str]) -> bool:
    lengths = list(map(len, values))
    if sum(lengths) > INLINE * len(lengths):
        return False  # one by one, so that long strings that come again are written once
    writer.out += b"s"
    _ints(writer, lengths)
    writer.text("".join(values))
    return True


def _packed(writer: Writer, numbers: array[tp.Any]) -> None:
    if sys.byteorder == "big":
        numbers.byteswap()
    writer.out += numbers.typecode.encode()
    writer.blob(numbers.tobytes())


def encoder_with(codec: Codec, otherwise: Callable[[Writer, tp.Any], None] | None) -> Callable[[Writer, tp.Any], None]:
    """An encoder that asks `codec` first."""

    def encode(writer: Writer, value: object) -> None:
        if id(value) in writer.memo and not writer.hashed:
            writer.enter(value)
            return
        payload = codec.dump(value)
        if payload is None:
            (otherwise or Writer.kind)(writer, value)
        elif writer.enter(value):
            writer.pickled |= payload.pickled
            writer.out += b"C"
            writer.text(codec.name)
            writer.aligned(payload.parts)
            writer.leave(value)

    return encode


PACKERS: dict[type, Callable[[Writer, tp.Any], bool]] = {float: _floats, int: _ints, bool: _bools, str: _strs}

BUILT_IN: dict[type, Callable[[Writer, tp.Any], None]] = {
    type(None): _none,
    bool: _bool,
    int: _int,
    float: _float,
    complex: _complex,
    str: _str,
    bytes: _bytes,
    bytearray: _bytearray,
    list: _list,
    tuple: _tuple,
    set: _set,
    frozenset: _frozenset,
    dict: _dict,
}
