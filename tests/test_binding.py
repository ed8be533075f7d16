"""The folder of a configuration, through real files: when it is made, what is in it, and what becomes of it."""

from __future__ import annotations

import logging
import os
import shutil
import stat
import subprocess
import sys
import tempfile
import textwrap
import typing as tp
from pathlib import Path

import pytest
import yaml

import cachedmodel as cm
from tests.experiment import EVERY, QUICK, Experiment, experiment, note, notes


def tree(folder: Path) -> set[str]:
    """Names of what people see in a folder."""
    return {path.name for path in folder.iterdir() if not path.name.startswith(".")}


@pytest.mark.parametrize("cluster", EVERY)
def test_the_folder_explains_itself(cluster: str | None, tmp_path: Path) -> None:
    """Three files: all fields, those of the uid, and what differs from the defaults; links to logs where there are some."""
    xp = experiment(tmp_path, cluster, n=3)
    xp.double()
    folder = Path(xp.double.uid_folder() or "")

    assert folder.parent == tmp_path / "cache" / "tests.experiment.Experiment.double,1"
    assert folder.name.startswith("n=3-")
    links = {"submitit", "job.json"} if cluster == "local" else set()
    assert tree(folder) == {"config.yaml", "full-uid.yaml", "uid.yaml", "entry"} | links
    whole = yaml.safe_load((folder / "config.yaml").read_text())
    assert (whole["n"], whole["act"], whole["place"]) == (3, "", str(tmp_path))
    counted = yaml.safe_load((folder / "full-uid.yaml").read_text())
    assert (counted["n"], counted["act"], "place" in counted) == (3, "", False)
    assert yaml.safe_load((folder / "uid.yaml").read_text()) == {"n": 3}
    if cluster == "local":
        assert not os.path.isabs(os.readlink(folder / "submitit"))
        assert any((folder / "submitit").glob("*_log.out"))


@pytest.mark.slow
def test_a_copy_of_the_code_is_linked(tmp_path: Path) -> None:
    """By a relative link beside the entry; the job runs in it."""
    (tmp_path / "extra.txt").write_text("copied")
    xp = Located(
        infra={"folder": tmp_path / "cache", "cluster": "local", "workdir": {"copied": [tmp_path / "extra.txt"]}}
    )
    where = xp.where()
    link = Path(xp.where.uid_folder() or "") / "code"

    assert not os.path.isabs(os.readlink(link))
    assert (link / "extra.txt").read_text() == "copied"
    assert os.path.samefile(where, link)


class Located(cm.CachedModel):
    @cm.task
    def where(self) -> str:
        return os.getcwd()


def test_nothing_is_made_before_something_is_computed(tmp_path: Path) -> None:
    """Not by questions, reads of what is not there, or making an iterator."""
    xp = experiment(tmp_path)
    xp.double.uid()
    assert xp.double.status() == "not submitted"
    assert not xp.double.is_cached()
    assert xp.double.uid_folder() == xp.infra.uid_folder(method="double")
    assert list(xp.double.iter_cached()) == []
    assert xp.doubles.plan([1]).missing == [1]
    assert list(xp.doubles.cache) == []
    assert xp.double.config()["n"] == 1
    xp.doubles([1])
    xp.double.clear()
    xp.doubles.clear()
    assert not (tmp_path / "cache").exists()

    assert Path(xp.double.uid_folder(create=True) or "").is_dir()
    assert tree(Path(xp.double.uid_folder() or "")) == {"config.yaml", "full-uid.yaml", "uid.yaml"}


def test_the_default_configuration_has_a_name(tmp_path: Path) -> None:
    """Where nothing differs."""
    xp = experiment(tmp_path)
    assert xp.double.uid() == "default"
    assert yaml.safe_load(xp.double.config(exclude_defaults=True).to_yaml()) in ({}, None)


def test_cached_models_are_found_again(tmp_path: Path) -> None:
    """With their fields, and the settings of who asks."""
    for n in (2, 3):
        experiment(tmp_path, n=n).double()
    experiment(tmp_path, n=4).double.uid_folder(create=True)
    found = list(experiment(tmp_path).double.iter_cached())
    assert sorted(model.n for model in found if isinstance(model, Experiment)) == [2, 3]
    notes(tmp_path)
    assert sorted(tp.cast(int, tp.cast(Experiment, model).double()) for model in found) == [4, 6]
    assert notes(tmp_path) == []


@pytest.mark.parametrize("cluster", QUICK)
def test_permissions_are_those_that_are_asked_for(cluster: str | None, tmp_path: Path) -> None:
    """On whatever is made."""
    xp = experiment(tmp_path, cluster, permissions=0o770)
    xp.double()
    list(xp.doubles([1]))
    for bound in (xp.double, xp.doubles):
        folder = Path(bound.uid_folder() or "")
        assert stat.S_IMODE(folder.stat().st_mode) == 0o770
        assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir() if path.is_file()} <= {0o660, 0o640}


