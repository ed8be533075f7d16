"""``cachedmodel stubs``: what it writes, when it says that a stub is stale, and what it leaves alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.stubs.stubbing import PROJECT, package, stubs, stubtest
from tests.typing.checkers import check, differences

CONSUMER = Path(__file__).parent / "cases" / "consumer.py"


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The stubs of the package `zoo`."""
    folder = tmp_path_factory.mktemp("stubs")
    done = stubs("zoo", "-o", folder, cwd=PROJECT)
    assert done.returncode == 0, done.stderr
    return folder


def files(folder: Path) -> dict[str, str]:
    """Every file of a folder with its text."""
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


def test_stubtest_passes(written: Path) -> None:
    """What is written agrees with what is there at run time."""
    assert stubtest("zoo", stubs_in=written, source=PROJECT) == ""


@pytest.mark.parametrize(
    "checker",
    ["mypy", "pyright", *(pytest.param(name, marks=pytest.mark.slow) for name in ("pydantic", "plugin-strict"))],
)
def test_consumer(checker: str, written: Path, tmp_path: Path) -> None:
    """Code that uses the stubs has errors where they are marked, and the stubs themselves have none."""
    complaints = check(checker, [CONSUMER], tmp_path, paths=[written])

    assert differences(CONSUMER, checker, complaints) == []
    # warn_required_dynamic_aliases, of the strict options, is about the user's own field
    assert [str(one) for one in complaints if one.file != CONSUMER and one.code != "pydantic-alias"] == []


def test_source_is_checked_too(written: Path, tmp_path: Path) -> None:
    """With stubs on the path, the source that they come from is still looked at, and has no errors."""
    sources = sorted((PROJECT / "zoo").glob("*.py"))

    assert [str(one) for one in check("mypy", sources, tmp_path, paths=[PROJECT])] == []


def test_docstrings_and_decorators_are_kept(written: Path) -> None:
    """Tasks and maps keep their decorators and docstrings."""
    text = (written / "zoo" / "configs.pyi").read_text()

    assert "@cm.map(item_uid=str, exclude=('path',), infra={'chunk_size': 3})" in text
    assert '"""Embeds numbers."""' in text


def test_the_same_every_time(written: Path, tmp_path: Path) -> None:
    """Neither the order of sets, nor how the package is named, nor an earlier run changes what is written."""
    for seed, target in (("1", "zoo"), ("2", str(PROJECT / "zoo")), ("3", "zoo")):
        stubs(target, "-o", tmp_path, cwd=PROJECT, PYTHONHASHSEED=seed)

        assert files(tmp_path) == files(written)


def test_source_is_left_alone(written: Path) -> None:
    """Nothing is written beside the source, compiled files neither."""
    assert {path.suffix for path in PROJECT.rglob("*") if path.is_file()} == {".py"}


def test_refuses_to_write_beside_source(tmp_path: Path) -> None:
    """A stub beside its source would hide it from checkers: refused, with the remedy."""
    folder = package(tmp_path)

    done = stubs("pkg", "-o", ".", cwd=folder)

    assert done.returncode == 2
    assert "beside its source" in done.stderr
    assert "-o" in done.stderr
    assert list(folder.rglob("*.pyi")) == []


def test_check_tells_stale_stubs(tmp_path: Path) -> None:
    """--check is 0 for fresh stubs, 1 for stale and missing ones, and writes nothing."""
    folder = package(tmp_path)

    missing = stubs("pkg", "-o", "stubs", "--check", cwd=folder)
    stubs("pkg", "-o", "stubs", cwd=folder)
    fresh = stubs("pkg", "-o", "stubs", "--check", cwd=folder)
    models = folder / "pkg" / "models.py"
    models.write_text(models.read_text() + "    y: str = 'a'\n")
    before = files(folder / "stubs")
    stale = stubs("pkg", "-o", "stubs", "--check", cwd=folder)

    assert [missing.returncode, fresh.returncode, stale.returncode] == [1, 0, 1]
    assert "models.pyi is stale: run cachedmodel stubs pkg -o stubs" in stale.stdout
    assert files(folder / "stubs") == before


