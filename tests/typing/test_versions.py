"""The cases hold with the oldest and the newest supported pydantic and mypy."""

from __future__ import annotations

import re
import subprocess
import sys
import sysconfig
import venv
from importlib import metadata
from pathlib import Path

import pytest

from tests.typing.checkers import CHECKERS, TOP, check, differences

CASES = sorted((Path(__file__).parent / "cases").glob("*.py"))
PACKAGES = ("pydantic", "mypy")

pytestmark = pytest.mark.slow


def oldest(package: str) -> str:
    """The version from which on a package is supported, as pyproject.toml has it."""
    match = re.search(rf'"{package}>=([\d.]+)"', (TOP / "pyproject.toml").read_text())
    assert match is not None
    return match[1] if match[1].count(".") == 2 else f"{match[1]}.0"


def versions(*old: str) -> dict[str, str]:
    """The oldest version of some packages, and that of this environment, the newest, of the others."""
    return {name: oldest(name) if name in old else metadata.version(name) for name in PACKAGES}


@pytest.mark.parametrize("old", [("pydantic", "mypy"), ("pydantic",), ("mypy",)], ids="-".join)
def test_cases(old: tuple[str, ...], tmp_path: Path) -> None:
    """Errors are where they are marked, whichever versions are installed."""
    python = tmp_path / "environment" / "bin" / "python"
    venv.create(python.parents[1], with_pip=False)
    wanted = [f"{name}=={version}" for name, version in versions(*old).items()]
    installed = subprocess.run(
        [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", *wanted],
        capture_output=True,
        text=True,
    )
    assert installed.returncode == 0, installed.stderr
    # all else is that of this environment, behind what was just installed
    packages = python.parents[1] / "lib" / f"python{sysconfig.get_python_version()}" / "site-packages"
    (packages / "more.pth").write_text(f"{TOP / 'src'}\n{sysconfig.get_path('purelib')}\n")

    wrong = []
    for checker in CHECKERS if "pydantic" in old else [name for name in CHECKERS if name != "pyright"]:
        scratch = tmp_path / checker
        scratch.mkdir()
        complaints = check(checker, CASES, scratch, python=str(python))
        wrong += [f"{checker}: {line}" for case in CASES for line in differences(case, checker, complaints)]

    assert wrong == []
