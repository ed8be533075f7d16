"""The stubs of ``examples/`` that lie in ``stubs/`` are those of today's examples, and can be used."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.stubs.stubbing import TOP, stubs, stubtest
from tests.typing.checkers import check, differences

EXAMPLES = TOP / "examples"
STUBS = TOP / "stubs"
CONSUMER = Path(__file__).parent / "cases" / "digits_consumer.py"


def test_fresh() -> None:
    """Each stub is what `cachedmodel stubs` writes today (else: `cachedmodel stubs examples/ -o stubs`)."""
    done = stubs("examples/", "-o", "stubs", "--check", cwd=TOP)

    assert done.returncode == 0, done.stdout + done.stderr


def test_stubtest_passes() -> None:
    """The stubs agree with what is there at run time."""
    modules = sorted(path.stem for path in STUBS.glob("*.pyi"))

    assert set(modules) <= {path.stem for path in EXAMPLES.glob("*.py")}
    assert stubtest(*modules, stubs_in=STUBS, source=EXAMPLES) == ""


@pytest.mark.parametrize("checker", ["mypy", "pyright"])
def test_consumer(checker: str, tmp_path: Path) -> None:
    """Code that uses an example through its stub may give nested configurations as dicts, and is checked in them."""
    complaints = check(checker, [CONSUMER], tmp_path, paths=[STUBS])

    assert differences(CONSUMER, checker, complaints) == []
