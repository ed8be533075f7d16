"""The git commits of what is copied."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence

from cachedmodel.errors import InfraError

from .sources import Source


@dataclasses.dataclass(frozen=True, slots=True)
class Commit:
    """Where in the history of a repository a file or folder is.

    Attributes
    ----------
    repository
        Folder of the repository.
    commit
        Full hash of the commit that is checked out.
    dirty
        True if the file or folder differs from that commit, or has files that are not in it.
    """

    repository: str
    commit: str
    dirty: bool


def find_commits(sources: Sequence[Source]) -> dict[str, Commit]:
    """The commit of each source, by its path in the copy."""
    return {source.target: _find(source) for source in sources}


def _find(source: Source) -> Commit:
    folder = source.path if os.path.isdir(source.path) else os.path.dirname(source.path)
    repository = _git(source, folder, "rev-parse", "--show-toplevel").rstrip("\n")
    commit = _git(source, folder, "rev-parse", "--verify", "HEAD").strip()
    status = _git(source, folder, "status", "--porcelain", "--", source.path)
    return Commit(repository, commit, bool(status.strip()))


def _git(source: Source, folder: str, *args: str) -> str:
    import subprocess

    # in a git hook these name the repository of the hook
    environ = {
        name: value for name, value in os.environ.items() if not name.startswith(("GIT_DIR", "GIT_WORK", "GIT_INDEX"))
    }
    try:
        done = subprocess.run(
            ["git", "--no-optional-locks", "--literal-pathspecs", *args],
            cwd=folder,
            env=environ,
            capture_output=True,
            text=True,
            check=False,
        )
    except FileNotFoundError:
        raise InfraError(
            "workdir.log_commit=True needs git, which is not installed: install it or set it to False"
        ) from None
    if done.returncode:
        said = done.stderr.strip().splitlines()
        raise InfraError(
            f"workdir.log_commit=True, but {source.name!r} ({source.path!r}) has no git commit: "
            f"{said[0] if said else 'git failed'}; commit it, or set workdir.log_commit=False"
        )
    return done.stdout
