"""The writer of one shard: frames are gathered and committed together, rows are remembered for the footer."""

from __future__ import annotations

import contextlib
import os
import time
import typing as tp
from array import array
from collections.abc import Sequence

from xxhash import xxh3_64_intdigest

from . import columns, footer, frames
from .files import Buffer, create, write_all
from .shardname import new_name

#: A shard is sealed, and the next one begun, at so many rows or bytes.
MOST_ROWS = 1 << 16
MOST_BYTES = 1 << 32
#: A shard is not continued after so many seconds; one without a footer is abandoned when nothing was added for the other.
IDLE_S, ABANDONED_S = 3600.0, 86_400.0


class ShardWriter:
    """Appends to one shard that nobody else writes; after an error it must not be used again.

    `replaces`: what is written may replace or delete entries that are stored.
    """

    def __init__(
        self,
        folder: str,
        generation: int,
        *,
        clears: bool,
        identity: bytes,
        provenance: bytes,
        permissions: int | None,
        replaces: bool = False,
        name: str = "",
    ) -> None:
        self.replaces: bool = replaces or clears
        self.name: str = name or new_name(generation, replaces=self.replaces)
        self.path: str = f"{folder}/{self.name}"
        self.fd: int = create(self.path, permissions)
        self.seed: int = int.from_bytes(os.urandom(8), "little")
        flags = frames.CLEARS if clears else 0
        data = frames.pack_header(frames.SHARD_MAGIC, self.seed, generation, flags, identity, provenance)
        self.header: frames.Header = frames.Header(self.seed, generation, flags, identity, provenance, len(data))
        self._parts: list[Buffer] = [data]
        #: Where the next frame goes.
        self.position: int = len(data)
        self._shared = 0
        self._committed = time.time()
        self._hashes = array("Q")
        self._places = array("Q")

    @property
    def is_idle(self) -> bool:
        """True if nothing was committed for so long that others may soon take the shard for abandoned."""
        # By the wall clock: the other one stands still while a machine sleeps.
        return abs(time.time() - self._committed) > IDLE_S

    @property
    def full(self) -> bool:
        return len(self._hashes) >= MOST_ROWS or self.position >= MOST_BYTES

    def block(
        self,
        column: int,
        keys: Sequence[str],
        values: Sequence[tp.Any],  # of the column's type
        time: int,
        seconds: Sequence[float] | None,
    ) -> None:
        """Adds a block of small values, or of deletions."""
        frame = frames.pack_block(self.seed, self.position, column, keys, values, time, seconds)
        place = self.position << 16
        self._places.extend(range(place, place + len(keys)))
        self._hashes.extend(frames.hashes(keys))
        self._add([frame])

    def record(
        self, flags: int, codec: str, key: str, parts: Sequence[Buffer], time: int, seconds: float
    ) -> tuple[int, int]:
        """Adds one value or failure; its offset and the size of its frame."""
        offset, name = self.position, frames.encode(key)
        self._add(frames.pack_record(self.seed, offset, flags, codec, name, parts, time, seconds))
        self._places.append(offset << 16)
        self._hashes.append(xxh3_64_intdigest(name))
        return offset, self.position - offset

    def _add(self, parts: Sequence[Buffer]) -> None:
        self._parts.extend(parts)
        self.position += sum(map(len, parts))

    def commit(self, *, sync: bool = False) -> None:
        """Makes visible what was added; OSError with the path if that fails."""
        if self.replaces and self._parts:
            # An empty block follows, so that the last frame cannot be taken for one that never was complete.
            self.block(columns.GONE, [], [], int(time.time()), None)
        parts, self._parts = self._parts, []
        if parts:
            write_all(self.fd, parts if len(parts) == 1 else _joined(parts), self.path)
            self._committed = time.time()
        if sync:
            os.fsync(self.fd)

    def share(self) -> None:
        """Shows what was committed to other hosts: NFS sends what was written only when a descriptor is closed."""
        if self._shared < self.position:
            self._shared = self.position
            os.close(os.dup(self.fd))

    def seal(self) -> None:
        """Commits, adds the footer and closes."""
        try:
            self.commit()
            write_all(self.fd, [footer.pack(self.position, self._hashes, self._places)], self.path)
        finally:
            self.abandon()

    def abandon(self) -> None:
        """Closes without a footer: the file stays readable as it is."""
        fd, self.fd = self.fd, -1
        if fd >= 0:
            with contextlib.suppress(OSError):
                os.close(fd)


def _joined(parts: list[Buffer]) -> list[Buffer]:
    # Few buffers a writev cost less when they are small, and no copy when they are large.
    return parts if sum(map(len, parts)) > 1 << 16 else [b"".join(parts)]
