"""What was compacted: small files `.replaced-<random>.json` that say which shards others stand for by now.

They are for the next compaction alone, which removes what was replaced once the grace period is over. Readers need none
of this: a shard that was replaced still says the same as those that stand for it.
"""

from __future__ import annotations

import json
import time
import typing as tp

import xxhash

from .files import names_in, publish, random_name, read_whole

PREFIX, _SUFFIX = ".replaced-", ".json"


class Manifest(tp.NamedTuple):
    """One compaction.

    Attributes
    ----------
    name
        Of the file.
    when
        Seconds since 1970.
    made
        Names of the shards that were made.
    replaced
        Names of the shards they stand for, lowest first, and where the entries of each ended.
    """

    name: str
    when: float
    made: list[str]
    replaced: list[tuple[str, int]]


def is_manifest(name: str) -> bool:
    """Whether a file of this name is one."""
    return name.startswith(PREFIX) and name.endswith(_SUFFIX)


def write(folder: str, made: list[str], replaced: list[tuple[str, int]]) -> Manifest:
    """Notes a compaction, durably."""
    manifest = Manifest(f"{PREFIX}{random_name()}{_SUFFIX}", time.time(), made, replaced)
    data = json.dumps({"when": manifest.when, "made": made, "replaced": replaced}).encode()
    parts = [xxhash.xxh3_64_hexdigest(data).encode() + b"\n", data]
    publish(f"{folder}/{manifest.name}", parts, sync=True)
    return manifest


def read(folder: str, name: str) -> Manifest:
    """What a file says; ValueError if it is damaged."""
    check, _, data = read_whole(f"{folder}/{name}").partition(b"\n")
    if check != xxhash.xxh3_64_hexdigest(data).encode():
        raise ValueError("its checksum is wrong")
    facts = json.loads(data)
    replaced = [(str(shard), int(end)) for shard, end in facts["replaced"]]
    return Manifest(name, float(facts["when"]), list(facts["made"]), replaced)


def all_of(folder: str) -> list[Manifest]:
    """The compactions of a folder whose originals are still there. One that is damaged is of no use, and is left out."""
    found = []
    for name in filter(is_manifest, names_in(folder)):
        try:
            found.append(read(folder, name))
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return found
