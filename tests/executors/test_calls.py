"""Exceptions that travel."""

from __future__ import annotations

import typing as tp
from collections.abc import Callable

import pytest

from cachedmodel.errors import ComputeError
from cachedmodel.executors.calls import dump_call, run_dumped
from cachedmodel.failure import Failure


class SilentError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


class HostileError(Exception):
    def __reduce__(self) -> tp.NoReturn:
        raise RuntimeError("no way")


class DisguisedError(Exception):
    """Unpickles to something else."""

    def __reduce__(self) -> tuple[type[ValueError], tuple[str]]:
        return ValueError, ("disguised",)


def travelled(make_error: Callable[[], BaseException]) -> BaseException:
    def call() -> None:
        raise make_error()

    raised = run_dumped(dump_call(call))
    assert raised is not None
    return Failure.from_bytes(raised.to_bytes()).exception(where="Raised elsewhere.")


def test_type_arguments_attributes_and_notes_stay() -> None:
    """What an exception holds comes back, and one note more."""

    def make_error() -> OSError:
        error = OSError(2, "no such file", "name")
        error.add_note("a note")
        return error

    back = travelled(make_error)

    assert type(back) is FileNotFoundError
    assert (back.errno, back.filename) == (2, "name")
    assert back.__notes__[0] == "a note"
    assert back.__notes__[1].endswith("Raised elsewhere.")


@pytest.mark.parametrize("kind", [HostileError, DisguisedError])
def test_what_does_not_come_back_is_told(kind: type[Exception]) -> None:
    """In its place comes a ComputeError with its type name, message and traceback."""
    back = travelled(lambda: kind("why"))

    assert isinstance(back, ComputeError)
    assert back.type_name == f"tests.executors.test_calls.{kind.__name__}"
    assert "why" in str(back)
    assert "in call" in back.remote_traceback


def test_an_exception_without_words_comes_back() -> None:
    """A `__str__` that fails does not hide the failure."""
    assert type(travelled(SilentError)) is SilentError


def test_causes_are_in_the_traceback() -> None:
    """The text shows what an exception was raised from."""

    def call() -> None:
        try:
            raise KeyError("first")
        except KeyError as error:
            raise ValueError("second") from error

    raised = run_dumped(dump_call(call))

    assert raised is not None
    assert "KeyError: 'first'" in raised.traceback
    assert raised.traceback.endswith("ValueError: second\n")
    assert "run_dumped" not in raised.traceback


def test_what_does_not_load_is_an_error_of_the_call() -> None:
    """A call whose bytes cannot be loaded fails, it does not stop who runs it."""
    raised = run_dumped(b"cno_such_module\nname\n.")

    assert raised is not None
    assert raised.type_name == "builtins.ModuleNotFoundError"
