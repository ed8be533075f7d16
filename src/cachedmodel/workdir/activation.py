"""The inside of a job that runs a copy of the user's code: its working directory and its imports."""

from __future__ import annotations

import contextlib
import importlib
import importlib.machinery
import importlib.util
import json
import os
import sys
import types
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from cachedmodel.mainmodule import by_value

MANIFEST = ".workdir.json"
"""In each copy: {"sources": [[path in the copy, original path], ...]}."""

_OWN = __name__.partition(".")[0]
_KEPT = (_OWN, "__main__", "__mp_main__")


@contextlib.contextmanager
def activate(folder: str | os.PathLike[str]) -> Iterator[Path]:
    """Within it, the copy that `WorkDir.prepare` made is the working directory, and imported instead of the originals.

    Modules that were imported from the originals are imported anew from the copy; afterwards everything is as before.
    Made for jobs: it changes the whole process, and threads that run meanwhile see it. Processes that are started
    within it import from the copy too.
    """
    activation = _Activation(os.path.abspath(folder))
    activation.enter()
    try:
        yield Path(activation.folder)
    finally:
        activation.leave()


class InWorkDir:
    """A callable that travels to a job, and is loaded and called there in a copy of the code.

    It stays active when the callable has ended, as the job ends too: an error of a class in the copy can be
    pickled only as long as that is what is imported.
    """

    def __init__(self, folder: str, call: Callable[[], object]) -> None:
        self._folder = folder
        self._call: Callable[[], object] | bytes = call

    def __getstate__(self) -> tuple[str, bytes]:
        # bytes of their own: to load them is to import the user's modules
        dumped: bytes = self._call if isinstance(self._call, bytes) else by_value().dumps(self._call)
        return self._folder, dumped

    def __setstate__(self, state: tuple[str, bytes]) -> None:
        self._folder, self._call = state

    def __call__(self) -> object:
        import pickle

        _Activation(self._folder).enter()
        call = pickle.loads(self._call) if isinstance(self._call, bytes) else self._call
        return call()


class _Activation:
    def __init__(self, folder: str) -> None:
        self.folder = folder
        self._copies = _Copies.read(folder)
        self._finder = _Finder(folder, self._copies)
        self._forgotten: dict[str, types.ModuleType] = {}
        self._kept: set[str] = set()

    def enter(self) -> None:
        self._before = (_cwd(), list(sys.path), os.environ.get("PYTHONPATH"))
        mapped = [self._copies.moved(entry) or entry for entry in sys.path]
        moved = [entry for entry in mapped if entry not in sys.path]
        inherited = [entry for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if entry]
        inherited = [self._copies.moved(entry) or entry for entry in inherited]
        os.chdir(self.folder)
        sys.path[:] = dict.fromkeys([self.folder, *mapped])
        os.environ["PYTHONPATH"] = os.pathsep.join(dict.fromkeys([self.folder, *moved, *inherited]))
        outer = {finder.folder for finder in sys.meta_path if isinstance(finder, _Finder)} - {self.folder}
        # before all others: finders of editable installs may be before sys.path
        sys.meta_path.insert(0, self._finder)
        for name, module in _loaded():
            file = _file(module)
            if self._copies.moved(file) or any(_is_below(file, folder) for folder in outer):
                self._forgotten[name] = module
            elif _is_below(file, self.folder):  # the same copy within itself
                self._kept.add(name)
        _forget(self._forgotten)

    def leave(self) -> None:
        folder, path, pythonpath = self._before
        with contextlib.suppress(ValueError):
            sys.meta_path.remove(self._finder)
        _forget({name for name, module in _loaded() if _is_below(_file(module), self.folder)} - self._kept)
        sys.modules.update(self._forgotten)
        sys.path[:] = path
        if pythonpath is None:
            os.environ.pop("PYTHONPATH", None)
        else:
            os.environ["PYTHONPATH"] = pythonpath
        if folder is not None:
            os.chdir(folder)


class _Copies:
    """Which original lies where in the copy."""

    def __init__(self, folder: str, sources: Sequence[tuple[str, str]]) -> None:
        self._folder = folder
        # the innermost first: a package may be copied beside the project that it lies in
        self._sources = sorted(sources, key=lambda source: -len(source[1]))

    @classmethod
    def read(cls, folder: str) -> _Copies:
        with open(os.path.join(folder, MANIFEST), encoding="utf-8") as file:
            return cls(folder, json.load(file)["sources"])

    def moved(self, path: str) -> str | None:
        """Where the copy of an original is; None if there is none."""
        if not path:
            return None
        real = os.path.realpath(path)
        for target, source in self._sources:
            if real == source or _is_below(real, source):
                copy = os.path.normpath(os.path.join(self._folder, target, os.path.relpath(real, source)))
                return copy if os.path.exists(copy) else None
        return None


class _Finder:
    """Asks the finders after it, and gives the copy of what they find, where there is one."""

    def __init__(self, folder: str, copies: _Copies) -> None:
        self.folder = folder
        self._copies = copies

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: types.ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if name.partition(".")[0] == _OWN:  # half of it is loaded already
            return None
        finders = list(sys.meta_path)
        later = finders[finders.index(self) + 1 :]  # those before had their turn
        found = (finder.find_spec(name, path, target) for finder in later if hasattr(finder, "find_spec"))
        spec = next((spec for spec in found if spec is not None), None)
        return None if spec is None else self._moved(spec)

    def _moved(self, spec: importlib.machinery.ModuleSpec) -> importlib.machinery.ModuleSpec:
        locations = spec.submodule_search_locations
        if locations is not None:
            locations = [self._copies.moved(folder) or folder for folder in locations]
        origin = self._copies.moved(spec.origin) if spec.has_location and spec.origin else None
        if origin is not None:
            moved = importlib.util.spec_from_file_location(spec.name, origin, submodule_search_locations=locations)
            return moved or spec
        if locations is not None and locations != list(spec.submodule_search_locations or ()):
            spec.submodule_search_locations = locations
        return spec


def _loaded() -> list[tuple[str, types.ModuleType]]:
    return [(name, module) for name, module in list(sys.modules.items()) if name.partition(".")[0] not in _KEPT]


def _file(module: types.ModuleType) -> str:
    path = getattr(module, "__file__", None)
    return path if isinstance(path, str) else ""


def _forget(names: Iterable[str]) -> None:
    for name in names:
        sys.modules.pop(name, None)
    importlib.invalidate_caches()


def _is_below(path: str, folder: str) -> bool:
    return path.startswith(os.path.join(folder, ""))


def _cwd() -> str | None:
    try:
        return os.getcwd()
    except OSError:  # removed since
        return None
