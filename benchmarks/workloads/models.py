"""Making configurations and naming them."""

from __future__ import annotations

from benchmarks import subject
from benchmarks.bench import Bench
from benchmarks.child import Answer
from benchmarks.clock import now
from benchmarks.contenders import WITHOUT_MODELS
from benchmarks.contract import Models, Uids


def construct(contender: Models, folder: str, count: int) -> Answer:
    """Microseconds to make a configuration: the least of three goes."""
    contender.open(folder)
    specs = [subject.spec(number) for number in range(count)]
    contender.config(specs[0])
    least = float("inf")
    for _ in range(3):
        start = now()
        made = [contender.config(spec) for spec in specs]
        least = min(least, now() - start)
        assert len(made) == count
    return {"us": least / count * 1e6}


def uid(contender: Uids, folder: str, count: int) -> Answer:
    """Microseconds for the uid of a configuration that was not asked before: the least of three goes."""
    contender.open(folder)
    contender.uid(contender.config(subject.spec(-1)))  # what is planned once for a class
    least = float("inf")
    for _ in range(3):
        configs = [contender.config(subject.spec(number)) for number in range(count)]
        start = now()
        uids = [contender.uid(config) for config in configs]
        least = min(least, now() - start)
        assert len(set(map(str, uids))) == count, "two configurations have one uid"
    return {"us": least / count * 1e6}


def measure(bench: Bench) -> None:
    """In long-lived children."""
    rounds, count = 4 * bench.sizes.rounds, bench.sizes.configs

    def made(name: str, rnd: int) -> None:
        bench.record("construct", name, rnd, bench.ask(name, construct, folder, count)["us"])

    def named(name: str, rnd: int) -> None:
        bench.record("uid", name, rnd, bench.ask(name, uid, folder, count)["us"])

    with bench.folder() as folder:
        if bench.wants("construct"):
            bench.rounds([name for name in bench.able(Models) if name not in WITHOUT_MODELS], made, rounds)
        if bench.wants("uid"):
            bench.rounds(bench.able(Uids), named, rounds)
