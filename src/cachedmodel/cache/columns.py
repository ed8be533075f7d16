"""Small values that are kept in columns, without a codec: exactly float, int of 64 bits, short str, bool and None."""

from __future__ import annotations

import struct
import typing as tp

#: Codes of the columns on disk. GONE has no values: its keys are deleted.
NONE_OF_THEM, GONE, FLOAT, INT, TEXT, BOOL, NONE = range(7)

#: Longer strings go through a codec, one record each.
_LONGEST_TEXT = 256
#: Types all of whose values fit.
_ALWAYS: dict[type, int] = {float: FLOAT, bool: BOOL, type(None): NONE}
_INT_MIN, _INT_MAX = -(1 << 63), (1 << 63) - 1


class _Gone:
    """Stands for a deleted entry, or one that cannot be read, in look-ups."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "GONE"


#: What a deleted key has as its value.
DELETED: tp.Final = _Gone()


def column_of(value: object) -> int:
    """The column for this value, or NONE_OF_THEM if it needs a codec."""
    kind = type(value)
    if kind in _ALWAYS:
        return _ALWAYS[kind]
    if kind is int:
        return INT if _INT_MIN <= tp.cast(int, value) <= _INT_MAX else NONE_OF_THEM
    if kind is str:
        text = tp.cast(str, value)
        return TEXT if len(text) <= _LONGEST_TEXT and "\0" not in text else NONE_OF_THEM
    return NONE_OF_THEM


def pack(column: int, values: tp.Sequence[tp.Any]) -> bytes:
    """The values, all of the column's type, as bytes."""
    if column == FLOAT:
        return struct.pack(f"<{len(values)}d", *values)
    if column == INT:
        return struct.pack(f"<{len(values)}q", *values)
    if column == TEXT:
        return "\0".join(values).encode("utf-8", "surrogatepass")
    return bytes(values) if column == BOOL else b""


def unpack(column: int, data: bytes, rows: int) -> tp.Sequence[object]:
    """The values of all rows."""
    if column == FLOAT:
        return struct.unpack(f"<{rows}d", data)
    if column == INT:
        return struct.unpack(f"<{rows}q", data)
    if column == TEXT:
        return data.decode("utf-8", "surrogatepass").split("\0")
    if column == BOOL:
        return [byte == 1 for byte in data]
    return [DELETED if column == GONE else None] * rows


def unpack_one(column: int, data: bytes, rows: int, row: int) -> object:
    """The value of one row."""
    if column == FLOAT:
        return struct.unpack_from("<d", data, 8 * row)[0]
    if column == INT:
        return struct.unpack_from("<q", data, 8 * row)[0]
    return unpack(column, data, rows)[row]
