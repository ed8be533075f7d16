"""Failures come back as their own type, or as text."""

from __future__ import annotations

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cachedmodel.cache import Failure
from cachedmodel.errors import ComputeError


class TwoArguments(Exception):
    """An exception that pickles, but does not unpickle."""

    def __init__(self, one: int, two: int) -> None:
        super().__init__(f"{one} and {two}")


class Wordless(Exception):
    """An exception that cannot say what it is."""

    def __str__(self) -> str:
        raise RuntimeError("no words")


def _raised(error: BaseException) -> Failure:
    try:
        try:
            raise KeyError("cause")
        except KeyError as cause:
            raise error from cause
    except BaseException as raised:
        return Failure.of(raised)


def test_a_failure_is_text_and_pickle() -> None:
    """Type, message and traceback can be read by anyone, causes included."""
    failure = _raised(ValueError("wrong"))

    assert (failure.type_name, failure.message) == ("builtins.ValueError", "wrong")
    assert "KeyError: 'cause'" in failure.traceback
    assert "ValueError: wrong" in failure.traceback
    assert type(pickle.loads(failure.pickled)) is ValueError


@pytest.mark.parametrize(
    "error", [ValueError("wrong", 3), OSError(2, "gone", "file"), ExceptionGroup("g", [ValueError(1)])]
)
def test_the_very_type_comes_back(error: Exception) -> None:
    """The exception is raised again as its own type, with the traceback and the place as notes."""
    error.add_note("mine")

    back = _raised(error).exception(where="Stored in /somewhere.")

    assert type(back) is type(error)
    assert repr(back.args) == repr(error.args)
    assert back.__notes__[0] == "mine"
    assert "in _raised" in back.__notes__[-1]
    assert back.__notes__[-1].endswith("Stored in /somewhere.")


@pytest.mark.parametrize("error", [TwoArguments(1, 2), Wordless("x"), ValueError(lambda: None, open)])
def test_what_does_not_unpickle_is_text(error: Exception) -> None:
    """An exception that does not come back is a `ComputeError` that carries type and traceback."""
    failure = _raised(error)
    back = failure.exception()

    if failure.pickled:
        assert type(back) is type(error)
    else:
        assert isinstance(back, ComputeError)
        assert back.type_name == failure.type_name
        assert str(back).startswith(failure.type_name)
        assert "in _raised" in back.remote_traceback


def test_local_types_come_back() -> None:
    """A type of a function is pickled by value."""

    class Local(Exception):
        pass

    back = _raised(Local("here")).exception()

    assert type(back).__qualname__ == Local.__qualname__
    assert back.args == ("here",)


def test_nothing_is_unpickled_where_that_is_forbidden() -> None:
    """Without pickle there is only the text."""
    back = _raised(ValueError("wrong")).exception(allow_pickle=False)

    assert isinstance(back, ComputeError)
    assert str(back) == "builtins.ValueError: wrong"


@given(texts=st.tuples(st.text(), st.text(), st.text()), pickled=st.binary())
def test_bytes_come_back(texts: tuple[str, str, str], pickled: bytes) -> None:
    """A failure is read back as it was stored."""
    failure = Failure(*texts, pickled=pickled)

    assert Failure.from_bytes(failure.to_bytes()) == failure


@given(data=st.binary())
def test_other_bytes_are_refused(data: bytes) -> None:
    """What is no failure is a ValueError."""
    for bad in (data, b"\x02\0\0\0[]" + data, b"\x05\0\0\0[1,2]" + data):
        with pytest.raises(ValueError, match=r"."):
            Failure.from_bytes(bad)
