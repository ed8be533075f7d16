"""Copies of code, in folders named by a hash of what is in them."""

from __future__ import annotations

import dataclasses
import fnmatch
import itertools
import json
import logging
import os
import shutil
import stat
import typing as tp
from collections.abc import Iterator, Sequence
from hashlib import blake2b

from cachedmodel.errors import InfraError

from .activation import MANIFEST
from .commits import Commit, find_commits
from .sources import Source, find_sources

logger: logging.Logger = logging.getLogger("cachedmodel")

COMMITS = "commits.json"
_LARGE = 100 * 2**20
_BLOCK = 2**20


@dataclasses.dataclass(frozen=True, slots=True)
class Plan:
    """What is to be copied.

    Attributes
    ----------
    sources
        What the user named.
    files
        Originals by path in the copy.
    links
        Targets of symbolic links by path in the copy.
    notes
        Files that are written beside: name and content.
    """

    sources: tuple[Source, ...]
    files: dict[str, str]
    links: dict[str, str]
    notes: dict[str, str]

    @classmethod
    def of(
        cls,
        names: Sequence[str],
        includes: Sequence[str],
        excludes: Sequence[str],
        log_commit: bool,
        skip: Sequence[str | os.PathLike[str]],
    ) -> Plan:
        """Looks for the names and what is in them; nothing is written."""
        plan = cls(tuple(find_sources(names)), {}, {}, {})
        skipped = {os.path.realpath(folder) for folder in skip}
        for source in plan.sources:
            found = 0
            for inner, path in _walk(source.path, includes, excludes, skipped):
                plan._add(os.path.normpath(os.path.join(source.target, inner)), path, source)
                found += 1
            if not found:
                raise InfraError(
                    f"workdir.copied has {source.name!r}, but no file in {source.path!r} is left by "
                    f"includes={tuple(includes)} and excludes={tuple(excludes)}"
                )
        places = [(source.target, source.path) for source in plan.sources]
        plan.notes[MANIFEST] = json.dumps({"sources": places}, indent=1, sort_keys=True)
        if log_commit:
            plan._note_commits(find_commits(plan.sources))
        return plan

    def _add(self, target: str, path: str, source: Source) -> None:
        other = self.files.setdefault(target, path)
        if other != path:
            raise InfraError(
                f"workdir.copied has two files that would both be copied to {target!r}: {other!r} and {path!r} (of "
                f"{source.name!r}); give relative paths, or leave one out"
            )
        if os.path.islink(path):
            self.links[target] = os.path.relpath(os.path.realpath(path), os.path.realpath(os.path.dirname(path)))

    def _note_commits(self, commits: dict[str, Commit]) -> None:
        for name, commit in commits.items():
            changed = ", with changes that are not in it" if commit.dirty else ""
            logger.info("%s is copied at commit %s of %s%s", name, commit.commit, commit.repository, changed)
        content = {name: dataclasses.asdict(commit) for name, commit in commits.items()}
        self.notes[COMMITS] = json.dumps(content, indent=1, sort_keys=True)

    def digest(self) -> str:
        """Names the content of all files as they are now."""
        return _digest({target: _hash_file(path) for target, path in self._regular()}, self)

    def copy_to(self, base: str) -> str:
        """The copy in the folder `base`: one that is there already, if it is whole, else a new one."""
        os.makedirs(base, exist_ok=True)
        final = self._place(base, self.digest())
        if os.path.isdir(final):
            return final
        aside = os.path.join(base, f".{os.urandom(8).hex()}")
        try:
            hashes = {target: _copy_file(path, os.path.join(aside, target)) for target, path in self._regular()}
            for target, to in self.links.items():
                os.makedirs(os.path.dirname(os.path.join(aside, target)), exist_ok=True)
                os.symlink(to, os.path.join(aside, target))
            for name, text in self.notes.items():
                with open(os.path.join(aside, name), "w", encoding="utf-8") as file:
                    file.write(text)
            self._warn_if_large(aside)
            # an original may have changed meanwhile: what counts is what was copied
            return self._publish(aside, base, _digest(hashes, self))
        finally:
            shutil.rmtree(aside, ignore_errors=True)

    def _publish(self, aside: str, base: str, digest: str) -> str:
        while not os.path.isdir(final := self._place(base, digest)):
            try:
                os.rename(aside, final)
            except OSError:
                if not os.path.isdir(final):  # else another process was first
                    raise
        return final

    def _place(self, base: str, digest: str) -> str:
        """The folder of a digest; one that was damaged since (files deleted or changed in size) is passed over."""
        folders = (os.path.join(base, digest + (f"-{number}" if number else "")) for number in itertools.count())
        return next(folder for folder in folders if not os.path.isdir(folder) or self._is_whole(folder))

    def _is_whole(self, folder: str) -> bool:
        try:
            sizes_differ = any(
                os.stat(os.path.join(folder, target)).st_size != os.stat(path).st_size
                for target, path in self._regular()
            )
            return not sizes_differ and all(
                os.path.lexists(os.path.join(folder, name)) for name in (*self.links, *self.notes)
            )
        except OSError:
            return False

    def _regular(self) -> Iterator[tuple[str, str]]:
        return ((target, path) for target, path in self.files.items() if target not in self.links)

    def _warn_if_large(self, folder: str) -> None:
        size = sum(os.stat(os.path.join(folder, target)).st_size for target, _ in self._regular())
        if size > _LARGE:
            logger.warning(
                "The copy of %s for jobs has %d files of %.1f GB: see workdir.includes and workdir.excludes",
                ", ".join(source.name for source in self.sources),
                len(self.files),
                size / 2**30,
            )


