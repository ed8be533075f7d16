"""A map of arrays: bytes a second, to disk and back. The page cache is warm, and nobody waits for the disk."""

from __future__ import annotations

from benchmarks import subject
from benchmarks.bench import Bench
from benchmarks.child import Answer
from benchmarks.clock import now
from benchmarks.contract import Maps


def write(contender: Maps, folder: str, count: int) -> Answer:
    """Seconds to make and store arrays."""
    contender.open_map(folder, "array", keep_in_ram=False)
    subject.FUNCTIONS["array"](0)  # what all arrays are copies of
    done = 0
    start = now()
    for _ in contender.map(range(count)):
        done += 1
    took = now() - start
    assert done == count
    return {"s": took}


def read(contender: Maps, folder: str, count: int) -> Answer:
    """Seconds to read arrays, and to look at each byte of them."""
    items = range(count)
    start = now()
    contender.open_map(folder, "array", keep_in_ram=False)
    subject.verify_arrays(contender.map(items), items)
    took = now() - start
    return {"s": took}


def measure(bench: Bench) -> None:
    """In fresh processes."""
    count = bench.sizes.arrays

    megabytes = count * subject.ARRAY_BYTES / 1e6

    def go(name: str) -> Answer:
        with bench.folder() as folder:
            written = bench.fresh(name, write, folder, count)["s"]
            return {"write": written, "read": bench.fresh(name, read, folder, count)["s"]}

    def once(name: str, rnd: int) -> None:
        for figure, took in bench.least(lambda: go(name), goes=2).items():
            bench.record(f"arrays.{figure}", name, rnd, megabytes / took, count)

    def scout(name: str) -> None:
        with bench.folder() as folder:
            bench.fresh(name, write, folder, 2)
            bench.fresh(name, read, folder, 2)

    bench.rounds(bench.each(bench.able(Maps, items=count), scout), once, bench.sizes.rounds)
