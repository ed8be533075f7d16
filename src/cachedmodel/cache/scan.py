"""Reading the frames of a file one after the other, as far as they are whole, and past those that are damaged."""

from __future__ import annotations

import typing as tp
from collections.abc import Callable

from . import frames
from .files import File, Torn
from .frames import BLOCK, FOOT, HEAD, RECORD, Record

#: Why a scan stopped: at the end; before a frame that is not all there yet; before one that is damaged; at a footer.
Stop = tp.Literal["end", "torn", "damaged", "sealed"]

_CHUNK = 1 << 22
_FIRST_CHUNK = 1 << 14
_PAST_PAYLOAD = 1 << 10


class _Incomplete(Torn):
    """A record whose head is right and whose payload is not all there."""


class Scanner:
    """Adds what the frames of a file say to a dictionary.

    Parameters
    ----------
    file, seed
        The file, and the seed of its checksums.
    hit
        ``(record, offset, size)``: what stands for a record in the dictionary; blocks give their values.
    """

    def __init__(self, file: File, seed: int, hit: Callable[[Record, int, int], object]) -> None:
        self._file = file
        self._seed = seed
        self._hit = hit

    def scan(self, position: int, end: int, sink: dict[str, object]) -> tuple[int, Stop]:
        """Adds all whole frames from `position` on; where it stopped, and why.

        A frame that claims more bytes than there are is damaged, not torn, if whole ones follow.
        """
        chunk = _FIRST_CHUNK
        while position + HEAD.size <= end:
            data = self._file.pread(min(chunk, end - position), position)
            if len(data) < min(chunk, end - position):
                return position, "torn"  # the file became shorter meanwhile
            at, needed = 0, 0
            try:
                while at + HEAD.size <= len(data) and not needed:
                    kind, size = frames.frame_size(data, at)
                    if kind == FOOT:
                        return position + at, "sealed"
                    needed = self._add(kind, size, data, at, position + at, end, sink)
                    at += 0 if needed else size
            except _Incomplete:
                return position + at, "torn"
            except Torn:
                return position + at, "damaged" if self.next_whole(position + at, end) > 0 else "torn"
            except frames.DAMAGE:
                return position + at, "damaged"
            position += at
            # Past a payload that was skipped, the next head is likely to be followed by another.
            chunk = max(needed, _PAST_PAYLOAD if at > len(data) else _CHUNK)
        return position, "end"

    def _add(self, kind: int, size: int, data: bytes, at: int, offset: int, end: int, sink: dict[str, object]) -> int:
        """Adds one frame to `sink`; or, if more bytes of it must be read first, how many."""
        needed = size if kind == BLOCK else frames.record_head(data, at)
        if offset + needed > end:
            raise Torn
        if at + needed > len(data):
            return needed
        if kind == BLOCK:
            block = frames.read_block(data, at, self._seed, offset)
            sink.update(zip(frames.block_keys(data, block), frames.block_values(data, block), strict=True))
            return 0
        record = frames.read_record(data, at, self._seed, offset)
        if record.end > end:
            # The head holds, so nothing is damaged: the payload is still being written, or never will be.
            raise _Incomplete
        sink[record.key] = self._hit(record, offset, size)
        return 0

    def next_whole(self, position: int, end: int) -> int:
        """Position of the next frame that is whole, after `position`; -1 if there is none."""
        position += 8
        while position + HEAD.size <= end:
            data = self._file.pread(min(_CHUNK, end - position), position)
            for at in range(0, len(data) - HEAD.size + 1, 8):
                if data[at] in (RECORD, BLOCK) and self._is_whole(data, at, position + at, end):
                    return position + at
            position += max(8, (len(data) - HEAD.size + 8) // 8 * 8)
        return -1

    def _is_whole(self, data: bytes, at: int, offset: int, end: int) -> bool:
        try:
            kind, size = frames.frame_size(data, at)
            if offset + size > end:
                return False
            if at + size > len(data):
                data, at = self._file.pread(size, offset), 0
            read = frames.read_block if kind == BLOCK else frames.read_record
            read(data, at, self._seed, offset)
        except frames.DAMAGE:
            return False
        return True
