"""What checkers say of code that uses the package: each line of ``cases/`` is an error where it is marked, and only there."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.typing.checkers import CHECKERS, check, differences

CASES = sorted((Path(__file__).parent / "cases").glob("*.py"))


@pytest.mark.parametrize("checker", CHECKERS)
def test_cases(checker: str, tmp_path: Path) -> None:
    """Under each checker and configuration, errors are where they are marked, and nowhere else."""
    complaints = check(checker, CASES, tmp_path)

    assert [line for case in CASES for line in differences(case, checker, complaints)] == []


def test_every_case_has_errors_and_none() -> None:
    """The cases hold both: an empty report of a checker that looked at nothing would fail."""
    for case in CASES:
        marked = case.read_text().count("# E")
        assert 0 < marked < len(case.read_text().splitlines()) / 2, case
