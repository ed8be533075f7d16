"""The names of classes and functions in folders: two never share one by accident, and one keeps it."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import typing as tp
from collections.abc import Callable
from pathlib import Path

import pydantic
import pytest

import cachedmodel as cm

T = tp.TypeVar("T")


class Named(cm.CachedModel):
    x: int = 1

    class Inner(cm.CachedModel):
        y: int = 1


class Pinned(cm.CachedModel, cache_name="a-name.of,its+own"):
    @cm.task
    def run(self) -> int:
        return 1


class Generic(cm.CachedModel, tp.Generic[T]):
    x: T

    @cm.task
    def run(self) -> T:
        return self.x


class PinnedGeneric(cm.CachedModel, tp.Generic[T], cache_name="pinned"):
    x: T


def local(factor: object, default: int = 1) -> type[cm.CachedModel]:
    """A class of a function, which closes over an argument."""

    class Local(cm.CachedModel):
        x: int = default

        @cm.task
        def run(self) -> object:
            return factor

    return Local


def outer(function: Callable[[], int]) -> type[cm.CachedModel]:
    """A class that closes over a function."""

    class Local(cm.CachedModel):
        @cm.task
        def run(self) -> int:
            return function()

    return Local


def test_classes_of_modules() -> None:
    """Module and qualified name."""
    assert Named.__cache_name__ == f"{__name__}:Named"
    assert Named.Inner.__cache_name__ == f"{__name__}:Named.Inner"


def test_pinned_names(tmp_path: Path) -> None:
    """``cache_name`` is the class's alone: a subclass has its own."""

    class Child(Pinned):
        pass

    xp = Pinned(infra={"folder": tmp_path})
    xp.run()

    assert Pinned.__cache_name__ == "a-name.of,its+own"
    assert (tmp_path / "a-name.of,its+own.run,0" / "default").is_dir()
    assert "Child" in Child.__cache_name__


def test_a_renamed_class_keeps_its_cache(tmp_path: Path) -> None:
    """With one ``cache_name`` a class of another name finds what was computed."""
    calls: list[str] = []

    class Before(cm.CachedModel, cache_name="kept"):
        x: int = 1

        @cm.task
        def run(self) -> int:
            calls.append("before")
            return self.x

    class After(cm.CachedModel, cache_name="kept"):
        x: int = 1

        @cm.task
        def run(self) -> int:
            calls.append("after")
            return self.x

    infra: cm.InfraDict = {"folder": tmp_path}

    assert Before(x=3, infra=infra).run() == After(x=3, infra=infra).run() == 3
    assert calls == ["before"]


def test_local_classes_differ_with_what_they_close_over() -> None:
    """The same source with the same closure has one name, anything else another."""
    names = [
        local(1).__cache_name__,
        local(2).__cache_name__,
        local("1").__cache_name__,
        local(1, default=2).__cache_name__,
        local([1, object]).__cache_name__,
        local(Named).__cache_name__,
        local(Pinned).__cache_name__,
        local(lambda: 1).__cache_name__,
        local(lambda: 2).__cache_name__,
        outer(lambda: 1).__cache_name__,
    ]

    assert len(set(names)) == len(names)
    assert local(1).__cache_name__ == names[0]
    assert names[0].startswith(f"{__name__}:local.Local-")


def test_functions_that_name_themselves() -> None:
    """A class that closes over a recursive function, or over itself, has a name."""

    def recursive(n: int) -> int:
        return recursive(n - 1) if n else 0

    class Node(cm.CachedModel):
        children: tuple[Node, ...] = ()

        @cm.task
        def run(self) -> int:
            return recursive(3) + len(Node.model_fields)

    Node.model_rebuild()

    assert Node(children=[{}]).run() == 2  # type: ignore[arg-type]
    assert Node().run.uid() == "default"


def test_created_models() -> None:
    """`create_model` gives names that differ with the fields and the base."""

    def made(base: type[cm.CachedModel] = Named, **fields: tp.Any) -> str:
        create: tp.Any = pydantic.create_model
        return tp.cast("str", create("Made", __base__=base, **fields).__cache_name__)

    names = [made(), made(y=(int, 1)), made(y=(int, 2)), made(y=(float, 1)), made(z=(int, 1)), made(Pinned)]

    assert len(set(names)) == len(names)
    assert made(y=(int, 1)) == names[1]


def test_generics() -> None:
    """Parameters are part of the name: two local classes of one name differ, and a pinned origin counts."""
    one, two = local(1), local(2)

    assert Generic[int].__cache_name__ != Generic[str].__cache_name__
    assert Generic[one].__cache_name__ != Generic[two].__cache_name__  # type: ignore[valid-type]
    assert PinnedGeneric[int].__cache_name__.startswith("pinned[")


def test_parameters_of_generics_have_folders(tmp_path: Path) -> None:
    """What two parameters of one generic class compute is kept apart."""
    infra: cm.InfraDict = {"folder": tmp_path}

    assert (Generic[int](x=1, infra=infra).run(), Generic[float](x=1, infra=infra).run()) == (1, 1.0)
    assert len([path for path in tmp_path.iterdir() if "Generic" in path.name]) == 2


@pytest.mark.parametrize("name", ["a/b", "", ".hidden", "a b", 12, "x" * 121, "a*"])
def test_wrong_names_are_refused(name: object) -> None:
    """A name that could not be a folder's is refused when the class is made."""
    with pytest.raises(cm.DefinitionError, match="names folders: use 1 to 120 letters"):
        pydantic.create_model("Wrong", __base__=cm.CachedModel, __cls_kwargs__={"cache_name": name})


