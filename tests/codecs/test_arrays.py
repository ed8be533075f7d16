"""numpy arrays of every dtype and order, scalars and dtypes."""

from __future__ import annotations

import mmap
import typing as tp
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given

from cachedmodel.codecs import PickleRefusedError, dump, load
from cachedmodel.codecs.arrays import layout
from cachedmodel.errors import CacheError
from tests.codecs.exactness import exactly_equal
from tests.codecs.roundtrip import again, join
from tests.codecs.strategies import dtypes, numpy_scalars, views
from tests.conformance import CodecTests

TITLED: tp.Any = [(("A title", "a"), "<f4"), ("b", "S3")]
DTYPES: list[tp.Any] = [
    *np.typecodes["All"].replace("O", "").replace("V", ""),
    ">f8",
    ">i2",
    ">U3",
    "<U0",
    "S0",
    "V7",
    ">c16",
    "M8",
    "M8[ns]",
    "M8[25s]",
    ">m8[D]",
    [("a", "<f4"), ("b", ">i2", (2, 3)), ("c", [("d", "U2"), ("e", "M8[us]")])],
    np.dtype([("a", "u1"), ("b", "f8")], align=True),
    {"names": ["a", "b"], "formats": ["u1", "f8"], "offsets": [3, 16], "itemsize": 40},
    {"names": ["a", "b"], "formats": ["u2", "u1"], "offsets": [0, 1]},
    TITLED,
    [],
]


def samples(dtype: np.dtype[tp.Any]) -> list[np.ndarray[tp.Any, tp.Any]]:
    """Arrays of several shapes and orders, of arbitrary bytes."""
    generator = np.random.default_rng(0)
    found: list[np.ndarray[tp.Any, tp.Any]] = []
    for shape in ((), (0,), (3, 0, 2), (5,), (2, 3, 4)):
        array = np.zeros(shape, dtype)
        if dtype.kind not in "bU" and array.nbytes and dtype.names is None:
            array = np.frombuffer(generator.bytes(array.nbytes), array.dtype).reshape(shape)
        found += [array, array.T, array[..., None][..., 0], np.asfortranarray(array)]
    return found


class TestArrays(CodecTests):
    """Arrays in the tree."""

    codec = "tree1"
    damages = 40

    def values(self) -> Sequence[object]:
        return [array for dtype in DTYPES for array in samples(np.dtype(dtype))[-7:]]

    def declined(self) -> Sequence[object]:
        return [
            np.ma.masked_array([1, 2], [True, False]),
            np.zeros(2, [("a", "f8")]).view(np.recarray),
            np.zeros(2, [("a", object)]),
            np.zeros(2, np.dtype("f8", metadata={"a": 1})),
            np.zeros(2).view(type("Child", (np.ndarray,), {})),
            np.array([object()]),
        ]


class TestViews(TestArrays):
    """The same as memory maps."""

    codec = "memmap1"
    views = True


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_every_dtype_comes_back_exactly(dtype: tp.Any) -> None:
    """Arrays of all shapes and orders, scalars and the dtype itself come back, without pickle."""
    dtype = np.dtype(dtype)
    for array in samples(dtype):
        assert exactly_equal(again(array), array)
    for scalar in (samples(dtype)[0][()], samples(dtype)[-1].flat[0]):
        assert exactly_equal(again(scalar), scalar)
    assert exactly_equal(again(dtype), dtype)


@given(views)
def test_any_array_comes_back_exactly(array: np.ndarray[tp.Any, tp.Any]) -> None:
    """Values, dtype, shape and order are the same, whatever they are."""
    assert exactly_equal(again(array), array)
    assert exactly_equal(again([array, 1])[0], array)


@given(numpy_scalars)
def test_any_scalar_comes_back_exactly(scalar: np.generic) -> None:
    """Scalars keep their type: a float64 is no float."""
    assert exactly_equal(again(scalar), scalar)
    assert exactly_equal(again({scalar.dtype.str: [scalar]}), {scalar.dtype.str: [scalar]})


@given(dtypes)
def test_any_dtype_comes_back_exactly(dtype: np.dtype[tp.Any]) -> None:
    """Dtypes are values too."""
    assert exactly_equal(again(dtype), dtype)


def test_longs_are_told_from_long_longs() -> None:
    """Two dtypes of one size stay two types."""
    for code in "lqLQ":
        assert type(again(np.zeros((), code)[()])) is np.dtype(code).type
        assert again(np.zeros(3, code)).dtype.char == code


def test_text_scalars_keep_their_zeros() -> None:
    """Strings and bytes of numpy come back with what an array would drop."""
    for scalar in (np.str_("a\0"), np.bytes_(b"a\0\0"), np.str_(""), np.str_("\ud800")):
        assert exactly_equal(again(scalar), scalar)


def test_object_arrays_come_back_by_their_elements() -> None:
    """Elements may be anything, also sequences of equal length, and keep shape, order and sharing."""
    shared = [1]
    array = np.empty((2, 3), object, order="F")
    array[:] = [[shared, shared, None], ["a", (1, 2), np.arange(3)]]
    back = again(array)

    assert exactly_equal(back, array)
    assert back[0, 0] is back[0, 1]
    assert exactly_equal(again(np.empty((0, 3), object)), np.empty((0, 3), object))


