"""The tree: values nested in values, without pickle. Codecs ``tree1`` and ``memmap1`` (the same, arrays as views).

A payload is a skeleton of nodes, each a tag (one byte) and what belongs to it::

    N T F           None, True, False             i blob        int, two's complement, little-endian
    d 8 bytes       float                         c 16 bytes    complex
    s S blob        str, UTF-8 with surrogates    y Y blob      bytes
    a blob          bytearray                     [ ( { <       list, tuple, set, frozenset: a column
    M column column dict: keys, values            m size column dict with the keys of an earlier one
    K text size ... kind, state (see kinds.py)    C text blob   a part by the codec of this name
    @ size          an object met before          V blob        raw bytes, only in a state
    ^ 4 texts       class, only in a state        ~ size        class met before, only in a state

A *column* is a layout and values: ``*`` size nodes, ``d b h i q`` blob (packed floats or integers), ``?`` blob
(booleans), ``s`` (lengths as a column of integers, then a blob of all the text). A *size* has 7 bits a byte, lowest
first. A *blob* is a size, doubled, and bytes; if the size is odd, the bytes lie beside the skeleton, at the next free
offset that is a multiple of 64. If there are such, the payload starts with ``B`` and the size of the skeleton. Objects
are numbered in the order in which they end: containers, long strings and bytes (``S Y``), bytearrays, kinds and parts.

What is shared stays shared: an object that is met twice is written once, and is one object again. What contains itself
is declined, and so is what is nested too deep.
"""

from __future__ import annotations

import struct
import typing as tp
from collections.abc import Callable

from . import decoders, encoders
from .base import Declined, Payload
from .reader import DECODERS, LoadNamed, Reader
from .writer import COLUMNS, ENCODERS, Writer

TREE = "tree1"
MEMMAP = "memmap1"

ENCODERS.update(encoders.BUILT_IN)
COLUMNS.update(encoders.PACKERS)
DECODERS[:] = decoders.BUILT_IN

_NONE = Payload(TREE, (b"N",))
_TRUE = Payload(TREE, (b"T",))
_FALSE = Payload(TREE, (b"F",))
_pack_float = struct.Struct("<cd").pack
_new: Callable[[type[Payload], tuple[str, tuple[bytes], bool]], Payload] = tuple.__new__
_unpack_float = struct.Struct("<xd").unpack


def dump_tree(value: object, codec: str = TREE) -> Payload:
    """The value as a tree; raises `Declined`."""
    writer = Writer()
    try:
        writer.write(value)
    except RecursionError:
        raise Declined("is nested too deep for the calls in progress") from None
    return writer.payload(codec)


def load_tree(payload: memoryview, allow_pickle: bool, load_named: LoadNamed, views: bool = False) -> object:
    """The value of a tree; any exception means that it cannot be read."""
    size = len(payload)
    if size < 66:  # short cuts for what `SCALARS` makes
        tag = payload[0]
        if tag == 100 and size == 9:  # d
            return _unpack_float(payload)[0]
        if tag == 115 and payload[1] == 2 * (size - 2):  # s
            return str(payload[2:], "utf-8", "surrogatepass")
        if tag == 105 and payload[1] == 2 * (size - 2):  # i
            return int.from_bytes(payload[2:], "little", signed=True)
    return Reader(payload, views, allow_pickle, load_named).whole()


def _float(value: float) -> Payload:
    return _new(Payload, (TREE, (_pack_float(b"d", value),), False))


def _str(value: str) -> Payload:
    text = value.encode("utf-8", "surrogatepass")
    size = len(text)
    if size > 63:
        return dump_tree(value)
    return _new(Payload, (TREE, (_STR_HEADS[size] + text,), False))


def _int(value: int) -> Payload:
    number = encoders.int_bytes(value)
    if len(number) > 63:
        return dump_tree(value)
    return _new(Payload, (TREE, (_INT_HEADS[len(number)] + number,), False))


_STR_HEADS = [b"s" + bytes([2 * size]) for size in range(64)]
_INT_HEADS = [b"i" + bytes([2 * size]) for size in range(64)]

SCALARS: dict[type, Callable[[tp.Any], Payload]] = {
    float: _float,
    str: _str,
    int: _int,
    bool: lambda value: _TRUE if value else _FALSE,
    type(None): lambda value: _NONE,
}
"""Short cuts for tiny values, which write the same bytes as `dump_tree`."""
