"""Bytes and times as people read and write them, and folders as they are given on a command line."""

from __future__ import annotations

import os
import re

_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400}
_TIME = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([smhdw]?)").fullmatch
_LARGEST = "TB"


def bytes_text(number: int) -> str:
    """A number of bytes, with a unit."""
    value = float(number)
    for unit in ("bytes", "kB", "MB", "GB", _LARGEST):
        if value < 1000 or unit == _LARGEST:
            break
        value /= 1000
    return f"{number:,} bytes" if unit == "bytes" else f"{value:,.1f} {unit}"


def time_text(seconds: float) -> str:
    """A time of some length, in the largest unit that fits."""
    for unit, name in (("d", "days"), ("h", "hours"), ("m", "minutes")):
        if seconds >= 2 * _SECONDS[unit]:
            return f"{seconds / _SECONDS[unit]:.0f} {name}"
    return f"{seconds:.0f} seconds"


def seconds_of(text: str) -> float:
    """The seconds of ``90``, ``90s``, ``15m``, ``24h``, ``7d`` or ``1w``; ValueError if the text is no time."""
    found = _TIME(text.strip())
    if found is None:
        raise ValueError(f"{text!r} is no time: write 90s, 15m, 24h, 7d or 1w")
    return float(found[1]) * _SECONDS[found[2]]


def counted(number: int, what: str) -> str:
    """A number of things, the word in the plural where there is not one of them."""
    many = f"{what.removesuffix('y')}ies" if what.endswith("y") else f"{what}s"
    return f"{number:,} {what if number == 1 else many}"


def folder_of(text: str) -> str:
    """The folder that is meant, absolute; NotADirectoryError if there is none."""
    folder = os.path.abspath(os.path.expandvars(os.path.expanduser(text)))
    if not os.path.isdir(folder):
        raise NotADirectoryError(f"there is no folder {folder!r}: give a cache, or a folder in one")
    return folder
