"""WorkDir: which code a job takes with it."""

from __future__ import annotations

import os
import typing as tp
from collections.abc import Sequence
from pathlib import Path

import pydantic

from cachedmodel.errors import InfraError


class WorkDir(pydantic.BaseModel):
    """Code that is copied when a job is submitted, so that the job runs it as it was, while the original is edited.

    A job starts in the copy as its working directory, and imports the copied modules and packages instead of the
    originals, however those are installed. Copies lie in folders named by a hash of their content: the same code is
    copied once. What the job reads by a path relative to the working directory has to be copied too.

    Parameters
    ----------
    copied
        Paths of files and folders, names of modules and packages that are imported from a folder (a local one, or one
        installed in editable mode), or names of distributions installed in editable mode. Relative paths keep
        their place below the copy, absolute ones and those with ".." are copied by their last name, modules such that
        they are imported by their name.
    folder
        Where copies are made; the default is the folder of the job logs. Must be visible to the jobs.
    includes
        Patterns of file names (or of paths in the copied folder, if with a "/"): other files are left out. The
        default takes all files, data too. Files named in `copied` are always taken.
    excludes
        Patterns of the names (or paths) of files and folders that are left out; the default leaves out hidden
        ones, compiled and installed ones. Symbolic links that lead out of what is copied are left out always.
    log_commit
        Log the git commit of each copied file and folder, and whether it differs from it, and keep both in the copy, as
        ``commits.json``. What is not in a git repository is refused.

    Examples
    --------
    >>> WorkDir(copied=["my_package", "configs/", "train.py"], excludes=["*.ipynb", ".*"])
    WorkDir(copied=('my_package', 'configs/', 'train.py'), excludes=('*.ipynb', '.*'))
    """

    model_config: tp.ClassVar[pydantic.ConfigDict] = pydantic.ConfigDict(extra="forbid", frozen=True, defer_build=True)

    copied: Sequence[str | Path]
    folder: str | Path | None = None
    includes: Sequence[str] = ("*",)
    excludes: Sequence[str] = (".*", "__pycache__", "*.pyc", "*.egg-info", "node_modules", "venv")
    log_commit: bool = False

    @pydantic.field_validator("copied", "includes", "excludes", mode="before")
    @classmethod
    def _to_many(cls, value: object) -> object:
        return (value,) if isinstance(value, (str, Path)) else value

    @pydantic.field_validator("copied", "includes", "excludes")
    @classmethod
    def _to_texts(cls, value: Sequence[str | Path]) -> tuple[str, ...]:
        return tuple(os.fspath(item) for item in value)  # equal and hashable, whatever was given

    @pydantic.field_validator("copied")
    @classmethod
    def _is_something(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not value or not all(name.strip() for name in value):
            raise InfraError("workdir.copied names nothing: list files, folders or packages, or leave workdir out")
        return value

    @pydantic.field_validator("folder", mode="before")
    @classmethod
    def _expand(cls, value: object) -> object:
        if not isinstance(value, (str, os.PathLike)):
            return value
        return os.path.abspath(os.path.expandvars(os.path.expanduser(os.fspath(value))))

    def __repr_args__(self) -> tp.Iterator[tuple[str | None, tp.Any]]:
        yield from ((k, v) for k, v in super().__repr_args__() if v != type(self).model_fields[str(k)].default)

    def prepare(self, folder: str | os.PathLike[str], skip: Sequence[str | os.PathLike[str]] = ()) -> Path:
        """Copies the code as it is now, and returns where; what was copied before is not copied again.

        Parameters
        ----------
        folder
            Where copies are made, unless `self.folder` says otherwise.
        skip
            Folders that are not copied even where they lie in one that is, eg a cache.

        Raises
        ------
        InfraError
            If a name means nothing here, or something that is not copied, or (with `log_commit`) has no commit.
        """
        from .copying import Plan  # with it come modules that a model does not need to be defined

        base = os.path.abspath(self.folder or folder)
        names = [os.fspath(name) for name in self.copied]
        return Path(Plan.of(names, self.includes, self.excludes, self.log_commit, (base, *skip)).copy_to(base))
