"""Writes the stubs of a package or a module to a folder, or tells which are stale."""

from __future__ import annotations

import ast
import dataclasses
import types
from pathlib import Path

from cachedmodel.functions import ConfigFactory
from cachedmodel.model import CachedModel

from .functions import docstring_of
from .inputs import Inputs
from .modules import Found, StubError, find, source_of
from .source import Source
from .texts import Texts

_HEAD = "# Written by `cachedmodel stubs`"


@dataclasses.dataclass
class Report:
    """What was found out.

    Attributes
    ----------
    changed
        Stubs that were written or removed, or that are stale.
    fresh
        Stubs that are as they should be.
    notes
        What could not be typed, and where.
    """

    changed: list[Path] = dataclasses.field(default_factory=list)
    fresh: list[Path] = dataclasses.field(default_factory=list)
    notes: list[str] = dataclasses.field(default_factory=list)


def write(target: str, folder: Path) -> Report:
    """Writes the stubs of the modules of `target` that hold models below `folder`; removes those of modules that are gone.

    Parameters
    ----------
    target
        The name of a module or a package, or the path of a file or a folder.
    folder
        Where the stubs are; checkers find it by ``mypy_path`` or ``stubPath``.

    Raises
    ------
    StubError
        If nothing can be imported, or a file that this did not write would be lost.
    """
    return _each(target, folder, is_check=False)


def check(target: str, folder: Path) -> Report:
    """Tells which stubs `write` would change, and changes nothing."""
    return _each(target, folder, is_check=True)


def _each(target: str, folder: Path, is_check: bool) -> Report:
    found = find(target)
    report = Report(notes=[f"{name} was left out: it cannot be imported ({why})" for name, why in found.failed.items()])
    wanted = _wanted(found)
    if not wanted:
        raise StubError(f"{target} has no CachedModel, so there is no stub to write: inline types are all it needs")
    texts: dict[Path, str | None] = {}
    for module in wanted:
        path = _path(module, folder)
        _refuse_beside_source(path, module)
        texts[path] = _stub(module, report)
    texts.update(dict.fromkeys(_gone(found, folder, set(texts))))
    for path, text in texts.items():
        _settle(path, text, report, is_check)
    return report


def _settle(path: Path, text: str | None, report: Report, is_check: bool) -> None:
    """Writes a stub; None removes it."""
    there = path.read_text(encoding="utf-8") if path.exists() else None
    if there == text:
        report.fresh.append(path)
        return
    if there is not None and not there.startswith(_HEAD):
        raise StubError(f"{path} was written by somebody else: remove it, or choose another folder")
    report.changed.append(path)
    if is_check:
        return
    if text is None:
        path.unlink()
    else:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def _wanted(found: Found) -> list[types.ModuleType]:
    """The modules that hold models; of a package that holds some all, since checkers take the stubs of a package as a whole."""
    holders = {module.__name__ for module in found.modules if _holds_models(module)}
    packages = {name.partition(".")[0] + "." for name in holders if "." in name or _is_package(found, name)}
    return [
        module
        for module in found.modules
        if source_of(module) is not None
        and (module.__name__ in holders or f"{module.__name__}.".startswith(tuple(packages)))
    ]


def _is_package(found: Found, name: str) -> bool:
    return any(module.__name__ == name and hasattr(module, "__path__") for module in found.modules)


def _holds_models(module: types.ModuleType) -> bool:
    return any(
        isinstance(value, ConfigFactory)
        or (isinstance(value, type) and issubclass(value, CachedModel) and value.__module__ == module.__name__)
        for value in vars(module).values()
    )


def _path(module: types.ModuleType, folder: Path) -> Path:
    parts = module.__name__.split(".")
    if hasattr(module, "__path__"):
        return folder.joinpath(*parts, "__init__.pyi")
    return folder.joinpath(*parts[:-1], f"{parts[-1]}.pyi")


def _refuse_beside_source(path: Path, module: types.ModuleType) -> None:
    source = source_of(module)
    if source is not None and path.parent.resolve() == source.parent.resolve():
        raise StubError(
            f"{path} would lie beside its source, which checkers would no longer look at: give another folder with -o"
        )


def _gone(found: Found, folder: Path, kept: set[Path]) -> list[Path]:
    """Stubs of an earlier run in the packages that were searched, whose modules hold no models any more."""
    paths = [path for name in found.packages for path in sorted(folder.joinpath(*name.split(".")).rglob("*.pyi"))]
    unknown = {folder.joinpath(*name.split(".")) for name in found.failed}
    return [
        path
        for path in paths
        if path not in kept and _is_ours(path) and not unknown & {path.with_suffix(""), *path.parents}
    ]


def _is_ours(path: Path) -> bool:
    return path.read_text(encoding="utf-8").startswith(_HEAD)


def _stub(module: types.ModuleType, report: Report) -> str:
    source = source_of(module)
    assert source is not None
    texts = Texts(module)
    inputs = Inputs(texts, taken=vars(module))
    tree = ast.parse(source.read_text(encoding="utf-8"))
    body = Source(module, tree, texts, inputs).text()
    head = f"{_HEAD}: change {module.__name__} instead, and run it again.\n"
    doc = ast.unparse(ast.Module(docstring_of(tree.body), []))
    report.notes += texts.notes
    parts = [head + doc, texts.import_lines(), body, *inputs.dicts.values()]
    return "\n".join(part.rstrip() + "\n" for part in parts if part)
