"""The defaults first seen for a method, as small numbered files in its folder that are made exclusively and never changed.

The first file says what the defaults were when the first entry was made; later ones add fields that were new then. Where
two files name a field, the lower number counts. Numbers are won with ``link(2)``: whoever makes one has read all before it.
"""

from __future__ import annotations

import json
import os
import warnings

import xxhash

from .files import make_folder, publish_first

_NAME = ".defaults"


def load(folder: str) -> dict[str, str]:
    """What a method's folder says, by path of the field; empty where it says nothing yet."""
    return _read(folder)[0]


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
    while True:
        there, count = _read(folder)
        missing = {path: digest for path, digest in (fresh if count else known).items() if path not in there}
        if not missing:
            return there
        make_folder(f"{folder}/{_NAME}", permissions)
        data = json.dumps(missing, indent=0, sort_keys=True).encode()
        lines = [xxhash.xxh3_64_hexdigest(data).encode() + b"\n", data]
        if publish_first(f"{folder}/{_NAME}/{count:05d}.json", lines, permissions):
            return {**missing, **there}


def _read(folder: str) -> tuple[dict[str, str], int]:
    try:
        names = sorted(name for name in os.listdir(f"{folder}/{_NAME}") if name.endswith(".json"))
    except (FileNotFoundError, NotADirectoryError):
        return {}, 0
    out: dict[str, str] = {}
    for name in reversed(names):
        path = f"{folder}/{_NAME}/{name}"
        try:
            with open(path, "rb") as file:
                check, data = file.read().split(b"\n", 1)
            if check.decode() != xxhash.xxh3_64_hexdigest(data):
                raise ValueError("its checksum is wrong")
            out.update(json.loads(data))
        except (OSError, ValueError) as error:
            warnings.warn(
                f"{path} cannot be read ({error}): entries made under defaults that changed since are computed again",
                RuntimeWarning,
                stacklevel=2,
            )
    return out, int(names[-1].removesuffix(".json")) + 1 if names else 0
