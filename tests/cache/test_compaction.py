"""Compaction gives space back and changes nothing else: beside readers and writers, and wherever it dies."""

from __future__ import annotations

import functools
import os
import random
import shutil
import time
import typing as tp
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest

from cachedmodel.cache import Cache, Failure, Options, files
from cachedmodel.cache.compaction import Compaction, compact
from cachedmodel.cache.verify import verify

from .conftest import Open
from .dying import dies_at, each_step
from .processes import as_user

#: No shard has to wait: readers of these tests look again when one is gone.
AT_ONCE = 0.0
A_DAY = 86_400.0


def stored(cache: Cache) -> dict[str, object]:
    """All that is stored."""
    return cache.read(list(cache.keys())).values


def shards(folder: Path) -> list[str]:
    """The names of the shards in a folder."""
    return sorted(path.name for path in folder.glob("*.shard"))


def size(folder: Path) -> int:
    """Bytes of the shards in a folder."""
    return sum(path.stat().st_size for path in folder.glob("*.shard"))


def fill(opened: Open, *, rounds: int = 8, number: int = 60, seed: int = 0) -> dict[str, object]:
    """Several writers after one another, who replace and delete what others wrote; what is stored then."""
    choose, model = random.Random(seed), dict[str, object]()
    for count in range(rounds):
        cache = opened()
        for _ in range(number):
            key = str(choose.randrange(3 * number))
            model[key] = choose.random() if choose.random() < 0.7 else [key, count]
            cache.write(key, model[key], 0.25)
        cache.commit()
        gone = choose.sample(sorted(model), number // 4)
        cache.delete(gone)
        for key in gone:
            del model[key]
        cache.close()
    return model


def test_space_comes_back(opened: Open, tmp_path: Path) -> None:
    """Superseded and deleted entries go, many shards become one, and everything else is as it was."""
    model = fill(opened)
    folder = tmp_path / "map"
    before = size(folder)

    report = compact(str(folder), grace_s=AT_ONCE)

    assert (report.shards, report.made, report.kept) == (12, 1, len(model))
    assert len(shards(folder)) == 1
    assert report.freed == before
    assert size(folder) == report.made_size < before / 2
    assert stored(opened()) == model
    assert [finding for found in verify(str(folder)) for finding in found.findings] == []
    assert compact(str(folder), grace_s=AT_ONCE) == Compaction(str(folder))


def test_values_of_every_kind(opened: Open, tmp_path: Path) -> None:
    """Columns, records, arrays, failures, keys with any letters: type, value and provenance are kept."""
    cache = opened()
    model = {
        "float": 0.5,
        "int": 3,
        "text": "äöü",
        "true": True,
        "none": None,
        "\0": "odd",
        "\0record": [1],
        "": Decimal("1.5"),
        "array": np.arange(1000.0),
        "large": bytes(range(256)) * 30_000,
    }
    for _ in range(2):
        for key, value in model.items():
            cache.write(key, value, 1.5)
        cache.write_failure("failed", Failure("m.Error", "no", "trace"), 2.0)
        cache.write("\0gone", 1)
        cache.commit()
        cache.delete(["\0gone"])
        cache.close()
    before = {key: cache.provenance(key) for key in [*model, "failed"]}

    compact(str(tmp_path / "map"), grace_s=AT_ONCE)

    found = opened().read([*model, "failed", "\0gone"])
    assert found.values.keys() == model.keys()
    for key, value in found.values.items():
        assert type(value) is type(model[key])
        assert np.array_equal(tp.cast("tp.Any", value), tp.cast("tp.Any", model[key]))
    assert found.failures == {"failed": Failure("m.Error", "no", "trace")}
    after = opened()
    assert {key: after.provenance(key) for key in before} == before
    assert before["float"] is not None
    assert before["float"]["seconds"] == 1.5


def test_entries_of_several_writers_keep_their_provenance(opened: Open, tmp_path: Path) -> None:
    """In a shard made of others each entry tells the job that computed it, also after another compaction."""
    for name in "abcd":
        cache = opened(provenance=lambda name=name: {"job": name})
        for key in ("shared", name, f"{name}2"):
            cache.write(key, [name], 0.5)
        cache.close()
        if name in "bd":
            compact(str(tmp_path / "map"), grace_s=AT_ONCE)

    assert len(shards(tmp_path / "map")) == 1
    cache = opened()
    for key in ("a", "a2", "b", "c2", "d"):
        about = cache.provenance(key)
        assert about is not None
        assert (about["job"], about["seconds"]) == (key[0], 0.5)
    assert (cache.provenance("shared") or {})["job"] == "d"


@pytest.mark.parametrize("cleared", [False, True])
def test_what_follows_a_full_shard_is_never_put_before_it(cleared: bool, opened: Open, tmp_path: Path) -> None:
    """A compaction that makes several shards, and one that merges the last of them with newer entries of the first."""
    folder = str(tmp_path / "map")
    model: dict[str, object] = {}
    if cleared:
        cache = opened()
        cache.write("cleared", 0)
        cache.commit()
        cache.delete(None)
        cache.close()
    for first in range(0, 100_000, 20_000):
        cache = opened()
        model.update((str(number), number) for number in range(first, first + 20_000))
        for key in list(model)[first:]:
            cache.write(key, model[key])
        cache.close()
    replaced = compact(folder, grace_s=1.0)
    assert replaced.made == 2
    time.sleep(max(0.0, replaced.due_s))

    for turn in range(6):
        cache = opened()
        cache.refresh()
        model["0"] = model[f"more {turn}"] = turn
        cache.write("0", turn)
        cache.write(f"more {turn}", turn)
        cache.close()
        compact(folder, grace_s=AT_ONCE)
        compact(folder, grace_s=AT_ONCE)

        assert stored(opened()) == model
    assert len(shards(tmp_path / "map")) <= 4


def test_replaced_shards_stay_for_the_grace_period(opened: Open, tmp_path: Path) -> None:
    """They are removed by a later compaction; until then nothing else is merged."""
    model = fill(opened)
    folder = tmp_path / "map"
    before = set(shards(folder))

    first = compact(str(folder), grace_s=A_DAY)
    again = compact(str(folder), grace_s=A_DAY)

    assert before < set(shards(folder))
    assert (first.shards, first.freed, again.shards) == (12, 0, 0)
    assert again.waiting == first.waiting == first.size
    assert 0 < again.due_s <= A_DAY
    assert stored(opened()) == model
    compact(str(folder), grace_s=AT_ONCE)
    assert not before & set(shards(folder))
    assert stored(opened()) == model


def test_dry_run(opened: Open, tmp_path: Path) -> None:
    """It says what would be done, and touches nothing."""
    model = fill(opened)
    folder = tmp_path / "map"
    before = sorted(os.listdir(folder))

    report = compact(str(folder), grace_s=AT_ONCE, dry=True)

    assert (report.shards, report.made, report.kept) == (12, 1, len(model))
    assert sorted(os.listdir(folder)) == before
    assert report.made_size == pytest.approx(compact(str(folder), grace_s=AT_ONCE).made_size, rel=0.4)


def test_a_writer_at_work_goes_on(opened: Open, tmp_path: Path) -> None:
    """Its shard stays, what it writes counts, and what it has replaced or deleted does not come back."""
    model = fill(opened)
    writer = opened()
    old, gone, kept = sorted(model)[:3]
    writer.write(old, "new")
    writer.commit()
    writer.delete([gone])
    model[old] = "new"
    del model[gone]
    later = opened()
    later.refresh()
    later.write("later", 1.0)
    later.close()
    model["later"] = 1.0

    compact(str(tmp_path / "map"), grace_s=AT_ONCE)

    assert stored(opened()) == model
    assert stored(writer) == model
    writer.refresh()
    writer.write("later", 2.0)
    writer.write(kept, 3.0)
    writer.commit()
    model |= {"later": 2.0, kept: 3.0}
    assert stored(writer) == stored(opened()) == model
    compact(str(tmp_path / "map"), grace_s=AT_ONCE)
    writer.close()
    compact(str(tmp_path / "map"), grace_s=AT_ONCE)
    assert stored(writer) == stored(opened()) == model
    assert len(shards(tmp_path / "map")) == 1


@pytest.mark.parametrize("how", ["one by one", "together", "listed"])
@pytest.mark.parametrize("unsealed", [False, True])
def test_a_reader_that_has_old_shards_open(how: str, unsealed: bool, opened: Open, tmp_path: Path) -> None:
    """What it knows of a shard that is gone does not bring back what later ones, gone too, had replaced or deleted."""
    first, second = opened(), opened()
    for key in ("deleted", "replaced", "kept"):
        first.write(key, ["old", key])
    first.commit()
    if not unsealed:
        first.close()
    reader = opened()
    reader.read(["kept"])
    second.refresh()
    second.write("replaced", ["new"])
    second.write("own", ["own"])
    second.commit()
    second.delete(["deleted"])
    second.close()
    first.close()
    reader.refresh()
    reader.read(["own"])
    newer = max((tmp_path / "map").glob("*.shard"), key=lambda path: b"own" in path.read_bytes())

    compact(str(tmp_path / "map"), grace_s=AT_ONCE)
    files.open_files.drop(str(newer))  # as when many files are open: of the two, only the older one is still

    keys = ["deleted", "replaced", "kept", "own"]
    if how == "one by one":
        values = {key: value for key in keys for value in reader.read([key]).values.values()}
    else:
        values = reader.read(keys if how == "together" else list(reader.keys())).values
    assert values == {"replaced": ["new"], "kept": ["old", "kept"], "own": ["own"]}


@pytest.mark.slow
def test_more_entries_than_are_held_in_memory(opened: Open, tmp_path: Path) -> None:
    """Keys are looked at some at a time; what is merged is a few shards again, and nothing is lost."""
    number = 400_000
    for step in (1, 2):
        cache = opened()
        for key in range(0, number, step):
            cache.write(str(key), float(key + step))
        cache.close()
    cache.delete([str(key) for key in range(0, number, 10)])
    cache.close()
    before = size(tmp_path / "map")

    report = compact(str(tmp_path / "map"), grace_s=AT_ONCE)

    assert report.rows > 1.5 * report.kept
    assert size(tmp_path / "map") < 0.75 * before
    assert stored(opened()) == {str(key): float(key + 2 - key % 2) for key in range(number) if key % 10}


def test_all_deleted(opened: Open, tmp_path: Path) -> None:
    """When nothing is left, no shard is."""
    model = fill(opened)
    cache = opened()
    cache.delete(list(model))
    cache.close()

    compact(str(tmp_path / "map"), grace_s=AT_ONCE)

    assert shards(tmp_path / "map") == []
    assert stored(opened()) == stored(cache) == {}


def test_cleared(opened: Open, tmp_path: Path) -> None:
    """What was cleared while somebody wrote it goes, and does not come back when what cleared it goes."""
    writer = opened()
    writer.write("old", 1)
    writer.commit()
    other = opened()
    other.delete()
    other.write("new", 2)
    other.commit()

    compact(str(tmp_path / "map"), grace_s=AT_ONCE)
    assert stored(opened()) == {"new": 2}
    writer.close()
    other.close()
    for _ in range(3):
        compact(str(tmp_path / "map"), grace_s=AT_ONCE)
        assert stored(opened()) == {"new": 2}

    assert size(tmp_path / "map") < 1000


def test_cleared_above_a_writer_at_work(opened: Open, tmp_path: Path) -> None:
    """What he wrote before stays cleared, while he goes on and after he ends."""
    writer = opened()
    writer.write("old", 1)
    writer.commit()
    for number in range(3):
        other = opened()
        other.delete() if number == 0 else other.refresh()
        other.write(f"new {number}", number)
        other.close()
    model = {f"new {number}": number for number in range(3)}

    assert compact(str(tmp_path / "map"), grace_s=AT_ONCE).made > 0
    assert stored(opened()) == model
    writer.close()
    assert stored(opened()) == model
    compact(str(tmp_path / "map"), grace_s=AT_ONCE)

    assert stored(opened()) == model


def test_deletions_are_kept_while_something_lower_is_left(opened: Open, tmp_path: Path) -> None:
    """A shard that is still written hides nothing, and what was deleted above it stays deleted when it is sealed."""
    lowest = opened()
    lowest.write("deleted", 1)
    lowest.write("kept", 1)
    lowest.commit()
    for number in range(3):
        cache = opened()
        cache.refresh()
        cache.write(f"more-{number}", 2)
        cache.commit()
        cache.delete(["deleted"])
        cache.close()

    report = compact(str(tmp_path / "map"), grace_s=AT_ONCE)

    assert (report.shards, report.made) == (4, 1)
    model = {"kept": 1, "more-0": 2, "more-1": 2, "more-2": 2}
    assert stored(opened()) == stored(lowest) == model
    lowest.close()
    compact(str(tmp_path / "map"), grace_s=AT_ONCE)
    assert stored(opened()) == stored(lowest) == model
    assert len(shards(tmp_path / "map")) == 1


def _dies_with(folder: str, entries: dict[str, object]) -> None:
    cache = Cache(folder, os.path.dirname(folder), single=False, options=Options())
    for key, value in entries.items():
        cache.write(key, value)
    cache.commit()


def test_shards_of_the_dead(opened: Open, tmp_path: Path) -> None:
    """A process of this host that is dead writes no more: its shard is merged like any other, at once."""
    folder = tmp_path / "map"
    for number in range(3):
        assert not dies_at(10_000, functools.partial(_dies_with, str(folder), {"shared": number, f"{number}": 1}))
    with open(folder / shards(folder)[0], "ab") as file:
        file.write(b"\1\0\0\0torn")

    report = compact(str(folder), grace_s=AT_ONCE)

    assert (report.shards, report.made) == (3, 1)
    found = stored(opened())
    assert found.keys() == {"shared", "0", "1", "2"}


def test_a_shard_that_is_idle_is_not_continued(opened: Open, tmp_path: Path) -> None:
    """Where a shard was not written for a day it is merged, and its writer, who lives, begins another."""
    writer = opened()
    writer.write("a", [1])
    writer.commit()
    (name,) = shards(tmp_path / "map")
    assert compact(str(tmp_path / "map"), grace_s=AT_ONCE).shards == 0
    os.utime(tmp_path / "map" / name, (time.time() - 2 * A_DAY,) * 2)
    store = tp.cast("tp.Any", writer)._store
    store._writer._committed -= 2 * A_DAY

    assert compact(str(tmp_path / "map"), grace_s=AT_ONCE).shards == 1

    assert name not in shards(tmp_path / "map")
    assert writer.read(["a"]).values == {"a": [1]}
    writer.write("b", [2])
    writer.commit()
    assert stored(writer) == stored(opened()) == {"a": [1], "b": [2]}


def test_a_shard_that_was_not_abandoned(opened: Open, tmp_path: Path) -> None:
    """Where a shard was written after all since it was merged, nothing that was merged with it is removed."""
    folder = tmp_path / "map"
    writer = opened()
    writer.write("a", 1)
    writer.commit()
    (name,) = shards(folder)
    other = opened()
    other.refresh()
    other.write("b", 1)
    other.commit()
    other.delete(["a"])
    other.close()
    os.utime(folder / name, (time.time() - 2 * A_DAY,) * 2)
    assert compact(str(folder), grace_s=A_DAY).shards == 3

    writer.write("late", 2)
    writer.commit()

    for _ in range(2):
        compact(str(folder), grace_s=AT_ONCE)
        assert stored(opened()) == stored(writer) == {"b": 1, "late": 2}
    writer.close()
    compact(str(folder), grace_s=AT_ONCE)
    assert stored(opened()) == {"b": 1, "late": 2}


def test_damaged_shards_are_left_to_repair(opened: Open, tmp_path: Path) -> None:
    """Nothing is merged with what is damaged, the rest is."""
    folder = tmp_path / "map"
    for number in range(5):
        cache = opened()
        cache.write(f"key-{number}", [b"value" * 100, number])
        cache.close()
    names = sorted(shards(folder), key=lambda name: (folder / name).stat().st_mtime_ns)
    middle = folder / names[2]
    data = middle.read_bytes()
    middle.write_bytes(data.replace(b"value", b"vAlue", 1))
    head = folder / names[0]
    head.write_bytes(head.read_bytes().replace(b"key-", b"kEy-", 1))

    report = compact(str(folder), grace_s=AT_ONCE)

    assert len(report.notes) == 2
    assert all("run cachedmodel repair first" in note for note in report.notes)
    assert set(names) == set(shards(folder))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be several users")
def test_files_of_other_users(tmp_path: Path) -> None:
    """What others wrote stays in files of theirs: their pickles would be trusted otherwise, or not any more."""
    folder = tmp_path / "map"
    folder.mkdir()
    for path in (folder, tmp_path, *tmp_path.parents[:3]):
        path.chmod(0o777)
    for user in (54321, 54321, 54322):
        as_user(user, functools.partial(_dies_with, str(folder), {"shared": user, f"{user}": {1, user}}), umask=0)

    as_user(54321, lambda: compact(str(folder), grace_s=AT_ONCE), umask=0o077)
    owners = [(folder / name).stat().st_uid for name in shards(folder)]
    assert sorted(owners) == [54321, 54322]
    assert all((folder / name).stat().st_mode & 0o777 == 0o666 for name in shards(folder))

    compact(str(folder), grace_s=AT_ONCE)

    assert sorted((folder / name).stat().st_uid for name in shards(folder)) == [54321, 54322]


# -- dying


def _at_every_step(opened: Open, folder: Path, model: dict[str, object], stride: int = 1) -> int:
    """Compaction dies at each step, of a fresh copy each time; how many there were."""
    template = shutil.copytree(folder, folder.with_name("template"))
    steps = 0
    for _ in each_step(lambda: compact(str(folder), grace_s=AT_ONCE), stride):
        steps += 1
        reader = opened()
        assert stored(reader) == model
        compact(str(folder), grace_s=AT_ONCE)
        assert reader.read(list(model)).values == model
        compact(str(folder), grace_s=AT_ONCE)
        assert stored(opened()) == model
        assert len(shards(folder)) == 1
        shutil.rmtree(folder)
        shutil.copytree(template, folder)
    return steps


@pytest.mark.parametrize("stride", [7, pytest.param(1, marks=pytest.mark.slow)])
def test_dying_at_any_step(stride: int, opened: Open, tmp_path: Path) -> None:
    """Wherever it dies, nothing is lost, nothing comes back, and the next compaction ends what was begun."""
    model = fill(opened, rounds=4, number=12)

    steps = _at_every_step(opened, tmp_path / "map", model, stride)

    assert steps * stride > 20


def test_dying_while_replaced_shards_are_removed(opened: Open, tmp_path: Path) -> None:
    """The older ones go first, so what is left never says what was replaced or deleted."""
    cache, model = opened(), {"kept": 0, "key 2": 2}
    for number in range(3):
        cache.write(f"key {number}", number)
        cache.write("kept", 0)
        cache.commit()
        cache.delete([f"key {number - 1}"])
        cache.close()
    compact(str(tmp_path / "map"), grace_s=A_DAY)

    assert _at_every_step(opened, tmp_path / "map", tp.cast("dict[str, object]", model)) > 5