# -- scripts and notebooks --------------------------------------------------------------------------------------------

SOURCE = """
import cachedmodel as cm

class Main(cm.CachedModel):
    x: int = 1
    @cm.task
    def run(self) -> int:
        return self.x + CONSTANT

@cm.with_infra()
def double(x: int) -> int:
    return 2 * x

print(Main.__cache_name__, double.config.model.__cache_name__)
"""


def names(*args: object, cwd: Path | None = None) -> list[str]:
    """What a fresh interpreter prints."""
    done = subprocess.run([sys.executable, *map(str, args)], capture_output=True, text=True, check=True, cwd=cwd)
    return done.stdout.split()


def test_scripts(tmp_path: Path) -> None:
    """Classes of a script carry its name and place: not its content, and the same from any directory."""
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "my script.py").write_text(SOURCE.replace("CONSTANT", "1"))
    first = names(tmp_path / "a" / "my script.py")
    (tmp_path / "a" / "my script.py").write_text(SOURCE.replace("CONSTANT", "2"))

    assert first[0].startswith("my_script-")
    assert first[0].endswith(":Main")
    assert first[1].endswith(":double")
    assert names("my script.py", cwd=tmp_path / "a") == first
    assert not set(names(tmp_path / "b" / "my script.py")) & set(first)


SPAWNING = """
import multiprocessing
import pydantic
import cachedmodel as cm

class Part(pydantic.BaseModel):
    size: int = 1

class Main(cm.CachedModel):
    part: object = None

    @cm.task
    def run(self) -> int:
        return 1

def uid(_: int) -> str:
    return str(Main(part=Part(size=2), infra={"folder": "cache"}).run.uid_folder())

if __name__ == "__main__":
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.map(uid, [1]) == [uid(1)]
    print(uid(1))
"""


def test_spawned_processes_know_a_script_by_its_name(tmp_path: Path) -> None:
    """Where multiprocessing runs a script again under another name, its classes have the folders of the script."""
    (tmp_path / "script.py").write_text(SPAWNING)

    done = subprocess.run([sys.executable, "script.py"], cwd=tmp_path, capture_output=True, text=True, timeout=60)

    assert done.returncode == 0, done.stderr
    assert "/script-" in done.stdout


def test_modules_run_as_scripts(tmp_path: Path) -> None:
    """``python -m package.module`` gives the names that importing it gives."""
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "__init__.py").touch()
    (tmp_path / "package" / "module.py").write_text(SOURCE.replace("CONSTANT", "1"))
    (tmp_path / "package" / "__main__.py").write_text(SOURCE.replace("CONSTANT", "1"))

    assert names("-m", "package.module", cwd=tmp_path) == ["package.module:Main", "package.module:double"]
    assert names("-c", "import package.module", cwd=tmp_path) == ["package.module:Main", "package.module:double"]
    assert names("-m", "package", cwd=tmp_path)[0] == "package.__main__:Main"


PROMPT = """
for text in ("1", "2", "2"):
    exec(compile(SOURCE.replace("CONSTANT", text), "<stdin>", "exec"))

import sys
sys.ps1 = ">>> "  # which a terminal has set
class Child(Main):
    y: int = 1

print(Child.__cache_name__)
"""


@pytest.mark.parametrize(
    "start",
    [
        ["-i", "script.py"],
        ["-m", "code", "-q"],
        pytest.param(
            ["-m", "_pyrepl"], marks=pytest.mark.skipif(sys.version_info < (3, 13), reason="since Python 3.13")
        ),
    ],
    ids=" ".join,
)
def test_prompts(start: list[str], tmp_path: Path) -> None:
    """A class that is typed anew is another one, also where `__main__` is a script or a module, and where it has another name."""
    (tmp_path / "script.py").write_text(SOURCE.replace("CONSTANT", "1"))
    done = subprocess.run(
        [sys.executable, *start],
        input=f"SOURCE = {SOURCE!r}\n{PROMPT}",
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    script = 2 * ("-i" in start)
    one, function, two, _, same, _, child = done.stdout.replace(">>> ", "").replace("... ", "").split()[script:]

    assert one != two == same
    module = "__console__" if "code" in start else "__main__"
    assert [name.rpartition("-")[0] for name in (one, function, child)] == [
        f"{module}:Main",
        f"{module}:double",
        f"{module}:Child",
    ]


def test_notebooks() -> None:
    """Cells that are run again unchanged give the same names, changed ones others; prompts have no source."""
    notebook = textwrap.dedent(
        """
        import linecache, sys

        def run_cell(number, text, with_source):  # as IPython does
            name = f"<ipython-input-{number}>"
            if with_source:
                linecache.cache[name] = (len(text), None, text.splitlines(True), name)
            exec(compile(text, name, "exec"), sys.modules["__main__"].__dict__)

        source = sys.argv[1]
        for with_source in (True, False):
            run_cell(1, source.replace("CONSTANT", "1"), with_source)
            run_cell(2, source.replace("CONSTANT", "1"), with_source)
            run_cell(3, source.replace("CONSTANT", "2").replace("2 * x", "(lambda: 3)() * x"), with_source)
        """
    )
    found = names("-c", notebook, SOURCE)

    for start in (0, 6):
        first, again, changed = (found[i : i + 2] for i in range(start, start + 6, 2))
        assert first == again
        assert not set(first) & set(changed)
        assert first[0].startswith("__main__:Main-")
