"""The layers of the package: imports point down, and importing the package is light and quick."""

from __future__ import annotations

import ast
import graphlib
import os
import subprocess
import sys
import typing as tp
from pathlib import Path

import pytest

SRC = Path(__file__).parents[1] / "src"
PACKAGE = SRC / "cachedmodel"

# Top to bottom. A name stands for the module, or for the package and all that is in it; "" is cachedmodel/__init__.py.
# Those of one row may import each other, as long as that makes no cycle.
LAYERS = (
    ("cli", "commands", "stubs", "mypy_plugin"),
    ("",),
    ("functions",),
    ("model",),
    ("bound", "classbody"),
    ("methods",),
    ("boundmethods",),
    ("binding", "jobs"),
    ("stream",),
    ("engine",),
    ("starting",),
    ("computing", "known"),
    ("home", "work"),
    ("submission",),
    ("part", "waits", "chunk"),
    ("run", "chain"),
    ("outcomes",),
    ("cache", "resolution"),
    ("executors",),
    ("failure",),
    ("codecs",),
    ("clone", "config", "dropping", "forks", "naming", "progress", "provenance", "state"),
    (
        *("infra", "identity", "differing", "schema", "readable"),
        *("uid", "uidarrays", "containers", "atoms", "classpath"),
        *("confdict", "confkeys", "confplain", "confsimple", "confyaml", "workdir"),
    ),
    ("loaded", "mainmodule"),
    ("errors",),
)

_TYPES_ONLY = "names a type, for checkers only"
# (module, what it imports): why this import may point up.
ALLOWED: dict[tuple[str, str], str] = {
    ("binding", "methods"): _TYPES_ONLY,
    ("binding", "model"): _TYPES_ONLY,
    ("bound", "model"): _TYPES_ONLY,
    ("clone", "model"): _TYPES_ONLY,
    ("home", "methods"): _TYPES_ONLY,
    ("home", "model"): _TYPES_ONLY,
    ("infra", "bound"): _TYPES_ONLY,
    ("infra", "model"): _TYPES_ONLY,
    ("boundmethods", "methods"): _TYPES_ONLY,
    ("jobs", "boundmethods"): _TYPES_ONLY,
    ("methods", "model"): _TYPES_ONLY,
    ("state", "binding"): _TYPES_ONLY,
    ("state", "methods"): _TYPES_ONLY,
    ("state", "model"): _TYPES_ONLY,
    ("submission", "starting"): _TYPES_ONLY,
}

# Not needed to define a model; each costs a user of `import cachedmodel` tens of milliseconds.
HEAVY = ("asyncio", "loky", "numpy", "submitit", "subprocess", "tqdm", "yaml")

IMPORT_LIMIT = 1.6
"""Of the time that `from pydantic import BaseModel` takes."""


class Import(tp.NamedTuple):
    """One import inside the package; modules are named below `cachedmodel`, the package itself is ""."""

    module: str
    target: str
    line: int


def modules(package: Path) -> dict[str, Path]:
    """Each module of the package, by its dotted name."""
    names = {}
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(package).with_suffix("").parts
        names[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return names


def imports(package: Path) -> list[Import]:
    """Every import of one module of the package by another, wherever in the file it stands."""
    known = modules(package)
    found = set()
    for module, path in known.items():
        for node in ast.walk(ast.parse(path.read_text())):
            for target in _targets(node, module, path.name == "__init__.py", package.name):
                while target not in known:  # `from cachedmodel.infra import Infra`: the module is what counts
                    target = target.rpartition(".")[0]
                if target != module:
                    found.add(Import(module, target, tp.cast("ast.stmt", node).lineno))
    return sorted(found)


def _targets(node: ast.AST, module: str, is_package: bool, package: str) -> tp.Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name[len(package) + 1 :] for alias in node.names if alias.name.split(".")[0] == package)
    elif isinstance(node, ast.ImportFrom):
        base = node.module or ""
        if node.level:
            parents = [package, *module.split(".")] if module else [package]
            parents = parents[: len(parents) - node.level + is_package]
            base = ".".join([*parents, base] if base else parents)
        if base.split(".")[0] == package:
            yield from (f"{base}.{alias.name}"[len(package) + 1 :] for alias in node.names)


