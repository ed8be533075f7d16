"""A run: starts the children, has everyone measured in turn, and keeps the records."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import shutil
import subprocess
import sys
import tempfile
import typing as tp
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from . import clock
from .child import Answer
from .contenders import PEERS
from .records import Record
from .rows import ROWS, Row, Sizes

TOP = Path(__file__).parents[1]
P = tp.ParamSpec("P")
Operation = Callable[tp.Concatenate[tp.Any, P], Answer]  # the first argument is a contender: see `contract.py`

#: Whatever takes longer than this hangs.
_LIMIT_S = 600


class ContenderError(Exception):
    """An operation failed in a child; the message is the child's."""


class Child:
    """A process that holds a contender."""

    def __init__(self, bench: Bench, name: str, environment: dict[str, str] | None = None) -> None:
        self.name = name
        self._log = bench.log
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.child", name, bench.log],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**bench.environment, **(environment or {})},
        )

    def ask(self, operation: Operation[P], imports: list[str], *args: P.args, **kwargs: P.kwargs) -> None:
        """Starts an operation."""
        request = {
            "module": operation.__module__,
            "operation": operation.__name__,
            "arguments": args,
            "keywords": kwargs,
            "imports": imports,
        }
        self.say(json.dumps(request))

    def say(self, line: str) -> None:
        """Writes a line to the child."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # it ended: its missing reply says so
            self._process.stdin.write(line + "\n")
            self._process.stdin.flush()

    def reply(self) -> dict[str, tp.Any]:
        """The child's next line."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise ContenderError(f"the process of {self.name} ended; what it printed: {self._log}")
        found: dict[str, tp.Any] = json.loads(line)
        if "error" in found:
            raise ContenderError(f"{found['error']}\n{found['traceback']}")
        return found

    def end(self) -> None:
        """Ends the process in order: what it does at its exit is done."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        try:
            self._process.wait(_LIMIT_S)
        finally:
            self._process.kill()
            self._process.stdout.close()


class Bench:
    """One run. What fails in a peer costs it its place in that workload, with a note; in all others it ends the run.

    Parameters
    ----------
    contenders
        Names, see `contenders/`.
    sizes
        How much is done.
    rows
        What is measured.
    say
        Where notes and progress go.
    folder
        Where the stores are made; a temporary folder by default.
    cpu
        Measure the processor's time, see `clock.py`.
    """

    def __init__(
        self,
        contenders: Iterable[str],
        sizes: Sizes,
        *,
        rows: Iterable[Row] = ROWS,
        say: Callable[[str], None] = print,
        folder: str | None = None,
        cpu: bool = False,
    ) -> None:
        self.sizes = sizes
        self.rows = {row.key for row in rows}
        self.say = say
        self.cpu = cpu
        self.records: list[Record] = []
        self._stack = contextlib.ExitStack()
        self._top = tempfile.mkdtemp(prefix="benchmarks-", dir=folder)
        self._stack.callback(shutil.rmtree, self._top, ignore_errors=True)
        self.log = os.path.join(self._top, "log")
        path = os.pathsep.join(filter(None, [str(TOP), os.environ.get("PYTHONPATH")]))
        one_thread = {f"{library}_NUM_THREADS": "1" for library in ("OMP", "OPENBLAS", "MKL")}
        self.environment = {**os.environ, "PYTHONPATH": path, "PYTHONHASHSEED": "0", **one_thread}
        self.environment[clock.VARIABLE] = "cpu" if cpu else "wall"
        # without this, what is compiled is not kept, and each fresh process would compile all it imports
        self.environment.pop("PYTHONDONTWRITEBYTECODE", None)
        self._children: dict[str, Child] = {}
        self._imports: dict[tuple[str, str], set[str]] = {}
        self._about = self._start(contenders)

    def __enter__(self) -> tp.Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        for child in self._children.values():
            child.end()
        self._stack.close()

    def _start(self, names: Iterable[str]) -> dict[str, dict[str, tp.Any]]:
        about = {}
        for name in names:
            child = Child(self, name)
            self._children[name] = child
            with self._forgiving(name):
                about[name] = child.reply()
        return about

    @contextlib.contextmanager
    def _forgiving(self, name: str) -> Iterator[None]:
        try:
            yield
        except ContenderError as error:
            if name not in PEERS:
                raise
            self.say(f"{name} is left out here: {str(error).splitlines()[0]}")

    # -- who, and in which order

    def wants(self, *keys: str) -> bool:
        """Whether one of these rows is asked for."""
        return not self.rows.isdisjoint(keys)

    def able(self, protocol: type, *, items: int = 0) -> list[str]:
        """Those that have the methods of a protocol of `contract.py`, and can take so many items."""
        return [
            name
            for name, about in self._about.items()
            if protocol.__name__ in about["can"] and items <= (about["most_items"] or items)
        ]

    def each(self, names: list[str], measure: Callable[[str], object]) -> list[str]:
        """Calls `measure` for each contender; those that it did not fail for."""
        able = []
        for name in names:
            with self._forgiving(name):
                measure(name)
                able.append(name)
        return able

    def rounds(self, names: list[str], measure: Callable[[str, int], None], rounds: int) -> list[str]:
        """Calls `measure` for each contender in each round, A B C, B C A, C A B, ...; those that it never failed for."""
        names = list(names)
        for rnd in range(rounds):
            turn = rnd % max(1, len(names))
            able = self.each(names[turn:] + names[:turn], functools.partial(_in_round, measure, rnd))
            names = [name for name in names if name in able]
        return names

    def record(self, key: str, name: str, rnd: int, value: float | None, n: int | None = None) -> None:
        """Keeps a figure, if its row is asked for."""
        if key in self.rows and value is not None:
            self.records.append(Record(key, name, rnd, value, n))

    # -- children

    def ask(self, name: str, operation: Operation[P], *args: P.args, **kwargs: P.kwargs) -> Answer:
        """Runs an operation in the long-lived child of a contender."""
        child = self._children[name]
        child.ask(operation, [], *args, **kwargs)
        answer: Answer = child.reply()["answer"]
        return answer

    def fresh(self, name: str, operation: Operation[P], *args: P.args, **kwargs: P.kwargs) -> Answer:
        """Runs an operation in a fresh process, which has imported what the operation was seen to import before."""
        imports = self._imports.setdefault((name, operation.__name__), set())
        with self.child(name) as child:
            child.ask(operation, sorted(imports), *args, **kwargs)
            reply = child.reply()
        imports.update(reply["imported"])
        answer: Answer = reply["answer"]
        return answer

    @contextlib.contextmanager
    def child(self, name: str, **environment: str) -> Iterator[Child]:
        """A fresh process of a contender."""
        child = Child(self, name, environment)
        try:
            child.reply()
            yield child
        finally:
            child.end()

    def least(self, go: Callable[[], Answer], goes: int = 3) -> Answer:
        """The least of each figure over some goes: other work of the machine makes a go slow, and never makes one fast."""
        answers = [go() for _ in range(goes)]
        return {figure: min(answer[figure] for answer in answers) for figure in answers[0]}

    # -- folders

    @contextlib.contextmanager
    def folder(self, *, keep: bool = False) -> Iterator[str]:
        """An empty folder, removed at the end of the block.

        `keep`: at the end of the run. ext4 passes over each inode that was freed within some minutes, so what is measured by
        the files that it makes would depend on who removed how many just before.
        """
        if keep:
            yield tempfile.mkdtemp(dir=self._top)
            return
        with tempfile.TemporaryDirectory(dir=self._top, ignore_cleanup_errors=True) as folder:
            yield folder

    @contextlib.contextmanager
    def folders(self, names: Iterable[str]) -> Iterator[dict[str, str]]:
        """An empty folder for each contender."""
        with contextlib.ExitStack() as stack:
            yield {name: stack.enter_context(self.folder()) for name in names}

    def empty(self, folder: str) -> None:
        """Removes what is in a folder."""
        shutil.rmtree(folder)
        os.mkdir(folder)

    @contextlib.contextmanager
    def copy(self, folder: str) -> Iterator[str]:
        """A copy of a store, which no process has opened, removed at the end of the run."""
        with self.folder(keep=True) as parent:
            yield shutil.copytree(folder, os.path.join(parent, "copy"), symlinks=True)


def _in_round(measure: Callable[[str, int], None], rnd: int, name: str) -> None:
    measure(name, rnd)
