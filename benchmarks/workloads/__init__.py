"""What is measured: one file for each kind of work, with the operations that children run, and who runs them when."""

from __future__ import annotations

import importlib
import time

from benchmarks.bench import Bench

#: Workload (see `rows.Row.workload`) by the module that measures it, in the order in which they run.
MODULES = {
    "imports": ("import",),
    "models": ("construct", "uid"),
    "hits": ("ram", "hit"),
    "cold": ("cold",),
    "sweeps": ("sweep",),
    "maps": ("map",),
    "warm": ("warm",),
    "arrays": ("arrays",),
    "shared": ("shared",),
    "million": ("million",),
    "growth": ("growth",),
}


def measure(bench: Bench) -> None:
    """Runs all that measures a row that is asked for."""
    wanted = {key.split(".")[0] for key in bench.rows}
    for module, workloads in MODULES.items():
        if wanted.intersection(workloads):
            start = time.monotonic()
            importlib.import_module(f"{__name__}.{module}").measure(bench)
            bench.say(f"{' and '.join(workloads)}: measured in {time.monotonic() - start:.0f} s")
