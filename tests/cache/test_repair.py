"""Repair sets aside what is damaged and nothing else; what is whole stays readable, and what was replaced does not return."""

from __future__ import annotations

import os
import random
import shutil
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from cachedmodel.cache import Cache, Options, files
from cachedmodel.cache.compaction import compact
from cachedmodel.cache.repair import Repair, repair
from cachedmodel.cache.verify import verify

from .conftest import Open
from .dying import dies_at, each_step
from .test_compaction import fill, shards, stored


@pytest.fixture(autouse=True)
def _warns_again() -> None:
    """A file is warned about once a process: each test is to see its own warnings."""
    files._warned.clear()
    files._untold.clear()


def damaged(folder: Path) -> list[str]:
    """The files that verify calls damaged."""
    reports = verify(str(folder))
    return [finding.path for report in reports for finding in report.findings if finding.what == "damaged"]


def spoil(path: Path, *parts: bytes) -> None:
    """Changes a byte in each of these parts of a file."""
    data = path.read_bytes()
    for part in parts:
        assert part in data
        data = data.replace(part, part[:-1] + b"!")
    path.write_bytes(data)
    os.utime(path, (time.time() - 3600,) * 2)


def done(steps: Sequence[Repair]) -> list[tuple[str, str]]:
    """What was done about which file."""
    return [(step.done, os.path.basename(step.path)) for step in steps]


def test_what_is_whole_stays_readable(opened: Open, tmp_path: Path) -> None:
    """A damaged shard is made anew without its damaged parts; the old file is kept beside."""
    cache = opened()
    # No key begins as another one does: "key 1" would be found as "key 12" too in one of 256 seconds, as the time follows it.
    model: dict[str, object] = {f"key {number:02}": [f"value {number:02}"] for number in range(30)}
    for key, value in model.items():
        cache.write(key, value, 0.5)
    cache.close()
    folder = tmp_path / "map"
    (name,) = shards(folder)
    spoil(folder / name, b"value 07", b"key 12")
    before = (folder / name).read_bytes()

    steps = list(repair(str(tmp_path)))

    assert done(steps) == [("made anew", name)]
    (aside,) = (folder / ".damaged").iterdir()
    assert aside.read_bytes() == before
    assert damaged(tmp_path) == []
    del model["key 07"], model["key 12"]
    reader = opened()  # without a warning
    assert stored(reader) == model
    about = reader.provenance("key 01")
    assert about is not None
    assert about["seconds"] == 0.5
    assert list(repair(str(tmp_path))) == []


@pytest.mark.parametrize("what", [b"new value", b"key"])
def test_what_was_replaced_does_not_return(what: bytes, opened: Open, tmp_path: Path) -> None:
    """Where the newest entry of a key, or its deletion, is damaged, older ones are not served in its place."""
    cache = opened()
    for key in ("key", "deleted", "kept"):
        cache.write(key, ["old value"])
    cache.close()
    cache.write("key", ["new value"])
    cache.write("other", ["other value"])
    cache.commit()
    cache.delete(["deleted"])
    cache.close()
    folder = tmp_path / "map"
    newer = max((folder / name for name in shards(folder)), key=lambda path: b"new value" in path.read_bytes())
    spoil(newer, what, b"deleted")

    list(repair(str(folder)))

    assert stored(opened()) == {"kept": ["old value"], "other": ["other value"]}
    compact(str(folder), grace_s=0.0)
    assert stored(opened()) == {"kept": ["old value"], "other": ["other value"]}


def test_a_reader_beside_it(opened: Open, tmp_path: Path) -> None:
    """Who has read in the damaged shard before finds the rest, in the new one."""
    cache = opened()
    for key in "abc":
        cache.write(key, [key, "value of " + key])
    cache.close()
    reader = opened()
    assert reader.read(["a"]).values
    (name,) = shards(tmp_path / "map")
    spoil(tmp_path / "map" / name, b"value of b")

    list(repair(str(tmp_path / "map")))

    with pytest.warns(RuntimeWarning, match="a value is damaged"):  # it has the old file open
        values = reader.read(["a", "b", "c"]).values
    assert values == {key: [key, "value of " + key] for key in "ac"}


def _die(folder: str) -> None:
    cache = Cache(folder, os.path.dirname(folder), single=False, options=Options())
    for number in range(100):
        cache.write(f"key {number}", [number])
    cache.commit()


def test_shards_of_the_dead_get_an_index(opened: Open, tmp_path: Path) -> None:
    """They are made anew with a footer, so that who comes next need not scan them; one of the living is left alone."""
    folder = tmp_path / "map"
    assert not dies_at(1 << 30, lambda: _die(str(folder)))
    (name,) = shards(folder)
    living = opened()
    living.refresh()
    living.write("more", 1)
    living.commit()

    steps = list(repair(str(tmp_path)))

    assert done(steps) == [("given an index", name)]
    assert len(shards(folder)) == 2
    model: dict[str, object] = {f"key {number}": [number] for number in range(100)} | {"more": 1}
    assert stored(opened()) == stored(living) == model
    assert [finding.what for report in verify(str(folder)) for finding in report.findings] == []