def layer(module: str) -> int:
    """Row of LAYERS, counted from the top; the lowest for a module that is not listed."""
    return next((row for row, names in enumerate(LAYERS) if module.split(".")[0] in names), len(LAYERS))


def upward(package: Path) -> list[Import]:
    """The imports that point up."""
    return [found for found in imports(package) if layer(found.target) < layer(found.module)]


def test_every_module_has_a_layer() -> None:
    """A new module must be given its place in LAYERS."""
    listed = {name for row in LAYERS for name in row}

    assert [module for module in modules(PACKAGE) if module.split(".")[0] not in listed] == []


def test_imports_point_down() -> None:
    """No module imports from a layer above its own, in functions and under TYPE_CHECKING neither."""
    found = [
        f"{path.module}:{path.line} imports {path.target or 'the whole package'}"
        for path in upward(PACKAGE)
        if path[:2] not in ALLOWED
    ]

    assert found == []


def test_allowed_imports_exist() -> None:
    """An exception that is no longer needed is taken from the list."""
    assert set(ALLOWED) - {path[:2] for path in upward(PACKAGE)} == set()


def test_imports_make_no_cycle() -> None:
    """Modules of one layer do not import each other in a circle."""
    graph: dict[str, set[str]] = {}
    for path in imports(PACKAGE):
        if path[:2] not in ALLOWED:
            graph.setdefault(path.module, set()).add(path.target)

    graphlib.TopologicalSorter(graph).prepare()


def test_only_the_cluster_executor_imports_submitit() -> None:
    """submitit stands behind one door, `executors/cluster*`, and can be replaced there."""
    users = {
        module
        for module, path in modules(PACKAGE).items()
        for node in ast.walk(ast.parse(path.read_text()))
        for name in _imported(node)
        if name.split(".")[0] == "submitit"
    }

    assert {module for module in users if not module.startswith("executors.cluster")} == set()


def _imported(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    return [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else []


@pytest.mark.parametrize(
    "line",
    [
        "import cachedmodel.high",
        "from cachedmodel import high",
        "from cachedmodel.high import name",
        "from .. import high",
        "from ..high import name",
        "def function() -> None:\n    from ..high import name",
        "if typing.TYPE_CHECKING:\n    import cachedmodel.high as other",
    ],
)
def test_each_way_to_import_is_seen(line: str, tmp_path: Path) -> None:
    """An import is found in whatever form it is written."""
    package = tmp_path / "cachedmodel"
    (package / "low").mkdir(parents=True)
    for name in ("__init__.py", "high.py", "low/__init__.py"):
        (package / name).touch()
    (package / "low" / "deep.py").write_text(line + "\n")

    assert [(found.module, found.target) for found in imports(package)] == [("low.deep", "high")]


def run(code: str) -> str:
    """What `code` prints in a fresh interpreter."""
    # what a user has: modules are compiled once, whatever the environment of the tests says
    env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, env=env).stdout


def test_import_is_light() -> None:
    """`import cachedmodel` imports none of the HEAVY modules."""
    code = "import sys; before = set(sys.modules); import cachedmodel; print(*(set(sys.modules) - before))"

    assert set(run(code).split()) & set(HEAVY) == set()


def test_import_is_quick() -> None:
    """`import cachedmodel` takes at most IMPORT_LIMIT times what pydantic alone takes.

    Other processes only ever add to a measurement, so the least of each is compared, and measured again while
    the ratio is above the limit.
    """
    code = "import time; start = time.process_time(); {}; print(time.process_time() - start)"
    ours, base = [], []
    for count in range(30):
        base.append(float(run(code.format("from pydantic import BaseModel"))))
        ours.append(float(run(code.format("import cachedmodel"))))
        if count >= 4 and min(ours) <= IMPORT_LIMIT * min(base):
            break

    assert min(ours) <= IMPORT_LIMIT * min(base)
