"""Where an entry's code came from: the git commit of the user's code, and the job that computes."""

from __future__ import annotations

import functools
import os
import sys

_JOB_IDS = ("SLURM_JOB_ID", "SUBMITIT_LOCAL_JOB_ID")


class Provenance:
    """What is kept with each file of entries that a module's classes write, here or in a job: looked up when it is written.

    Parameters
    ----------
    folder
        Where the module lies; None if it has no file.
    """

    def __init__(self, folder: str | None) -> None:
        self._folder = folder

    @classmethod
    @functools.lru_cache(maxsize=1024)
    def of(cls, module: str) -> Provenance:
        """That of a module of this process; in a job `__main__` is another one."""
        file = getattr(sys.modules.get(module), "__file__", None)
        return cls(os.path.dirname(os.path.abspath(file)) if file else None)

    def __call__(self) -> dict[str, object]:
        commit = git_commit(self._folder) if self._folder is not None else None
        job = next((os.environ[name] for name in _JOB_IDS if name in os.environ), None)
        return {name: value for name, value in (("commit", commit), ("job", job)) if value}


@functools.lru_cache(maxsize=256)
def git_commit(folder: str) -> str | None:
    """The commit checked out in the repository around a folder, read from git's files; None where there is none."""
    while not os.path.exists(os.path.join(folder, ".git")):
        parent = os.path.dirname(folder)
        if parent == folder:
            return None
        folder = parent
    try:
        return _head(os.path.join(folder, ".git"))
    except (OSError, ValueError):
        return None


def _head(git: str) -> str | None:
    if os.path.isfile(git):  # a worktree or a submodule: the folder is named in a file
        with open(git, encoding="utf-8") as file:
            git = os.path.join(os.path.dirname(git), file.read().removeprefix("gitdir:").strip())
    with open(os.path.join(git, "HEAD"), encoding="utf-8") as file:
        head = file.read().strip()
    if not head.startswith("ref: "):
        return head
    common = git
    if os.path.exists(os.path.join(git, "commondir")):
        with open(os.path.join(git, "commondir"), encoding="utf-8") as file:
            common = os.path.join(git, file.read().strip())
    name = head.removeprefix("ref: ")
    for base in (git, common):
        path = os.path.join(base, name)
        if os.path.exists(path):
            with open(path, encoding="utf-8") as file:
                return file.read().strip()
    with open(os.path.join(common, "packed-refs"), encoding="utf-8") as file:
        return next((line.split()[0] for line in file if line.rstrip().endswith(" " + name)), None)
