"""Making shards of others: rows are copied as they are, checked on the way, into shards that are lower than all of theirs.

A shard that was made is named after the lowest of its originals, so that it comes just before it in the order of all
shards: as long as an original is there, it goes before what was made of it.
"""

from __future__ import annotations

import contextlib
import math
import os
import stat
import typing as tp
from collections.abc import Iterable, Sequence

from . import columns, frames, provenance
from .files import ASIDE, discard, names_in, sync_folder
from .frames import Block, Record
from .shardfile import Frame, ShardFile
from .shardname import SUFFIX, first_below, name_below
from .writer import ShardWriter

#: Bytes that are gathered before they are written.
_FLUSH = 1 << 22
_BLOCK_ROWS = 2048
_NO_BLOCK: tp.Final = (-1, 0, False)


class Target(tp.NamedTuple):
    """Whose file it is, and who may read it: what is merged stays with the same user, group and mode."""

    user: int
    group: int
    mode: int

    @classmethod
    def of(cls, shard: ShardFile) -> Target:
        """That of a shard."""
        return cls(shard.stat.st_uid, shard.stat.st_gid, stat.S_IMODE(shard.stat.st_mode) & 0o666)


class Merge:
    """Shards in the making, in the place of a run of others; files aside until they are published.

    Parameters
    ----------
    folder, name, header
        The folder, and the name and header of the lowest of the originals.
    parts
        The provenance of whatever may be added.
    replaces
        Lower shards may have entries that are replaced or deleted here.
    clears
        Everything lower is deleted, which a file of this target says.
    """

    def __init__(
        self,
        folder: str,
        name: str,
        header: frames.Header,
        parts: Sequence[tuple[int, dict[str, object]]],
        *,
        replaces: bool,
        clears: Target | None,
    ) -> None:
        self._folder = folder
        self._name = name
        # Above what else was made there: who has read it may go on with it when it cannot be read any more.
        self._first = first_below(name, names_in(folder))
        self._header = header
        self._replaces = replaces or clears is not None
        self._room = len(provenance.of_parts(list(parts)))
        self._open: dict[Target, _Made] = {}
        self._made: list[_Made] = []
        if clears:
            self._begin(clears, clears=True)

    def __enter__(self) -> Merge:
        return self

    def __exit__(self, *_: object) -> None:
        for made in self._made:
            made.discard()

    def _begin(self, target: Target, *, clears: bool = False) -> _Made:
        name = name_below(self._name, self._first + len(self._made), self._header.generation, replaces=self._replaces)
        self._open[target] = made = _Made(self._folder, name, self._header, target, self._room, clears)
        self._made.append(made)
        return made

    def add(self, source: ShardFile, frame: Frame, rows: Sequence[int], about: dict[str, object]) -> None:
        """Adds rows of a frame; Unreadable if a value is damaged."""
        target = Target.of(source)
        made = self._open.get(target)
        if made is None or made.full:
            made = self._begin(target)
        made.add(source, frame, rows, about)

    def delete(self, source: ShardFile, keys: Iterable[str], when: int, about: dict[str, object]) -> None:
        """Adds deletions of keys, after all else."""
        target = Target.of(source)
        made = self._open.get(target) or self._begin(target)
        for key in keys:
            made.delete(key, when, about)

    def publish(self) -> list[str]:
        """Ends the files and gives them their names, durably; the names, lowest first."""
        for made in self._made:
            made.end()
        names = []
        while self._made:
            names.append(self._made[0].publish())
            self._made.pop(0)
        sync_folder(self._folder)
        return names


