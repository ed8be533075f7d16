"""How a job imports the copy instead of the original."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import typing as tp
from pathlib import Path

import cloudpickle
import pytest

from cachedmodel.executors import get_executor
from cachedmodel.workdir import InWorkDir, WorkDir, activate

INSTALLS = ("path", "sys.path of a script", "pth", "finder at the end", "finder at the start")

FINDER = """
import importlib.util, os, sys
class Finder:
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        file = os.path.join({root!r}, *name.split("."), "__init__.py")
        if os.path.exists(file):
            return importlib.util.spec_from_file_location(name, file)
sys.meta_path.insert({place}, Finder)
"""


class Project(tp.NamedTuple):
    """A package in a folder of its own, and how interpreters come to import it."""

    root: Path
    site: Path
    environ: dict[str, str]

    def python(self, code: str) -> str:
        """What a fresh interpreter prints, which has the package installed."""
        start = f"import site; site.addsitedir({str(self.site)!r})\n"
        command = [sys.executable, "-c", start + textwrap.dedent(code)]
        environ = {**os.environ, **self.environ}
        done = subprocess.run(command, cwd=self.root.parent.parent, env=environ, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def edit(self, text: str) -> None:
        """The next version of the code."""
        # of another length: within a second, that is how Python knows that what it compiled is out of date
        (self.root / "wd_pkg/core.py").write_text(f"{text}# edited\n")


@pytest.fixture(params=INSTALLS)
def project(request: pytest.FixtureRequest, tmp_path: Path) -> Project:
    """A package, installed in one of the ways there are."""
    root, site = tmp_path / "project/src", tmp_path / "site"
    (root / "wd_pkg/sub").mkdir(parents=True)
    site.mkdir()
    (root / "wd_pkg/__init__.py").write_text("")
    (root / "wd_pkg/sub/__init__.py").write_text("from wd_pkg.core import value\n")
    (root / "wd_pkg/core.py").write_text("def value(): return 'copied'\n")
    environ = {}
    if request.param == "path":
        environ["PYTHONPATH"] = str(root)
    elif request.param == "pth":
        (site / "wd.pth").write_text(f"{root}\n")
    elif request.param == "sys.path of a script":
        (site / "wd.pth").write_text(f"import sys; sys.path.insert(0, {str(root)!r})\n")
    else:
        place = "0" if request.param.endswith("start") else "len(sys.meta_path)"
        (site / "wd_finder.py").write_text(FINDER.format(root=str(root), place=place))
        (site / "wd.pth").write_text("import wd_finder\n")
    return Project(root, site, environ)


SEND = """
    import cloudpickle, sys
    from cachedmodel.workdir import InWorkDir, WorkDir
    from wd_pkg.sub import value
    copy = WorkDir(copied={name!r}).prepare({base!r})
    with open({job!r}, "wb") as file:
        cloudpickle.dump(InWorkDir(str(copy), lambda: print(value())), file)
    print(copy)
"""
RUN = "import pickle; pickle.load(open({job!r}, 'rb'))()"


@pytest.mark.parametrize("name", ["wd_pkg", "project/src", "project"])
def test_a_job_runs_the_code_of_its_submission(project: Project, tmp_path: Path, name: str) -> None:
    """However the package is installed and named: the job runs the copy after the original was edited or deleted."""
    job = str(tmp_path / "job.pkl")
    project.python(SEND.format(name=name, base=str(tmp_path / "code"), job=job))
    project.edit("def value(): return 'edited'\n")

    assert project.python("from wd_pkg.core import value; print(value())") == "edited"
    assert project.python(RUN.format(job=job)) == "copied"


def test_a_job_runs_where_the_original_is_gone(project: Project, tmp_path: Path) -> None:
    """The copy of a package is enough."""
    job = str(tmp_path / "job.pkl")
    project.python(SEND.format(name="wd_pkg", base=str(tmp_path / "code"), job=job))
    os.rename(project.root, tmp_path / "moved")

    assert project.python(RUN.format(job=job)) == "copied"


def test_child_processes_and_the_working_directory(project: Project, tmp_path: Path) -> None:
    """Processes that a job starts import the copy too; the job starts in the copy."""
    copy = project.python(SEND.format(name="wd_pkg", base=str(tmp_path / "code"), job=str(tmp_path / "job")))
    project.edit("def value(): return 'edited'\n")
    code = f"""
        import os, subprocess, sys
        from cachedmodel.workdir import activate
        with activate({copy!r}):
            assert os.getcwd() == {copy!r}
            run = "from wd_pkg.core import value; print(value())"
            print(subprocess.run([sys.executable, "-c", run], capture_output=True, text=True, check=True).stdout)
    """

    assert project.python(code) == "copied"


def test_outside_all_is_as_before(project: Project, tmp_path: Path) -> None:
    """Modules that were imported already are the copy's within, and the very same objects afterwards."""
    copy = project.python(SEND.format(name="wd_pkg", base=str(tmp_path / "code"), job=str(tmp_path / "job")))
    project.edit("def value(): return 'edited'\n")
    code = f"""
        import os, sys
        from cachedmodel.workdir import activate
        import wd_pkg.sub as before
        state = lambda: (os.getcwd(), sys.path[:], sys.meta_path[:], os.environ.copy(), set(sys.modules))
        was = state()
        try:
            with activate({copy!r}) as folder:
                assert str(folder) == {copy!r}
                import wd_pkg.sub
                print(before.value(), wd_pkg.sub.value(), wd_pkg.sub.__file__.startswith({copy!r}))
                raise KeyError
        except KeyError:
            pass
        now = state()
        assert now[:4] == was[:4], (was, now)
        import wd_pkg.sub
        print(wd_pkg.sub is before, before.value())
    """

    assert project.python(code).split() == ["edited", "copied", "True", "True", "edited"]


