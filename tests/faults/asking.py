"""Another process that asks for samples: ``python -m tests.faults.asking PLACE NAME WHAT [SETTING=VALUE ...]``.

It says that it is ready by making the file ``ready-NAME``, waits for the file ``go``, and notes in ``got-NAME`` what it got.
"""

from __future__ import annotations

import faulthandler
import subprocess
import sys
import threading
import typing as tp
from pathlib import Path

import yaml

import cachedmodel as cm
from tests.executors.calls import until

from .samples import append, fingerprint, is_right, lines, sample

#: Runs a command as pid 1 of a pid namespace of its own, on a host of the same name.
NAMESPACE = ("unshare", "--pid", "--fork", "--mount-proc", "--kill-child")

#: The same on a host of another name.
HOST = ("unshare", "--uts", *NAMESPACE[1:], "sh", "-c", 'hostname elsewhere; exec "$@"', "sh")


def start(
    place: Path, name: str, what: str, *, wrapper: tp.Sequence[str] = (), **settings: object
) -> subprocess.Popen[bytes]:
    """Starts such a process, by way of a command that runs others."""
    words = [f"{key}={value}" for key, value in settings.items()]
    command = [*wrapper, sys.executable, "-W", "error", "-m", __name__, str(place), name, what, *words]
    return subprocess.Popen(command, cwd=Path(__file__).parents[2])


def has_namespaces(wrapper: tp.Sequence[str] = NAMESPACE) -> bool:
    """Whether this user may make namespaces here."""
    try:
        return subprocess.run([*wrapper, "true"], capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


def has_got(place: Path, name: str) -> int:
    """How many values it got so far."""
    return len(lines(place / f"got-{name}"))


def ask(place: Path, name: str, what: str, settings: dict[str, tp.Any]) -> None:
    """Gets 30 items forwards and backwards, in two threads; or one task; and notes them. In mode "read-only", as they come."""
    pause = settings.pop("pause", 0.005)
    if settings.get("mode") == "read-only":
        for n in range(30):
            until(lambda n=n: watch(place, name, what, n, settings), 120)  # type: ignore[misc]  # the n of now
        return

    def take(items: tp.Sequence[int]) -> None:
        if what in ("task", "alone"):
            outputs: tp.Iterable[object] = (sample(place, n=n, pause=pause, **settings).draw() for n in items)
        else:
            outputs = sample(place, pause=pause, chunk_size=4, **settings).draws(items)
        for n, value in zip(items, outputs, strict=True):
            assert is_right(n, value), (n, value)
            append(place / f"got-{name}", f"{n} {fingerprint(value)}")

    if what in ("one", "alone"):
        take([0])
        return
    threads = [threading.Thread(target=take, args=(items,)) for items in (range(30), range(29, -1, -1))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def watch(place: Path, name: str, what: str, n: int, settings: dict[str, tp.Any]) -> bool:
    """Looks for an item that others compute, and notes it."""
    try:
        xp = sample(place, n=n if what == "task" else 0, **settings)
        value = xp.draw() if what == "task" else next(iter(xp.draws([n])))
    except cm.MissingError:
        return False
    assert is_right(n, value), (n, value)
    append(place / f"got-{name}", f"{n} {fingerprint(value)}")
    return True


if __name__ == "__main__":
    faulthandler.dump_traceback_later(60)  # a race that hangs shows where
    where, who, which, *given = sys.argv[1:]
    options = {key: yaml.safe_load(text) for key, _, text in (word.partition("=") for word in given)}
    (Path(where) / f"ready-{who}").touch()
    until((Path(where) / "go").exists)
    ask(Path(where), who, which, options)
