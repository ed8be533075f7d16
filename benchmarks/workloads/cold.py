"""A task that is not computed yet: what it costs beyond the computation, in time and files."""

from __future__ import annotations

from benchmarks import subject
from benchmarks.bench import Bench
from benchmarks.child import Answer
from benchmarks.clock import now
from benchmarks.contract import Tasks
from benchmarks.disk import usage


def cold(contender: Tasks, folder: str, count: int) -> Answer:
    """Milliseconds to compute and store a task that takes no time."""
    contender.open(folder)
    contender.task(contender.config(subject.spec(-1)))  # what is made once for a folder
    specs = [subject.spec(number) for number in range(count)]
    configs = [contender.config(spec) for spec in specs]
    start = now()
    results = [contender.task(config) for config in configs]
    took = now() - start
    assert results == [subject.task_of(spec) for spec in specs]
    return {"ms": took / count * 1e3}


def measure(bench: Bench) -> None:
    """In long-lived children, each time in a new folder; a second store, half as large, tells what a task takes on disk."""
    count = bench.sizes.configs

    def go(name: str) -> Answer:
        with bench.folder(keep=True) as folder, bench.folder(keep=True) as half:
            took = bench.ask(name, cold, folder, count)["ms"]
            again = bench.ask(name, cold, half, count // 2)["ms"]
            files = usage(folder).files - usage(half).files
        return {"ms": min(took, again), "files": files / (count - count // 2)}

    def once(name: str, rnd: int) -> None:
        answer = bench.least(lambda: go(name), goes=2)
        bench.record("cold.time", name, rnd, answer["ms"])
        bench.record("cold.files", name, rnd, answer["files"])

    bench.rounds(bench.able(Tasks), once, bench.sizes.rounds)
