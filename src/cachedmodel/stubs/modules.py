"""Which modules are meant by a name or a path; they are imported, and nothing else of them is run."""

from __future__ import annotations

import contextlib
import importlib
import os
import pkgutil
import sys
import types
import typing as tp
from pathlib import Path


class StubError(Exception):
    """Stubs cannot be written; the message says why, and what to do."""


class Found(tp.NamedTuple):
    """The modules of a target.

    Attributes
    ----------
    modules
        Sorted by name, with the packages that they are in.
    failed
        Names of modules that could not be imported, with the reason.
    packages
        Packages whose modules are all among these.
    """

    modules: list[types.ModuleType]
    failed: dict[str, str]
    packages: list[str]


@contextlib.contextmanager
def importing(folder: Path) -> tp.Iterator[None]:
    """Imports from a folder first, and without writing compiled files beside the source."""
    before, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.dont_write_bytecode = before
        with contextlib.suppress(ValueError):
            sys.path.remove(str(folder))


def find(target: str) -> Found:
    """The modules of a target, sorted by name.

    Parameters
    ----------
    target
        The name of a module or a package, looked for in the current folder first, or the path of a file or a folder.
    """
    path = Path(target)
    if path.suffix == ".py" or os.sep in target:
        if not path.exists():
            raise StubError(f"there is no file {target!r}: give the path of a module, or its dotted name")
        return _of_path(path.resolve())
    with importing(Path.cwd()):
        return _walk(target)


def source_of(module: types.ModuleType) -> Path | None:
    """The file of a module; None if it has no source, as a namespace package."""
    file = getattr(module, "__file__", None)
    return Path(file) if file and file.endswith(".py") else None


def _of_path(path: Path) -> Found:
    names = [path.stem] if path.is_file() else [path.name]
    folder = path.parent
    if path.name == "__init__.py":
        return _of_path(path.parent)
    if path.is_dir() and not (path / "__init__.py").exists():  # scripts: each is a module of its own
        found = Found([], {}, [])
        for file in sorted(path.glob("*.py")):
            one = _of_path(file)
            found.modules.extend(one.modules)
            found.failed.update(one.failed)
        return found
    while (folder / "__init__.py").exists():
        names.insert(0, folder.name)
        folder = folder.parent
    with importing(folder):
        return _walk(".".join(names))


def _walk(name: str) -> Found:
    found = Found([], {}, [])
    top = _import(name, found)
    if top is None:
        raise StubError(
            f"{name} cannot be imported: {found.failed[name]}; run this where `python -c 'import {name}'` works"
        )
    if hasattr(top, "__path__"):
        found.packages.append(name)
    for entry in pkgutil.walk_packages(getattr(top, "__path__", ()), f"{name}.", onerror=lambda _: None):
        if entry.name.rpartition(".")[2] != "__main__":  # to import it is to run the program
            _import(entry.name, found)
    for parent in _parents(name):
        _import(parent, found)
    found.modules.sort(key=lambda module: module.__name__)
    return found


def _parents(name: str) -> list[str]:
    parts = name.split(".")
    return [".".join(parts[:length]) for length in range(1, len(parts))]


def _import(name: str, found: Found) -> types.ModuleType | None:
    try:
        module = importlib.import_module(name)
    except (Exception, SystemExit) as error:  # whatever the user's module does
        found.failed[name] = f"{type(error).__name__}: {error}"
        return None
    found.modules.append(module)
    return module
