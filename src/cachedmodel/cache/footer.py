"""The index of a sealed shard, at its end: a few preads find one key among many, and nothing is parsed.

    footer  = frame head (FOOT) | pages | fence | sums | trailer
    page    = hashes u64 * 256, places u64 * 256 (the last page may be shorter), sorted by hash, then place
    fence   = first hash of each page; sums = checksum of each page
    trailer = magic, offset of the footer, rows, checksum of fence and sums, checksum of the trailer

A hash is xxh3-64 of the key, a place is the frame's offset << 16 | row. Keys are compared whole in the frame.
"""

from __future__ import annotations

import struct
import sys
import typing as tp
from array import array
from bisect import bisect_left

from xxhash import xxh3_64_intdigest

from .files import File, Unreadable
from .frames import FOOT, HEAD

if tp.TYPE_CHECKING:
    import numpy as np

#: Rows of a page.
PAGE = 256
#: Bytes read from the end of a file in the hope that fence, sums and trailer are in it.
TAIL = 8192
TRAILER = struct.Struct("<8sQQQQ")
_MAGIC = b"CMTRAIL1"
#: From so many rows on, importing numpy to sort them pays.
_NUMPY_ROWS = 20_000


def pack(offset: int, hashes: array[int], places: array[int]) -> bytes:
    """The footer for these rows, to be written at `offset`."""
    rows = len(hashes)
    hash_bytes, place_bytes = _sorted(hashes, places)
    pages = [
        hash_bytes[first : first + 8 * PAGE] + place_bytes[first : first + 8 * PAGE]
        for first in range(0, 8 * rows, 8 * PAGE)
    ]
    fence = b"".join(page[:8] for page in pages)
    sums = struct.pack(f"<{len(pages)}Q", *map(xxh3_64_intdigest, pages))
    trailer = TRAILER.pack(_MAGIC, offset, rows, xxh3_64_intdigest(fence + sums), 0)[:-8]
    trailer += xxh3_64_intdigest(trailer).to_bytes(8, "little")
    body = b"".join([*pages, fence, sums, trailer])
    return HEAD.pack(FOOT, 0, 0, 0, len(body), 0) + body


def _sorted(hashes: array[int], places: array[int]) -> tuple[bytes, bytes]:
    if "numpy" in sys.modules or len(hashes) >= _NUMPY_ROWS:
        import numpy as np

        by_hash, by_place = np.frombuffer(hashes, np.uint64), np.frombuffer(places, np.uint64)
        # Places only grow, so a stable sort by hash keeps them in order.
        order = np.argsort(by_hash, kind="stable")
        return by_hash[order].astype("<u8").tobytes(), by_place[order].astype("<u8").tobytes()
    rows = sorted(zip(hashes, places, strict=True))
    count = f"<{len(rows)}Q"
    return struct.pack(count, *[row[0] for row in rows]), struct.pack(count, *[row[1] for row in rows])


class Footer(tp.NamedTuple):
    """Where the index of a sealed shard is, and which hashes each page starts with."""

    offset: int
    rows: int
    fence: tuple[int, ...]
    sums: tuple[int, ...]

    def places(self, file: File, hashed: int, checked: set[int]) -> list[int]:
        """Places of the rows with this hash, newest first; Unreadable if a page is damaged."""
        found: list[int] = []
        wanted = hashed.to_bytes(8, "little")
        number = max(bisect_left(self.fence, hashed) - 1, 0)
        while number < len(self.fence) and self.fence[number] <= hashed:
            rows = min(PAGE, self.rows - PAGE * number)
            page = self._page(file, number, checked)
            at = page.find(wanted, 0, 8 * rows)
            while at >= 0:
                if at % 8 == 0:
                    found.append(int.from_bytes(page[8 * rows + at : 8 * rows + at + 8], "little"))
                at = page.find(wanted, at + 1, 8 * rows)
            number += 1
        return sorted(found, reverse=True)

    def hashes(self, file: File) -> np.ndarray[tp.Any, np.dtype[np.uint64]]:
        """All hashes, sorted; Unreadable if a page is damaged."""
        import numpy as np

        start, size = self.offset + HEAD.size, 16 * PAGE
        data = file.pread(16 * self.rows, start)
        pages = [data[at : at + size] for at in range(0, 16 * self.rows, size)]
        if any(xxh3_64_intdigest(page) != checksum for page, checksum in zip(pages, self.sums, strict=True)):
            raise Unreadable("a page of its index is damaged")
        return np.frombuffer(b"".join([page[: len(page) // 2] for page in pages]), dtype="<u8").astype(np.uint64)

    def all(self, file: File) -> list[tuple[int, int]]:
        """Hash and place of every row; Unreadable if a page is damaged."""
        rows: list[tuple[int, int]] = []
        for number in range(len(self.fence)):
            page = self._page(file, number, set())
            numbers = struct.unpack(f"<{len(page) // 8}Q", page)
            half = len(numbers) // 2
            rows.extend(zip(numbers[:half], numbers[half:], strict=True))
        return rows

    def _page(self, file: File, number: int, checked: set[int]) -> bytes:
        size = 16 * min(PAGE, self.rows - PAGE * number)
        page = file.pread(size, self.offset + HEAD.size + 16 * PAGE * number)
        if number not in checked:
            if len(page) != size or xxh3_64_intdigest(page) != self.sums[number]:
                raise Unreadable("a page of its index is damaged")
            checked.add(number)
        return page


def read(file: File, size: int) -> Footer | None:
    """The footer of a file of `size` bytes; None if it has none; Unreadable if it is damaged."""
    tail = file.pread(min(TAIL, size), max(0, size - TAIL))
    if len(tail) < TRAILER.size:
        return None
    magic, offset, rows, sums_sum, own_sum = TRAILER.unpack(tail[-TRAILER.size :])
    if magic != _MAGIC:
        return None
    if xxh3_64_intdigest(tail[-TRAILER.size : -8]) != own_sum:
        raise Unreadable("the end of its index is damaged")
    pages = -(-rows // PAGE)
    start = size - TRAILER.size - 16 * pages
    if start != offset + HEAD.size + 16 * rows:
        raise Unreadable("it is longer or shorter than its index says")
    lead = size - len(tail)
    both = tail[start - lead : -TRAILER.size] if start >= lead else file.pread(16 * pages, start)
    if xxh3_64_intdigest(both) != sums_sum:
        raise Unreadable("the end of its index is damaged")
    numbers = struct.unpack(f"<{2 * pages}Q", both)
    return Footer(offset, rows, numbers[:pages], numbers[pages:])
