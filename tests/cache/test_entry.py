"""The entry of a task: one file, replaced as a whole."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cachedmodel.cache import Cache, Failure, Options, files

from .conftest import Open


@given(value=st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(), st.lists))
def test_values_come_back(tmp_path_factory: pytest.TempPathFactory, value: object) -> None:
    """What is stored comes back with its type and value."""
    folder = tmp_path_factory.mktemp("task")
    Cache(str(folder / "a"), str(folder), single=True, options=Options()).write("", value)

    found = Cache(str(folder / "a"), str(folder), single=True, options=Options()).read([""]).values

    assert repr(found) == repr({"": value})


@pytest.mark.parametrize("size", [0, 1, 511, 512, 65_000, 65_536, 300_000])
def test_values_of_any_size(opened: Open, size: int) -> None:
    """Values that fit into one read, and those that do not, come back."""
    value = os.urandom(size)
    opened(single=True).write("", value)

    assert opened(single=True).read([""]).values == {"": value}


def test_replacing_and_deleting(opened: Open, tmp_path: Path) -> None:
    """The newest value counts; a deleted one is missing; nothing else is in the folder."""
    one, other = opened(single=True), opened(single=True)
    for number in range(3):
        one.write("", number)
        assert other.read([""]).values == {"": number}
        assert list(other.keys()) == [""]
        assert os.listdir(tmp_path / "map") == ["entry"]
    first = other.version("")
    one.write("", 3)
    assert other.version("") not in (None, first)

    other.delete(["another"])
    assert one.read([""]).values == {"": 3}
    other.delete([""])
    assert one.read([""]).values == {}
    assert one.version("") is None
    one.commit(sync=True)
    one.write("", 4)
    one.commit(sync=True)
    other.delete()
    assert os.listdir(tmp_path / "map") == []


def test_only_the_empty_key(opened: Open) -> None:
    """A task has one entry; other keys are missing."""
    cache = opened(single=True)
    cache.write("", 1)

    assert cache.read(["a"]).values == {}
    assert cache.states(["a", ""]) == {"": "value"}


def test_the_state_of_a_task_without_its_cache(tmp_path: Path) -> None:
    """What is stored is told as by an open cache: a value, a failure, nothing, or what counts for nobody."""
    folder, options = str(tmp_path / "task"), Options(identity=b"mine", accept=lambda identity: identity == b"mine")

    def state() -> str | None:
        told = Cache.task_state(folder, lambda identity: identity == b"mine")
        assert told == Cache(folder, str(tmp_path), single=True, options=options).states([""]).get("")
        return told

    assert state() is None
    cache = Cache(folder, str(tmp_path), single=True, options=options)
    cache.write("", 1)
    assert state() == "value"
    cache.write_failure("", Failure.of(ValueError("no")))
    assert state() == "failure"
    long = Options(identity=b"mine", provenance=lambda: {"note": "x" * 10_000})
    Cache(folder, str(tmp_path), single=True, options=long).write("", 1)
    assert state() == "value"
    cache.delete([""])
    assert state() is None
    Cache(folder, str(tmp_path), single=True, options=Options(identity=b"other")).write("", 1)
    with pytest.warns(RuntimeWarning, match="another configuration"):
        assert state() is None


def test_the_state_of_a_task_that_could_not_be_read(tmp_path: Path) -> None:
    """What this process knows to be unreadable counts as missing also where its cache is not asked."""
    folder = str(tmp_path / "task")
    cache = Cache.open(folder, str(tmp_path), single=True, options=Options())
    cache.write("", b"x" * 100)
    path = tmp_path / "task" / "entry"
    path.write_bytes(path.read_bytes().replace(b"xxx", b"yyy"))
    with pytest.warns(RuntimeWarning, match="damaged"):
        assert cache.read([""]).values == {}

    assert Cache.task_state(folder, lambda identity: True) is None


def test_an_entry_of_a_codec_that_is_not_there(opened: Open, tmp_path: Path) -> None:
    """What a codec wrote that is not registered here is missing, with a warning that names it."""
    from cachedmodel.cache import frames

    cache = opened(single=True)
    header = frames.pack_header(frames.ENTRY_MAGIC, 5, 0, 0, b"", b"{}")
    record = frames.pack_record(5, len(header), 0, "mine1", b"", [b"data"], 0, 1.0)
    files.publish(str(tmp_path / "map" / "entry"), [header, *record])

    with pytest.warns(RuntimeWarning, match="codec 'mine1' cannot be restored"):
        assert cache.read([""]).values == {}
    assert cache.claim([""]) == [""]


def test_a_memory_map(opened: Open) -> None:
    """With the codec "memmap" an array is a read-only view of the file, which outlives it."""
    numpy = pytest.importorskip("numpy")
    cache = opened(single=True, codec="memmap")
    cache.write("", numpy.arange(100_000.0))

    array = cache.read([""]).values[""]
    cache.delete()

    assert isinstance(array, numpy.ndarray)
    assert not array.flags.writeable
    assert array.ctypes.data % 64 == 0
    assert (array == numpy.arange(100_000.0)).all()
