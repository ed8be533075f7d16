"""cachedmodel run: what is given is validated before anything runs, and what is wrong is named."""

from __future__ import annotations

import subprocess
import sys
import typing as tp
from pathlib import Path

import pytest

from cachedmodel.commands.run import USAGE, UsageError, parse

MODULE = '''\
import typing as tp
from pathlib import Path
import pydantic
import cachedmodel as cm

class Adam(pydantic.BaseModel, extra="forbid"):
    name: tp.Literal["adam"] = "adam"
    beta: float | None = None

class Sgd(pydantic.BaseModel, extra="forbid"):
    name: tp.Literal["sgd"] = "sgd"
    lr: float = pydantic.Field(default=0.1, gt=0, le=1, description="Step size.")

class Training(cm.CachedModel, version="1"):
    """Trains something."""

    optimizer: Sgd | Adam = pydantic.Field(default=Sgd(lr=0.2), discriminator="name")
    part: Sgd = Sgd(lr=0.3)
    steps: int
    sizes: list[tuple[int, ...]] = [(1, 2)]

    @cm.task
    def train(self) -> float:
        """Trains once."""
        Path("ran").touch()
        return self.steps * 2.0

    @cm.map(item_uid=str)
    def embed(self, items: tp.Iterable[int]) -> tp.Iterator[int]:
        yield from items

class Two(Training):
    @cm.task
    def test(self) -> int:
        return 1
'''


class Ran(tp.NamedTuple):
    """What a command did."""

    code: int
    out: str
    err: str


class Run(tp.Protocol):
    def __call__(self, *arguments: str) -> Ran: ...


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Runs the command in a folder with a module and a configuration."""
    (tmp_path / "training.py").write_text(MODULE)
    (tmp_path / "conf.yaml").write_text("steps: 3\ninfra.folder: cache\n")
    (tmp_path / "more.yaml").write_text("steps: 4\npart: {lr: 0.5}\n")
    code = "import sys; from cachedmodel.commands.run import run_command; sys.exit(run_command(sys.argv[1:]))"

    def command(*arguments: str) -> Ran:
        done = subprocess.run(
            [sys.executable, "-c", code, *arguments], cwd=tmp_path, capture_output=True, text=True, timeout=60
        )
        return Ran(done.returncode, done.stdout, done.stderr)

    return command


def test_a_task_is_run_from_files_and_arguments(run: Run, tmp_path: Path) -> None:
    """Later files and arguments win, the result is printed, and a second run finds it stored."""
    ran = run("training:Training", "conf.yaml", "more.yaml", "optimizer.name=adam", "--part.lr=0.25", "--task", "train")
    dry = run("training:Training", "conf.yaml", "more.yaml", "optimizer.name=adam", "part.lr=0.25", "--dry-run")

    assert (ran.code, ran.out) == (0, "8.0\n")
    assert dry.out.startswith("completed: ")
    assert "part.lr=0.25" in dry.out
    assert "steps=4" in dry.out


@pytest.mark.parametrize("cluster", ["null", "local", "processpool"])
def test_a_file_names_a_module(cluster: str, run: Run, tmp_path: Path) -> None:
    """A path of a Python file will do for its module, which jobs find too."""
    (tmp_path / "code").mkdir()
    (tmp_path / "training.py").rename(tmp_path / "code" / "training.py")

    ran = run("code/training.py:Training", "conf.yaml", "steps=1", f"infra.cluster={cluster}")

    assert (ran.code, ran.out) == (0, "2.0\n"), ran.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["training:Training"], "  steps: Field required"),
        (
            ["training:Training", "conf.yaml", "part.lr=2"],
            "  part.lr: Input should be less than or equal to 1 (given: 2)",
        ),
        (
            ["training:Training", "conf.yaml", "part.l=2"],
            "part.l: Extra inputs are not permitted (given: 2); did you mean",
        ),
        (["training:Training", "conf.yaml", "infra.cluster=slurn"], "slurm"),
        (["training:Training", "conf.yaml", "infra.version=2"], "(given: 2); a text is written \"infra.version='2'\""),
        (["training:Training", "none.yaml"], "there is no file 'none.yaml'"),
        (["training:Training", "conf.yaml", "--tsk", "train"], "there is no option '--tsk', did you mean --task?"),
        (
            ["training:Training", "conf.yaml", "--task=embed"],
            "embed is a map, which needs items; of tasks Training has: train",
        ),
        (["training:Training", "conf.yaml", "--task=tran"], "has no task 'tran'; it has: train"),
        (["training:Two", "conf.yaml"], "Two has 2 tasks, choose one with --task; it has: train, test"),
        (["training:Trainer"], "'Trainer' is no CachedModel of the module 'training'; it has: Training, Two"),
        (["trainer:Training"], "there is no module 'trainer' here"),
        (["training"], "'training' names no class: write module:Class"),
        (["gone.py:Training"], "there is no file 'gone.py'"),
    ],
)
def test_what_is_wrong_is_named_before_anything_runs(
    arguments: list[str], message: str, run: Run, tmp_path: Path
) -> None:
    """A wrong argument ends the command with code 2 and a message that names it; nothing is computed."""
    ran = run(*arguments)

    assert ran.code == 2
    assert message in ran.err
    assert "Traceback" not in ran.err
    assert not (tmp_path / "ran").exists()


def test_help_lists_fields(run: Run, tmp_path: Path) -> None:
    """--help shows tasks, and fields at any depth with types, limits, defaults and descriptions."""
    lines = [" ".join(line.split()) for line in run("training:Training", "--help").out.splitlines()]

    assert "Trains something." in lines
    assert "train Trains once." in lines
    assert "optimizer Sgd | Adam Sgd" in lines
    assert "optimizer.lr float (> 0, <= 1) 0.2 (Sgd) Step size." in lines
    assert "optimizer.beta float | None None (Adam)" in lines
    assert "part.lr float (> 0, <= 1) 0.3 Step size." in lines
    assert "steps int required" in lines
    assert "sizes list[tuple[int, ...]] [(1, 2)]" in lines
    assert "infra.mode 'cached' | 'retry' | 'force' | 'read-only' 'cached'" in lines
    assert "infra.version str '1'" in lines
    assert not (tmp_path / "ran").exists()


def test_help_without_a_class(run: Run) -> None:
    """--help alone says how the command is used."""
    ran = run("--help")

    assert (ran.code, ran.out.splitlines()[0]) == (0, USAGE)


def test_a_failing_task_shows_its_traceback(run: Run, tmp_path: Path) -> None:
    """What a task raises is shown as Python shows it."""
    (tmp_path / "failing.py").write_text(MODULE.replace("self.steps * 2.0", "1 / 0"))

    ran = run("failing:Training", "steps=1")

    assert ran.code == 1
    assert "ZeroDivisionError" in ran.err


def test_arguments_come_in_any_order() -> None:
    """Options may stand between files and values."""
    given = parse(["m:C", "--task", "t", "a.yaml", "x=1", "--dry-run", "--y=2", "b.yaml"])

    assert (given.files, given.values, given.task) == (["a.yaml", "b.yaml"], ["x=1", "--y=2"], "t")
    assert given.is_dry
    with pytest.raises(UsageError, match="--task needs the name"):
        parse(["m:C", "--task"])
