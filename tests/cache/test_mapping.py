"""A folder as a dictionary."""

from __future__ import annotations

import os
import pickle
import time
import typing as tp
from multiprocessing.context import SpawnContext
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cachedmodel.cache import CacheDict, Failure, MapView
from cachedmodel.cache.mapping import FRESH_S

from .conftest import Open

ACTIONS = st.lists(
    st.tuples(
        st.sampled_from(["set", "delete", "update", "pop", "clear", "batch"]), st.text("abc", max_size=2), st.integers()
    )
)


@given(actions=ACTIONS, keep=st.booleans())
def test_it_is_a_dictionary(
    tmp_path_factory: pytest.TempPathFactory, actions: list[tuple[str, str, int]], keep: bool
) -> None:
    """Whatever is done to it, it holds what a dictionary holds, for itself and for others."""
    folder = tmp_path_factory.mktemp("dict")
    cached, model = CacheDict[int](folder, keep_in_ram=keep), dict[str, int]()
    for action, key, value in actions:
        for mapping in (cached, model):
            mapping = tp.cast("dict[str, int]", mapping)
            if action == "set":
                mapping[key] = value
            elif action == "delete" and key in mapping:
                del mapping[key]
            elif action == "update":
                mapping.update({key: value, "u": value})
            elif action == "pop":
                mapping.pop(key, None)
            elif action == "clear":
                mapping.clear()
        if action == "batch":
            with cached.batch():
                for number in range(5):
                    cached[f"{key}{number}"] = model[f"{key}{number}"] = value + number
                    assert cached[f"{key}{number}"] == value + number
        assert cached.get(key) == model.get(key)
    assert dict(cached) == dict(CacheDict[int](folder)) == model
    assert len(cached) == len(model)
    assert cached == model


def test_what_is_missing(tmp_path: Path) -> None:
    """Missing keys are KeyErrors, keys that are no strings are TypeErrors with a remedy; reading makes no file."""
    cached = CacheDict[int](tmp_path / "dict")

    with pytest.raises(KeyError, match="a"):
        cached["a"]
    with pytest.raises(KeyError, match="a"):
        del cached["a"]
    with pytest.raises(TypeError, match=r"strings, not int: use str\(key\)"):
        cached[tp.cast(str, 3)] = 1
    assert tp.cast(str, 3) not in cached
    assert len(cached) == 0
    assert repr(cached) == f"CacheDict({str(tmp_path / 'dict')!r})"
    assert os.listdir(tmp_path) == []


def test_values_of_any_kind(tmp_path: Path) -> None:
    """Values come back with their types."""
    values: dict[str, object] = {"none": None, "true": True, "tuple": (1, "a"), "bytes": b"x" * 999, "set": {1, 2}}
    CacheDict[object](tmp_path).update(values)

    assert {key: repr(value) for key, value in CacheDict[object](tmp_path).items()} == {
        key: repr(value) for key, value in values.items()
    }


def test_others_see_changes_soon(tmp_path: Path) -> None:
    """A new key is seen at once; a change of a known one after a moment."""
    one, other = CacheDict[int](tmp_path), CacheDict[int](tmp_path)
    one["a"] = 1
    assert other["a"] == 1

    other["a"] = 2
    time.sleep(FRESH_S)
    assert one["a"] == 2
    del one["a"]
    time.sleep(FRESH_S)
    assert "a" not in other


def test_keep_in_ram(tmp_path: Path) -> None:
    """The same object is handed out, until it is set or deleted by anybody."""
    one, other = CacheDict[list[int]](tmp_path, keep_in_ram=True), CacheDict[list[int]](tmp_path)
    value = [1, 2]
    one["a"] = value
    assert one["a"] is value
    assert other["a"] == value
    assert other["a"] is not other["a"]

    other["a"] = [3]
    time.sleep(FRESH_S)
    assert one["a"] == [3]
    assert one["a"] is one["a"]
    del other["a"]
    time.sleep(FRESH_S)
    assert "a" not in one


def test_it_travels(tmp_path: Path) -> None:
    """A dictionary that is pickled is the same folder elsewhere."""
    one = CacheDict[int](tmp_path, keep_in_ram=True, permissions=0o777)
    with one.batch():
        one["a"] = 1
        other = pickle.loads(pickle.dumps(one))

        assert (other.folder, other.keep_in_ram, other["a"]) == (one.folder, True, 1)
    one.close()
    assert other["a"] == 1


def test_folder_is_expanded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`~`, variables and relative paths are resolved when it is made."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("WHERE", "there")
    monkeypatch.chdir(tmp_path)

    assert CacheDict[int]("~/$WHERE").folder == str(tmp_path / "there")
    assert CacheDict[int]("here").folder == str(tmp_path / "here")


def _count(folder: str, tag: str) -> None:
    cached = CacheDict[int](folder)
    for number in range(50):
        cached[f"{tag}-{number}"] = number
        cached["shared"] = number
        assert cached[f"{tag}-{number}"] == number


def test_processes_write_at_once(spawn: SpawnContext, tmp_path: Path) -> None:
    """Nothing that several processes set is lost."""
    processes = [spawn.Process(target=_count, args=(str(tmp_path / "dict"), tag)) for tag in "ab"]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0

    expected = {f"{tag}-{number}": number for tag in "ab" for number in range(50)}
    found = dict(CacheDict[int](tmp_path / "dict"))
    assert found.pop("shared") in range(50)
    assert found == expected


def test_the_view_of_a_map(opened: Open) -> None:
    """The view holds the values of a cache, and no failures; it cannot be changed."""
    cache = opened()
    view: MapView[object] = MapView(cache)
    assert len(view) == 0
    cache.write("a", 1.5)
    cache.write_failure("b", Failure("m.Error", "no", ""))
    cache.write("c", [2])

    assert view["a"] == 1.5
    assert list(view) == ["a", "c"]
    assert "b" not in view
    assert view.get("b") is None
    assert tp.cast(str, 3) not in view
    assert len(view) == 2
    assert repr(cache.folder) in repr(view)
    assert not hasattr(view, "__setitem__")
    cache.delete(["a"])
    assert dict(view) == {"c": [2]}
