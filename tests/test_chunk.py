"""Chunks that travel to jobs: a job that is preempted and queued again goes on where it was."""

from __future__ import annotations

import pickle
import random
import typing as tp
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

import cachedmodel as cm
from cachedmodel.engine import Call


class Preempted(cm.CachedModel):
    """Is ended once, in the midst of its items."""

    place: tp.Annotated[Path, cm.NotInUid]

    @cm.map(item_uid=str)
    def values(self, items: Iterable[int]) -> Iterator[object]:
        for item in items:
            if item == 2 and not (self.place / "ended").exists():
                (self.place / "ended").touch()
                raise KeyboardInterrupt  # as a signal does
            with (self.place / "computed").open("a") as file:
                file.write(f"{item}\n")
            yield random.random()


def preempted(place: Path, **settings: object) -> Preempted:
    infra: tp.Any = {"folder": place / "cache", **settings}
    return Preempted(place=place, infra=infra)


@pytest.mark.parametrize("mode", ["cached", "force"])
def test_a_job_that_is_queued_again_computes_the_rest(mode: str, tmp_path: Path) -> None:
    """Also where all was stored before, and is computed again: what this very job has stored counts."""
    if mode == "force":
        (tmp_path / "ended").touch()
        before = list(preempted(tmp_path).values([1, 2, 3]))
        (tmp_path / "ended").unlink()
        (tmp_path / "computed").unlink()
    call = Call(preempted(tmp_path, cluster="local", mode=mode).values._work(), {"1": 1, "2": 2, "3": 3})
    data = pickle.dumps(call.travelling(call.prepare()))
    with pytest.raises(KeyboardInterrupt):
        pickle.loads(data)()

    pickle.loads(data)()

    assert (tmp_path / "computed").read_text().split() == ["1", "2", "3"]
    values = list(preempted(tmp_path, mode="read-only").values([1, 2, 3]))
    if mode == "force":
        assert not {*before} & {*values}
