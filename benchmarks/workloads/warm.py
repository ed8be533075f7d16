"""Maps whose outputs are in memory: many items a call, and one."""

from __future__ import annotations

from benchmarks import subject
from benchmarks.bench import Bench
from benchmarks.child import Answer
from benchmarks.clock import now
from benchmarks.contract import Maps

from .maps import cold


def load(contender: Maps, folder: str, count: int) -> Answer:
    """Opens a store and has all of it in memory."""
    contender.open_map(folder, "float", keep_in_ram=True)
    items = range(count)
    subject.verify_floats(contender.map(items), items)
    return {}


def again(contender: Maps, count: int) -> Answer:
    """Microseconds an item of a call for all: the least of five goes."""
    items = range(count)
    least = float("inf")
    for _ in range(5):
        start = now()
        outputs = list(contender.map(items))
        least = min(least, now() - start)
        subject.verify_floats(outputs, items)
    return {"us": least / count * 1e6}


def one(contender: Maps, count: int, calls: int) -> Answer:
    """Microseconds of a call for one item: the least of three goes."""
    least = float("inf")
    for _ in range(3):
        total = 0.0
        start = now()
        for call in range(calls):
            item = call % count
            total += next(iter(contender.map(range(item, item + 1))))
        least = min(least, now() - start)
        assert total == sum(call % count for call in range(calls)) * 0.5
    return {"us": least / calls * 1e6}


def measure(bench: Bench) -> None:
    """In long-lived children, which read what a process before them stored."""
    count, calls = bench.sizes.warm_items, bench.sizes.singles

    def fill(name: str) -> None:
        bench.fresh(name, cold, stores[name], count)
        bench.ask(name, load, stores[name], count)

    def once(name: str, rnd: int) -> None:
        if bench.wants("warm.item"):
            bench.record("warm.item", name, rnd, bench.ask(name, again, count)["us"], count)
        if bench.wants("warm.one"):
            bench.record("warm.one", name, rnd, bench.ask(name, one, count, calls)["us"])

    names = bench.able(Maps, items=count)
    with bench.folders(names) as stores:
        bench.rounds(bench.each(names, fill), once, 2 * bench.sizes.rounds)
