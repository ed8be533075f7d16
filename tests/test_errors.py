"""Errors told apart: those of the user's code, and those of the machinery."""

from __future__ import annotations

import errno

import pytest

from cachedmodel.errors import (
    ComputeError,
    ItemErrors,
    JobLostError,
    MissingError,
    RecursiveComputeError,
    is_machinery,
)


@pytest.mark.parametrize(
    ("error", "answer"),
    [
        (ValueError(), False),
        (ComputeError("stored elsewhere"), False),
        (ItemErrors("some", [ValueError()]), False),
        (OSError(errno.ENOENT, "not there"), False),
        (OSError(errno.ENOSPC, "disk full"), True),
        (MemoryError(), True),
        (JobLostError(), True),
        (MissingError(), True),
        (RecursiveComputeError("itself"), True),
        (ItemErrors("some", [ValueError(), JobLostError()]), True),
        (KeyboardInterrupt(), True),
    ],
)
def test_failures_of_the_machinery_are_nobodys_result(error: BaseException, answer: bool) -> None:
    """They are told apart from those of the user's code, also where these are nested."""
    assert is_machinery(error) == answer
