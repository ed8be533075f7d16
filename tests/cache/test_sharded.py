"""The entries of a map: many shards, many rows, large values, and what is read of them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from cachedmodel.cache import Cache, Options, columns, files
from cachedmodel.cache.index import Index
from cachedmodel.cache.writer import MOST_ROWS

from .conftest import Open


def _fill(root: Path, shards: int, rows: int) -> dict[str, float]:
    """A map of several sealed shards, and what is in it."""
    expected: dict[str, float] = {}
    for shard in range(shards):
        cache = Cache(str(root / "map"), str(root), single=False, options=Options())
        for row in range(rows):
            key = f"{shard}-{row}"
            expected[key] = shard + row / 7
            cache.write(key, expected[key], 0.1)
        cache.close()
    return expected


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, float]]:
    """A map of 24 shards."""
    root = tmp_path_factory.mktemp("filled")
    return root, _fill(root, shards=24, rows=1000)


def _open(root: Path) -> Cache:
    return Cache(str(root / "map"), str(root), single=False, options=Options())


def test_few_of_many(filled: tuple[Path, dict[str, float]]) -> None:
    """Single keys are found in any shard, with few bytes read."""
    root, expected = filled
    cache = _open(root)
    keys = list(expected)[7::2001]

    assert cache.read(keys).values == {key: expected[key] for key in keys}
    assert cache.states([*keys, "never"]) == dict.fromkeys(keys, "value")
    assert cache.provenance(keys[0]) is not None


def test_all_of_many(filled: tuple[Path, dict[str, float]]) -> None:
    """All keys at once, twice, and listed."""
    root, expected = filled
    cache = _open(root)

    assert cache.read(list(expected)).values == expected
    assert cache.read(list(expected)).values == expected
    assert set(cache.keys()) == expected.keys()


@pytest.mark.parametrize("size", [1, 100, 1000])
def test_many_in_chunks(filled: tuple[Path, dict[str, float]], size: int) -> None:
    """However many keys are asked at once, present and absent ones are told apart."""
    root, expected = filled
    cache = _open(root)
    keys = list(expected)[:: 40 if size == 1 else 1]

    for start in range(0, len(keys), size):
        chunk = keys[start : start + size]
        absent = [f"absent {key}" for key in chunk]
        assert cache.read([*chunk, *absent]).values == {key: expected[key] for key in chunk}


def test_what_is_remembered_is_bounded(filled: tuple[Path, dict[str, float]]) -> None:
    """With little memory for what was found, the answers are the same."""
    root, expected = filled
    index = Index(str(root / "map"), most_found=100, most_loaded=1)
    index.refresh()
    keys = list(expected)

    for _ in range(2):
        assert index.find(keys) == expected
        for start in range(0, len(keys), 500):
            chunk = keys[start : start + 500]
            assert index.find([*chunk, f"absent {start}"]) == {key: expected[key] for key in chunk}
            assert len(index._memo) <= 100
            assert sum(shard.loaded > 0 for shard in index.newest()) <= 1


def test_shards_are_sealed_and_begun_anew(tmp_path: Path, opened: Open) -> None:
    """A shard that is full is sealed; the next has the rest."""
    cache = opened()
    expected = {str(number): number for number in range(MOST_ROWS + 3000)}
    for key, number in expected.items():
        cache.write(key, number)
    cache.close()

    assert len(list((tmp_path / "map").glob("*.shard"))) == 2
    assert opened().read(list(expected)).values == expected


def test_a_process_finds_what_it_wrote_while_it_writes(opened: Open, tmp_path: Path) -> None:
    """Among keys that are new, in shards that it sealed and in the one that it writes; what it remembers is bounded."""
    cache = opened(single=False)
    step = 4096
    for first in range(0, 2 * MOST_ROWS + 2 * step, step):
        keys = [str(number) for number in range(first, first + step)]
        known = [str(number) for number in range(0, first, 997)]
        assert cache.states([*keys, *known]) == dict.fromkeys(known, "value")
        cache.write_small(columns.INT, {key: int(key) for key in keys}, [0.1] * step)
        assert len(cache._store._index._memo) <= 2 * MOST_ROWS  # type: ignore[union-attr]

    assert sum(shard.footer is not None for shard in cache._store._index.newest()) == 2  # type: ignore[union-attr]
    keys = [str(number) for number in range(0, 2 * MOST_ROWS + 2 * step, 3)]
    assert cache.read(keys).values == {key: int(key) for key in keys}


def test_a_shard_that_was_seen_empty_and_is_complete(opened: Open, tmp_path: Path) -> None:
    """Who looked while it was begun finds its entries, and claims none of them."""
    writer = opened()
    writer.write("a", 1)
    writer.close()
    (whole,) = (tmp_path / "map").glob("*.shard")
    data = whole.read_bytes()
    whole.write_bytes(b"")
    readers = opened(), opened()
    for reader in readers:
        assert reader.read(["a"]).values == {}

    whole.write_bytes(data)

    assert readers[0].read(["a"]).values == {"a": 1}
    assert readers[1].claim(["a", "b"]) == ["b"]


def test_a_shard_that_vanishes_as_its_index_is_read(opened: Open, tmp_path: Path) -> None:
    """Compacted by others, and not kept open: its entries are looked for elsewhere."""
    for first in range(0, 150_000, 50_000):
        writer = opened()
        for number in range(first, first + 50_000):
            writer.write(str(number), number)
        writer.close()
    reader = opened()
    assert reader.read(["0", "50000", "100000"]).values == {"0": 0, "50000": 50_000, "100000": 100_000}
    gone = next(path for path in (tmp_path / "map").glob("*_2.shard"))
    gone.unlink()
    files.open_files.drop(str(gone))

    assert reader.read(["1", "50001", "100001"], 150_000).values == {"1": 1, "100001": 100_001}


def test_arrays(opened: Open, tmp_path: Path) -> None:
    """Arrays of any size come back, writable and their own, in any order, from a growing shard and a sealed one."""
    values = {str(number): np.random.default_rng(number).random(number * 37 % 20_000) for number in range(120)}
    one = opened()
    for key, value in values.items():
        one.write(key, value)
    one.commit()

    for cache in (one, opened()):
        found = cache.read(sorted(values, reverse=True)).values
        assert all(np.array_equal(np.asarray(found[key]), value) for key, value in values.items())
    one.close()
    for cache in (one, opened()):
        found = cache.read(list(values)).values
        for key, value in values.items():
            array = found[key]
            assert isinstance(array, np.ndarray)
            assert np.array_equal(array, value)
            assert array.flags.writeable


def test_each_reading_has_an_array_of_its_own(opened: Open) -> None:
    """A large array that was changed after it was read is read unchanged again, in the same process too."""
    array = np.arange(20_000.0)
    cache = opened()
    cache.write("key", array, 0.1)
    cache.commit()

    for reader in (cache, opened()):
        for _ in range(2):
            found = reader.read(["key"]).values["key"]
            assert isinstance(found, np.ndarray)
            assert np.array_equal(found, array)
            found[:] = -1.0


def test_memory_maps_share_a_descriptor(opened: Open) -> None:
    """Arrays that are read as memory maps hold no more descriptors than there are shards."""
    one = opened(codec="memmap")
    for number in range(200):
        one.write(str(number), np.full(1000, number))
    growing = one.read([str(number) for number in range(200)]).values
    one.close()
    before = len(os.listdir("/dev/fd"))

    sealed = opened(codec="memmap").read([str(number) for number in range(200)]).values

    assert len(os.listdir("/dev/fd")) <= before + 3
    for found in (growing, sealed):
        for number in range(200):
            array = found[str(number)]
            assert isinstance(array, np.ndarray)
            assert not array.flags.writeable
            assert (array == number).all()


def test_superseding_in_turns(opened: Open, tmp_path: Path) -> None:
    """Two writers that replace each other's entries in turns: the last one counts for everybody, in whatever order read."""
    one, other = opened(), opened()
    for number in range(6):
        for cache in (one, other):
            cache.refresh()
            cache.write("same", [number, cache is one])
            cache.write(f"{number}-{cache is one}", number)
            cache.commit()

    reader = opened()
    assert reader.read(["same"]).values == {"same": [5, False]}
    assert len(list(reader.keys())) == 13
    assert reader.read(list(reader.keys())).values["same"] == [5, False]


