"""joblib: functions behind a Memory. It checks their source, and keeps two files and a folder for each result."""

from __future__ import annotations

import typing as tp
from collections.abc import Sequence

import joblib

from benchmarks import subject


def output(kind: str, item: int) -> tp.Any:
    """The output of an item."""
    return subject.FUNCTIONS[kind](item)


class Contender:
    """Tasks and maps; an item is a call."""

    most_items = 1_000

    def open(self, folder: str) -> None:
        self.compute = joblib.Memory(folder, verbose=0).cache(subject.compute)

    def config(self, spec: subject.Spec) -> subject.Spec:
        return spec

    def task(self, config: subject.Spec) -> float:
        result: float = self.compute(**config)
        return result

    def computed(self, configs: Sequence[subject.Spec]) -> list[bool]:
        return [self.compute.check_call_in_cache(**config) for config in configs]

    def sweep(self, configs: Sequence[subject.Spec]) -> list[float]:
        return [self.compute(**config) for config in configs]

    def open_map(self, folder: str, kind: subject.Kind, *, keep_in_ram: bool) -> None:
        self.kind = kind
        self.output = joblib.Memory(folder, verbose=0).cache(output)

    def map(self, items: range) -> list[tp.Any]:
        return [self.output(self.kind, item) for item in items]
