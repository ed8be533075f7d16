"""What computes in this process: others of its place wait for who claims there, and nobody else."""

from __future__ import annotations

import threading
import typing as tp
from collections.abc import Iterable, Iterator
from pathlib import Path

import cachedmodel as cm
from cachedmodel.computing import claiming_at, parts_at
from cachedmodel.part import Part


class Slow:
    """A value that takes its time to be stored."""

    def __init__(self, begun: threading.Event, go: threading.Event) -> None:
        self.begun, self.go = begun, go

    def __reduce__(self) -> tuple[type[int], tuple[int]]:
        self.begun.set()
        assert self.go.wait(60)
        return int, (3,)


begun, go = threading.Event(), threading.Event()


class Numbered(cm.CachedModel):
    number: int

    @cm.map(item_uid=str)
    def values(self, items: Iterable[int]) -> Iterator[object]:
        for item in items:
            yield Slow(begun, go) if item == 1 else item


def test_a_place_that_takes_long_holds_up_no_other(tmp_path: Path) -> None:
    """While one thread stores, and another waits to claim there, a third computes elsewhere."""
    infra: tp.Any = {"folder": tmp_path}

    def ask(number: int, item: int) -> threading.Thread:
        thread = threading.Thread(target=lambda: list(Numbered(number=number, infra=infra).values([item])))
        thread.start()
        return thread

    try:
        stores = ask(0, 1)
        assert begun.wait(60)
        claims = ask(0, 2)
        elsewhere = ask(1, 2)
        elsewhere.join(60)
        assert not elsewhere.is_alive()
        assert stores.is_alive()
    finally:
        go.set()
    stores.join(60)
    claims.join(60)


def test_a_place_is_forgotten_with_its_last_part() -> None:
    """However many places there were."""
    part = Part(["a"])
    with claiming_at("place") as here:
        here["a"] = part
    assert parts_at("place") == {"a": part}

    with claiming_at("place") as again:
        assert again is here
        del again["a"]

    with claiming_at("place") as new:
        assert new is not here
