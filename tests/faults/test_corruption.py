"""Every file of a cache, with every kind of damage: a warning and a recomputation, never an error and never a wrong value."""

from __future__ import annotations

import multiprocessing
import os
import random
import shutil
import typing as tp
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.executors.calls import until

from .samples import Sample, fingerprint, is_right, lines, sample

SEALED, GROWING = range(40), range(40, 80)
ITEMS = range(80)


def fill(place: str) -> None:
    """Fills a cache as it looks when a process was killed: sealed and growing shards, an open claim, a heartbeat."""
    folder = Path(place)
    sample(folder, n=1).draw()
    list(sample(folder).draws(SEALED))
    sample(folder).draws.submit(SEALED)
    from cachedmodel.cache.cache import _all

    for cache in list(_all):
        cache.close()
    outputs = sample(folder).draws(range(40, 300))
    for _ in GROWING:
        next(outputs)
    (folder / "filled").touch()
    multiprocessing.Event().wait()


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The cache to be damaged."""
    place = tmp_path_factory.mktemp("template")
    process = multiprocessing.get_context("spawn").Process(target=fill, args=(str(place),))
    process.start()
    until((place / "filled").exists)
    process.kill()
    process.join()
    return place


def cut(path: Path, choose: random.Random) -> None:
    os.truncate(path, choose.randrange(max(1, path.stat().st_size)))


def flip(path: Path, choose: random.Random) -> None:
    data = bytearray(path.read_bytes())
    data[choose.randrange(len(data))] ^= 1 << choose.randrange(8)
    path.write_bytes(data)


def zero(path: Path, choose: random.Random) -> None:
    data = bytearray(path.read_bytes())
    start = choose.randrange(len(data))
    data[start : start + 512] = bytes(len(data[start : start + 512]))
    path.write_bytes(data)


def empty(path: Path, _: random.Random) -> None:
    os.truncate(path, 0)


def remove(path: Path, _: random.Random) -> None:
    path.unlink()


def alien(path: Path, choose: random.Random) -> None:
    path.write_bytes(choose.randbytes(3000))


def alien_text(path: Path, _: random.Random) -> None:
    path.write_text("- this: is\n  not: [what was here\n" * 50)


def folder(path: Path, _: random.Random) -> None:
    path.unlink()
    path.mkdir()


def full_folder(path: Path, choose: random.Random) -> None:
    folder(path, choose)
    (path / "file").write_text("not ours")


def nowhere(path: Path, _: random.Random) -> None:
    path.unlink()
    path.symlink_to("nowhere")


def circle(path: Path, _: random.Random) -> None:
    path.unlink()
    path.symlink_to(path.name)


def elsewhere(path: Path, _: random.Random) -> None:
    """A link planted to make us write elsewhere."""
    path.unlink()
    target = victim(path)
    target.write_text("precious")
    path.symlink_to(target)


def fifo(path: Path, _: random.Random) -> None:
    path.unlink()
    os.mkfifo(path)


def victim(path: Path) -> Path:
    """What a planted link points to: outside of the cache."""
    top = next(parent for parent in path.parents if parent.name == "cache")
    return top.parent / "victim"


Damage = Callable[[Path, random.Random], None]
#: Each kind, and how often it is done at other places of the file.
KINDS: dict[Damage, int] = {
    **dict.fromkeys((cut, flip, zero), 6),
    **dict.fromkeys((empty, remove, alien, alien_text, folder, full_folder, nowhere, circle, elsewhere, fifo), 1),
}


def copied(template: Path, place: Path) -> Path:
    """A copy of the cache: for this process, one that it has never seen."""
    place.mkdir()
    shutil.copytree(template / "cache", place / "cache", symlinks=True)
    for path in (place / "cache").rglob("*"):
        if path.suffix == ".shard":
            os.utime(path, (1e9, 1e9))  # nothing that is odd can be an old view of a mount
    return place


def values_of(xp: Sample) -> dict[int, object]:
    return {int(key): value for key, value in xp.draws.cache.items()}


def marks_of(values: dict[int, object]) -> dict[int, str]:
    return {n: fingerprint(value) for n, value in values.items()}


def survive(place: Path, whole: dict[int, str], *, kept: tp.Container[int] = ()) -> None:
    """All that may be asked is asked: what is stored is right, what is lost is computed, and then all is as it should be."""
    readable = values_of(sample(place, mode="read-only"))
    assert all(is_right(n, value) and fingerprint(value) == whole[n] for n, value in readable.items())
    assert all(n in readable for n in ITEMS if n in kept)
    task = sample(place, n=1)
    task.draw.status()
    list(task.draw.iter_cached())
    assert is_right(1, task.draw())
    plan = sample(place).draws.plan(ITEMS)
    assert {*plan.cached, *plan.missing} == {*ITEMS}
    before = len(lines(place / "computed"))
    values = dict(zip(ITEMS, sample(place).draws(ITEMS), strict=True))
    assert all(is_right(n, value) for n, value in values.items())
    assert all(fingerprint(values[n]) == whole[n] for n in readable if n in values)
    computed = {int(n) for n, *_ in lines(place / "computed")[before:]}
    assert computed == {n for n in ITEMS if n not in readable}
    again = sample(place).draws(ITEMS)
    assert [fingerprint(value) for value in again] == [fingerprint(values[n]) for n in ITEMS]


def paths(template: Path) -> list[Path]:
    return sorted(path.relative_to(template) for path in (template / "cache").rglob("*") if path.is_file())


@pytest.fixture(scope="module")
def shards(template: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[int]]:
    """The items of each shard, by its name."""
    found = {}
    for path in paths(template):
        if path.suffix == ".shard":
            alone = copied(template, tmp_path_factory.mktemp("alone") / "copy")
            for other in (alone / path).parent.glob("*.shard"):
                if other.name != path.name:
                    other.unlink()
            found[path.name] = {*values_of(sample(alone))}
    return found


def test_the_undamaged_cache_is_whole(template: Path, tmp_path: Path) -> None:
    """Nothing is computed but what the killed process had not handed out; every kind of file is in it."""
    names = [str(path) for path in paths(template)]
    assert sum(name.endswith(".shard") for name in names) == 2
    assert any("/entry" in name for name in names)
    assert any("/.claim-" in name for name in names)
    assert any("/.lives/" in name for name in names)
    place = copied(template, tmp_path / "copy")

    survive(place, marks_of(values_of(sample(template))), kept=ITEMS)


@pytest.mark.parametrize("kind", [pytest.param(kind, id=kind.__name__) for kind in KINDS])
def test_every_file(kind: Damage, template: Path, shards: dict[str, set[int]], tmp_path: Path) -> None:
    """Damage to a file costs at most its own entries, is warned about, and is not met again once these are computed."""
    whole = marks_of(values_of(sample(template)))
    for path in paths(template):
        kept = {n for name, held in shards.items() if name != path.name for n in held}
        for number in range(KINDS[kind]):
            place = copied(template, tmp_path / f"{len(list(tmp_path.iterdir()))}")
            kind(place / path, random.Random(f"{path.suffix}{number}"))
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", RuntimeWarning)
                try:
                    survive(place, whole, kept=kept)
                except Exception as error:
                    error.add_note(f"{kind.__name__} of {path}, number {number}")
                    raise
            if (place / "victim").exists():
                assert (place / "victim").read_text() == "precious"
