"""Four processes that ask one store for the same items at once: how long until all have all, and how often is computed."""

from __future__ import annotations

import contextlib
import os
import time

from benchmarks import subject
from benchmarks.bench import Bench
from benchmarks.channel import Channel
from benchmarks.child import Answer
from benchmarks.contract import Maps

PROCESSES = 4


def ask_all(contender: Maps, folder: str, count: int) -> Answer:
    """When it began and when it had all, by a clock that is the same in all processes; starts when the run says so."""
    contender.open_map(folder, "counted", keep_in_ram=True)
    items = range(count)
    Channel.current.gate()
    start = time.monotonic()
    outputs = list(contender.map(items))
    end = time.monotonic()
    subject.verify_floats(outputs, items)
    return {"start": start, "end": end}


def measure(bench: Bench) -> None:
    """Each time in a new folder."""
    count = bench.sizes.shared_items

    def go(name: str) -> Answer:
        with bench.folder() as folder, bench.folder() as aside, contextlib.ExitStack() as stack:
            counted = os.path.join(aside, "computed")
            children = [stack.enter_context(bench.child(name, **{subject.COUNT: counted})) for _ in range(PROCESSES)]
            for child in children:
                child.ask(ask_all, [], folder, count)
            for child in children:
                child.reply()  # ready
            for child in children:
                child.say("go")
            answers = [child.reply()["answer"] for child in children]
            took = max(answer["end"] for answer in answers) - min(answer["start"] for answer in answers)
            return {"ms": took * 1e3, "computed": os.path.getsize(counted) / count}

    def once(name: str, rnd: int) -> None:
        answer = go(name)
        bench.record("shared.time", name, rnd, answer["ms"], count)
        bench.record("shared.computed", name, rnd, answer["computed"], count)

    bench.rounds(bench.able(Maps), once, bench.sizes.rounds)
