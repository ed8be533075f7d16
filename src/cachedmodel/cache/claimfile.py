"""The file of a claim: who keeps it, and the keys that it is about, as 128-bit hashes.

file = checksum (xxh3-64 of the rest) | keeper as a line of JSON | hashes of 16 bytes
"""

from __future__ import annotations

import functools
import os
import typing as tp
from collections.abc import Collection, Sequence

from xxhash import xxh3_64_digest, xxh3_128_digest

from .files import read_whole
from .frames import encode_all
from .lives import Keeper

PREFIX = ".claim-"
_DIGEST = 16


class Claim(tp.NamedTuple):
    """What a claim says."""

    keeper: Keeper
    digests: list[bytes]

    @property
    def is_unread(self) -> bool:
        """True if the file could not be read as a whole: it is held by somebody, and may be about any key."""
        return not self.digests and not self.keeper.pid and self.keeper.kind == "process"


def digests(keys: Collection[str]) -> list[bytes]:
    """What stands for each key in a claim."""
    return [*map(xxh3_128_digest, encode_all(keys))]


def pack(keeper: Keeper, digests: Sequence[bytes]) -> bytes:
    """The bytes of a claim."""
    data = _line(keeper) + b"".join(digests)
    return xxh3_64_digest(data) + data


@functools.lru_cache(64)
def _line(keeper: Keeper) -> bytes:
    return keeper.to_json().encode() + b"\n"


def read(path: str) -> Claim:
    """What the claim in a file says; OSError if there is no such file, or it may not be read."""
    data = read_whole(path)
    try:
        if xxh3_64_digest(data[8:]) != data[:8]:
            raise ValueError("it is not complete")
        line, _, rest = data[8:].partition(b"\n")
        keeper = Keeper.from_json(line.decode())
        return Claim(keeper, [rest[at : at + _DIGEST] for at in range(0, len(rest), _DIGEST)])
    except (ValueError, TypeError):
        # Being written where links are not possible, or damaged; its name stands for whoever keeps it.
        return Claim(Keeper("process", life=os.path.basename(path)), [])
