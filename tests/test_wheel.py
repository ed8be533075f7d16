"""The built wheel: what a user installs has its types, and nothing is missing."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

from tests.typing.checkers import check, differences, pyright

TOP = Path(__file__).parents[1]
CASES = sorted((TOP / "tests" / "typing" / "cases").glob("*.py"))

pytestmark = pytest.mark.slow


def run(*command: str | Path, cwd: Path) -> None:
    """Runs a command that must succeed."""
    done = subprocess.run(list(map(str, command)), cwd=cwd, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built of a copy of the sources: a build leaves things beside them."""
    folder = tmp_path_factory.mktemp("wheel")
    copy = folder / "copy"
    shutil.copytree(TOP / "src", copy / "src", ignore=shutil.ignore_patterns("*.egg-info", "__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(TOP / name, copy / name)
    run(
        *(sys.executable, "-m", "pip", "wheel", "--quiet", "--disable-pip-version-check"),
        *("--no-deps", "--no-build-isolation", "--wheel-dir", folder, copy),
        cwd=folder,
    )
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def environment(wheel: Path) -> Path:
    """A fresh environment with the wheel and what it needs, as pip brings it."""
    folder = wheel.parent / "environment"
    venv.create(folder, with_pip=False)
    run(
        *(sys.executable, "-m", "pip", "--python", folder / "bin" / "python", "install", "--quiet"),
        *("--disable-pip-version-check", "--constraint", TOP / "constraints.txt", wheel, "mypy"),
        cwd=wheel.parent,
    )
    return folder


def test_wheel_has_all_files(wheel: Path) -> None:
    """Every module is in the wheel, and py.typed, which tells checkers that there are types."""
    package = TOP / "src" / "cachedmodel"
    expected = {f"cachedmodel/{path.relative_to(package)}" for path in package.rglob("*.py")}

    names = set(zipfile.ZipFile(wheel).namelist())

    assert expected | {"cachedmodel/py.typed"} <= names
    assert {name.split("/")[0] for name in names if not name.startswith("cachedmodel-")} == {"cachedmodel"}


@pytest.mark.parametrize("checker", ["mypy", "plugin-strict", "pyright"])
def test_user_project(checker: str, environment: Path, tmp_path: Path) -> None:
    """A project of a user is checked against the installed wheel."""
    project = tmp_path / "project"
    project.mkdir()
    files = [Path(shutil.copy(case, project)) for case in CASES]

    complaints = check(checker, files, tmp_path, python=str(environment / "bin" / "python"))

    assert [line for file in files for line in differences(file, checker, complaints)] == []


def test_types_are_complete(environment: Path, tmp_path: Path) -> None:
    """Every public symbol has a type that all checkers see alike."""
    path = f"{environment / 'bin'}{os.pathsep}{os.environ['PATH']}"  # --verifytypes asks the first python on the path

    report = pyright("--verifytypes", "cachedmodel", "--ignoreexternal", cwd=tmp_path, PATH=path)

    found = report["typeCompleteness"]
    errors = {
        symbol["name"]: [one["message"] for one in symbol["diagnostics"] if one["severity"] == "error"]
        for symbol in found["symbols"]
        if symbol["isExported"] and not symbol["isTypeKnown"]
    }
    assert errors == {}
    assert found["completenessScore"] == 1
    assert found["exportedSymbolCounts"]["withKnownType"] > 1000
