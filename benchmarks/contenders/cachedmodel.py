"""cachedmodel: tasks and maps of a model, by its public names."""

from __future__ import annotations

import os
import typing as tp
from collections.abc import Callable, Iterable, Iterator, Sequence

import cachedmodel as cm
from benchmarks import subject
from benchmarks.fields import Fields


class Model(Fields, cm.CachedModel):
    """A model with a task."""

    @cm.task
    def compute(self) -> float:
        return subject.task(self.a, self.b, self.e, self.optimizer.lr)


class Mapper(cm.CachedModel):
    """A model with a map."""

    kind: str = "float"

    @cm.map(item_uid=str)
    def compute(self, items: Iterable[int]) -> Iterator[tp.Any]:
        function = subject.FUNCTIONS[self.kind]
        for item in items:
            yield function(item)


class Contender:
    """Takes part in everything."""

    def open(self, folder: str) -> None:
        self.folder = folder

    def config(self, spec: subject.Spec) -> Model:
        return Model(**spec, infra={"folder": self.folder})

    def uid(self, config: Model) -> str:
        return config.compute.uid()

    def remembered(self, spec: subject.Spec) -> Callable[[], float]:
        model = Model(**spec, infra={"folder": self.folder, "keep_in_ram": True})
        return lambda: model.compute()

    def task(self, config: Model) -> float:
        return config.compute()

    def computed(self, configs: Sequence[Model]) -> list[bool]:
        return [config.compute.is_cached() for config in configs]

    def sweep(self, configs: Sequence[Model]) -> list[float]:
        return [job.result() for job in cm.job_array(config.compute for config in configs)]

    def open_map(self, folder: str, kind: subject.Kind, *, keep_in_ram: bool) -> None:
        self.mapper = Mapper(kind=kind, infra={"folder": os.path.join(folder, "cache"), "keep_in_ram": keep_in_ram})

    def map(self, items: range) -> Iterable[tp.Any]:
        return self.mapper.compute(items)
