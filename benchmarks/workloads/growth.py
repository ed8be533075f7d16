"""How the cost of an item grows with their number, for cachedmodel and the floor."""

from __future__ import annotations

import functools

from benchmarks.bench import Bench
from benchmarks.contenders import OURS
from benchmarks.contract import Maps
from benchmarks.workloads import maps


def measure(bench: Bench) -> None:
    """In fresh processes."""
    names = [name for name in bench.able(Maps) if name in (OURS, "rawlog")]
    names = bench.each(names, lambda name: maps.scout(bench, name))
    for place, count in enumerate(bench.sizes.growth):
        bench.rounds(names, functools.partial(_once, bench, place, count), min(3, bench.sizes.rounds))


def _once(bench: Bench, place: int, count: int, name: str, rnd: int) -> None:
    with bench.folder() as folder, bench.folder() as aside:
        cold = bench.fresh(name, maps.cold, folder, count)["us"]
        bench.record(f"growth.cold.{place}", name, rnd, cold, count)
        whole = bench.fresh(name, maps.read, folder, aside, 0, count)["ms"]
        bench.record(f"growth.whole.{place}", name, rnd, whole * 1e3 / count, count)