class _Made:
    """One shard in the making."""

    def __init__(self, folder: str, name: str, like: frames.Header, target: Target, room: int, clears: bool) -> None:
        self._folder, self._name, self._target, self._room = folder, name, target, room
        self._like, self._clears = like, clears
        self._writer = ShardWriter(
            folder,
            like.generation,
            clears=clears,
            identity=like.identity,
            provenance=b" " * room,
            permissions=target.mode,
            name=f".{name.removesuffix(SUFFIX)}{ASIDE}",
        )
        self._parts: list[tuple[int, dict[str, object]]] = []
        self._written = 0
        #: Column, time and whether seconds are known of the block that is gathered.
        self._kind: tuple[int, int, bool] = _NO_BLOCK
        self._rows: tuple[list[str], list[object], list[float]] = ([], [], [])

    @property
    def full(self) -> bool:
        return self._writer.full

    def add(self, source: ShardFile, frame: Frame, rows: Sequence[int], about: dict[str, object]) -> None:
        self._of(about)
        if frame.block is not None:
            self._add_rows(frame.data, frame.block, frame.keys, rows)
        elif frame.record is not None:
            self._add_record(source, frame.record)
        if self._writer.position - self._written > _FLUSH:
            self._flush()

    def delete(self, key: str, when: int, about: dict[str, object]) -> None:
        self._of(about)
        if "\0" in key:
            self._end_block()
            self._writer.record(frames.DELETES, "", key, [], when, math.nan)
        else:
            self._gather((columns.GONE, when, False), key, columns.DELETED, math.nan)

    def _of(self, about: dict[str, object]) -> None:
        if not self._parts or self._parts[-1][1] != about:
            self._end_block()
            self._parts.append((self._writer.position, about))

    def _add_rows(self, data: bytes, block: Block, keys: list[str], rows: Sequence[int]) -> None:
        values = frames.block_values(data, block)
        timed = block.keys != block.seconds
        for row in rows:
            seconds = frames.row_seconds(data, block, row)
            self._gather((block.column, block.time, timed), keys[row], values[row], seconds)

    def _gather(self, kind: tuple[int, int, bool], key: str, value: object, seconds: float) -> None:
        if kind != self._kind or len(self._rows[0]) >= _BLOCK_ROWS:
            self._end_block()
            self._kind = kind
        for column, item in zip(self._rows, (key, value, seconds), strict=True):
            tp.cast("list[object]", column).append(item)

    def _end_block(self) -> None:
        keys, values, seconds = self._rows
        if keys:
            column, when, timed = self._kind
            self._writer.block(column, keys, values, when, seconds if timed else None)
        self._kind, self._rows = _NO_BLOCK, ([], [], [])

    def _add_record(self, source: ShardFile, record: Record) -> None:
        self._end_block()
        payload = source.payload(record) if record.length else b""
        parts = [payload] if record.length else []
        self._writer.record(record.flags, record.codec, record.key, parts, record.time, record.seconds)
        if isinstance(payload, memoryview):
            self._flush()  # it is a memory map, which is not to pile up

    def _flush(self) -> None:
        self._writer.commit()
        self._written = self._writer.position

    def end(self) -> None:
        """Adds what is missing: the last block, the footer, and in the header whose entries are where."""
        self._end_block()
        self._writer.seal()
        about = provenance.of_parts(self._parts).ljust(self._room)
        like, flags = self._like, frames.CLEARS if self._clears else 0
        seed = self._writer.seed
        header = frames.pack_header(frames.SHARD_MAGIC, seed, like.generation, flags, like.identity, about)
        fd = os.open(self._writer.path, os.O_RDWR | os.O_CLOEXEC | getattr(os, "O_NOFOLLOW", 0))
        try:
            os.pwrite(fd, header, 0)
            user, group, mode = self._target
            now = os.fstat(fd)
            if (now.st_uid, now.st_gid) != (user, group):
                os.fchown(fd, user, group)
            with contextlib.suppress(OSError):  # some file systems know no modes
                os.fchmod(fd, mode)
            os.fsync(fd)
        finally:
            os.close(fd)

    def publish(self) -> str:
        """Gives the file its name."""
        os.rename(self._writer.path, f"{self._folder}/{self._name}")
        return self._name

    def discard(self) -> None:
        """Removes it: it was not published."""
        self._writer.abandon()
        discard(self._writer.path)
