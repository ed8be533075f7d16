"""YAML text of the simplest plain values, as `confyaml` writes it, in a moment and without loading a YAML library.

A configuration of numbers, names and paths is written three times for each entry; most of them hold nothing else.
"""

from __future__ import annotations

import re

#: Text that no reader of any YAML takes for something else, and that no writer quotes.
_is_simple = re.compile(r"[A-Za-z_/][A-Za-z0-9_./-]{0,99}").fullmatch
_OTHERWISE = frozenset(("null", "true", "false", "yes", "no", "on", "off", "y", "n"))
_is_number = re.compile(r"-?[0-9]+\.[0-9]+").fullmatch
#: Python refuses to write large integers in decimals.
_LOW, _HIGH = -1 << 127, 1 << 127


def dumps(value: object) -> str | None:
    """The text of a mapping; None if something in it is not of the simplest."""
    lines: list[str] = []
    if type(value) is dict and value and _add(value, "", lines):
        return "".join(lines)
    return None


def _add(value: dict[object, object], indent: str, lines: list[str]) -> bool:
    for key, inner in value.items():
        name = _scalar(key) if type(key) is str else None
        if name is None:
            return False
        if type(inner) is dict and inner:
            lines.append(f"{indent}{name}:\n")
            if not _add(inner, indent + "  ", lines):
                return False
            continue
        text = _text(inner)
        if text is None:
            return False
        lines.append(f"{indent}{name}: {text}\n")
    return True


def _text(value: object) -> str | None:
    if type(value) is dict:
        return "{}"  # one with items is written in lines
    if type(value) is list:
        texts = [_scalar(item) if type(item) in (int, float) else None for item in value]
        return None if None in texts else f"[{', '.join(map(str, texts))}]"
    return _scalar(value)


def _scalar(value: object) -> str | None:
    kind = type(value)
    if value is None:
        return "null"
    if isinstance(value, str):
        return value if _is_simple(value) and value.lower() not in _OTHERWISE else None
    if kind is bool:
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value) if _LOW < value < _HIGH else None
    if isinstance(value, float):
        text = repr(value)
        return text if _is_number(text) else None
    return None