def test_local_modules_beside_a_script(tmp_path: Path) -> None:
    """What a script imports from its own folder comes from the copy of that folder."""
    scripts = tmp_path / "scripts"
    scripts.mkdir()
    (scripts / "wd_helper.py").write_text("VALUE = 'copied'\n")
    (scripts / "train.py").write_text("import wd_helper\nimport os, sys\n" + textwrap.dedent(SEND).replace(
        "from wd_pkg.sub import value", "def value():\n    import wd_helper\n    return wd_helper.VALUE"
    ).format(name="scripts", base=str(tmp_path / "code"), job=str(tmp_path / "job.pkl")))  # fmt: skip
    subprocess.run([sys.executable, "scripts/train.py"], cwd=tmp_path, check=True)
    (scripts / "wd_helper.py").write_text("VALUE = 'edited'\n")
    run = f"import sys; sys.path.insert(0, {str(scripts)!r}); " + RUN.format(job=str(tmp_path / "job.pkl"))
    out = subprocess.run([sys.executable, "-c", run], cwd=tmp_path, check=True, capture_output=True, text=True)

    assert out.stdout.strip() == "copied"


def test_the_call_is_loaded_within_the_copy(tmp_path: Path) -> None:
    """What a job is sent is unpickled only when the copy is what is imported; it may be sent on unopened."""
    (tmp_path / "train.py").write_text("")
    copy = WorkDir(copied=[tmp_path / "train.py"]).prepare(tmp_path / "code")
    script = tmp_path / "job.py"
    script.write_text(
        "import os, pickle, sys\n"
        "job = pickle.load(open(sys.argv[1], 'rb'))\n"
        "print('arrived', flush=True)\n"
        "pickle.loads(pickle.dumps(job))()\n"
    )
    with open(tmp_path / "job.pkl", "wb") as file:
        cloudpickle.dump(InWorkDir(str(copy), _Printed()), file)
    command = [sys.executable, str(script), str(tmp_path / "job.pkl")]
    out = subprocess.run(command, check=True, capture_output=True, text=True)

    assert out.stdout.splitlines() == ["arrived", f"loaded in {copy}"]


class _Printed:
    """A call that prints where it is unpickled."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return eval, ("(print('loaded in', __import__('os').getcwd()), lambda: None)[1]",)

    def __call__(self) -> None:
        raise AssertionError("not here")


def test_errors_of_copied_classes_come_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Through the queue of local jobs: an error whose class is in the copy arrives as its own type."""
    (tmp_path / "wd_errors.py").write_text("class Wrong(Exception): pass\ndef fail(): raise Wrong(__file__)\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    import wd_errors  # type: ignore[import-not-found]  # made above

    copy = WorkDir(copied="wd_errors").prepare("code")
    (tmp_path / "wd_errors.py").write_text("def fail(): print('edited')\n")
    (handle,) = get_executor("local", folder=str(tmp_path / "logs")).submit([InWorkDir(str(copy), wd_errors.fail)])

    assert handle.wait(60)
    error = handle.error()
    assert type(error) is wd_errors.Wrong, error
    assert str(error) == str(copy / "wd_errors.py")
    assert tp.cast(object, sys.modules.pop("wd_errors")) is wd_errors


def test_two_copies_within_each_other(tmp_path: Path) -> None:
    """The inner one counts, and after it the outer one again."""
    (tmp_path / "wd_twice.py").write_text("VALUE = 1\n")
    code = """
        import os, sys
        from pathlib import Path
        from cachedmodel.workdir import WorkDir, activate
        sys.path.insert(0, os.getcwd())
        seen = []
        def look():
            import wd_twice
            seen.append(wd_twice.VALUE)
        one = WorkDir(copied="wd_twice", folder="code").prepare("")
        Path("wd_twice.py").write_text("VALUE = 22\\n")
        two = WorkDir(copied="wd_twice", folder="code").prepare("")
        Path("wd_twice.py").write_text("VALUE = 333\\n")
        look()
        with activate(one):
            look()
            with activate(two):
                look()
                with activate(two):
                    import wd_twice
                assert wd_twice is sys.modules["wd_twice"]
            look()
        look()
        print(seen)
    """
    out = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], cwd=tmp_path, capture_output=True, text=True, check=True
    )

    assert out.stdout.strip() == "[333, 1, 22, 1, 333]"


def test_a_copy_that_is_none_is_an_error(tmp_path: Path) -> None:
    """A folder that was cleaned away says which file is missing, and nothing has changed."""
    before = (os.getcwd(), list(sys.path), list(sys.meta_path))
    with pytest.raises(FileNotFoundError, match=r"gone/\.workdir\.json"), activate(tmp_path / "gone"):
        pass

    assert (os.getcwd(), sys.path, sys.meta_path) == before