# -- defaults and changes -------------------------------------------------------------------------------------------------


def version_of_code(tmp_path: Path, fields: str, call: str) -> str:
    """What a script prints whose model has these fields."""
    (tmp_path / "net.py").write_text(
        textwrap.dedent(f"""
        import cachedmodel as cm
        class Nested(cm.CachedModel):
            depth: int = 1
        class Net(cm.CachedModel):
            {fields}
            @cm.task
            def train(self) -> str:
                print("computes", end=" ")
                return repr({{name: getattr(self, name) for name in type(self).model_fields if name != "infra"}})
        net = lambda **kwargs: Net(infra={{"folder": "cache"}}, **kwargs)
        print({call})
        """)
    )
    run = subprocess.run(
        [sys.executable, "-W", "error", "net.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.stderr == ""
    return run.stdout


def test_an_added_field_keeps_the_cache(tmp_path: Path) -> None:
    """At its default it is as if it had been there."""
    assert version_of_code(tmp_path, "width: int = 8", "net(width=9).train()").startswith("computes")
    again = version_of_code(tmp_path, "width: int = 8; lr: float = 0.1", "net(width=9).train()")
    assert again == "{'width': 9}\n"
    other = version_of_code(tmp_path, "width: int = 8; lr: float = 0.1", "net(width=9, lr=0.2).train()")
    assert other == "computes {'width': 9, 'lr': 0.2}\n"


def test_a_changed_default_is_another_configuration(tmp_path: Path) -> None:
    """Neither is an old entry served for a new meaning, nor is one lost."""
    assert version_of_code(tmp_path, "width: int = 8", "net().train()") == "computes {'width': 8}\n"
    assert version_of_code(tmp_path, "width: int = 16", "net().train()") == "computes {'width': 16}\n"
    assert version_of_code(tmp_path, "width: int = 16", "net(width=8).train()") == "{'width': 8}\n"
    assert version_of_code(tmp_path, "width: int = 16", "net().train()") == "{'width': 16}\n"
    assert version_of_code(tmp_path, "width: int = 8", "net(width=16).train()") == "{'width': 16}\n"


class Mutable(cm.CachedModel):
    place: tp.Annotated[Path, cm.NotInUid]
    values: list[int]
    changes: tp.Annotated[bool, cm.NotInUid] = False

    @cm.task
    def total(self) -> int:
        note(self.place, "total")
        total = sum(self.values)
        if self.changes:
            self.values.append(100)
        return total


@pytest.mark.parametrize("keep_in_ram", [True, False])
def test_a_model_that_changed_in_place_is_refused(keep_in_ram: bool, tmp_path: Path) -> None:
    """Before anything is computed or served for it."""
    xp = Mutable(place=tmp_path, values=[1, 2], infra={"folder": tmp_path / "cache", "keep_in_ram": keep_in_ram})
    assert xp.total() == 3
    xp.values.append(3)
    for ask in (xp.total, xp.total.uid, xp.total.job):
        with pytest.raises(cm.UidError, match=r"changed in place .*clone_obj"):
            ask()
    assert xp.infra.clone_obj().total() == 6
    assert notes(tmp_path) == ["total", "total"]


@pytest.mark.parametrize("cluster", [None, "threadpool"])
def test_a_method_that_changes_its_model_is_told(cluster: str | None, tmp_path: Path) -> None:
    """Its result is stored under the uid that was claimed."""
    infra: cm.InfraDict = {"folder": tmp_path / "cache", "cluster": cluster}
    xp = Mutable(place=tmp_path, values=[1, 2], changes=True, infra=infra)
    with pytest.warns(RuntimeWarning, match="changed its own configuration while it ran"):
        assert xp.total() == 3
    assert Mutable(place=tmp_path, values=[1, 2], infra=infra).total() == 3
    assert notes(tmp_path) == ["total"]


# -- where nothing can be written ------------------------------------------------------------------------------------------

AS_NOBODY = """
import os, sys, tempfile, warnings
from pathlib import Path
import tests.experiment
from tests.experiment import experiment
with tempfile.TemporaryDirectory() as folder:  # imports all that the user may not read
    for cluster in (None, "threadpool"):
        xp = experiment(Path(folder), cluster)
        xp.infra.clone_obj(n=len(str(cluster))).double(), list(xp.doubles([1, 2]))
os.setuid(65534)
tests.experiment.note = lambda place, text: print("computes", text)
warnings.simplefilter("always")
def shown(message, *args, **kwargs): print("warning:", message)
warnings.showwarning = shown
place = Path(sys.argv[1])
xp = experiment(place, {cluster})
{code}
"""


def as_nobody(place: Path, code: str, cluster: str = "None") -> list[str]:
    """What a user prints who may read everything below `place`, and write nothing."""
    subprocess.run(["chmod", "-R", "a+rX,go-w", str(place)], check=True)
    run = subprocess.run(
        [sys.executable, "-c", AS_NOBODY.format(code=code, cluster=cluster), str(place)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.stderr == ""
    return run.stdout.splitlines()


@pytest.fixture
def place() -> tp.Iterator[Path]:
    """A folder that other users can reach."""
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def test_a_reader_without_rights_reads(place: Path) -> None:
    """What is stored is served without a word, what is not is computed with one warning."""
    xp = experiment(place)
    xp.double()
    list(xp.doubles([1, 2]))

    lines = as_nobody(place, "print(xp.double(), *xp.doubles([2, 1]))")
    assert lines == ["2 4 2"]
    lines = as_nobody(place, "print(*xp.doubles([2, 5, 6])); print(*xp.doubles([5]))")
    assert [line for line in lines if not line.startswith("warning:")] == [
        "computes 5",
        "computes 6",
        "4 10 12",
        "computes 5",
        "10",
    ]
    (warning,) = [line for line in lines if line.startswith("warning:")]
    assert "results are computed without being stored" in warning
    assert "Permission denied" in warning


@pytest.mark.parametrize("cluster", ["None", "'threadpool'"])
def test_a_new_configuration_in_a_folder_of_others(cluster: str, place: Path) -> None:
    """Is computed, with one warning, and not stored."""
    experiment(place).double()
    lines = as_nobody(place, "xp = xp.infra.clone_obj(n=5); print(xp.double(), xp.double())", cluster)
    assert [line for line in lines if not line.startswith("warning:")] == ["computes double 5"] * 2 + ["10 10"]
    assert len(lines) == 4


def test_jobs_need_a_folder_they_can_write(place: Path) -> None:
    """A clear error, before anything is submitted."""
    experiment(place).double()
    code = (
        "import cachedmodel as cm\ntry: xp.infra.clone_obj(n=5).double()\nexcept cm.CacheError as error: print(error)"
    )
    (line,) = as_nobody(place, code, "'local'")
    assert "nothing can be stored in" in line
    assert "choose another infra.folder" in line


FULL_DISK = """
import resource, signal, sys, warnings
from pathlib import Path
import cachedmodel as cm
from tests.experiment import Experiment
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
class Big(cm.CachedModel):
    @cm.task
    def bytes(self) -> bytes:
        return bytes(1 << 20)
    @cm.map(item_uid=str)
    def many(self, items: list[int]):
        for item in items:
            yield bytes(1 << 16)
xp = Big(infra={"folder": sys.argv[1]})
xp.bytes.uid_folder(create=True); xp.many.uid_folder(create=True)
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 18, resource.RLIM_INFINITY))
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    print(len(xp.bytes()), sum(map(len, xp.many(range(10)))))
    for warning in caught:
        print(warning.message)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
plan = xp.many.plan(range(10))
print(len(plan.cached) > 0, len(plan.missing) > 0, xp.bytes.status())
warnings.simplefilter("error")
print(len(xp.bytes()), sum(map(len, xp.many(range(10)))), xp.bytes.status(), len(xp.many.plan(range(10)).cached))
"""


def test_a_full_disk_loses_nothing(tmp_path: Path) -> None:
    """The values are given, a warning names the error, and when there is room the rest is computed and stored."""
    run = subprocess.run([sys.executable, "-c", FULL_DISK, str(tmp_path)], capture_output=True, text=True, check=False)
    assert run.stderr == ""
    lines = run.stdout.splitlines()
    assert lines[0] == f"{1 << 20} {10 << 16}"
    assert ["cannot be stored" in line and "File too large" in line for line in lines[1:-2]] == [True, True]
    assert lines[-2] == "True True not submitted"
    assert lines[-1] == f"{1 << 20} {10 << 16} completed 10"


def test_hits_are_silent(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """No log line, no file, no change of a folder."""
    experiment(tmp_path).double()
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").rglob("*")}
    caplog.set_level(logging.DEBUG, "cachedmodel")
    assert experiment(tmp_path).double() == 2
    assert caplog.records == []
    after = {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").rglob("*")}
    assert {path for path in after if before.get(path) != after[path] and ".lives" not in str(path)} == set()


def test_long_names_of_methods_stay_apart(tmp_path: Path) -> None:
    """A name that no folder could hold is cut, and its hash tells it from others that begin the same."""
    name = "a" * 240

    def made(suffix: str, value: int) -> tp.Any:
        def method(self: cm.CachedModel) -> int:
            return value

        method.__name__ = name + suffix
        meta: tp.Any = type(cm.CachedModel)
        return meta("Long", (cm.CachedModel,), {"__module__": __name__, name + suffix: cm.task(method)})

    results = []
    for suffix, value in (("x", 1), ("y", 2)):
        model = made(suffix, value)(infra={"folder": tmp_path, "version": "v" * 64})
        results.append(getattr(model, name + suffix)())

    assert results == [1, 2]
    folders = [path.name for path in tmp_path.iterdir() if not path.name.startswith(".")]
    assert len(folders) == 2
    assert all(len(folder) <= 255 for folder in folders)
