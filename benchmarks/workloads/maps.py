"""Maps of many tiny items on disk: computing them, reading them all or few of them, adding to them."""

from __future__ import annotations

import itertools

from benchmarks import subject
from benchmarks.bench import Bench
from benchmarks.child import Answer
from benchmarks.clock import now
from benchmarks.contract import Maps
from benchmarks.disk import usage
from benchmarks.rows import Sizes

_FEW, _NEW = 10, 100
#: Enough to learn what operations import.
_SCOUTED = 3_000


def cold(contender: Maps, folder: str, count: int) -> Answer:
    """Microseconds an item to compute and store what takes no time."""
    contender.open_map(folder, "float", keep_in_ram=True)
    items = range(count)
    start = now()
    outputs = list(contender.map(items))
    took = now() - start
    subject.verify_floats(outputs, items)
    return {"us": took / count * 1e6}


def streamed(contender: Maps, folder: str, count: int) -> Answer:
    """Computes and stores; nothing is kept, neither by the library nor here."""
    contender.open_map(folder, "float", keep_in_ram=False)
    items = range(count)
    subject.verify_floats(contender.map(items), items)
    return {}


def read(contender: Maps, folder: str, aside: str, begin: int, end: int) -> Answer:
    """Milliseconds to open and to get some outputs."""
    contender.open_map(aside, "float", keep_in_ram=True)  # the first of its class, which the row `import` has
    items = range(begin, end)
    start = now()
    contender.open_map(folder, "float", keep_in_ram=True)
    outputs = list(contender.map(items))
    took = now() - start
    subject.verify_floats(outputs, items)
    return {"ms": took * 1e3}


def add(contender: Maps, folder: str, begin: int, end: int) -> Answer:
    """Milliseconds to compute and store some more, in a store that was just opened."""
    contender.open_map(folder, "float", keep_in_ram=True)
    items = range(begin, end)
    start = now()
    outputs = list(contender.map(items))
    took = now() - start
    subject.verify_floats(outputs, items)
    return {"ms": took * 1e3}


def measure(bench: Bench) -> None:
    """In fresh processes."""
    run(bench, "map", bench.sizes)


def run(bench: Bench, workload: str, sizes: Sizes) -> None:
    """Measures the rows of a workload that are asked for."""
    count = sizes.items

    def fill(name: str, rnd: int) -> None:
        bench.empty(stores[name])
        took = bench.fresh(name, cold, stores[name], count)["us"]
        bench.record(f"{workload}.cold", name, rnd, took, count)
        bench.record(f"{workload}.bytes", name, rnd, usage(stores[name]).size / count, count)

    def read_whole(name: str, rnd: int) -> None:
        answer = bench.least(lambda: bench.fresh(name, read, stores[name], aside, 0, count), goes=2)
        bench.record(f"{workload}.whole", name, rnd, answer["ms"], count)
        bench.record(f"{workload}.whole_mb", name, rnd, answer.get("grown_mb"), count)

    def read_ten(name: str, rnd: int) -> None:
        begin = count // 2
        answer = bench.least(lambda: bench.fresh(name, read, stores[name], aside, begin, begin + _FEW))
        bench.record(f"{workload}.ten", name, rnd, answer["ms"], count)
        bench.record(f"{workload}.ten_mb", name, rnd, answer.get("grown_mb"), count)

    def extend(name: str, rnd: int) -> None:
        begins = itertools.count(count + 3 * rnd * _NEW, _NEW)
        answer = bench.least(lambda: bench.fresh(name, add, stores[name], begin := next(begins), begin + _NEW))
        bench.record(f"{workload}.add", name, rnd, answer["ms"], count)

    names = bench.able(Maps, items=count)
    with bench.folders(names) as stores, bench.folder() as aside:
        names = bench.each(names, lambda name: scout(bench, name))
        filling = sizes.rounds if bench.wants(f"{workload}.cold", f"{workload}.bytes") else 1
        names = bench.rounds(names, fill, filling)
        for measure_one, *keys in ((read_whole, "whole", "whole_mb"), (read_ten, "ten", "ten_mb"), (extend, "add")):
            if bench.wants(*(f"{workload}.{key}" for key in keys)):
                names = bench.rounds(names, measure_one, sizes.rounds)


def scout(bench: Bench, name: str) -> None:
    """Runs each operation once, to learn what it imports."""
    count = min(_SCOUTED, bench.sizes.items)
    with bench.folder() as folder, bench.folder() as other, bench.folder() as aside:
        bench.fresh(name, cold, folder, count)
        bench.fresh(name, read, folder, aside, 0, count)
        bench.fresh(name, add, folder, count, count + _NEW)
        bench.fresh(name, streamed, other, count)