def test_deleting_everything_frees_space(opened: Open, tmp_path: Path) -> None:
    """When all is deleted, sealed shards go; whoever writes meanwhile goes on after it."""
    one, other = opened(), opened()
    one.write("a", bytes(300_000))
    one.close()
    other.write("b", 1)
    other.commit()

    one.delete()

    assert sum(path.stat().st_size for path in (tmp_path / "map").glob("*.shard")) < 3000
    assert opened().read(["a", "b"]).values == {}
    other.refresh()
    other.write("b", 2)
    other.commit()
    assert opened().read(["a", "b"]).values == {"b": 2}
    assert sorted(opened().keys()) == ["b"]


def test_a_folder_that_was_moved(tmp_path: Path, opened: Open) -> None:
    """Entries do not depend on where they are."""
    one = opened()
    one.write("a", [1])
    one.write("b", 2.5)
    one.close()
    (tmp_path / "map").rename(tmp_path / "moved")

    assert opened(folder="moved").read(["a", "b"]).values == {"a": [1], "b": 2.5}


def test_nothing_heavy_is_imported(tmp_path: Path) -> None:
    """Writing and reading plain values needs neither numpy nor anything that is slow to import."""
    code = (
        "import sys\n"
        "from cachedmodel.cache import Cache, CacheDict, Options\n"
        "cache = Cache(sys.argv[1] + '/map', sys.argv[1], single=False, options=Options())\n"
        "for key in cache.claim(['a', 'b']): cache.write(key, 1.5)\n"
        "cache.close()\n"
        "assert CacheDict(sys.argv[1] + '/map')['a'] == 1.5\n"
        "heavy = {'numpy', 'yaml', 'asyncio', 'submitit', 'tqdm', 'pandas', 'torch', 'pyarrow'} & sys.modules.keys()\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True)
