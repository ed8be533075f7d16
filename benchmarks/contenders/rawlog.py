"""The floor of maps: each call writes one segment, of columns and of hashes in order, which is looked up in place.

    header | hashes, sorted (u8) | row of each hash (u4) | where each key starts (u4) | keys, a line each | values

The whole is loaded by one split of the keys and one conversion of the values; a few keys are found by bisection, in a few
pages. Values are floats, or arrays of `subject.ARRAY_BYTES`.
"""

from __future__ import annotations

import array
import bisect
import itertools
import mmap
import os
import struct
import typing as tp
from collections.abc import Sequence

import numpy as np
from xxhash import xxh3_64_intdigest as hash_of

from benchmarks import subject

_HEAD = struct.Struct("<QQQ")  # rows, bytes of the keys, bytes of an array (0: floats)
_PAGE = 4096
#: With fewer rows than this, sorting is quicker without numpy.
_MANY = 1_000
#: A segment is loaded whole when more than one in so many of its rows are asked for.
_FEW = 20


class Segment:
    """One that is mapped into memory."""

    def __init__(self, path: str) -> None:
        with open(path, "rb") as file:
            self.view = memoryview(mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ))
        self.rows, size, self.array_bytes = _HEAD.unpack_from(self.view)
        self.order = _HEAD.size + 8 * self.rows
        self.starts = self.order + 4 * self.rows
        self.keys = _aligned(self.starts + 4 * (self.rows + 1), 8)
        self.end = self.keys + size
        self.values = _aligned(self.end, _PAGE if self.array_bytes else 8)

    def all(self) -> dict[str, tp.Any]:
        """Every key and value."""
        keys = str(self.view[self.keys : self.end - 1], "ascii").split("\n")
        return dict(zip(keys, self._values(), strict=True))

    def _values(self) -> Sequence[tp.Any]:
        if self.array_bytes:
            values = np.frombuffer(self.view, np.float32, self.rows * self.array_bytes // 4, self.values)
            return list(values.reshape(self.rows, -1))
        return self.view[self.values : self.values + 8 * self.rows].cast("d").tolist()

    def some(self, keys: Sequence[str]) -> dict[str, tp.Any]:
        """The values of those keys that are here."""
        found = {}
        hashes = self.view[_HEAD.size : self.order].cast("Q")
        order = self.view[self.order : self.starts].cast("I")
        starts = self.view[self.starts : self.starts + 4 * (self.rows + 1)].cast("I")
        for key in keys:
            sought = hash_of(key.encode())
            place = bisect.bisect_left(hashes, sought)
            while place < self.rows and hashes[place] == sought:
                row = order[place]
                if str(self.view[self.keys + starts[row] : self.keys + starts[row + 1] - 1], "ascii") == key:
                    found[key] = self._value(row)
                    break
                place += 1
        return found

    def _value(self, row: int) -> tp.Any:
        if self.array_bytes:
            return np.frombuffer(self.view, np.float32, self.array_bytes // 4, self.values + row * self.array_bytes)
        return self.view[self.values + 8 * row : self.values + 8 * row + 8].cast("d")[0]


class Contender:
    """Maps; everything that was read is kept in memory."""

    def open_map(self, folder: str, kind: subject.Kind, *, keep_in_ram: bool) -> None:
        self.folder = folder
        self.kind = kind
        self.known: dict[str, tp.Any] = {}
        self.segments: list[Segment] = []
        self.seen: set[str] = set()
        self.changed = 0
        self.count = 0

    def map(self, items: range) -> list[tp.Any]:
        keys = list(map(str, items))
        known = self.known
        try:
            return list(map(known.__getitem__, keys))
        except KeyError:
            pass
        self._look()
        wanted = [key for key in keys if key not in known]
        if len(wanted) * _FEW < sum(segment.rows for segment in self.segments):
            for segment in self.segments:
                known.update(segment.some(wanted))
        else:
            for segment in self.segments:
                known.update(segment.all())
            self.segments = []
        missing = [(key, item) for key, item in zip(keys, items, strict=True) if key not in known]
        if missing:
            function = subject.FUNCTIONS[self.kind]
            values = [function(item) for _, item in missing]
            self._write([key for key, _ in missing], values)
            known.update(zip((key for key, _ in missing), values, strict=True))
        return list(map(known.__getitem__, keys))

    def _look(self) -> None:
        changed = os.stat(self.folder).st_mtime_ns
        if changed == self.changed:
            return
        self.changed = changed
        for entry in os.scandir(self.folder):
            if entry.name.endswith(".segment") and entry.name not in self.seen:
                self.seen.add(entry.name)
                self.segments.append(Segment(entry.path))

    def _write(self, keys: list[str], values: list[tp.Any]) -> None:
        array_bytes = subject.ARRAY_BYTES if self.kind == "array" else 0
        written = ("\n".join(keys) + "\n").encode()
        head = _HEAD.pack(len(keys), len(written), array_bytes) + _index(keys)
        head += bytes(_aligned(len(head), 8) - len(head)) + written
        head += bytes(_aligned(len(head), _PAGE if array_bytes else 8) - len(head))
        self.count += 1
        name = f"{os.getpid()}-{self.count}.segment"
        aside = f"{self.folder}/{name}.aside"
        with open(aside, "wb", buffering=0) as file:
            file.write(head)
            for value in values if array_bytes else [array.array("d", values)]:
                file.write(value)
        os.rename(aside, f"{self.folder}/{name}")
        self.seen.add(name)


def _index(keys: list[str]) -> bytes:
    """The hashes in order, their rows, and where the keys start."""
    if len(keys) > _MANY:
        hashes = np.fromiter(map(hash_of, map(str.encode, keys)), np.uint64, len(keys))
        order = np.argsort(hashes, kind="stable").astype(np.uint32)
        starts = np.zeros(len(keys) + 1, np.uint32)
        np.cumsum(np.fromiter(map(len, keys), np.uint32, len(keys)) + 1, out=starts[1:])
        return hashes[order].tobytes() + order.tobytes() + starts.tobytes()
    pairs = sorted((hash_of(key.encode()), row) for row, key in enumerate(keys))
    starts_list = itertools.accumulate((len(key) + 1 for key in keys), initial=0)
    return (
        array.array("Q", [pair[0] for pair in pairs]).tobytes()
        + array.array("I", [pair[1] for pair in pairs]).tobytes()
        + array.array("I", starts_list).tobytes()
    )


def _aligned(position: int, to: int) -> int:
    return position + -position % to
