"""The command ``cachedmodel``: what it is without a command, and what it says of wrong ones."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def cachedmodel(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Runs the command as a user does."""
    command = str(Path(sys.executable).with_name("cachedmodel"))
    return subprocess.run([command, *arguments], cwd=cwd, capture_output=True, text=True)


def test_help_lists_the_commands(tmp_path: Path) -> None:
    """--help, or nothing at all, names each command and what it does."""
    asked, bare = cachedmodel("--help", cwd=tmp_path), cachedmodel(cwd=tmp_path)

    assert asked.returncode == 0
    assert "stubs" in asked.stdout
    assert "Write typed stubs" in asked.stdout
    assert "stubs" in bare.stdout + bare.stderr


def test_unknown_command(tmp_path: Path) -> None:
    """A command that does not exist is an error that names it."""
    done = cachedmodel("stub", cwd=tmp_path)

    assert done.returncode == 2
    assert "stub" in done.stderr


def test_stubs_of_a_module(tmp_path: Path) -> None:
    """``cachedmodel stubs MODULE`` writes below stubs/ where nothing else is said."""
    (tmp_path / "mine.py").write_text("import cachedmodel as cm\n\n\nclass A(cm.CachedModel):\n    x: int = 1\n")

    done = cachedmodel("stubs", "mine", cwd=tmp_path)

    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [str(Path("stubs/mine.pyi"))]
    assert "class A(cm.CachedModel):" in (tmp_path / "stubs" / "mine.pyi").read_text()


def test_without_the_extra(tmp_path: Path) -> None:
    """Without typer, which the extra brings, the command says what to install."""
    hide = "import sys; sys.modules['typer'] = None; import cachedmodel.cli"

    done = subprocess.run([sys.executable, "-c", hide], cwd=tmp_path, capture_output=True, text=True)

    assert done.returncode == 1
    assert "pip install 'cachedmodel[cli]'" in done.stderr
