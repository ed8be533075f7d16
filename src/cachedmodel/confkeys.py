"""Dotted keys: a path through mappings and lists as one string, and back."""

from __future__ import annotations

import re
import typing as tp
from collections.abc import Iterable

Path = tuple[tp.Any, ...]  # Any: keys that are no strings are parts as they are
REPLACE = "=replace="
MISSING: tp.Any = object()

_PART = re.compile(r"(?:\\[\\.=]|[^.])*", re.DOTALL)
_INDEX = re.compile(r"-?[0-9]+", re.ASCII)


def escape(part: str) -> str:
    r"""One part of a dotted key, with the dots and backslashes in it escaped.

    Examples
    --------
    >>> split("files." + escape("image.png"))
    ('files', 'image.png')
    """
    part = part.replace("\\", "\\\\").replace(".", "\\.")
    return "\\" + part if part == REPLACE else part


def split(key: tp.Any) -> Path:
    """The parts of a dotted key; what is no string is one part."""
    if not isinstance(key, str) or ("." not in key and "\\" not in key):
        return (key,)
    parts, end = [], -1
    while end < len(key):
        match = tp.cast(re.Match[str], _PART.match(key, end + 1))  # matches the empty text too
        parts.append(re.sub(r"\\([\\.=])", r"\1", match[0]))
        end = match.end()
    return tuple(parts)


def join(parts: Iterable[tp.Any]) -> str:
    """The inverse of `split`."""
    return ".".join(escape(part) if isinstance(part, str) else repr(part) for part in parts)


def look(box: tp.Any, part: tp.Any) -> tp.Any:
    """What is at one part of a key in a mapping, list or tuple, or `MISSING`."""
    if isinstance(box, dict):
        return dict.get(box, part, MISSING)
    if isinstance(box, (list, tuple)) and is_index(part) and -len(box) <= int(part) < len(box):
        return box[int(part)]
    return MISSING


def walk(box: tp.Any, parts: Iterable[tp.Any]) -> tp.Any:
    """What is at the end of a path, or `MISSING`."""
    for part in parts:
        box = look(box, part)
    return box


def is_index(part: object) -> bool:
    """True for what may be the index of a list, negative ones included."""
    if isinstance(part, str):
        return _INDEX.fullmatch(part) is not None
    return isinstance(part, int) and not isinstance(part, bool)