def test_a_shard_that_somebody_writes_is_left(opened: Open, tmp_path: Path) -> None:
    """It is told, and repaired once its writer is gone."""
    cache = opened()
    for number in range(4):
        cache.write(f"key {number}", [f"value {number}"])
        cache.commit()
    (name,) = shards(tmp_path / "map")
    spoil(tmp_path / "map" / name, b"value 1")

    assert [step.done for step in repair(str(tmp_path))] == ["left"]
    cache.close()
    assert [step.done for step in repair(str(tmp_path))] == ["made anew"]

    assert stored(opened()) == {f"key {number}": [f"value {number}"] for number in (0, 2, 3)}


def test_entries_and_small_files(opened: Open, tmp_path: Path) -> None:
    """They are moved beside, and computed or written anew when they are needed."""
    folder = tmp_path / "m.T.go,0" / "default"
    cache = opened(single=True, folder="m.T.go,0/default")
    cache.write("", ["value"])
    (folder / "uid.yaml").write_text("- [")
    (folder / ".claim-00000001").write_bytes(b"alien" * 20)
    spoil(folder / "entry", b"value")
    for name in ("uid.yaml", ".claim-00000001"):
        os.utime(folder / name, (time.time() - 3600,) * 2)

    planned = list(repair(str(tmp_path), dry=True))
    assert sorted(os.listdir(folder)) == [".claim-00000001", "entry", "uid.yaml"]
    steps = list(repair(str(tmp_path)))

    assert sorted(done(planned)) == sorted(done(steps))
    assert sorted(done(steps)) == [("set aside", name) for name in (".claim-00000001", "entry", "uid.yaml")]
    assert os.listdir(folder) == [".damaged"]
    assert len(os.listdir(folder / ".damaged")) == 3
    assert cache.claim([""]) == [""]


def test_what_stands_for_others_is_damaged(opened: Open, tmp_path: Path) -> None:
    """While the originals of a compaction are there, damage to what was made of them costs nothing."""
    model = fill(opened)
    folder = tmp_path / "map"
    before = set(shards(folder))
    compact(str(folder), grace_s=3600.0)
    (made,) = set(shards(folder)) - before
    data = (folder / made).read_bytes()
    (folder / made).write_bytes(data[:4000] + bytes(100) + data[4100:])
    os.utime(folder / made, (time.time() - 3600,) * 2)

    list(repair(str(folder)))
    assert stored(opened()) == model
    for _ in range(3):
        compact(str(folder), grace_s=0.0)
        assert stored(opened()) == model

    assert damaged(folder) == []
    assert len(shards(folder)) == 1


def test_an_original_is_damaged(opened: Open, tmp_path: Path) -> None:
    """It was merged when it was whole, so it goes with the others, and nothing is lost."""
    model = fill(opened)
    folder = tmp_path / "map"
    before = shards(folder)
    compact(str(folder), grace_s=3600.0)
    for name in [name for name in before if (folder / name).stat().st_size > 2000][::2]:
        data = (folder / name).read_bytes()
        (folder / name).write_bytes(data[:800] + bytes(100) + data[900:])

    assert list(repair(str(folder))) == []
    compact(str(folder), grace_s=0.0)

    assert stored(opened()) == model
    assert damaged(folder) == []


@pytest.mark.parametrize("seed", range(6))
def test_damage_anywhere(seed: int, opened: Open, tmp_path: Path) -> None:
    """Whatever is damaged in sealed shards, their heads and indexes included: what is stored afterwards is right."""
    model = fill(opened, rounds=4)
    folder, choose = tmp_path / "map", random.Random(seed)
    for name in choose.sample(shards(folder), 2):
        data = bytearray((folder / name).read_bytes())
        for _ in range(choose.randrange(1, 4)):
            data[choose.randrange(len(data))] ^= 1 << choose.randrange(8)
        (folder / name).write_bytes(data)
        os.utime(folder / name, (time.time() - 3600,) * 2)

    list(repair(str(folder)))

    assert damaged(folder) == []
    there = stored(opened())
    assert {key: value for key, value in there.items() if key not in model or model[key] != value} == {}


@pytest.mark.parametrize("stride", [9, pytest.param(1, marks=pytest.mark.slow)])
def test_dying_at_any_step(stride: int, opened: Open, tmp_path: Path) -> None:
    """Wherever it dies, what is whole is found, and the next repair ends what was begun."""
    folder = tmp_path / "map"
    cache = opened()
    for key in "abc":
        cache.write(key, ["old value of " + key])
    cache.close()
    for key in "bcd":
        cache.write(key, ["new value of " + key])
    cache.close()
    newer = max((folder / name for name in shards(folder)), key=lambda path: b"new value" in path.read_bytes())
    spoil(newer, b"new value of c")
    template = shutil.copytree(folder, tmp_path / "template")
    model = {"a": ["old value of a"], "b": ["new value of b"], "d": ["new value of d"]}

    for _ in each_step(lambda: list(repair(str(folder))), stride):
        list(repair(str(folder)))
        assert damaged(folder) == []
        assert stored(opened()) == model
        shutil.rmtree(folder)
        shutil.copytree(template, folder)
