"""Calls that wait for a place: strictly in order of submission, at most so many of an array, so many in all.

Only a data structure: who uses it brings the lock, and the threads or processes.
"""

from __future__ import annotations

import dataclasses
import typing as tp
from collections import deque
from collections.abc import Callable, Iterable

T = tp.TypeVar("T")


@dataclasses.dataclass(frozen=True, slots=True)
class Needs:
    """What each item takes of the machine, of how much there is for all; 0: it is not counted."""

    cores: int = 0
    of_cores: int = 0
    gpus: int = 0
    of_gpus: int = 0


@dataclasses.dataclass(slots=True, eq=False)
class Array(tp.Generic[T]):
    """Items submitted together: how many places they may see taken in all, and how many they may take themselves."""

    places: int
    max_jobs: int
    waiting: deque[Ticket[T]]
    needs: Needs = Needs()
    running: int = 0


@dataclasses.dataclass(slots=True, eq=False)
class Ticket(tp.Generic[T]):
    """An item's turn; a withdrawn one is passed over."""

    item: T
    array: Array[T]
    withdrawn: bool = False


class Queue(tp.Generic[T]):
    """What waits, how many do, and how many are running."""

    def __init__(self) -> None:
        self.running: int = 0
        self.waiting: int = 0
        self._cores = 0
        self._gpus = 0
        self._arrays: deque[Array[T]] = deque()

    def put(
        self, items: Iterable[T], *, places: int, max_jobs: int | None = None, needs: Needs | None = None
    ) -> list[Ticket[T]]:
        array = Array[T](places, places if max_jobs is None else max_jobs, deque(), needs or Needs())
        array.waiting.extend(Ticket(item, array) for item in items)
        self._arrays.append(array)
        self.waiting += len(array.waiting)
        return list(array.waiting)

    def take(self) -> Ticket[T] | None:
        """The next one that may start, counted as running from now on; None if there is none, or no place.

        An array that is at its own bound lets later ones pass. For want of a place nobody passes: one that may see
        only few places taken would otherwise wait for ever behind others.
        """
        for array in list(self._arrays):
            while array.waiting and array.waiting[0].withdrawn:
                array.waiting.popleft()
            if not array.waiting:
                self._arrays.remove(array)
            elif self.running >= array.places or not self._has_room(array.needs):
                return None
            elif array.running < array.max_jobs:
                self.waiting -= 1
                self.resume(array.waiting[0])
                return array.waiting.popleft()
        return None

    def leave(self, ticket: Ticket[T]) -> None:
        """The place of a running one is free: it ended, or waits for others."""
        self.running -= 1
        ticket.array.running -= 1
        self._cores -= ticket.array.needs.cores
        self._gpus -= ticket.array.needs.gpus

    def resume(self, ticket: Ticket[T]) -> None:
        """One that waited for others goes on at once, if need be beyond the bound."""
        self.running += 1
        ticket.array.running += 1
        self._cores += ticket.array.needs.cores
        self._gpus += ticket.array.needs.gpus

    def _has_room(self, needs: Needs) -> bool:
        """Whether one more of these fits; alone, one always does."""
        cores = not needs.cores or self._cores + needs.cores <= needs.of_cores
        gpus = not needs.gpus or self._gpus + needs.gpus <= needs.of_gpus
        return not self.running or (cores and gpus)

    def withdraw(self, ticket: Ticket[T]) -> None:
        """One that has not started never does."""
        if not ticket.withdrawn:
            ticket.withdrawn = True
            self.waiting -= 1

    def withdraw_those(self, unwanted: Callable[[T], bool]) -> list[T]:
        """Withdraws, and returns, what has not started and is unwanted."""
        waiting = [ticket for array in self._arrays for ticket in array.waiting if not ticket.withdrawn]
        out = [ticket for ticket in waiting if unwanted(ticket.item)]
        for ticket in out:
            self.withdraw(ticket)
        return [ticket.item for ticket in out]
