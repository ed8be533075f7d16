"""exca: TaskInfra and MapInfra as fields of a model."""

# without `from __future__ import annotations`: exca reads the annotations as they are

import os
import typing as tp
from collections.abc import Callable, Iterable, Iterator, Sequence

import exca
import pydantic

from benchmarks import subject
from benchmarks.fields import Fields

#: A dict, as users write it; exca's types know only its own models.
Given = tp.Any


class Model(Fields):
    """A model with a task."""

    infra: exca.TaskInfra = exca.TaskInfra()

    @infra.apply
    def compute(self) -> float:
        return subject.task(self.a, self.b, self.e, self.optimizer.lr)


class Mapper(pydantic.BaseModel, extra="forbid"):
    """A model with a map."""

    kind: str = "float"
    infra: exca.MapInfra = exca.MapInfra()

    @infra.apply(item_uid=str)
    def compute(self, items: Sequence[int]) -> Iterator[tp.Any]:
        function = subject.FUNCTIONS[self.kind]
        for item in items:
            yield function(item)


class Contender:
    """Takes part in everything."""

    def open(self, folder: str) -> None:
        self.folder = folder

    def config(self, spec: subject.Spec) -> Model:
        infra: Given = {"folder": self.folder}
        return Model(**spec, infra=infra)

    def uid(self, config: Model) -> str:
        return config.infra.uid()

    def remembered(self, spec: subject.Spec) -> Callable[[], float]:
        infra: Given = {"folder": self.folder, "keep_in_ram": True}
        model = Model(**spec, infra=infra)
        return lambda: model.compute()

    def task(self, config: Model) -> float:
        return config.compute()

    def computed(self, configs: Sequence[Model]) -> list[bool]:
        return [config.infra.status() == "completed" for config in configs]

    def sweep(self, configs: Sequence[Model]) -> list[float]:
        with configs[0].infra.job_array() as tasks:
            tasks.extend(configs)
        return [config.compute() for config in configs]

    def open_map(self, folder: str, kind: subject.Kind, *, keep_in_ram: bool) -> None:
        infra: Given = {"folder": os.path.join(folder, "cache"), "keep_in_ram": keep_in_ram}
        self.mapper = Mapper(kind=kind, infra=infra)

    def map(self, items: range) -> Iterable[tp.Any]:
        return self.mapper.compute(items)
