"""Classes of scripts, notebooks and functions, on every cluster; "auto"; and what becomes of it all in a forked child."""

from __future__ import annotations

import contextlib
import os
import pty
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import cachedmodel as cm
from cachedmodel.executors import resolve_cluster
from tests.experiment import QUICK, experiment, notes

EVERY = [*QUICK, pytest.param("local", marks=pytest.mark.slow)]

DEFINITION = """
import enum
import sys
import typing as tp
import cachedmodel as cm
HELP = 10
class OwnError(Exception):
    pass
class Kind(enum.Enum):
    SMALL = 1
class Report:
    def __init__(self, net):
        self.width, self.kind = net.width, Kind.SMALL
class Net(cm.CachedModel):
    width: int = 2
    @cm.task
    def report(self) -> Report:
        return Report(self)
    @cm.task
    def train(self) -> int:
        if self.width < 0:
            raise OwnError(self.width)
        return self.width * helper()
    @cm.map(item_uid=str)
    def embed(self, items: tp.Iterable[int]) -> tp.Iterator[int]:
        for item in items:
            yield item * self.width
def helper():
    return HELP
"""
USE = """
cluster = None if sys.argv[1] == "None" else sys.argv[1]
infra = {"folder": "cache", "cluster": cluster}
net = Net(width=3, infra=infra)
print(net.train(), *net.embed([1, 2]), net.train.status())
print(isinstance(net.report(), Report), net.report().kind is Kind.SMALL)
try:
    Net(width=-1, infra=infra).train()
except OwnError as error:
    print("OwnError", error)
"""
USE_BY_NAME = USE.replace(
    'OwnError as error:\n    print("OwnError"', "Exception as error:\n    print(type(error).__name__"
).replace(
    "isinstance(net.report(), Report), net.report().kind is Kind.SMALL",
    "type(net.report()).__name__, net.report().kind.name",
)
OUTPUT = "30 3 6 completed\nTrue True\nOwnError -1\n"


def run(folder: Path, *arguments: str) -> str:
    """What a program prints; twice, since the second time all comes from the cache."""
    outputs = []
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-W", "error", *arguments], cwd=folder, capture_output=True, text=True, check=False
        )
        assert done.stderr == ""
        outputs.append(done.stdout)
    assert outputs[0] == outputs[1]
    return outputs[0]


@pytest.mark.parametrize("cluster", EVERY)
def test_a_class_of_a_script(cluster: str | None, tmp_path: Path) -> None:
    """Of __main__, without any protection by its name."""
    (tmp_path / "script.py").write_text(DEFINITION + USE)
    assert run(tmp_path, "script.py", str(cluster)) == OUTPUT


@pytest.mark.parametrize("cluster", ["processpool", pytest.param("local", marks=pytest.mark.slow)])
def test_a_class_of_a_module_that_is_run(cluster: str, tmp_path: Path) -> None:
    """python -m package.module"""
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "__init__.py").touch()
    (tmp_path / "package" / "module.py").write_text(DEFINITION + USE)
    assert run(tmp_path, "-m", "package.module", cluster) == OUTPUT


@pytest.mark.parametrize("cluster", [None, "processpool", pytest.param("local", marks=pytest.mark.slow)])
def test_a_class_of_a_script_in_a_spawned_process(cluster: str | None, tmp_path: Path) -> None:
    """There its module is __mp_main__; what is computed there is read by the script, and the other way round."""
    spawned = 'multiprocessing.get_context("spawn").Process(target=use)'
    by = {
        "spawned": f"import multiprocessing\n    process = {spawned}\n    process.start()\n    process.join()",
        "itself": "use()",
    }
    outputs = []
    for first, then in (("spawned", "itself"), ("itself", "spawned")):
        folder = tmp_path / first
        folder.mkdir()
        for who in (first, then):
            use = textwrap.indent(USE.strip(), "    ")
            text = f"{DEFINITION}\ndef use():\n{use}\nif __name__ == '__main__':\n    {by[who]}\n"
            (folder / "script.py").write_text(text)
            outputs.append(run(folder, "script.py", str(cluster)))
    assert outputs == [OUTPUT] * 4


