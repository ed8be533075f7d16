"""Children that are forked while other threads of their parent are in the midst of anything: they go on, and end."""

from __future__ import annotations

import faulthandler
import gc
import os
import signal
import subprocess
import sys
import threading
import typing as tp
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

import cachedmodel as cm

CHILD_S = 120
LIMIT_S = 900  # threads that are never idle, beside children: a busy machine takes long
SHARED = 300


class Forked(cm.CachedModel, version="1"):
    """Used by all threads, before and after a fork."""

    number: int = 0

    @cm.task
    def value(self) -> int:
        return self.number

    @cm.map(item_uid=str)
    def values(self, items: Iterable[int]) -> Iterator[list[int]]:
        for item in items:
            yield [item]


class Torture:
    """Threads that do all that a fork may interrupt.

    Parameters
    ----------
    folder
        Of the cache.
    clusters
        Where maps are computed.
    """

    def __init__(self, folder: str, clusters: tp.Sequence[str | None]) -> None:
        self._folder = folder
        self._clusters = clusters
        self._ended = threading.Event()
        self._begin_shared(0)

    def _model(self, number: int, cluster: str | None = None) -> Forked:
        infra: tp.Any = {"folder": self._folder, "cluster": cluster, "max_jobs": 2}
        return Forked(number=number, infra=infra)

    def _compute_tasks(self, n: int) -> None:
        assert self._model(n).value() == n
        assert self._model(n % 7).value() == n % 7

    def _compute_maps(self, n: int) -> None:
        cluster = self._clusters[n % len(self._clusters)]
        assert [*self._model(n % 3, cluster).values([n, n + 1])] == [[n], [n + 1]]

    def _drop(self, n: int) -> None:
        outputs = self._model(n % 3).values([-n, -n - 1])
        next(outputs)
        cycle: list[object] = [outputs]
        cycle.append(cycle)

    def _begin_shared(self, n: int) -> None:
        self._first = (1 << 30) + SHARED * n
        self._shared = self._model(0).values.submit(range(self._first, self._first + SHARED))

    def _share(self, n: int) -> None:
        for _ in self._shared:
            if self._ended.wait(0.001):
                return
        self._begin_shared(n + 1)

    def _make(self, n: int) -> None:
        with cm.defaults(job_name=f"job-{n}"):
            self._model(n).infra.clone_obj(number=n + 1).value.uid()
        if n % 20 == 0:  # classes are never freed

            def described(number: int = 0) -> None:
                """A configuration of its own, each time."""

            cm.to_config_model(described)

    def _child(self, number: int) -> None:
        faulthandler.dump_traceback_later(CHILD_S, exit=True)
        for n in range(3):
            self._compute_tasks(10_000 * (number + 1) + n)
            self._compute_maps(10_000 * (number + 1) + n)
            self._make(n)
            self._drop(10_000 * (number + 1) + n)
        if number % 3 == 0:
            self._shared.wait(0.0)  # what the parent was computing is computed here
            assert next(iter(self._shared)) == [self._first]
        gc.collect()

    def run(self, forks: int) -> None:
        """Forks again and again; each child uses everything."""
        threads = [
            threading.Thread(target=self._repeat, args=(action,))
            for action in (self._compute_tasks, self._compute_maps, self._drop, self._share, self._make)
        ]
        for thread in threads:
            thread.start()
        try:
            for number in range(forks):
                child = os.fork()
                if child == 0:
                    self._child(number)
                    if number % 2:
                        sys.exit(0)  # with all finalizers
                    os._exit(0)
                assert os.waitpid(child, 0)[1] == 0
        finally:
            if threading.current_thread() is threading.main_thread():
                self._ended.set()

    def _repeat(self, action: Callable[[int], None]) -> None:
        n = 0
        while not self._ended.wait(0.003):
            action(n)
            n += 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.timeout(LIMIT_S + 10)
@pytest.mark.parametrize(
    ("forks", "clusters"),
    [
        (10, [None]),
        pytest.param(100, [None], marks=pytest.mark.slow),
        pytest.param(50, [None, "threadpool", "processpool"], marks=pytest.mark.slow),
    ],
)
def test_forks_amidst_threads(forks: int, clusters: list[str | None], tmp_path: Path) -> None:
    """Each child computes, reads, drops what its parent had begun, and ends."""
    command = [sys.executable, "-W", "error", "-m", __name__, str(tmp_path), str(forks), *map(str, clusters)]
    process = subprocess.Popen(command, cwd=Path(__file__).parents[2], start_new_session=True)
    try:
        assert process.wait(LIMIT_S) == 0
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)


if __name__ == "__main__":
    Torture(sys.argv[1], [None if name == "None" else name for name in sys.argv[3:]]).run(int(sys.argv[2]))
