"""What a type alone tells."""

from __future__ import annotations

import collections.abc
import concurrent.futures
import enum
import io
import socket
import threading
import types
import typing as tp

import numpy as np
import pandas as pd
import pytest

from cachedmodel.codecs import Payload, dump, register_codec, why_not
from cachedmodel.errors import CacheError
from tests.codecs.classes import Color, Pair, Plain, Strict

T = tp.TypeVar("T")
Number = tp.NewType("Number", int)
Stream = tp.NewType("Stream", threading.Thread)


class Row(tp.TypedDict):
    a: int


class Shape(tp.Protocol):
    side: float


class Leaf:
    """A class without subclasses."""


class Branch:
    """A class with one."""


class Twig(Branch):
    """That one."""


STORABLE: list[tp.Any] = [
    None,
    int,
    float | None,
    list[dict[str, tuple[int, ...]]],
    np.ndarray,
    np.ndarray[tp.Any, np.dtype[np.float32]],
    np.floating,
    np.float32,
    pd.DataFrame,
    tp.Any,
    object,
    T,
    "Forward",
    tp.Literal["a"],
    Plain,
    Strict,
    Color,
    Pair,
    Row,
    Shape,
    Number,
    Branch,
    enum.Enum,
    tp.Annotated[int, "unit"],
    tp.Iterator[int],
    collections.abc.Mapping[str, float],
    threading.Event | None,
    tp.Optional[tp.IO[str]],  # noqa: UP045  # as people write it
]
NEVER: list[tp.Any] = [
    tp.Generator[int, None, None],
    collections.abc.Generator,
    types.GeneratorType,
    tp.AsyncGenerator[int, None],
    tp.Coroutine[tp.Any, tp.Any, int],
    types.ModuleType,
    memoryview,
    threading.Lock,
    threading.RLock,
    type(threading.RLock()),
    type(threading.Lock()),
    threading.Event,
    threading.Thread,
    tp.IO[str],
    tp.TextIO,
    tp.BinaryIO,
    io.TextIOWrapper,
    io.BufferedReader,
    io.FileIO,
    socket.socket,
    types.TracebackType,
    types.FrameType,
    concurrent.futures.Future,
    concurrent.futures.ThreadPoolExecutor,
    Stream,
    list[tp.Generator[int, None, None]],
    dict[str, io.TextIOWrapper],
    tp.Annotated[types.ModuleType, "x"],
    tp.TextIO | types.ModuleType,
]
PICKLED: list[tp.Any] = [Leaf, list[Leaf], tp.Callable[[int], int], collections.abc.Callable, types.FunctionType]


def _name(annotation: object) -> str:
    """The same in every process: without the address that some show."""
    return str(annotation).partition(" at 0x")[0]


@pytest.mark.parametrize("annotation", STORABLE, ids=_name)
def test_what_may_be_stored_is_not_refused(annotation: object) -> None:
    """A type whose values may be stored, or that is not understood, passes, with pickle and without."""
    assert why_not(annotation, None, True) is None
    assert why_not(annotation, None, False) is None


@pytest.mark.parametrize("annotation", NEVER, ids=_name)
def test_what_can_never_be_stored_is_refused(annotation: object) -> None:
    """The sentence names the type, and says what it is."""
    for codec, allow_pickle in ((None, True), (None, False), ("pickle", True), ("memmap", True)):
        assert "cannot be stored, being a" in str(why_not(annotation, codec, allow_pickle))


@pytest.mark.parametrize("annotation", PICKLED, ids=_name)
def test_what_needs_pickle_is_refused_without_it(annotation: object) -> None:
    """A type whose values can only be pickled passes where pickle is allowed."""
    assert why_not(annotation, None, True) is None
    for codec, allow_pickle in ((None, False), ("tree", True), ("memmap", True)):
        assert "can only be stored by pickle, and that is not allowed" in str(why_not(annotation, codec, allow_pickle))


@pytest.mark.skipif(not hasattr(tp, "TypeAliasType"), reason="since Python 3.12")
def test_aliases_are_looked_into() -> None:
    """The type behind a name counts."""
    make: tp.Any = getattr(tp, "TypeAliasType", None)

    assert why_not(make("Lock", threading.Event), None, True) is not None
    assert why_not(make("Number", int), None, True) is None


def test_local_classes_need_pickle() -> None:
    """The sentence says why, and what to do."""

    class Local(tp.NamedTuple):
        a: int

    assert "local to a function: define it at the top of its module" in str(why_not(Local, None, False))
    assert why_not(Local, None, True) is None


def test_contradictions_and_unknown_codecs() -> None:
    """A codec that pickles contradicts allow_pickle=False; a codec must exist."""
    assert why_not(int, "pickle", False) == "codec 'pickle' pickles, and allow_pickle=False"
    with pytest.raises(CacheError, match="'nope' is not known"):
        why_not(int, "nope", True)


class Thing(threading.Thread):
    """Stored by a codec, which knows what it does."""


class ThingCodec:
    name = "thing1"

    def dump(self, value: object) -> Payload | None:
        return Payload(self.name, [b""])

    def load(self, payload: memoryview) -> Thing:
        return Thing()


def test_registered_types_pass() -> None:
    """Whoever registers a codec for a type knows that it can be stored."""
    assert why_not(Thing, None, False) is not None
    register_codec(ThingCodec(), Thing)

    assert why_not(Thing, None, False) is None
    assert why_not(types.ModuleType, "thing1", False) is None


def generate() -> tp.Iterator[int]:
    yield 1


INSTANCES: list[tp.Any] = [
    generate(),
    types,
    memoryview(b"a"),
    threading.RLock(),
    threading.Lock(),
    threading.Event(),
    threading.Thread(),
    socket.socket.__new__(socket.socket),
    concurrent.futures.Future(),
    concurrent.futures.ThreadPoolExecutor(),
]


@pytest.mark.parametrize("value", INSTANCES, ids=lambda value: type(value).__name__)
def test_what_is_refused_cannot_be_stored_indeed(value: object) -> None:
    """The answers from types agree with what happens to values."""
    assert why_not(type(value), None, True) is not None
    with pytest.raises(CacheError, match="cannot be stored"):
        dump(value)
