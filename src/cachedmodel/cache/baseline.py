"""The defaults first seen for a method, as small numbered files in its folder that are made exclusively and never changed.

The first file says what the defaults were when the first entry was made; later ones add fields that were new then. Where
two files name a field, the lower number counts. Numbers are won with ``link(2)``: whoever makes one has read all before it.
"""

from __future__ import annotations

import json
import os
import re

import xxhash

from .files import make_folder, publish_first, read_whole, refuse_links, tell_warnings, warn_once

NAME = ".defaults"
_FILE = re.compile(r"[0-9]{5,9}\.json").fullmatch


def load(folder: str) -> dict[str, str]:
    """What a method's folder says, by path of the field; empty where it says nothing yet."""
    there = _read(folder)[0]
    tell_warnings()
    return there


def extend(folder: str, known: dict[str, str], fresh: dict[str, str], permissions: int | None = None) -> dict[str, str]:
    """Keeps `fresh` beside what is there; returns what the folder says then, which differs if others were quicker.

    Parameters
    ----------
    folder
        The method's folder, made if it does not exist.
    known
        All that the caller takes for first defaults, `fresh` among them: kept whole where the folder was deleted.
    fresh
        Those that the folder did not have when it was read.
    permissions
        Mode of what is made.
    """
    known, fresh = dict(known), dict(fresh)  # threads may add to them
    there, number = _read(folder)
    tell_warnings()
    while True:
        missing = {path: digest for path, digest in (fresh if number else known).items() if path not in there}
        if not missing:
            return there
        refuse_links(folder, f"{folder}/{NAME}")
        make_folder(f"{folder}/{NAME}", permissions)
        path = f"{folder}/{NAME}/{number:05d}.json"
        data = json.dumps(missing, indent=0, sort_keys=True).encode()
        if publish_first(path, [xxhash.xxh3_64_hexdigest(data).encode() + b"\n", data], permissions):
            return {**missing, **there}
        # Another was quicker. Its file is opened by name: a listing may be seconds old on a shared file system.
        there = {**_load(path), **there}
        number += 1


def _read(folder: str) -> tuple[dict[str, str], int]:
    """What all files say, and the first number that none of them has."""
    try:
        names = sorted(filter(_FILE, os.listdir(f"{folder}/{NAME}")), key=_number)
    except (FileNotFoundError, NotADirectoryError):
        return {}, 0
    out: dict[str, str] = {}
    for name in reversed(names):
        out.update(_load(f"{folder}/{NAME}/{name}"))
    return out, _number(names[-1]) + 1 if names else 0


def _number(name: str) -> int:
    return int(name.removesuffix(".json"))


def read(path: str) -> dict[str, str]:
    """What one file says; ValueError if it is damaged."""
    check, _, data = read_whole(path).partition(b"\n")
    if check.decode() != xxhash.xxh3_64_hexdigest(data):
        raise ValueError("its checksum is wrong")
    out: dict[str, str] = json.loads(data.decode())
    return out


def _load(path: str) -> dict[str, str]:
    """What one file says; nothing, with a warning, if it is damaged."""
    try:
        return read(path)
    except (OSError, ValueError) as error:
        warn_once(
            path,
            f"it cannot be read ({error})",
            "Entries made under defaults that changed since are computed again.",
        )
        return {}
