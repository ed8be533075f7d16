"""The queue of calls as a data structure."""

from __future__ import annotations

import typing as tp

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from cachedmodel.executors.queue import Needs, Queue, Ticket


class QueueMachine(RuleBasedStateMachine):
    """Arrays come, items start, wait for others and end, in any order: the bounds and the order hold."""

    def __init__(self) -> None:
        super().__init__()
        self.queue: Queue[int] = Queue()
        self.waiting: list[Ticket[int]] = []
        self.running: list[Ticket[int]] = []
        self.lent: list[Ticket[int]] = []
        self.next = 0

    @rule(count=st.integers(0, 5), places=st.integers(1, 4), max_jobs=st.none() | st.integers(1, 4))
    def put(self, count: int, places: int, max_jobs: int | None) -> None:
        self.waiting += self.queue.put(range(self.next, self.next + count), places=places, max_jobs=max_jobs)
        self.next += count

    @rule()
    def take(self) -> None:
        before = len(self.running)
        ticket = self.queue.take()
        if ticket is None:
            if self.waiting:  # somebody has a reason to wait
                first = self.waiting[0].array
                assert before >= first.places or first.running >= first.max_jobs
            return
        passed = [other for other in self.waiting if other.item < ticket.item]
        assert all(other.array.running >= other.array.max_jobs for other in passed)
        assert before < ticket.array.places
        assert ticket.array.running <= ticket.array.max_jobs
        self.waiting.remove(ticket)
        self.running.append(ticket)

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def end(self, data: st.DataObject) -> None:
        self.queue.leave(self.running.pop(data.draw(st.integers(0, len(self.running) - 1))))

    @precondition(lambda self: self.running)
    @rule()
    def lend(self) -> None:
        self.lent.append(self.running.pop())
        self.queue.leave(self.lent[-1])

    @precondition(lambda self: self.lent)
    @rule()
    def take_back(self) -> None:
        self.running.append(self.lent.pop())
        self.queue.resume(self.running[-1])

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def withdraw(self, data: st.DataObject) -> None:
        ticket = self.waiting.pop(data.draw(st.integers(0, len(self.waiting) - 1)))
        self.queue.withdraw(ticket)
        self.queue.withdraw(ticket)  # again: changes nothing

    @rule()
    def withdraw_odd_ones(self) -> None:
        unwanted = self.queue.withdraw_those(lambda item: item % 2 == 1)
        assert unwanted == [ticket.item for ticket in self.waiting if ticket.item % 2]
        self.waiting = [ticket for ticket in self.waiting if ticket.item % 2 == 0]

    @invariant()
    def counts_are_right(self) -> None:
        assert self.queue.running == len(self.running)
        assert self.queue.waiting == len(self.waiting)


TestQueue: tp.Any = QueueMachine.TestCase  # Any: unittest's own class, made by Hypothesis


def test_items_take_what_they_need_of_the_machine() -> None:
    """So many run that cores and GPUs suffice; one that needs more than there is runs alone."""
    queue: Queue[str] = Queue()
    queue.put("ab", places=9, needs=Needs(cores=2, of_cores=4))
    queue.put("c", places=9, needs=Needs(cores=1, of_cores=4, gpus=1, of_gpus=1))
    queue.put("d", places=9, needs=Needs(cores=8, of_cores=4))
    first, second = queue.take(), queue.take()
    assert (first and first.item, second and second.item, queue.take()) == ("a", "b", None)
    assert first is not None
    assert second is not None
    queue.leave(first)
    third = queue.take()
    assert third is not None
    assert (third.item, queue.take()) == ("c", None)
    queue.leave(second)
    assert queue.take() is None
    queue.leave(third)
    last = queue.take()
    assert last is not None
    assert last.item == "d"
