"""The index of a sealed shard, at its end: a few preads find one key among many, and nothing is parsed.

    footer  = frame head (FOOT) | pages | fence | sums | trailer
    page    = hashes u64 * 256, places u64 * 256 (the last page may be shorter), sorted by hash, then place
    fence   = first hash of each page; sums = checksum of each page
    trailer = magic, offset of the footer, rows, checksum of fence and sums, checksum of the trailer

A hash is xxh3-64 of the key, a place is the frame's offset << 16 | row. Keys are compared whole in the frame.
"""

from __future__ import annotations

import os
import struct
import sys
import typing as tp
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Collection

from xxhash import xxh3_64_intdigest

from .files import File, Unreadable
from .frames import FOOT, HEAD

if tp.TYPE_CHECKING:
    import numpy as np

#: Rows of a page, and bytes of a row.
PAGE = 256
ROW = 16
#: All pages are read at once where there are not many more than so many for each key: that costs less than some one by one.
_PAGES_A_KEY = _ROWS_A_KEY = 4
#: Bytes read from the end of a file in the hope that fence, sums and trailer are in it.
TAIL = 8192
TRAILER = struct.Struct("<8sQQQQ")
_MAGIC = b"CMTRAIL1"
#: Once a process has sorted so many rows, importing numpy to sort more of them pays.
_NUMPY_ROWS = 150_000
_sorted_rows = 0


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
    global _sorted_rows
    _sorted_rows += len(hashes)
    if "numpy" in sys.modules or _sorted_rows >= _NUMPY_ROWS:
        import numpy as np

        by_hash, by_place = np.frombuffer(hashes, np.uint64), np.frombuffer(places, np.uint64)
        # Places only grow, so a stable sort by hash keeps them in order.
        order = np.argsort(by_hash, kind="stable")
        return by_hash[order].astype("<u8").tobytes(), by_place[order].astype("<u8").tobytes()
    rows = sorted(range(len(hashes)), key=hashes.__getitem__)
    both = array("Q", map(hashes.__getitem__, rows)), array("Q", map(places.__getitem__, rows))
    if sys.byteorder == "big":
        for numbers in both:
            numbers.byteswap()
    return both[0].tobytes(), both[1].tobytes()


class Footer(tp.NamedTuple):
    """Where the index of a sealed shard is, and which hashes each page starts with."""

    offset: int
    rows: int
    fence: array[int]
    sums: array[int]

    def search(self, file: File, hashes: Collection[int]) -> dict[int, list[int]]:
        """Places of the rows with these hashes, newest first, for those that have any; Unreadable if a page is damaged."""
        found: dict[int, list[int]] = {}
        pages: dict[int, array[int]] = {}
        whole = b""
        if 1 < len(self.fence) <= _PAGES_A_KEY * len(hashes):
            whole = file.pread(ROW * self.rows, self.offset + HEAD.size)
        elif len(self.fence) == 1 and self.rows <= _ROWS_A_KEY * len(hashes):
            # A set tells which of them are here sooner than as many searches.
            pages[0] = self._page(file, 0)
            hashes = {*pages[0][: self.rows]}.intersection(hashes)
        for hashed in hashes:
            number = bisect_right(self.fence, hashed) - 1
            while number >= 0:
                page = pages.get(number)
                if page is None:
                    page = pages[number] = self._page(file, number, whole)
                rows = len(page) // 2
                at = bisect_left(page, hashed, 0, rows)
                if at < rows and page[at] == hashed:
                    end = bisect_right(page, hashed, at, rows)
                    found.setdefault(hashed, []).extend(page[rows + at : rows + end])
                if self.fence[number] != hashed:
                    break
                number -= 1  # a page that begins with it: it may be at the end of the one before too
        for places in found.values():
            places.sort(reverse=True)
        return found

    def places(self, file: File, hashed: int) -> list[int]:
        """Places of the rows with this hash, newest first; Unreadable if a page is damaged."""
        return self.search(file, (hashed,)).get(hashed, [])

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
            page = self._page(file, number)
            half = len(page) // 2
            rows.extend(zip(page[:half], page[half:], strict=True))
        return rows

    def _page(self, file: File, number: int, whole: bytes = b"") -> array[int]:
        """A page, from all of them if these were read at once."""
        at, size = ROW * PAGE * number, ROW * min(PAGE, self.rows - PAGE * number)
        data = whole[at : at + size] or os.pread(file.fd, size, self.offset + HEAD.size + at)
        if len(data) != size or xxh3_64_intdigest(data) != self.sums[number]:
            raise Unreadable("a page of its index is damaged")
        return _numbers(data)


def _numbers(data: bytes) -> array[int]:
    numbers = array("Q", data)
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers


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
    numbers = _numbers(both)
    return Footer(offset, rows, numbers[:pages], numbers[pages:])
