"""A map of arrays: bytes a second, to disk and back. The page cache is warm, and nobody waits for the disk."""

from __future__ import annotations

import time

from benchmarks import subject
from benchmarks.bench import Bench
from benchmarks.child import Answer
from benchmarks.contract import Maps


def write(contender: Maps, folder: str, count: int) -> Answer:
    """Megabytes a second that are made and stored."""
    contender.open_map(folder, "array", keep_in_ram=False)
    subject.FUNCTIONS["array"](0)  # what all arrays are copies of
    done = 0
    start = time.perf_counter()
    for _ in contender.map(range(count)):
        done += 1
    took = time.perf_counter() - start
    assert done == count
    return {"mb_s": count * subject.ARRAY_BYTES / took / 1e6}


def read(contender: Maps, folder: str, count: int) -> Answer:
    """Megabytes a second that are read, and looked at to the last byte."""
    items = range(count)
    start = time.perf_counter()
    contender.open_map(folder, "array", keep_in_ram=False)
    subject.verify_arrays(contender.map(items), items)
    took = time.perf_counter() - start
    return {"mb_s": count * subject.ARRAY_BYTES / took / 1e6}


def measure(bench: Bench) -> None:
    """In fresh processes."""
    count = bench.sizes.arrays

    def once(name: str, rnd: int) -> None:
        with bench.folder() as folder:
            bench.record("arrays.write", name, rnd, bench.fresh(name, write, folder, count)["mb_s"], count)
            bench.record("arrays.read", name, rnd, bench.fresh(name, read, folder, count)["mb_s"], count)

    def scout(name: str) -> None:
        with bench.folder() as folder:
            bench.fresh(name, write, folder, 2)
            bench.fresh(name, read, folder, 2)

    bench.rounds(bench.each(bench.able(Maps, items=count), scout), once, bench.sizes.rounds)
