"""Damaged files cost at most their own entries: never a wrong value, never a crash, and a warning names the file."""

from __future__ import annotations

import os
import random
import re
import warnings
from pathlib import Path

import pytest

from cachedmodel.cache import Cache, Failure, Options, files
from cachedmodel.cache.files import random_name

from .conftest import Open

#: What the damaged folders hold: every kind of column, records small and large, a failure, a deletion.
ENTRIES: dict[str, object] = {
    **{f"float-{number}": number / 3 for number in range(40)},
    **{f"int-{number}": number for number in range(10)},
    **{f"text-{number}": f"text {number}" for number in range(5)},
    "true": True,
    "none": None,
    "list": [1, "two", 3.0],
    "bytes": bytes(range(256)) * 8,
    "big": bytes(100_000),
}


@pytest.fixture(autouse=True)
def _warns_again() -> None:
    """A file is warned about once a process: each test is to see its own warnings."""
    files._warned.clear()
    files._untold.clear()


def _fill(cache: Cache, *, sealed: bool) -> None:
    cache.write("deleted", 1)
    cache.commit()
    cache.delete(["deleted"])
    for number, (key, value) in enumerate(ENTRIES.items()):
        cache.write(key, value, 0.5)
        if number % 13 == 0:
            cache.commit()
    cache.write_failure("failed", Failure("m.Error", "no", "trace"))
    cache.commit()
    if sealed:
        cache.close()


