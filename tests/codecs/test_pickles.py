"""What only pickle can hold."""

from __future__ import annotations

import io
import pickle
import threading
import typing as tp
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from cachedmodel.codecs import dump, load
from cachedmodel.errors import CacheError
from tests.codecs.classes import Simple
from tests.codecs.exactness import exactly_equal
from tests.codecs.roundtrip import again, join
from tests.conformance import CodecTests


class TestPickles(CodecTests):
    """Pickle takes everything else."""

    codec = "pickle1"
    pickles = True

    def values(self) -> Sequence[object]:
        arrays = {"a": np.arange(1000), "f": np.asfortranarray(np.ones((30, 40))), "view": np.arange(100)[::3]}
        return [1.5, [Simple(3)], {"x": Simple(1), **arrays}, bytes(1000), None]

    def declined(self) -> Sequence[object]:
        return [threading.Lock(), (number for number in range(3)), {"a": [threading.Lock()]}]


def test_functions_come_back() -> None:
    """Lambdas and closures are pickled by value."""
    base = 10

    assert again(lambda number: number + base, allow_pickle=True)(5) == 15


def test_arrays_are_beside_the_pickle() -> None:
    """Large arrays are not copied when written, lie at multiples of 64, and are writable when read."""
    array = np.arange(10_000)
    payload = dump([Simple(1), array])
    offsets = np.cumsum([0, *map(len, payload.parts)])
    position = next(n for n, part in enumerate(payload.parts) if len(part) == array.nbytes)

    assert np.shares_memory(np.frombuffer(payload.parts[position], np.uint8), array)
    assert offsets[position] % 64 == 0
    back: tp.Any = load(payload.codec, join(payload))
    back[1][0] = 5
    assert exactly_equal(back[1][1:], array[1:])


def test_open_files_are_refused(tmp_path: Path) -> None:
    """A file is neither stored, nor silently replaced by what is in it; files in memory are."""
    path = tmp_path / "x"
    path.write_text("text")
    with path.open() as file, pytest.raises(CacheError, match=r"cannot be stored.*open file"):
        dump({"a": file})

    assert again(io.StringIO("text"), allow_pickle=True).read() == "text"


@pytest.mark.parametrize("value", [threading.Lock(), (number for number in [1]), pytest, memoryview(b"a")])
def test_what_cannot_be_pickled_is_an_error(value: object) -> None:
    """The message names the type, the reason and the remedy."""
    name = type(value).__qualname__
    with pytest.raises(CacheError, match=rf"{name} cannot be stored: it .*; return something else, or register"):
        dump(value)


class Broken:
    """Can be pickled, and not unpickled."""

    def __reduce__(self) -> tuple[object, ...]:
        return _fail, ()


def _fail() -> None:
    raise OSError("no such device")


def test_a_pickle_that_fails_is_an_error() -> None:
    """Whatever a class does when it is unpickled, the cache sees one error."""
    with pytest.raises(CacheError, match=r"cannot be loaded \(OSError: no such device\)"):
        again(Broken(), allow_pickle=True)


class Marked:
    """Leaves a mark when it is unpickled."""

    marks: tp.ClassVar[list[str]] = []

    def __reduce__(self) -> tuple[object, ...]:
        return Marked.marks.append, ("loaded",)


def test_nothing_is_unpickled_where_that_is_not_allowed() -> None:
    """Whichever name the bytes come under, no code of a pickle runs."""
    data = join(dump(Marked()))
    inner = b"C\x0epickle1" + bytes([2 * 10]) + pickle.dumps(1)[:10]
    for name, content in (("pickle1", data), ("tree1", data), ("memmap1", data), ("tree1", memoryview(inner))):
        with pytest.raises((ValueError, CacheError)):
            load(name, content, allow_pickle=False)
    with pytest.raises((ValueError, CacheError)):
        load("tree1", memoryview(inner), allow_pickle=True)

    assert Marked.marks == []