@pytest.mark.parametrize("cluster", ["processpool", pytest.param("local", marks=pytest.mark.slow)])
def test_a_class_of_a_function(cluster: str, tmp_path: Path) -> None:
    """With what it closes over. Its own types are known by their names only, once another run has stored them."""
    body = textwrap.indent(DEFINITION.replace("import sys\n", "").strip(), "    ")
    (tmp_path / "script.py").write_text(f"import sys\ndef make():\n{body}\n    return Net\nNet = make()\n{USE_BY_NAME}")
    assert run(tmp_path, "script.py", cluster) == OUTPUT.replace("True True", "Report SMALL")


@pytest.mark.parametrize("cluster", ["processpool", pytest.param("local", marks=pytest.mark.slow)])
def test_a_class_of_a_notebook(cluster: str, tmp_path: Path) -> None:
    """Cells that are executed in a namespace called __main__, which has no file."""
    cells = [DEFINITION, USE]
    (tmp_path / "kernel.py").write_text(
        textwrap.dedent(f"""
        import linecache, sys, types
        main = types.ModuleType("__main__")
        sys.modules["__main__"] = main
        for number, cell in enumerate({cells!r}):
            name = f"<ipython-input-{{number}}-0123456789ab>"
            linecache.cache[name] = len(cell), None, cell.splitlines(True), name
            exec(compile(cell, name, "exec"), main.__dict__)
        """)
    )
    assert run(tmp_path, "kernel.py", cluster) == OUTPUT


