"""Runs ``cachedmodel stubs`` and ``mypy.stubtest`` as users do."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

TOP = Path(__file__).parents[2]
PROJECT = Path(__file__).parent / "project"


def stubs(*arguments: str | Path, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """``cachedmodel stubs ...`` in a folder."""
    return subprocess.run(
        [sys.executable, "-m", "cachedmodel.cli", "stubs", *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
    )


def stubtest(*modules: str, stubs_in: Path, source: Path) -> str:
    """What ``mypy.stubtest`` finds wrong; empty if nothing."""
    done = subprocess.run(
        [sys.executable, "-m", "mypy.stubtest", *modules],
        cwd=TOP,  # where its cache may lie
        env={
            **os.environ,
            "MYPYPATH": str(stubs_in),
            "PYTHONPATH": str(source),
            "PYTHONDONTWRITEBYTECODE": "1",
        },
        capture_output=True,
        text=True,
    )
    return "" if done.returncode == 0 else done.stdout + done.stderr


def package(folder: Path, **modules: str) -> Path:
    """A folder with a package `pkg` of some modules, of which `models` has a model."""
    (folder / "pkg").mkdir(parents=True)
    text = "import cachedmodel as cm\n\n\nclass A(cm.CachedModel):\n    x: int = 1\n"
    for name, source in {"__init__": "", "models": text, **modules}.items():
        (folder / "pkg" / f"{name}.py").write_text(source)
    return folder
