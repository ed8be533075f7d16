"""YAML text of the simplest configurations, as `confyaml` writes it, in a moment and without loading a YAML library.

A configuration of numbers, names and paths is written three times for each entry; most of them hold nothing else.
"""

from __future__ import annotations

import functools
import pathlib
import re
import typing as tp
from collections.abc import Callable

from .confkeys import escape
from .confplain import plain

#: Text that no reader of any YAML takes for something else, and that no writer quotes.
_is_simple = re.compile(r"[A-Za-z_/][A-Za-z0-9_./-]{0,99}").fullmatch
_OTHERWISE = frozenset(("null", "true", "false", "yes", "no", "on", "off", "y", "n"))
#: Python refuses to write large integers in decimals.
_LOW, _HIGH = -1 << 127, 1 << 127


def text(value: object) -> str:
    """The text of a configuration, of which all is made plain that is not."""
    written = dumps(value)
    if written is None:
        from .confyaml import dumps as by_library

        written = by_library(plain(value, escape))
    return written


def dumps(value: object) -> str | None:
    """The text of a mapping; None if something in it is not of the simplest."""
    lines: list[str] = []
    if isinstance(value, dict) and value and _add(value, "", lines):
        return "".join(lines)
    return None


def _add(value: dict[object, tp.Any], indent: str, lines: list[str]) -> bool:  # Any: whatever a field holds
    for key, inner in value.items():
        name = _name(key) if type(key) is str else None
        if name is None:
            return False
        if type(inner) not in _WRITERS:
            inner = plain(inner)
        kind = type(inner)
        if kind is dict and inner:
            lines.append(f"{indent}{name}:\n")
            if not _add(inner, indent + "  ", lines):
                return False
            continue
        scalar = _WRITERS[kind](inner) if kind in _WRITERS else None
        if scalar is None:
            return False
        lines.append(f"{indent}{name}: {scalar}\n")
    return True


@functools.lru_cache(maxsize=4096)
def _name(key: str) -> str | None:
    """A key; one with a dot is escaped."""
    return None if "." in key else _str(key)


def _str(value: str) -> str | None:
    return value if _is_simple(value) and value.lower() not in _OTHERWISE else None


def _int(value: int) -> str | None:
    return str(value) if _LOW < value < _HIGH else None


def _float(value: float) -> str | None:
    text = repr(value)
    return None if "e" in text or "n" in text else text  # exponents, infinity and NaN


def _list(value: list[object]) -> str | None:
    texts = [_WRITERS[type(item)](item) if type(item) in (int, float) else None for item in value]
    return None if None in texts else f"[{', '.join(tp.cast('list[str]', texts))}]"


_WRITERS: dict[type, Callable[[tp.Any], str | None]] = {
    type(None): lambda _: "null",
    bool: lambda value: "true" if value else "false",
    int: _int,
    float: _float,
    str: _str,
    pathlib.PosixPath: lambda value: _str(str(value)),
    list: _list,
    dict: lambda _: "{}",  # one with items is written in lines
}
