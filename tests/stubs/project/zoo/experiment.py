"""Models in many ways: statements, create_model, to_config_model, functions, and plain code beside them."""

from __future__ import annotations

import abc
import functools
import logging
import re
import sys
import typing as tp
from pathlib import Path

import pydantic

import cachedmodel as cm
from zoo.configs import Box, Encoder, Ints, Kind, Node, Optimizer, Scheduler

LOGGER = logging.getLogger(__name__)
WORD = re.compile(r"\w+")
NAMES = ["a", "b"]
SIZES = {"small": 1, "large": 12}
FIRST, SECOND = 1, "two"
Number = int | float
P = tp.ParamSpec("P")

if sys.version_info >= (3, 13):
    EXTRA = 1
else:
    EXTRA = "one"


class Base(cm.CachedModel, abc.ABC):
    param: int = len(NAMES)

    @cm.task
    @abc.abstractmethod
    def train(self) -> float:
        """Trains."""


class Experiment(Base):
    """An experiment."""

    infra: cm.Infra = cm.Infra(version="2")
    required: str
    encoder: Encoder = Encoder()
    encoders: list[Encoder] = []
    part: tp.Annotated[Optimizer | Scheduler, pydantic.Field(discriminator="kind")] = Optimizer()
    parts: list[tp.Annotated[Optimizer | Scheduler, pydantic.Field(discriminator="kind")]] = []
    optimizer: Optimizer | None = None
    pair: tuple[int, Path] = (1, Path())
    paths: dict[str, Path] = {}
    box: Box[int] = Box[int](value=3)
    ints: Ints = Ints([1])
    node: Node = Node()
    """The root of a tree."""
    other: int = pydantic.Field(default=1, validation_alias=pydantic.AliasChoices("other", "another"))

    @cm.task
    def train(self) -> float:
        """Trains for real."""
        return float(self.param)

    @cm.task(exclude=("param",), infra={"gpus_per_node": 1})
    def arrays(self) -> dict[str, list[float]]:
        return {}

    @property
    def total(self) -> int:
        return self.param

    @total.setter
    def total(self, value: int) -> None:
        raise AttributeError

    @functools.cached_property
    def doubled(self) -> int:
        return 2 * self.param

    @classmethod
    def make(cls, param: int) -> tp.Self:
        return cls(param=param, required="x")

    @tp.overload
    def pick(self, which: int) -> int: ...
    @tp.overload
    def pick(self, which: str) -> str: ...
    def pick(self, which: int | str) -> int | str:
        return which


class Later(Experiment):
    extra: tuple[int, ...] = ()

    @cm.task
    def train(self) -> int:
        return 12


class Plain:
    attribute = 12
    other: str = "a"

    def __init__(self, z: int) -> None:
        self.z = z
        self.names: list[str] = []
        self.kind = Kind.FAST

    async def stream(self) -> tp.AsyncIterator[int]:
        yield self.z


class Pair(tp.NamedTuple):
    x: int
    y: str = "a"


def logged(func: tp.Callable[P, int]) -> tp.Callable[P, int]:
    return func


@logged
def count(x: int, *, y: str = "a", z: float = -1.0, path: Path = Path()) -> int:
    return x


def func(x: int, y: Path = Path("a")) -> float:
    """A function with a model of its own."""
    return float(x)


@cm.with_infra(keep_in_ram=True)
def cached(x: int, *, y: str = "a") -> list[str]:
    """Cached."""
    return [y] * x


Dynamic = pydantic.create_model("Dynamic", __base__=Experiment, added=(int, 3), needed=(str, ...))
Model = cm.to_config_model(func)
xp = Experiment(required="x")

if __name__ == "__main__":
    raise SystemExit("never run by the import")
