"""What the tests of executors run. Jobs and workers import this module, so it imports little itself."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from cachedmodel.executors import get_executor, lend_place, usable_cores

PATIENCE_S = 30.0


class OneArgumentError(Exception):
    """Pickles and unpickles."""


class TwoArgumentsError(Exception):
    """Pickles, but does not unpickle: its arguments are not those of its `__init__`."""

    def __init__(self, first: str, second: str) -> None:
        super().__init__(f"{first} and {second}")


def until(question: Callable[[], object], patience_s: float = PATIENCE_S) -> None:
    """Waits for the answer yes."""
    deadline = time.monotonic() + patience_s
    while not question():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{question} is still false after {patience_s} s")
        time.sleep(0.005)


def environment_with(*folders: str) -> dict[str, str]:
    """The environment, for a program that imports from these folders too."""
    known = [folder for folder in os.environ.get("PYTHONPATH", "").split(os.pathsep) if folder]
    return {**os.environ, "PYTHONPATH": os.pathsep.join([*folders, *known])}


def nothing() -> None:
    """The quickest call."""


def write(path: Path, text: str = "") -> None:
    path.write_text(text)


def append(path: Path, text: str) -> None:
    with path.open("a") as file:
        file.write(text)


def fail(error: BaseException) -> None:
    raise error


def fail_with_two_arguments() -> None:
    raise TwoArgumentsError("this", "that")


def hold(started: Path, released: Path) -> None:
    """Runs until it is released."""
    started.touch()
    until(released.exists)


def count_running(folder: Path, name: str) -> None:
    """Writes down how many of its kind it sees running beside itself."""
    with _present(folder / "running" / name):
        time.sleep(0.1)  # so that others would overlap, if they could
        (folder / f"seen-{name}").write_text(str(len(os.listdir(folder / "running"))))


@contextlib.contextmanager
def _present(path: Path) -> Iterator[None]:
    path.parent.mkdir(exist_ok=True)
    path.touch()
    yield
    path.unlink()


def wait_for_file(path: Path) -> None:
    """Waits for what another call does, and lends its place meanwhile."""
    with lend_place():
        until(path.exists)


def die(signal_number: int) -> None:
    os.kill(os.getpid(), signal_number)
    time.sleep(PATIENCE_S)


def kill_parent() -> None:
    os.kill(os.getppid(), 9)
    time.sleep(PATIENCE_S)


def speak(out: str, err: str, released: Path) -> None:
    """Prints, then runs until it is released."""
    print(out, flush=True)
    print(err, file=sys.stderr, flush=True)
    until(released.exists)


def note_surroundings(path: Path, variable: str) -> None:
    path.write_text("\n".join([os.environ.get(variable, ""), os.getcwd(), str(usable_cores())]))


def run_nested(cluster: str, folder: Path) -> None:
    """Has a call of its own run on the same cluster, and waits for it."""
    handle = get_executor(cluster, folder=str(folder)).submit([Write(folder / f"nested-{os.getpid()}")])[0]
    handle.wait()
    if (error := handle.error()) is not None:
        raise error


class Write:
    """A call that is an object."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __call__(self) -> None:
        self.path.touch()


def hold_gpu(folder: Path) -> None:
    """Takes the GPUs that it sees, which nobody else may have, until two calls were seen to run at once."""
    mine = folder / f"gpu-{os.environ['CUDA_VISIBLE_DEVICES']}"
    mine.touch(exist_ok=False)
    until(lambda: len(list(folder.glob("gpu-*"))) == 2 or (folder / "two").exists())
    (folder / "two").touch()
    mine.rename(folder / f"was-{mine.name}-{os.getpid()}")