def programs(folder: Path, **scripts: str) -> str:
    """A PATH on which there are these programs, and those of this interpreter."""
    folder.mkdir()
    for name, script in scripts.items():
        (folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(0o755)
    return os.pathsep.join([os.path.dirname(sys.executable), str(folder)])


UNCONFIGURED = 'echo "$0: fatal: Could not establish a configuration source" >&2; exit 1'
DOWN = 'echo "Slurmctld(primary) at login is DOWN"; exit 1'
REFUSED = 'echo "sbatch: error: Batch job submission failed: Unable to contact slurm controller" >&2; exit 1'


@pytest.mark.slow
def test_auto_is_what_there_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Jobs of this machine, where there is no Slurm, or only its programs, which know of no cluster."""
    monkeypatch.setenv("PATH", programs(tmp_path / "none"))
    assert resolve_cluster("auto") == "local"
    monkeypatch.setenv("PATH", programs(tmp_path / "client", sbatch=UNCONFIGURED, scontrol=UNCONFIGURED))
    assert resolve_cluster("auto") == "local"
    xp = experiment(tmp_path, "auto")
    job = xp.double.job()
    assert (job.result(60), list(xp.doubles([1]))) == (2, [2])
    assert job.job_id is not None
    assert sorted(notes(tmp_path)) == ["1", "double 1"]


def test_a_slurm_that_does_not_answer_is_not_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody wants to compute on the login node of a cluster that is down; the error says what to do instead."""
    monkeypatch.setenv("PATH", programs(tmp_path / "client", sbatch=REFUSED, scontrol=DOWN, srun="exit 1"))
    assert resolve_cluster("auto") == "slurm"
    xp = experiment(tmp_path, "auto")
    with pytest.raises(cm.InfraError, match=r"contact slurm controller[\s\S]*try again .*infra\.cluster='local'"):
        xp.double()
    assert xp.double.status() == "not submitted"
    assert notes(tmp_path) == []


def test_slurm_s_programs_are_no_cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who asks for "slurm" where none is configured is told what would do."""
    monkeypatch.setenv("PATH", programs(tmp_path / "client", sbatch=UNCONFIGURED, scontrol=UNCONFIGURED, srun="exit 1"))
    with pytest.raises(
        cm.InfraError, match=r"configuration source[\s\S]*knows of no cluster: say infra\.cluster='local'"
    ):
        experiment(tmp_path, "slurm").double()


@pytest.mark.slow
def test_a_time_limit_ends_what_takes_longer(tmp_path: Path) -> None:
    """The error says so; what was stored before stays, nothing is cached of the rest, and the next call computes only that."""
    jobs = []
    for cluster in ("processpool", "local"):
        (tmp_path / cluster).mkdir()
        xp = experiment(tmp_path / cluster, cluster, acts={2: "hold"}, timeout_min=1, min_items_per_job=2)
        jobs.append((xp, xp.doubles.submit([1, 2])))
    for xp, job in jobs:
        with pytest.raises(
            cm.JobLostError, match=r"was stopped after timeout_min=1: ask for more with infra\.timeout_min"
        ):
            job.result(120)
        assert (xp.doubles.plan([1, 2]).cached, xp.doubles.plan([1, 2]).missing) == ([1], [2])
        (xp.place / "go-2").touch()
        assert list(xp.doubles([1, 2])) == [2, 4]
        assert sorted(notes(xp.place)) == ["1", "2", "2"]


DEBUG = """
import typing as tp
import cachedmodel as cm
class Net(cm.CachedModel):
    width: int = 41
    @cm.task
    def train(self) -> float:
        depth = 0
        return self.width / depth
    @cm.map(item_uid=str)
    def embed(self, items: tp.Iterable[int]) -> tp.Iterator[float]:
        for item in items:
            yield self.width / item
net = Net(infra={"folder": "cache", "cluster": "debug"})
for call in (net.train, lambda: list(net.embed([1, 0]))):
    try:
        call()
    except (ZeroDivisionError, cm.ItemErrors) as error:
        print("told:", type(error).__name__)
"""


def at_terminal(folder: Path, script: str, typed: str) -> str:
    """What a program shows at a terminal, where this is typed."""
    ours, its = pty.openpty()
    with subprocess.Popen([sys.executable, script], cwd=folder, stdin=its, stdout=its, stderr=its) as process:
        os.close(its)
        os.write(ours, typed.encode())
        shown = b""
        with contextlib.suppress(OSError):  # raised when all who had the other end are gone
            while some := os.read(ours, 4096):
                shown += some
    os.close(ours)
    assert process.returncode == 0, shown
    return shown.decode()


def test_debug_opens_the_debugger_at_a_terminal(tmp_path: Path) -> None:
    """In the frame of the method that failed, once; when it is left, the error goes its way. Not for a stored failure."""
    (tmp_path / "script.py").write_text(DEBUG)
    shown = at_terminal(tmp_path, "script.py", "p self.width + 1 + depth\nquit\np self.width + 2 + item\nquit\n")
    assert "-> return self.width / depth" in shown
    assert "-> yield self.width / item" in shown
    answers = [line for line in shown.splitlines() if line in ("42", "43") or line.startswith("told")]
    assert answers == ["42", "told: ZeroDivisionError", "43", "told: ItemErrors"]
    assert at_terminal(tmp_path, "script.py", "").split() == ["told:", "ZeroDivisionError", "told:", "ItemErrors"]


def test_debug_only_computes_where_nobody_types(tmp_path: Path) -> None:
    """In a batch job, say: the error is raised as ever."""
    (tmp_path / "script.py").write_text(DEBUG)
    assert run(tmp_path, "script.py") == "told: ZeroDivisionError\ntold: ItemErrors\n"


@pytest.mark.parametrize("cluster", QUICK)
def test_a_forked_child_goes_on(cluster: str | None, tmp_path: Path) -> None:
    """It reads what is stored, and computes on the same cluster; the parent too."""
    xp = experiment(tmp_path, cluster)
    assert (xp.double(), list(xp.doubles([1, 2]))) == (2, [2, 4])
    outputs = xp.doubles([7, 8])
    assert next(outputs) == 14

    child = os.fork()
    if child == 0:  # only os._exit leaves here: the rest of pytest is the parent's
        status = 1
        try:
            values = (xp.double(), list(xp.doubles([1, 2, 3])), experiment(tmp_path, cluster, n=5).double())
            status = 0 if values == (2, [2, 4, 6], 10) else 2
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0
    assert list(outputs) == [16]
    assert list(xp.doubles([3, 4])) == [6, 8]
    assert sorted(notes(tmp_path)) == ["1", "2", "3", "4", "7", "8", "double 1", "double 5"]


def test_forked_children_compute_once(tmp_path: Path) -> None:
    """Several children of one process, which had used the cache before."""
    xp = experiment(tmp_path)
    xp.double()
    children = []
    for _ in range(3):
        child = os.fork()
        if child == 0:
            status = 1
            try:
                status = 0 if list(experiment(tmp_path).doubles(range(30))) == [2 * n for n in range(30)] else 2
            finally:
                os._exit(status)
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0, 0, 0]
    assert sorted(notes(tmp_path)) == sorted([*map(str, range(30)), "double 1"])


def test_clusters_that_do_not_exist_are_refused(tmp_path: Path) -> None:
    """When the model is made, with the names that exist."""
    with pytest.raises(ValueError, match=r"There is no cluster 'nowhere'.*'processpool'"):
        experiment(tmp_path, "nowhere")
    assert issubclass(cm.InfraError, ValueError)
