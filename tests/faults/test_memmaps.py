"""Arrays that are handed out as memory maps: few handles for thousands, in any process, whatever becomes of the files."""

from __future__ import annotations

import gc
import multiprocessing
import os
import sys
import typing as tp
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pytest

import cachedmodel as cm
from cachedmodel.cache.compaction import compact

NUMBER = 3000


class Arrays(cm.CachedModel):
    """Arrays that show which item they belong to."""

    salt: int = 0

    @cm.map(item_uid=str, codec="memmap")
    def load(self, items: Iterable[int]) -> Iterator[np.ndarray]:
        """An array for each item."""
        for item in items:
            yield np.full(200, item)


@pytest.fixture
def arrays(tmp_path: Path) -> Arrays:
    """Thousands of arrays in a few shards, one of which still grows."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        pool.apply(fill, (str(tmp_path), 0, NUMBER // 2))
        pool.close()
        pool.join()
    fill(str(tmp_path), NUMBER // 2, NUMBER)
    return opened(tmp_path)


def opened(place: Path | str) -> Arrays:
    return Arrays(infra={"folder": Path(place) / "cache"})


def fill(place: str, first: int, end: int) -> None:
    """Computes arrays."""
    for _ in opened(place).load(range(first, end)):
        pass


def is_right(item: int, array: np.ndarray) -> bool:
    return array.shape == (200,) and bool((array == item).all())


def are_right(arrays: Arrays) -> bool:
    """Reads some of them; in whatever process."""
    items = range(0, NUMBER, 7)
    return all(is_right(item, array) for item, array in zip(items, arrays.load(items), strict=True))


@pytest.mark.skipif(sys.platform != "linux", reason="handles are counted in /proc")
def test_handles(arrays: Arrays) -> None:
    """All arrays at once hold a handle and a few maps a shard, and none when they are gone."""
    shards = len(list(Path(arrays.load.uid_folder() or "").glob("*.shard")))
    gc.collect()
    before = handles()

    held = list(arrays.load(range(NUMBER)))

    assert all(is_right(item, array) for item, array in enumerate(held))
    assert not any(array.flags.owndata or array.flags.writeable for array in held)
    files, maps = (now - then for now, then in zip(handles(), before, strict=True))
    assert files <= 2 * shards
    # A shard that grew while it was read is mapped again only when it is twice as long.
    assert maps <= shards * 16


def handles() -> tuple[int, int]:
    """Open shards, and maps of shards, of this process."""
    links = [f"/proc/self/fd/{fd}" for fd in os.listdir("/proc/self/fd")]
    files = sum(os.path.lexists(link) and os.readlink(link).endswith(".shard") for link in links)
    return files, Path("/proc/self/maps").read_text().count(".shard")


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_processes(method: str, arrays: Arrays) -> None:
    """A reader that has maps open is read from in processes, however they are started."""
    held = list(arrays.load(range(100)))
    with multiprocessing.get_context(method).Pool(2) as pool:
        assert pool.map(are_right, [arrays, arrays]) == [True, True]
        pool.close()
        pool.join()

    assert are_right(arrays)
    assert all(is_right(item, array) for item, array in enumerate(held))


@pytest.mark.parametrize("method", ["fork", pytest.param("spawn", marks=pytest.mark.slow)])
def test_workers_of_a_data_loader(method: str, arrays: Arrays) -> None:
    """A data set of torch reads in the workers of its loader, in every epoch."""
    data = pytest.importorskip("torch.utils.data")
    assert next(iter(arrays.load([3]))).shape == (200,)

    loader = data.DataLoader(
        Dataset(arrays), batch_size=50, num_workers=2, multiprocessing_context=method, collate_fn=list
    )
    for _ in range(2):
        values = [array for batch in loader for array in batch]
        assert len(values) == NUMBER // 10
        assert all(is_right(10 * number, array) for number, array in enumerate(values))


class Dataset:
    """As torch wants one."""

    def __init__(self, arrays: Arrays) -> None:
        self.arrays = arrays

    def __len__(self) -> int:
        return NUMBER // 10

    def __getitem__(self, index: int) -> np.ndarray:
        return np.array(next(iter(self.arrays.load([10 * index]))))


def _replace(place: str) -> None:
    xp = opened(place)
    xp.load.clear(list(range(0, 1000, 2)))
    fill(place, 0, NUMBER // 4)


def _clear(place: str) -> None:
    opened(place).load.clear()


@pytest.mark.parametrize("what", [_replace, _clear])
def test_files_that_go(what: tp.Callable[[str], None], arrays: Arrays, tmp_path: Path) -> None:
    """Arrays that were handed out stay what they are when their shards are cleared, or compacted and removed."""
    held = list(arrays.load(range(NUMBER)))
    folder = Path(arrays.load.uid_folder() or "")
    before = set(folder.glob("*.shard"))
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        pool.apply(what, (str(tmp_path),))
        pool.close()
        pool.join()

    compact(str(folder), grace_s=0.0)

    assert before - set(folder.glob("*.shard"))
    assert all(is_right(item, array) for item, array in enumerate(held))
    assert are_right(arrays)