def _walk(root: str, includes: Sequence[str], excludes: Sequence[str], skip: set[str]) -> Iterator[tuple[str, str]]:
    """Files and links to copy of one source: path in it and absolute path. A file that is the source is always one."""
    if not os.path.isdir(root):
        yield "", root
        return
    for folder, folders, names in os.walk(root, onerror=_fail):
        inner = os.path.relpath(folder, root)
        links = [name for name in folders if os.path.islink(os.path.join(folder, name))]
        folders[:] = sorted(
            name
            for name in folders
            if name not in links
            and not _matches(name, inner, excludes)
            and os.path.realpath(os.path.join(folder, name)) not in skip
        )
        for name in sorted(names + links):
            path = os.path.join(folder, name)
            taken = name in links or _matches(name, inner, includes)
            if taken and not _matches(name, inner, excludes) and _is_copied(path, root):
                yield os.path.normpath(os.path.join(inner, name)), path


def _fail(error: OSError) -> None:
    raise error  # a folder that cannot be read would be left out silently


def _matches(name: str, folder: str, patterns: Sequence[str]) -> bool:
    path = os.path.normpath(os.path.join(folder, name))
    return any(fnmatch.fnmatchcase(path if "/" in pattern else name, pattern.rstrip("/")) for pattern in patterns)


def _is_copied(path: str, root: str) -> bool:
    """True for regular files and for links that stay in the root."""
    if os.path.islink(path):
        inside = os.path.realpath(path).startswith(os.path.join(root, ""))
        if not inside:
            logger.warning("%s is not copied: it is a symbolic link that leads out of %s", path, root)
        return inside
    return stat.S_ISREG(os.lstat(path).st_mode)  # no sockets and pipes


def _hash_file(path: str) -> str:
    with open(path, "rb") as file:
        return _drain(file, None)


def _copy_file(path: str, to: str) -> str:
    """Copies content and whether it may be executed; returns the hash of what was copied."""
    os.makedirs(os.path.dirname(to), exist_ok=True)
    with open(path, "rb") as file:
        mode = 0o777 if _is_executable(file) else 0o666  # the umask takes from it what others may not
        with open(os.open(to, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as out:
            return _drain(file, out)


def _drain(file: tp.BinaryIO, out: tp.BinaryIO | None) -> str:
    """The hash of a file, which is written to `out` on the way."""
    hashed = blake2b(digest_size=16)
    while block := file.read(_BLOCK):
        hashed.update(block)
        if out is not None:
            out.write(block)
    return f"{hashed.hexdigest()} {_is_executable(file)}"


def _is_executable(file: tp.BinaryIO) -> bool:
    return bool(os.fstat(file.fileno()).st_mode & stat.S_IXUSR)


def _digest(hashes: dict[str, str], plan: Plan) -> str:
    content = json.dumps([hashes, plan.links, plan.notes], sort_keys=True)
    return blake2b(content.encode("utf-8", "surrogatepass"), digest_size=10).hexdigest()
