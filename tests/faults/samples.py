"""What the tests of faults compute: values that are different each time, and that show which item they belong to.

A value that was seen once must be the one that is stored for ever, so whoever gets one notes its fingerprint.
"""

from __future__ import annotations

import hashlib
import os
import random
import time
import typing as tp
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

import cachedmodel as cm


class Sample(cm.CachedModel, version="1"):
    """Draws values.

    Attributes
    ----------
    n
        The item of the task.
    pause
        Seconds for each value.
    place
        Where computations are noted.
    """

    n: int = 0
    pause: tp.Annotated[float, cm.NotInUid] = 0.0
    place: tp.Annotated[Path, cm.NotInUid]

    @cm.task
    def draw(self) -> object:
        """One value."""
        return self._drawn(self.n)

    @cm.map(item_uid=str)
    def draws(self, items: Iterable[int]) -> Iterator[object]:
        """A value for each item."""
        for n in items:
            yield self._drawn(n)

    def _drawn(self, n: int) -> object:
        append(self.place / "computed", f"{n} {os.getpid()} {start_of(os.getpid())}")
        if self.pause:
            time.sleep(self.pause)
        return drawn(n)


def sample(place: Path, cluster: str | None = None, *, n: int = 0, pause: float = 0.0, **settings: tp.Any) -> Sample:
    """A sample whose results are stored below `place`; `settings` are those of infra."""
    infra: tp.Any = {"folder": place / "cache", "cluster": cluster, **settings}
    return Sample(n=n, pause=pause, place=place, infra=infra)


def drawn(n: int) -> object:
    """A random value for item n, of the kind that is stored as a column, in a small record, as an array, in a large record."""
    if n % 4 == 0:
        return n + random.random()
    if n % 4 == 1:
        return [n, os.urandom(8), "x" * (n % 300)]
    if n % 4 == 2:
        return np.concatenate([[float(n)], np.random.default_rng().random(200)])
    return (n, os.urandom(8) * (10_000 if n % 40 == 3 else 50))


def is_right(n: int, value: object) -> bool:
    """Whether `drawn(n)` may have given this value."""
    if n % 4 == 0:
        return type(value) is float and n <= value <= n + 1
    if n % 4 == 1:
        return isinstance(value, list) and len(value) == 3 and value[0] == n and value[2] == "x" * (n % 300)
    if n % 4 == 2:
        return isinstance(value, np.ndarray) and value.shape == (201,) and value[0] == n and bool((value[1:] < 1).all())
    if not isinstance(value, tuple) or value[0] != n:
        return False
    return bool(value[1] == value[1][:8] * (10_000 if n % 40 == 3 else 50))


def fingerprint(value: object) -> str:
    """Tells values apart."""
    data = value.tobytes() if isinstance(value, np.ndarray) else repr(value).encode()
    return hashlib.sha256(data).hexdigest()[:16]


def append(path: Path, line: str) -> None:
    """Adds a line to a file that many processes write."""
    fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    try:
        os.write(fd, f"{line}\n".encode())
    finally:
        os.close(fd)


def lines(path: Path) -> list[list[str]]:
    """The words of the lines of a file that are complete."""
    text = path.read_text() if path.exists() else ""
    return [line.split() for line in text.split("\n")[:-1]]


def start_of(pid: int) -> str:
    """When a process started, in ticks of its kernel: a pid may be used again; "" if it is gone or a zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return ""
    return "" if fields[0] in "ZX" else fields[19]
