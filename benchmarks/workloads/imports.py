"""Importing a library and defining a model with it: a whole interpreter, from its start to its end."""

from __future__ import annotations

import resource
import subprocess
import sys
import time

from benchmarks.bench import Bench, ContenderError
from benchmarks.child import Answer
from benchmarks.contenders import WITHOUT_MODELS
from benchmarks.contract import Models

_CODE = """
from benchmarks import subject
from benchmarks.child import Answer
from benchmarks.contenders.{} import Contender
contender = Contender()
contender.open(".")
contender.config(subject.spec(1))
"""


def measure(bench: Bench) -> None:
    """A contender's module defines its model, and one is made."""
    names = [name for name in bench.able(Models) if name not in WITHOUT_MODELS]

    def go(name: str) -> Answer:
        start = _now(bench)
        done = subprocess.run([sys.executable, "-c", _CODE.format(name)], env=bench.environment, capture_output=True)
        took = _now(bench) - start
        if done.returncode:
            raise ContenderError(done.stderr.decode())
        return {"ms": took * 1e3}

    def once(name: str, rnd: int) -> None:
        bench.record("import", name, rnd, bench.least(lambda: go(name))["ms"])

    bench.rounds(bench.each(names, go), once, bench.sizes.rounds)  # the first go compiles, and warms the page cache


def _now(bench: Bench) -> float:
    if not bench.cpu:
        return time.perf_counter()
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return children.ru_utime + children.ru_stime