def _check(cache: Cache) -> int:
    """Reads everything in several ways: what is found is right. How many entries are lost."""
    keys = [*ENTRIES, "deleted", "failed", "never"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        one_by_one = {key: value for key in keys for value in cache.read([key]).values.values()}
        together = cache.read(keys)
        listed = set(cache.keys())
        claimed = cache.claim(keys)
    for key, value in [*one_by_one.items(), *together.values.items()]:
        assert (type(value), value) == (type(ENTRIES[key]), ENTRIES[key])
    for failure in together.failures.values():
        assert failure == Failure("m.Error", "no", "trace")
    # What cannot be read may be computed again, and only that.
    assert set(claimed) == set(keys) - together.values.keys() - together.failures.keys()
    assert {*together.values, *together.failures} <= listed
    for key in claimed:
        cache.write(key, ENTRIES.get(key, 7))
    cache.commit()
    cache.release(claimed)
    again = cache.read(keys)
    assert {*again.values, *again.failures} == set(keys)
    return len(ENTRIES.keys() - together.values.keys())


def _shard(folder: Path) -> Path:
    """The shard with `ENTRIES`; what was deleted before is in another one."""
    return max(folder.glob("*.shard"), key=lambda path: path.stat().st_size)


def _age(path: Path) -> None:
    """Makes the file old enough that what is odd in it cannot be an old view of a mount."""
    os.utime(path, (1e9, 1e9))


@pytest.fixture(scope="module", params=["sealed", "growing"])
def shard(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The bytes of a shard with `ENTRIES`."""
    folder = tmp_path_factory.mktemp("shard")
    cache = Cache(str(folder / "map"), str(folder), single=False, options=Options())
    _fill(cache, sealed=request.param == "sealed")
    data = _shard(folder / "map").read_bytes()
    cache.end()
    return data


def _with(folder: Path, data: bytes) -> Path:
    folder.mkdir()
    path = folder / f"{random_name()}.shard"
    path.write_bytes(data)
    _age(path)
    return path


def test_nothing_is_lost_of_what_is_whole(shard: bytes, tmp_path: Path, opened: Open) -> None:
    """The undamaged shard gives everything."""
    _with(tmp_path / "map", shard)

    assert _check(opened()) == 0


def test_flipped_bits(shard: bytes, tmp_path: Path, opened: Open) -> None:
    """A flipped bit costs one block or one record, wherever it is."""
    choose = random.Random(7)
    heads = range(0, 600, 7)
    for number, at in enumerate(
        [*heads, *choose.sample(range(len(shard)), 60), *range(len(shard) - 48, len(shard), 5)]
    ):
        damaged = shard[:at] + bytes([shard[at] ^ 1 << choose.randrange(8)]) + shard[at + 1 :]
        _with(tmp_path / f"map-{number}", damaged)

        lost = _check(opened(folder=f"map-{number}"))

        assert lost <= 13 or at < 600, f"byte {at} cost {lost} entries"


def test_cut_short(shard: bytes, tmp_path: Path, opened: Open) -> None:
    """A file that ends too early gives what is before the end, at any length."""
    lengths = [*range(0, 1200, 41), *range(1200, len(shard), 5003), len(shard) - 1, len(shard) - 30]
    found = []
    for number, length in enumerate(lengths):
        _with(tmp_path / f"map-{number}", shard[:length])
        found.append(len(ENTRIES) - _check(opened(folder=f"map-{number}")))

    assert found == sorted(found)


def test_overwritten_with_zeros(shard: bytes, tmp_path: Path, opened: Open) -> None:
    """A hole, as a lost page leaves one, costs what was in it."""
    for number, start in enumerate(range(0, 4096, 512)):
        _with(tmp_path / f"map-{number}", shard[:start] + bytes(512) + shard[start + 512 :])

        _check(opened(folder=f"map-{number}"))


def test_bytes_that_were_appended(shard: bytes, tmp_path: Path, opened: Open) -> None:
    """Rubbish behind the end costs nothing."""
    _with(tmp_path / "map", shard + b"rubbish" * 9)

    assert _check(opened()) == 0


@pytest.mark.parametrize("data", [b"", b"x", b"CMSHARD1", b"\0" * 5000, b"rubbish" * 999, b"PK\x03\x04" * 20])
def test_alien_files(data: bytes, tmp_path: Path, opened: Open) -> None:
    """A file that is no shard is left alone, and the others count."""
    cache = opened()
    _fill(cache, sealed=True)
    (tmp_path / "map" / f"{random_name()}.shard").write_bytes(data)
    (tmp_path / "map" / "notes.txt").write_bytes(data)
    (tmp_path / "map" / "folder.shard").mkdir()

    assert _check(opened()) == 0


def test_a_shard_that_vanishes(tmp_path: Path, opened: Open) -> None:
    """A shard that is removed beneath a reader costs its entries, without a warning."""
    writer = opened()
    _fill(writer, sealed=True)
    reader = opened()
    assert reader.states(["big", "list"]) == {"big": "value", "list": "value"}
    _shard(tmp_path / "map").unlink()
    files.open_files.drop(str(next((tmp_path / "map").glob("*"), tmp_path)))

    reader.refresh()

    assert reader.read(list(ENTRIES)).values == {}
    assert reader.claim(["big"]) == ["big"]


def test_the_warning_names_file_and_remedy(shard: bytes, tmp_path: Path, opened: Open) -> None:
    """A damaged value is warned about once, with the path and what to do."""
    at = shard.index(bytes(range(256)))
    path = _with(tmp_path / "map", shard[:at] + b"!" + shard[at + 1 :])
    cache = opened()

    with pytest.warns(RuntimeWarning, match=rf"{path}: a value is damaged.*computed again.*delete the file"):
        assert cache.read(["bytes"]).values == {}
    assert cache.read(["bytes"]).values == {}
    assert cache.states(["bytes"]) == {}


def test_a_damaged_replacement_does_not_bring_back_the_old(tmp_path: Path, opened: Open) -> None:
    """Where an entry was replaced, and the new one is damaged, the old one is not served in its place."""
    writer = opened()
    for value in ("old", "new"):
        writer.write("column", value)
        writer.write("record", [value])
        writer.commit()
        writer.close()
    newer = max((tmp_path / "map").glob("*.shard"), key=lambda path: b"new" in path.read_bytes())
    newer.write_bytes(newer.read_bytes().replace(b"new", b"nEw"))
    _age(newer)

    with pytest.warns(RuntimeWarning):
        found = opened().read(["column", "record"])
    assert found.values == {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        everything = opened()
        assert list(everything.keys()) in ([], ["record"])  # the head of the record holds
        assert everything.read(["column", "record"]).values == {}


def test_what_is_read_at_once_is_as_new_as_what_is_read_alone(tmp_path: Path, opened: Open) -> None:
    """A shard whose table is filled, since many of its keys were asked, hides what is older than its damaged part."""
    writer = opened()
    for number in range(140_000):  # more than are remembered
        writer.write(f"key {number}", "old")
    writer.close()
    writer = opened()
    for number in range(4000):
        writer.write(f"key {number}", f"new {number}.")
        if number % 10 == 9:
            writer.commit()
    writer.close()
    newer = max((tmp_path / "map").glob("*.shard"), key=lambda path: b"new 55." in path.read_bytes())
    newer.write_bytes(newer.read_bytes().replace(b"new 55.", b"nEw 55."))
    _age(newer)
    cache = opened()

    with pytest.warns(RuntimeWarning, match="some of its entries are damaged"):
        some = cache.read([f"key {number}" for number in range(1200)]).values
    assert set(some.values()) == {f"new {number}." for number in range(1200) if number // 10 != 5}

    assert set(cache.keys()) == {f"key {number}" for number in range(140_000) if number // 10 != 5}


def test_damage_in_a_shard_that_is_sealed_meanwhile(tmp_path: Path, opened: Open) -> None:
    """What a process remembers does not outlive a damaged replacement, of which only the index of the new shard tells."""
    first, second = opened(), opened()
    for key in ("key", "other"):
        first.write(key, "old")
    first.close()
    second.refresh()
    second.write("other", "new")
    second.commit()
    reader = opened()
    assert reader.read(["key", "other"]).values == {"key": "old", "other": "new"}

    for key in ("key", "last"):
        second.write(key, "newer")
        second.commit()
    second.close()
    (newer,) = (tmp_path / "map").glob("*+*.shard")
    newer.write_bytes(newer.read_bytes().replace(b"newer", b"nEwer", 1))
    _age(newer)
    with pytest.warns(RuntimeWarning, match="some of its entries are damaged"):
        found = reader.read(["last"]).values
    assert found == {"last": "newer"}
    with pytest.warns(RuntimeWarning, match="some of its entries are damaged"):
        found = reader.read(["key"]).values
    assert found == {}


def _replaced(folder: Path, *, sealed: bool) -> tuple[Path, Path]:
    """A shard, and one that replaces and deletes entries of it, and one of its own; the second may have no index."""
    writer = Cache(str(folder), str(folder.parent), single=False, options=Options())
    for key in ("column", "record", "gone"):
        writer.write(key, ["old"] if key == "record" else "old")
    writer.close()
    for value in ("older", "new"):
        for key in ("column", "record"):
            writer.write(key, [value] if key == "record" else value)
        writer.commit()
    writer.delete(["gone"])
    if sealed:
        writer.close()
    new, old = sorted(folder.glob("*.shard"), key=lambda path: "+" not in path.name)
    return old, new


@pytest.mark.parametrize("sealed", [False, True])
def test_nothing_old_comes_back(sealed: bool, tmp_path: Path, opened: Open) -> None:
    """Wherever bytes are changed in what replaced and deleted entries: they are right or missing, and can be written again."""
    old, new = _replaced(tmp_path / "map", sealed=sealed)
    whole = new.read_bytes()
    right = {"column": "new", "record": ["new"]}
    damages = [whole[:at] + bytes([whole[at] ^ 1 << at % 8]) + whole[at + 1 :] for at in range(0, len(whole), 3)]
    damages += [whole[:at] + b"!" * 200 + whole[at + 200 :] for at in range(0, len(whole) - 200, 50)]
    damages += [bytes(len(whole)), b"alien" * 99, whole[:99]]
    for number, damaged in enumerate(damages):
        folder = tmp_path / f"map-{number}"
        folder.mkdir()
        (folder / old.name).write_bytes(old.read_bytes())
        (folder / new.name).write_bytes(damaged)
        _age(folder / new.name)

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            reader, lister = opened(folder=folder.name), opened(folder=folder.name)
            found = [
                {key: value for key in ("column", "record", "gone") for value in reader.read([key]).values.values()},
                opened(folder=folder.name).read(["column", "record", "gone"]).values,
                lister.read(list(lister.keys())).values,
            ]
            assert all(values.items() <= right.items() for values in found), (number, found)
            reader.write("record", ["again"])
            reader.close()
            for cache in (reader, lister, opened(folder=folder.name)):
                cache.refresh()
                assert cache.read(["record"]).values == {"record": ["again"]}


@pytest.mark.parametrize("how", ["forbidden", "a folder"])
def test_what_cannot_be_opened_hides_what_it_may_have_replaced(how: str, tmp_path: Path, opened: Open) -> None:
    """It is told by its name; the warning says what to do."""
    old, new = _replaced(tmp_path / "map", sealed=True)
    new.unlink()
    new.mkdir() if how == "a folder" else new.symlink_to("/proc/self/mem")

    with pytest.warns(RuntimeWarning, match=rf"{re.escape(str(new))}: it cannot be read.*right to read"):
        assert opened().read(["column", "record"]).values == {}
    new.rmdir() if how == "a folder" else new.unlink()
    assert opened().read(["column"]).values == {"column": "old"}
    assert old.exists()


# -- the entry of a task


@pytest.mark.parametrize("value", [3.5, list(range(5000))])
def test_damaged_entry(value: object, tmp_path: Path, opened: Open) -> None:
    """An entry of a task with any damage is right or missing; missing, it can be computed and stored again."""
    cache = opened(single=True)
    cache.write("", value)
    path = tmp_path / "map" / "entry"
    whole = path.read_bytes()
    flips = [
        whole[:at] + bytes([whole[at] ^ 4]) + whole[at + 1 :] for at in range(0, len(whole), 1 + len(whole) // 150)
    ]
    cuts = [whole[:length] for length in range(0, len(whole), 1 + len(whole) // 50)]
    for damaged in [*flips, *cuts, b"alien" * 50, b""]:
        path.write_bytes(damaged)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            told = opened(single=True).states([""]).get("")
            assert Cache.task_state(str(path.parent), lambda _: True) == told
            found = cache.read([""]).values
            assert found in ({}, {"": value})
            assert told == "value" or not found
            assert cache.claim([""]) == ([] if found else [""])
            cache.write("", value)
            cache.release([""])
            assert cache.read([""]).values == {"": value}


def test_damaged_entry_is_warned_about(tmp_path: Path, opened: Open) -> None:
    """The warning names the file."""
    cache = opened(single=True)
    cache.write("", b"value" * 100)
    path = tmp_path / "map" / "entry"
    path.write_bytes(path.read_bytes().replace(b"value", b"vAlue", 1))

    with pytest.warns(RuntimeWarning, match="entry: its value is damaged"):
        assert cache.read([""]).values == {}
    assert cache.states([""]) == {}
