"""What maintenance has in common: which folders of a cache hold entries, its shards, and the lock against each other."""

from __future__ import annotations

import contextlib
import os
import time
import typing as tp
from collections.abc import Iterator

from .baseline import NAME as DEFAULTS
from .claimfile import PREFIX as CLAIM
from .claims import Claims
from .entry import NAME as ENTRY
from .files import Torn, Unreadable, names_in
from .lives import FOLDER as LIVES
from .options import Options
from .shardfile import ShardFile
from .shardname import SUFFIX

#: Where repair sets aside what is damaged, in the folder where it was.
DAMAGED = ".damaged"
#: The files beside the entries of a configuration, for people.
YAML = ("config.yaml", "full-uid.yaml", "uid.yaml")
JOB = "job.json"
#: What stands for maintenance among the keys that are claimed; no item has such a uid.
_LOCK = "\0cachedmodel maintenance\0"
_LEASE_S = 60.0

#: A cache, a method's folder in it, or the entries of one configuration (or of a `CacheDict`).
Kind = tp.Literal["cache", "method", "entries"]


def kind_of(folder: str) -> Kind:
    """What a folder of a cache is, as far as what is in it tells."""
    names = set(names_in(folder))
    if names & {ENTRY, JOB, *YAML} or any(name.endswith(SUFFIX) or name.startswith(CLAIM) for name in names):
        return "entries"
    return "method" if DEFAULTS in names else "cache"


def root_of(folder: str) -> str:
    """The root of the cache that a folder of entries belongs to: where the heartbeats are."""
    if os.path.isdir(f"{folder}/{LIVES}"):
        return folder
    method = os.path.dirname(folder)
    above = os.path.dirname(method)
    is_below = os.path.isdir(f"{above}/{LIVES}") or os.path.isdir(f"{method}/{DEFAULTS}")
    return above if is_below else folder


def folders_of_entries(folder: str) -> Iterator[str]:
    """The folders of entries in a folder of a cache, itself included. Links are not followed."""
    if kind_of(folder) == "entries":
        yield folder
        return
    for inner in _folders(folder):
        if kind_of(inner) == "entries":
            yield inner
            continue
        yield from (place for place in _folders(inner) if kind_of(place) == "entries")


def _folders(folder: str) -> Iterator[str]:
    with contextlib.suppress(FileNotFoundError), os.scandir(folder) as found:
        for entry in found:
            if entry.is_dir(follow_symlinks=False) and not entry.name.startswith("."):
                yield entry.path


def shards_of(folder: str) -> tuple[list[ShardFile], dict[str, str]]:
    """The shards that say what they are, lowest first; and by name, what is wrong with the others.

    Raises
    ------
    PermissionError
        If one may not be read: nothing can be told then about what it supersedes.
    """
    shards, others = [], {}
    for name in names_in(folder):
        if not name.endswith(SUFFIX) or name.startswith("."):
            continue
        try:
            shards.append(ShardFile(folder, name))
        except FileNotFoundError:
            continue
        except Torn:
            others[name] = ""  # begun by somebody, just now or when they died; there is nothing in it
        except Unreadable as why:
            others[name] = str(why)
    return sorted(shards, key=lambda shard: shard.order), others


@contextlib.contextmanager
def alone(folder: str, *, patient: bool = False) -> Iterator[bool]:
    """Keeps other maintenance of a folder away while it lasts; False if somebody else is at work there.

    `patient`: waits until a heart that beats no more can be told from one that does.
    """
    options = Options(lease_s=_LEASE_S)
    claims = Claims(folder, root_of(folder), single=False)
    until = time.monotonic() + (1.5 * _LEASE_S if patient else 0.0)
    while not (taken := claims.take([_LOCK], options)) and time.monotonic() < until:
        time.sleep(0.5)
    try:
        yield bool(taken)
    finally:
        claims.end(taken, options)
