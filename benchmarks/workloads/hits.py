"""A task that is already computed: from memory, from disk, and from disk in a fresh process."""

from __future__ import annotations

import timeit

from benchmarks import subject
from benchmarks.bench import Bench
from benchmarks.child import Answer
from benchmarks.clock import now
from benchmarks.contract import Remembers, Tasks

#: How long a go of calls from memory lasts.
_GO_S = 0.03


def ram(contender: Remembers, folder: str) -> Answer:
    """Microseconds for a call whose result this very object has in memory: the least of five goes."""
    contender.open(folder)
    spec = subject.spec(7)
    call = contender.remembered(spec)
    assert call() == call() == subject.task_of(spec)
    timer = timeit.Timer(call, timer=now)
    count, took = timer.autorange()
    count = max(1, int(count / took * _GO_S))
    return {"us": min(timer.repeat(5, count)) / count * 1e6}


def fill(contender: Tasks, folder: str, count: int) -> Answer:
    """Computes configurations."""
    contender.open(folder)
    for number in range(count):
        contender.task(contender.config(subject.spec(number)))
    return {}


def hit(contender: Tasks, folder: str, count: int) -> Answer:
    """Microseconds for the result of a new object, in a folder that this process has not opened."""
    contender.open(folder)
    specs = [subject.spec(number) for number in range(count)]
    configs = [contender.config(spec) for spec in specs]
    start = now()
    results = [contender.task(config) for config in configs]
    took = now() - start
    assert results == [subject.task_of(spec) for spec in specs]
    return {"us": took / count * 1e6}


def first(contender: Tasks, folder: str, aside: str, number: int) -> Answer:
    """Milliseconds of a script that opens, makes a configuration and gets its result."""
    contender.open(aside)
    contender.config(subject.spec(-1))  # the first of its class, which the row `import` has
    spec = subject.spec(number)
    start = now()
    contender.open(folder)
    result = contender.task(contender.config(spec))
    took = now() - start
    assert result == subject.task_of(spec)
    return {"ms": took * 1e3}


def measure(bench: Bench) -> None:
    """From memory in long-lived children; from disk in copies of a store; and in fresh processes."""
    rounds, count = bench.sizes.rounds, bench.sizes.configs

    def from_ram(name: str, rnd: int) -> None:
        with bench.folder() as folder:
            bench.record("ram", name, rnd, bench.ask(name, ram, folder)["us"])

    def copied(name: str) -> Answer:
        with bench.copy(stores[name]) as copy:
            return bench.ask(name, hit, copy, count)

    def from_disk(name: str, rnd: int) -> None:
        bench.record("hit.object", name, rnd, bench.least(lambda: copied(name))["us"])

    def from_scratch(name: str, rnd: int) -> None:
        took = bench.least(lambda: bench.fresh(name, first, stores[name], aside, rnd % count))["ms"]
        bench.record("hit.process", name, rnd, took)

    if bench.wants("ram"):
        bench.rounds(bench.able(Remembers), from_ram, 2 * rounds)
    if not bench.wants("hit.object", "hit.process"):
        return
    names = bench.able(Tasks)
    with bench.folders(names) as stores, bench.folder() as aside:
        names = bench.each(names, lambda name: bench.fresh(name, fill, stores[name], count))
        if bench.wants("hit.object"):
            bench.rounds(names, from_disk, rounds)
        if bench.wants("hit.process"):
            names = bench.each(
                names, lambda name: bench.fresh(name, first, stores[name], aside, 0)
            )  # to learn what it imports
            bench.rounds(names, from_scratch, rounds)
