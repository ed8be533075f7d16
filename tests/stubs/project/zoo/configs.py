"""Nested configurations: models of pydantic's and of ours, aliases, validators, unions, generics."""

from __future__ import annotations

import dataclasses
import datetime
import enum
import typing as tp
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydantic

import cachedmodel as cm

__all__ = ["Array", "Box", "Encoder", "Ints", "Kind", "Node", "Optimizer", "Scheduler", "Size", "Window"]

if tp.TYPE_CHECKING:
    from concurrent.futures import Executor

Array = np.ndarray[tp.Any, np.dtype[np.float64]]
T = tp.TypeVar("T")
Size = tp.NewType("Size", int)


class Kind(enum.Enum):
    """How it is encoded."""

    FAST = "fast"
    EXACT = "exact"


@dataclasses.dataclass
class Window:
    start: int
    stop: int = 12
    names: list[str] = dataclasses.field(default_factory=list)


class Optimizer(pydantic.BaseModel):
    """An ordinary model of pydantic's."""

    kind: tp.Literal["adam"] = "adam"
    rate: tp.Annotated[float, pydantic.Field(gt=0)] = 0.1


class Scheduler(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    kind: tp.Literal["step"] = "step"
    steps: int = pydantic.Field(12, ge=1)


class Encoder(cm.CachedModel, version="1", cluster="threadpool"):
    """Encodes."""

    VERSION: tp.ClassVar[str] = "x"

    name: tp.Literal["enc"] = "enc"
    path: Path = Path("/tmp")
    dim: int = pydantic.Field(default=12, ge=1)
    aliased: float = pydantic.Field(default=1.0, alias="lr")
    kind: Kind = Kind.FAST
    day: datetime.date | None = None
    window: Window = pydantic.Field(default_factory=lambda: Window(1))
    size: Size = Size(3)
    _count: int = pydantic.PrivateAttr(default=0)

    @cm.map(item_uid=str, exclude=("path",), infra={"chunk_size": 3})
    def embed(self, items: tp.Iterable[int]) -> tp.Iterator[Array]:
        """Embeds numbers."""
        for item in items:
            yield np.zeros((item, self.dim))

    def use(self, executor: Executor | None = None, *, then: Callable[[int], str] = str) -> list[Kind]:
        return [self.kind]

    @pydantic.field_validator("dim", mode="before")
    @classmethod
    def _parsed(cls, value: int | str) -> int:
        return int(value)


class Node(cm.CachedModel):
    """Holds others of its kind."""

    children: list[Node] = []
    by_name: dict[str, Node] = {}
    value: int = 0


class Box(cm.CachedModel, tp.Generic[T]):
    """Generic."""

    value: T

    @cm.task
    def get(self) -> T:
        return self.value


class Ints(pydantic.RootModel[list[int]]):
    """A list."""
