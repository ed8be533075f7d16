"""Which codec takes which value, and codecs of users."""

from __future__ import annotations

import pickle
from collections.abc import Sequence

import pytest

from cachedmodel.codecs import Payload, PickleRefusedError, dump, load, register_codec
from cachedmodel.errors import CacheError
from tests.codecs.classes import Simple
from tests.codecs.roundtrip import again, join
from tests.conformance import CodecTests


class Celsius:
    """A type with a codec of its own."""

    def __init__(self, degrees: float) -> None:
        self.degrees = degrees

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Celsius) and other.degrees == self.degrees

    def __repr__(self) -> str:
        return f"Celsius({self.degrees})"


class CelsiusCodec:
    """Declines what is below zero; needs an aligned payload."""

    name = "celsius1"

    def dump(self, value: object) -> Payload | None:
        if not isinstance(value, Celsius) or value.degrees < 0:
            return None
        return Payload(self.name, [b"degrees=", memoryview(repr(value.degrees).encode())])

    def load(self, payload: memoryview) -> Celsius:
        text = str(payload, "ascii")
        if not text.startswith("degrees=") or not text.endswith("5"):
            raise ValueError(text)
        return Celsius(float(text.removeprefix("degrees=")))


class Kelvin(Celsius):
    """A type whose codec pickles."""


class KelvinCodec:
    """Runs what the bytes say."""

    name = "kelvin1"

    def dump(self, value: object) -> Payload | None:
        return Payload(self.name, [pickle.dumps(value)], pickled=True)

    def load(self, payload: memoryview) -> object:
        return pickle.loads(payload)


register_codec(CelsiusCodec(), Celsius)
register_codec(KelvinCodec(), Kelvin, unpickles=True)


class TestUsersCodec(CodecTests):
    """A codec of a user keeps the same promises."""

    codec = "celsius1"

    def values(self) -> Sequence[object]:
        return [Celsius(0.5), Celsius(12.25)]

    def declined(self) -> Sequence[object]:
        return [Celsius(-1), 1.5]


class TestUnpicklingCodec(CodecTests):
    """A codec that pickles is refused where that is not allowed."""

    codec = "kelvin1"
    pickles = True

    def values(self) -> Sequence[object]:
        return [Kelvin(1)]


def test_codecs_of_users_are_tried_first_also_inside() -> None:
    """A value of a registered type is taken by its codec, wherever it is."""
    payload = dump(Celsius(1.5))
    shared = Celsius(2.5)
    back = again({"a": [Celsius(1.5), shared], "b": (shared,)})

    assert payload.codec == "celsius1"
    assert back == {"a": [Celsius(1.5), Celsius(2.5)], "b": (Celsius(2.5),)}
    assert back["a"][1] is back["b"][0]


def test_parts_of_users_codecs_are_aligned() -> None:
    """Inside a container, the payload of a codec starts at a multiple of 64."""
    data = bytes(join(dump(["x", Celsius(1.5)])))

    assert data.index(b"degrees=") % 64 == 0


def test_what_a_codec_declines_goes_on_to_the_next() -> None:
    """A codec may take some values of its types only."""
    assert dump(Celsius(-1)).codec == "pickle1"
    assert dump([Celsius(-1)]).codec == "pickle1"
    assert again([Celsius(-1)], allow_pickle=True) == [Celsius(-1)]
    with pytest.raises(PickleRefusedError, match=r"value\[0\] is of type tests.codecs.test_registry.Celsius"):
        dump([Celsius(-1)], allow_pickle=False)


def test_codecs_that_pickle_are_refused_inside_too() -> None:
    """A part that pickles makes the whole a pickle."""
    payload = dump([Kelvin(1)])

    assert payload.codec == "tree1"
    assert payload.pickled
    assert load(payload.codec, join(payload)) == [Kelvin(1)]
    with pytest.raises(PickleRefusedError, match="kelvin1"):
        load(payload.codec, join(payload), allow_pickle=False)
    for value in (Kelvin(1), [Kelvin(1)]):
        with pytest.raises(PickleRefusedError, match="a part whose codec pickles"):
            dump(value, allow_pickle=False)


def test_names_are_unique() -> None:
    """A second codec of a name, ours included, is refused; the same one may come again, as when a module is reloaded."""
    register_codec(CelsiusCodec(), Celsius)
    for name in ("celsius1", "tree", "tree1", "pickle"):
        codec = KelvinCodec()
        codec.name = name
        with pytest.raises(ValueError, match=f"codec named '{name}' exists already: choose another"):
            register_codec(codec)


@pytest.mark.parametrize("cls", [int, str, float, bool, type(None)])
def test_scalars_cannot_be_taken_over(cls: type) -> None:
    """Tiny values always have the shortest form."""
    with pytest.raises(ValueError, match=f"cannot take over {cls.__name__}: wrap it"):
        register_codec(CelsiusCodec(), cls)


def test_unknown_names_are_answered_with_the_known_ones() -> None:
    """The message lists what there is, and says how to add to it."""
    message = r"codec 'nope' is not known here \(known: .*'celsius1'.*'tree'\): register it with .*register_codec"
    with pytest.raises(CacheError, match=message):
        dump(1, "nope")
    with pytest.raises(CacheError, match=message):
        load("nope", memoryview(b""))


def test_names_may_come_without_their_number() -> None:
    """The short name is the newest codec of that sort."""
    assert [dump(1.5, name).codec for name in ("tree", "memmap", "pickle")] == ["tree1", "memmap1", "pickle1"]


class Counting:
    """Counts how often it is asked."""

    name = "counting1"

    def __init__(self) -> None:
        self.asked: list[object] = []

    def dump(self, value: object) -> Payload | None:
        self.asked.append(value)
        return None

    def load(self, payload: memoryview) -> object:
        raise NotImplementedError


@pytest.fixture
def counting() -> Counting:
    codec = Counting()
    register_codec(codec, Simple)
    return codec


def test_codecs_are_asked_for_their_exact_types_only(counting: Counting) -> None:
    """Neither subclasses nor other types are offered to a codec."""
    simple = Simple(1)
    dump([simple, 1, type("Child", (Simple,), {})(2)])
    with pytest.raises(CacheError, match="codec 'counting1' cannot store a value of type int"):
        dump(5, "counting1")

    assert [value for value in counting.asked if value == 5 or value is simple] == [simple, 5]
    assert dump(simple).codec == "pickle1"