@pytest.mark.skipif(not hasattr(np, "dtypes") or not hasattr(np.dtypes, "StringDType"), reason="since numpy 2")
def test_variable_strings_come_back_exactly() -> None:
    """Arrays of strings of any length keep their dtype; those with a value for what is missing need pickle."""
    string: tp.Any = np.dtypes.StringDType
    for dtype in (string(), string(coerce=False)):
        array = np.array([["a", "long" * 100], ["", "é"]], dtype)
        back = again(array)
        assert exactly_equal(back, array)
        assert repr(back.dtype) == repr(array.dtype)
    with pytest.raises(PickleRefusedError, match="missing"):
        dump(np.array(["a"], string(na_object=None)), allow_pickle=False)


def test_order_of_axes_stays_without_a_copy() -> None:
    """Transposed arrays are neither copied when written, nor reordered when read."""
    array = np.moveaxis(np.arange(24.0 * 50).reshape(2, 3, 4 * 50), 0, 1)
    back = again(array)

    assert np.shares_memory(layout(array)[1], array)
    assert np.array_equal(back, array)
    assert back.strides == array.strides


def test_only_the_elements_of_a_view_are_stored() -> None:
    """A slice does not carry along what it is a slice of."""
    large = np.zeros((1000, 1000))

    assert len(join(dump(large[:3, :5]))) < 300


def test_loaded_arrays_are_writable_and_own_their_memory() -> None:
    """Arrays can be changed and resized, small or large, read-only or not when they were stored."""
    for count in (3, 10_000):
        array = np.zeros(count)
        array.flags.writeable = False
        back = again([array])[0]
        back[0] = 1
        assert back.flags.owndata
        assert back.flags.writeable


def test_memmaps_are_views_of_the_file(tmp_path: Path) -> None:
    """With the codec memmap, arrays refer to the map of a file, cannot be written, and outlive the payload."""
    value = {"x": np.arange(10_000), "y": [np.asfortranarray(np.ones((100, 50)))], "z": np.arange(3), "w": 1.5}
    payload = dump(value, "memmap")
    path = tmp_path / "payload"
    path.write_bytes(b"".join(payload.parts))
    with path.open("rb") as file:
        memory = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    back: tp.Any = load(payload.codec, memoryview(memory), allow_pickle=False)

    assert exactly_equal(back, value)
    whole = np.frombuffer(memory, np.uint8)
    for array in (back["x"], back["y"][0]):
        assert np.shares_memory(array, whole)
        assert array.flags.aligned
        assert not array.flags.writeable
    with pytest.raises(ValueError, match="read-only"):
        back["z"][0] = 1
    with pytest.raises(BufferError):
        memory.close()
    del back, array, whole
    memory.close()


def test_memmap_refuses_what_needs_pickle() -> None:
    """The codec is a promise: it never falls back."""
    with pytest.raises(
        CacheError, match=r"codec 'memmap1' cannot store a value of type dict: value\['a'\] is of type object"
    ):
        dump({"a": object()}, "memmap")


def test_masked_arrays_come_back_by_pickle() -> None:
    """What is more than an array is left to pickle, which knows it."""
    array = np.ma.masked_array([1.5, 2.5], [True, False])
    back = again(array, allow_pickle=True)

    assert type(back) is type(array)
    assert back.data.tolist() == [1.5, 2.5]
    assert back.mask.tolist() == [True, False]


@pytest.mark.parametrize("codec", ["tree", "memmap"])
def test_arrays_that_differ_in_their_elements_alone(codec: str) -> None:
    """What was learnt of the first array of a shape and dtype is right for the others, and for no other array."""
    arrays = [np.arange(400, dtype=dtype).reshape(shape) for dtype in ("<f4", "<i4") for shape in ((20, 20), (400,))]
    arrays += [np.asfortranarray(arrays[0]), -arrays[0]]
    first = [join(dump(array, codec)) for array in arrays]
    again = [join(dump(array, codec)) for array in arrays]

    assert again == first
    for array, payload in zip(arrays * 2, first + again, strict=True):
        name = dump(array, codec).codec
        assert exactly_equal(load(name, payload), array) or codec == "memmap"
        loaded = load(name, payload)
        assert isinstance(loaded, np.ndarray)
        assert (loaded.dtype, loaded.shape, loaded.strides) == (array.dtype, array.shape, array.strides)
        assert np.array_equal(loaded, array)
        assert loaded.flags.writeable == (codec == "tree")
        with pytest.raises(ValueError, match=r"left|short|size"):
            load(name, memoryview(bytes(payload) + b"more"))
        with pytest.raises(ValueError, match=r"left|short|size"):
            load(name, payload[:-1])


def test_memory_that_was_read_for_one_array() -> None:
    """A payload that may be written to becomes the array; one of many arrays in it does not keep the others in memory."""
    array = np.arange(1000.0)
    alone, pair = (dump(value) for value in (array, [array, array + 1, array + 2]))
    memory = bytearray(join(alone))

    kept = load(alone.codec, memoryview(memory))
    parts = load(pair.codec, memoryview(bytearray(join(pair))))

    assert isinstance(kept, np.ndarray)
    assert np.shares_memory(kept, np.frombuffer(memory, np.uint8))
    assert kept.flags.writeable
    assert isinstance(parts, list)
    assert all(part.base is None and part.flags.writeable for part in parts)
