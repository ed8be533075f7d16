"""A sweep of which most is stored: what is missing, and all results."""

from __future__ import annotations

from benchmarks import subject
from benchmarks.bench import Bench
from benchmarks.child import Answer
from benchmarks.clock import now
from benchmarks.contract import Sweeps

from .hits import fill


def computed(contender: Sweeps, folder: str, count: int, stored: int) -> Answer:
    """Milliseconds to tell which of new objects are computed."""
    contender.open(folder)
    configs = [contender.config(subject.spec(number)) for number in range(count)]
    start = now()
    found = contender.computed(configs)
    took = now() - start
    assert found == [number < stored for number in range(count)], f"{sum(found)} were found, of {stored}"
    return {"ms": took * 1e3}


def sweep(contender: Sweeps, folder: str, count: int) -> Answer:
    """Milliseconds to get the results of new objects, of which the last are not computed."""
    contender.open(folder)
    specs = [subject.spec(number) for number in range(count)]
    configs = [contender.config(spec) for spec in specs]
    start = now()
    results = contender.sweep(configs)
    took = now() - start
    assert results == [subject.task_of(spec) for spec in specs]
    return {"ms": took * 1e3}


def measure(bench: Bench) -> None:
    """In long-lived children, each time with a copy of the store."""
    count = bench.sizes.sweep
    stored = count - count // 20
    names = bench.able(Sweeps)

    def once(name: str, rnd: int) -> None:
        if bench.wants("sweep.computed"):
            bench.record("sweep.computed", name, rnd, bench.least(lambda: look(name))["ms"], count)
        if bench.wants("sweep.sweep"):
            bench.record("sweep.sweep", name, rnd, bench.least(lambda: run(name))["ms"], count)

    def look(name: str) -> Answer:
        with bench.copy(stores[name]) as copy:
            return bench.ask(name, computed, copy, count, stored)

    def run(name: str) -> Answer:
        with bench.copy(stores[name]) as copy:
            return bench.ask(name, sweep, copy, count)

    with bench.folders(names) as stores:
        names = bench.each(names, lambda name: bench.fresh(name, fill, stores[name], stored))
        bench.rounds(names, once, bench.sizes.rounds)
