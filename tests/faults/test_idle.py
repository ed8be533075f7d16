"""Iterators that are kept but not consumed: they hold up nobody, and go on where they were."""

from __future__ import annotations

import multiprocessing
import os
import threading
import typing as tp
from collections.abc import Iterable, Iterator
from pathlib import Path

import cachedmodel as cm
from cachedmodel.cache import claimfile
from tests.executors.calls import until

from .asking import has_got, start
from .samples import append, fingerprint, lines, sample

LEASE_S = 0.5


class Counted(cm.CachedModel):
    """Notes each call of its method; item 3 takes as long as the test wants."""

    place: tp.Annotated[Path, cm.NotInUid]

    @cm.map(item_uid=str)
    def values(self, items: Iterable[int]) -> Iterator[int]:
        append(self.place / "calls", threading.current_thread().name)
        for item in items:
            if item == 3:
                (self.place / "begun").touch()
                until((self.place / "go").exists)
            yield item
        append(self.place / "calls", threading.current_thread().name)


def is_claimed(folder: os.PathLike[str] | None) -> bool:
    """Whether anybody holds a claim on some item of a map."""
    assert folder is not None
    try:
        return any(claimfile.read(str(path)).digests for path in Path(folder).glob(f"{claimfile.PREFIX}*"))
    except FileNotFoundError:  # replaced just now
        return True


def test_others_compute_what_an_idle_iterator_had_claimed(tmp_path: Path) -> None:
    """After a lease; and the iterator then gives what they computed."""
    outputs = sample(tmp_path, lease_s=LEASE_S).draws(range(30))
    first = next(outputs)
    (tmp_path / "go").touch()

    assert start(tmp_path, "other", "map", lease_s=LEASE_S).wait(60) == 0

    marks = dict(lines(tmp_path / "got-other"))
    assert has_got(tmp_path, "other") == 60
    assert [fingerprint(value) for value in (first, *outputs)] == [marks[str(n)] for n in range(30)]
    assert sorted(int(n) for n, *_ in lines(tmp_path / "computed")) == [*range(30)]


def test_an_idle_iterator_goes_on_if_nobody_wanted_its_items(tmp_path: Path) -> None:
    """Its method is not called a second time, and ends in the thread that consumes it."""
    xp = Counted(place=tmp_path, infra={"folder": tmp_path / "cache", "lease_s": LEASE_S})
    outputs = xp.values([0, 1, 2])
    assert next(outputs) == 0
    assert is_claimed(xp.values.uid_folder())
    until(lambda: not is_claimed(xp.values.uid_folder()))

    assert next(outputs) == 1
    assert is_claimed(xp.values.uid_folder())
    until(lambda: not is_claimed(xp.values.uid_folder()))
    assert [*outputs] == [2]
    assert lines(tmp_path / "calls") == [[threading.current_thread().name]] * 2


def test_an_idle_iterator_may_be_dropped(tmp_path: Path) -> None:
    """Its items are free for whoever comes next."""
    xp = Counted(place=tmp_path, infra={"folder": tmp_path / "cache", "lease_s": LEASE_S})
    outputs = xp.values([0, 1, 2])
    next(outputs)
    until(lambda: not is_claimed(xp.values.uid_folder()))
    del outputs

    assert [*xp.values([2, 1, 0])] == [2, 1, 0]


def test_a_slow_item_is_not_idle(tmp_path: Path) -> None:
    """A computation that takes longer than a lease keeps its claim."""
    xp = Counted(place=tmp_path, infra={"folder": tmp_path / "cache", "lease_s": LEASE_S})
    outputs = xp.values([3, 4])
    thread = threading.Thread(target=lambda: [*outputs])
    thread.start()
    until((tmp_path / "begun").exists)

    other = sample(tmp_path, lease_s=LEASE_S)  # is seen to be idle meanwhile
    others = other.draws(range(30))
    next(others)
    until(lambda: not is_claimed(other.draws.uid_folder()))
    assert is_claimed(xp.values.uid_folder())
    (tmp_path / "go").touch()
    thread.join()
    assert len(lines(tmp_path / "calls")) == 2


def counted(place: Path) -> Counted:
    return Counted(place=place, infra={"folder": place, "chunk_size": 4, "lease_s": 3600})


def clear_and_ask(place: str) -> None:
    """Computes item 3; then clears it, and asks for item 4 and for it again."""
    xp = counted(Path(place))
    assert [*xp.values([3])] == [3]
    until((Path(place) / "clear").exists)
    xp.values.clear()
    (Path(place) / "cleared").touch()
    assert [*xp.values([4, 3])] == [4, 3]


def test_who_wait_for_one_another_go_on(tmp_path: Path) -> None:
    """Each has claimed what the other waits for, as an item was cleared in between: neither waits for the other's lease."""
    other = multiprocessing.get_context("spawn").Process(target=clear_and_ask, args=(str(tmp_path),))
    other.start()
    until((tmp_path / "begun").exists)
    xp = counted(tmp_path)
    outputs = xp.values([1, 3, 4])
    assert next(outputs) == 1  # 4 is claimed, as 1 was; 3 is the other's
    (tmp_path / "go").touch()
    until(lambda: xp.values.plan([3]).cached == [3])
    (tmp_path / "clear").touch()
    until((tmp_path / "cleared").exists)
    until(lambda: xp.values.plan([3, 4]).running == [3, 4])

    assert [*outputs] == [3, 4]

    other.join(30)
    assert other.exitcode == 0
