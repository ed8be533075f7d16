"""Maps of a million items, and how much memory a cold one takes that is streamed."""

from __future__ import annotations

import dataclasses

from benchmarks.bench import Bench
from benchmarks.contract import Maps
from benchmarks.workloads import maps


def measure(bench: Bench) -> None:
    """In fresh processes."""
    sizes = dataclasses.replace(bench.sizes, items=bench.sizes.many_items, rounds=min(2, bench.sizes.rounds))
    maps.run(bench, "million", sizes)
    if bench.wants("million.cold_mb"):
        bench.rounds(bench.able(Maps, items=sizes.items), lambda name, rnd: _stream(bench, name, rnd, sizes.items), 1)


def _stream(bench: Bench, name: str, rnd: int, count: int) -> None:
    with bench.folder() as folder:
        answer = bench.fresh(name, maps.streamed, folder, count)
        bench.record("million.cold_mb", name, rnd, answer.get("grown_mb"), count)
