"""What the names in `WorkDir.copied` mean: files, folders, local modules and editable packages."""

from __future__ import annotations

import dataclasses
import importlib.machinery
import importlib.metadata
import importlib.util
import json
import os
import re
import site
import sysconfig
import urllib.parse
import urllib.request
from collections.abc import Iterator, Sequence

from cachedmodel.errors import InfraError


@dataclasses.dataclass(frozen=True, slots=True)
class Source:
    """One file or folder to copy.

    Attributes
    ----------
    name
        As the user called it.
    path
        Absolute, without symbolic links.
    target
        Its path in the copy; "." for the copy itself.
    """

    name: str
    path: str
    target: str


def find_sources(names: Sequence[str]) -> list[Source]:
    """What each name means: a path that exists, else a module or package, else an editable distribution."""
    return [source for name in names for source in _find(name)]


def _find(name: str) -> list[Source]:
    path = os.path.expanduser(name)
    if os.path.exists(path):
        return [Source(name, os.path.realpath(path), _target(path))]
    found = _find_module(name) if all(part.isidentifier() for part in name.split(".")) else []
    if not found and os.sep not in name:
        found = [
            source
            for module in _editable_modules(name)
            for source in _find_module(module)
            if _is_in_folder(source.path)
        ]
    if not found:
        raise InfraError(
            f"workdir.copied has {name!r}, which is no file or folder (there is no {os.path.abspath(path)!r}), no "
            "module or package that can be imported, and no distribution installed in editable mode: correct the name"
        )
    for source in found:
        if not _is_in_folder(source.path):
            raise InfraError(
                f"workdir.copied has {name!r}, which is installed in {source.path!r}, not editable: jobs import the "
                "same, so leave it out; to copy it all the same, give its path"
            )
    return [dataclasses.replace(source, name=name) for source in found]


def _target(path: str) -> str:
    normal = os.path.normpath(path)
    outside = os.path.isabs(normal) or normal.split(os.sep)[0] == os.pardir
    return os.path.basename(os.path.realpath(normal) if normal.endswith(os.pardir) else normal) if outside else normal


def _find_module(name: str) -> list[Source]:
    """Where a module lies; of a module in a package too, without importing the package. Empty if it is not found."""
    top, *inner = name.split(".")
    try:
        spec = importlib.util.find_spec(top)
    except ValueError:  # __main__, or one without a spec
        return []
    if spec is None:
        return []
    for part in inner:
        if spec is None or spec.submodule_search_locations is None:
            return []
        spec = importlib.machinery.PathFinder.find_spec(part, list(spec.submodule_search_locations))
    return [] if spec is None else list(_places(name, spec))


def _places(name: str, spec: importlib.machinery.ModuleSpec) -> Iterator[Source]:
    parent, _, last = name.replace(".", os.sep).rpartition(os.sep)
    if spec.submodule_search_locations is not None:
        for folder in spec.submodule_search_locations:
            if os.path.isdir(folder):  # finders of editable namespace packages list other things too
                yield Source(name, os.path.realpath(folder), os.path.join(parent, last))
    elif spec.has_location and spec.origin is not None:
        yield Source(name, os.path.realpath(spec.origin), os.path.join(parent, os.path.basename(spec.origin)))
    else:
        yield Source(name, f"the interpreter ({spec.origin})", name)


def _is_in_folder(path: str) -> bool:
    """False for what is installed as a copy: every job has that."""
    installed = [sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    installed += [*site.getsitepackages(), site.getusersitepackages()]
    folders = {os.path.join(os.path.realpath(folder), "") for folder in installed}
    return os.path.isabs(path) and not path.startswith(tuple(folders))


def _editable_modules(name: str) -> list[str]:
    """The modules that a distribution installed in editable mode provides; empty for any other."""
    try:
        distribution = importlib.metadata.distribution(name)
    except (importlib.metadata.PackageNotFoundError, ValueError):
        return []
    origin = json.loads(distribution.read_text("direct_url.json") or "{}")
    if not origin.get("dir_info", {}).get("editable"):
        return []
    listed = (distribution.read_text("top_level.txt") or "").split()  # setuptools alone lists them
    return listed or _modules_in(urllib.request.url2pathname(urllib.parse.urlsplit(origin["url"]).path), name)


def _modules_in(project: str, name: str) -> list[str]:
    """What is at the top of a project or in its ``src``: the package of its name, else all packages, else modules."""
    root = os.path.join(project, "src") if os.path.isdir(os.path.join(project, "src")) else project
    entries = sorted(os.scandir(root), key=lambda entry: entry.name)
    packages = [entry.name for entry in entries if os.path.isfile(os.path.join(entry.path, "__init__.py"))]
    modules = [entry.name[:-3] for entry in entries if re.fullmatch(r"[A-Za-z_]\w*\.py", entry.name)]
    own = re.sub("[-.]", "_", name)
    if own in packages:
        return [own]
    return packages or [module for module in modules if module not in ("setup", "conftest")]
