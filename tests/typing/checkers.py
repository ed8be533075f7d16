"""Runs mypy and pyright as users do, each in one process over all files, and reads what they say.

A line of a case that ends in ``# E`` must be an error for every checker, ``# E only: pyright plugin`` for those
alone, ``# E not: lax`` for all others; any other line must be none. The words are those of `WORDS`.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import typing as tp
import zlib
from collections.abc import Sequence
from pathlib import Path

TOP = Path(__file__).parents[2]

_STRICT_OPTIONS = """
[pydantic-mypy]
init_forbid_extra = True
init_typed = True
warn_required_dynamic_aliases = True
"""
#: What each checker's configuration says beyond ``strict``.
MYPY = {
    "mypy": "",
    "pydantic": "plugins = pydantic.mypy",
    "pydantic-strict": "plugins = pydantic.mypy\n" + _STRICT_OPTIONS,
    "plugin": "plugins = cachedmodel.mypy_plugin",
    "plugin-strict": "plugins = cachedmodel.mypy_plugin\n" + _STRICT_OPTIONS,
}
#: The words by which a mark names checkers. "lax": without ``init_typed``, pydantic's plugin leaves the values of fields
#: unchecked, as for any pydantic model.
WORDS = {
    "mypy": {"mypy", "plain"},
    "pydantic": {"mypy", "pydantic"},
    "pydantic-strict": {"mypy", "pydantic"},
    "plugin": {"mypy", "plugin", "lax"},
    "plugin-strict": {"mypy", "plugin"},
    "pyright": {"pyright"},
}
CHECKERS = tuple(WORDS)

_MARK = re.compile(r"# E(?: (?P<sense>only|not): (?P<words>[\w ]+))?$")
_MYPY_LINE = re.compile(r"(?P<file>.+?):(?P<line>\d+): error: (?P<text>.*?)(?:  \[(?P<code>[\w-]+)\])?$")


class Complaint(tp.NamedTuple):
    """An error of a checker."""

    file: Path
    line: int
    text: str
    code: str

    def __str__(self) -> str:
        return f"{self.file.name}:{self.line}: {self.text} [{self.code}]"


def check(
    checker: str, files: Sequence[Path], scratch: Path, *, paths: Sequence[Path] = (), python: str = sys.executable
) -> list[Complaint]:
    """What a checker says of some files.

    Parameters
    ----------
    checker
        One of `CHECKERS`.
    files
        Checked together.
    scratch
        A folder for the configuration, and for mypy's cache if `python` is another than this one.
    paths
        Folders of stubs and modules, found before those that are installed.
    python
        The interpreter whose packages count.
    """
    if checker == "pyright":
        return run_pyright(files, scratch, paths, python)
    return run_mypy(MYPY[checker], files, scratch, paths, python)


def run_mypy(
    options: str, files: Sequence[Path], scratch: Path, paths: Sequence[Path] = (), python: str = sys.executable
) -> list[Complaint]:
    """The errors of ``mypy --strict``; mypy itself is that of `python`, so that its plugins are too."""
    config = scratch / "mypy.ini"
    config.write_text(f"[mypy]\nstrict = True\n{options}\n")
    # one cache for each configuration: what mypy knows of numpy and pydantic is found again by later runs
    cache = (
        TOP / ".mypy_cache" / f"typing-{zlib.crc32(options.encode()):08x}"
        if python == sys.executable
        else scratch / ".cache"
    )
    done = subprocess.run(
        [python, "-m", "mypy", "--config-file", str(config), "--cache-dir", str(cache)]
        + ["--hide-error-context", "--no-pretty", "--no-color-output", "--no-error-summary", "--show-error-codes"]
        + [os.fspath(file) for file in files],
        cwd=scratch,
        env={**os.environ, "MYPYPATH": os.pathsep.join(map(str, paths))},
        capture_output=True,
        text=True,
    )
    if done.returncode not in (0, 1) or done.stderr:
        raise AssertionError(f"mypy itself failed: {done.stdout}{done.stderr}")
    found = []
    for line in done.stdout.splitlines():
        if match := _MYPY_LINE.fullmatch(line):
            file = (scratch / match["file"]).resolve()
            found.append(Complaint(file, int(match["line"]), match["text"], match["code"] or ""))
    return found


def run_pyright(
    files: Sequence[Path], scratch: Path, paths: Sequence[Path] = (), python: str = sys.executable
) -> list[Complaint]:
    """The errors of pyright in strict mode."""
    config = {
        "include": [os.path.relpath(file, scratch) for file in files],
        "typeCheckingMode": "strict",
        "pythonVersion": "3.11",
        "extraPaths": [str(path) for path in paths],
    }
    (scratch / "pyrightconfig.json").write_text(json.dumps(config))
    report = pyright("--project", str(scratch), "--pythonpath", python, cwd=scratch)
    return [
        Complaint(
            Path(found["file"]).resolve(), found["range"]["start"]["line"] + 1, found["message"], found.get("rule", "")
        )
        for found in report["generalDiagnostics"]
        if found["severity"] == "error"
    ]


def pyright(*arguments: str, cwd: Path, **environment: str) -> dict[str, tp.Any]:  # Any: the report, as JSON
    """The report of pyright, which comes with its node from PyPI: nothing is downloaded here."""
    done = subprocess.run(
        [sys.executable, "-m", "pyright", *arguments, "--outputjson"],
        cwd=cwd,
        env={**os.environ, "PYRIGHT_PYTHON_IGNORE_WARNINGS": "1", **environment},
        capture_output=True,
        text=True,
    )
    try:
        report: dict[str, tp.Any] = json.loads(done.stdout)
    except ValueError:
        raise AssertionError(f"pyright itself failed: {done.stdout}{done.stderr}") from None
    return report


def expected(case: Path, checker: str) -> set[int]:
    """The lines of a case that are marked as errors for a checker."""
    lines = set()
    for number, line in enumerate(case.read_text().splitlines(), start=1):
        match = _MARK.search(line)
        if match:
            words = set((match["words"] or "").split())
            assert words <= set().union(*WORDS.values()), f"{case.name}:{number}: unknown words in {match[0]!r}"
            named = bool(words & WORDS[checker])
            if match["sense"] is None or named == (match["sense"] == "only"):
                lines.add(number)
    return lines


def differences(case: Path, checker: str, complaints: Sequence[Complaint]) -> list[str]:
    """What is an error and should be none, and what should be one."""
    found = {one.line: str(one) for one in complaints if one.file == case.resolve()}
    wanted = expected(case, checker)
    text = case.read_text().splitlines()
    missing = [f"{case.name}:{line} is no error: {text[line - 1].strip()}" for line in sorted(wanted - set(found))]
    return missing + [found[line] for line in sorted(set(found) - wanted)]