def test_runs_no_more_than_the_import(tmp_path: Path) -> None:
    """Neither __main__, nor what is below ``if __name__``, nor tasks, nor default factories are run."""
    trace = tmp_path / "ran"
    source = f"""
import cachedmodel as cm
import pydantic

def leave_a_trace() -> int:
    open({str(trace)!r}, "w").close()
    return 1

class A(cm.CachedModel):
    x: int = pydantic.Field(default_factory=leave_a_trace)

    @cm.task
    def run(self) -> int:
        return leave_a_trace()

    @property
    def total(self) -> int:
        return leave_a_trace()

if __name__ == "__main__":
    leave_a_trace()
"""
    folder = package(tmp_path, models=source, __main__=f"open({str(trace)!r}, 'w')")

    done = stubs("pkg", "-o", "stubs", cwd=folder)

    assert done.returncode == 0, done.stderr
    assert not trace.exists()


def test_untyped_is_reported(tmp_path: Path) -> None:
    """What has no type is written as Any, and reported with its place."""
    folder = package(tmp_path, untyped="def f(x):\n    return x\n\nlogger = None\n")

    done = stubs("pkg", "-o", "stubs", cwd=folder)

    assert "pkg.untyped:1: the parameter 'x' of f has no type, so it is Any" in done.stderr
    assert "pkg.untyped:1: the result of f has no type" in done.stderr
    assert "pkg.untyped:4: logger is None and has no annotation" in done.stderr


def test_modules_that_cannot_be_imported(tmp_path: Path) -> None:
    """A module that fails is reported and left out, and its old stub is kept; if it is the target, that is an error."""
    folder = package(tmp_path)
    stubs("pkg", "-o", "stubs", cwd=folder)
    (folder / "pkg" / "models.py").rename(folder / "pkg" / "others.py")
    (folder / "pkg" / "models.py").write_text("import nowhere_to_be_found")

    done = stubs("pkg", "-o", "stubs", cwd=folder)
    alone = stubs("pkg.models", "-o", "stubs", cwd=folder)

    assert "pkg.models was left out" in done.stderr
    assert sorted(files(folder / "stubs")) == ["pkg/__init__.pyi", "pkg/models.pyi", "pkg/others.pyi"]
    assert alone.returncode == 2
    assert "nowhere_to_be_found" in alone.stderr


def test_stubs_of_gone_modules_are_removed(tmp_path: Path) -> None:
    """A module that is gone takes its stub with it; a stub that somebody else wrote stays."""
    folder = package(tmp_path, extra="")
    stubs("pkg", "-o", "stubs", cwd=folder)
    (folder / "pkg" / "extra.py").unlink()
    (folder / "stubs" / "pkg" / "mine.pyi").write_text("x: int\n")

    done = stubs("pkg", "-o", "stubs", cwd=folder)

    assert done.stdout.split() == [str(Path("stubs/pkg/extra.pyi"))]
    assert sorted(files(folder / "stubs")) == ["pkg/__init__.pyi", "pkg/mine.pyi", "pkg/models.pyi"]


def test_stubs_of_others_are_not_overwritten(tmp_path: Path) -> None:
    """A stub that was written by hand is never lost."""
    folder = package(tmp_path)
    mine = folder / "stubs" / "pkg" / "models.pyi"
    mine.parent.mkdir(parents=True)
    mine.write_text("x: int\n")

    done = stubs("pkg", "-o", "stubs", cwd=folder)

    assert done.returncode == 2
    assert "written by somebody else" in done.stderr
    assert mine.read_text() == "x: int\n"


def test_nothing_to_write(tmp_path: Path) -> None:
    """Without models there is nothing to do, which is said."""
    (tmp_path / "plain.py").write_text("x = 1\n")

    done = stubs("plain", "-o", "stubs", cwd=tmp_path)

    assert done.returncode == 2
    assert "no CachedModel" in done.stderr


def test_folder_of_scripts(tmp_path: Path) -> None:
    """A folder that is no package is one of scripts: each is a module of its own."""
    folder = package(tmp_path)
    (folder / "pkg" / "__init__.py").unlink()

    stubs("./pkg", "-o", "stubs", cwd=folder)

    assert sorted(files(folder / "stubs")) == ["models.pyi"]
