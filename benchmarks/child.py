"""A child process: holds one contender and runs operations of workloads on it, as it is asked.

Started as ``python -m benchmarks.child NAME LOG``. Whatever an operation imports that was not imported before is told to the
run, which has the children that measure import it before the clock starts: imports are a figure of their own.
"""

from __future__ import annotations

import importlib
import sys
import traceback
import typing as tp

from . import memory
from .channel import Channel
from .contenders import load
from .contract import PROTOCOLS

Answer = dict[str, float]


def describe(contender: object) -> dict[str, object]:
    """What a contender can do, and how many items it is worth giving."""
    can = [name for name, protocol in PROTOCOLS.items() if isinstance(contender, protocol)]
    return {"can": can, "most_items": getattr(contender, "most_items", None)}


def run(contender: object, request: dict[str, tp.Any]) -> dict[str, object]:
    """Runs an operation: its answer, what it imported, and how its memory grew; or its error."""
    try:
        operation = getattr(importlib.import_module(request["module"]), request["operation"])
        _import(request["imports"])
        known = set(sys.modules)
        before = memory.start_peak()
        answer: Answer = operation(contender, *request["arguments"], **request["keywords"])
        most = memory.peak()
    except Exception as error:  # told to the run, which says whose it was
        return {"error": f"{type(error).__name__}: {error}", "traceback": traceback.format_exc()}
    if before is not None and most is not None:
        answer = {**answer, "grown_mb": most - before}
    return {"answer": answer, "imported": sorted(set(sys.modules) - known)}


def _import(modules: list[str]) -> None:
    for name in modules:
        try:
            importlib.import_module(name)
        except ImportError:  # made by code, not found by a name
            continue


def main() -> None:
    """Answers until the run has no more questions."""
    name, log = sys.argv[1:]
    channel = Channel(log)
    try:
        contender = load(name)
    except Exception as error:
        channel.answer({"error": f"{type(error).__name__}: {error}", "traceback": traceback.format_exc()})
        return
    channel.answer(describe(contender))
    for request in channel.requests():
        channel.answer(run(contender, request))


if __name__ == "__main__":
    main()
