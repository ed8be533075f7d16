"""What a contender can do. It takes part in a workload if its class has the methods of the protocol named there.

A class may have `most_items`, the largest map that is worth giving to it. Nothing may be computed in advance, and nothing kept
from one `open` or `open_map` to the next but what an import leaves.
"""

from __future__ import annotations

import typing as tp
from collections.abc import Callable, Iterable, Sequence

from .subject import Kind, Spec

# The configurations and values of libraries of which a workload knows nothing.
Config = tp.Any
Value = tp.Any


@tp.runtime_checkable
class Models(tp.Protocol):
    """Makes configurations."""

    def open(self, folder: str) -> None:
        """Configurations made from now on belong to this folder."""

    def config(self, spec: Spec) -> Config:
        """A configuration, as a user of the library makes it."""


@tp.runtime_checkable
class Uids(Models, tp.Protocol):
    """Names configurations."""

    def uid(self, config: Config) -> Value:
        """What tells a configuration from others, in the cache."""


@tp.runtime_checkable
class Remembers(tp.Protocol):
    """Keeps results of tasks in memory."""

    def open(self, folder: str) -> None:
        """As in `Models`."""

    def remembered(self, spec: Spec) -> Callable[[], float]:
        """A call of the task of one object that keeps its result in memory."""


@tp.runtime_checkable
class Tasks(Models, tp.Protocol):
    """Keeps results of tasks on disk."""

    def task(self, config: Config) -> float:
        """`subject.task` of a configuration, computed if it is not stored."""


@tp.runtime_checkable
class Sweeps(Tasks, tp.Protocol):
    """Knows which configurations are computed."""

    def computed(self, configs: Sequence[Config]) -> list[bool]:
        """Which of the configurations are stored."""

    def sweep(self, configs: Sequence[Config]) -> list[float]:
        """The tasks of many configurations, of which most are stored."""


@tp.runtime_checkable
class Maps(tp.Protocol):
    """Keeps outputs of items on disk."""

    def open_map(self, folder: str, kind: Kind, *, keep_in_ram: bool) -> None:
        """Opens a store as a program that starts does; where the library can choose, outputs are kept in memory or not."""

    def map(self, items: range) -> Iterable[Value]:
        """The output of each item, in their order; computed if it is not stored."""


PROTOCOLS: dict[str, type] = {
    protocol.__name__: protocol for protocol in (Models, Uids, Remembers, Tasks, Sweeps, Maps)
}
