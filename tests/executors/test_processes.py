"""Worker processes."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from cachedmodel.errors import JobLostError
from cachedmodel.executors import get_executor, usable_cores
from cachedmodel.executors.processid import process_id
from tests.conformance import ProcessExecutorTests
from tests.executors import calls
from tests.executors.calls import PATIENCE_S


class TestProcesses(ProcessExecutorTests):
    """Workers are other interpreters, and can be killed."""

    cluster = "processpool"


def test_workers_are_kept(tmp_path: Path) -> None:
    """Later calls run in the same interpreters: no more of them than there are cores."""
    log = tmp_path / "log"

    def note() -> None:
        calls.append(log, f"{os.getpid()}\n")

    for _ in range(3):
        handles = get_executor("processpool").submit([note] * 4)
        assert all(handle.wait(PATIENCE_S) for handle in handles)

    pids = set(log.read_text().split())
    assert 1 <= len(pids) <= usable_cores()
    assert str(os.getpid()) not in pids


def test_a_call_sees_the_surroundings_of_its_submission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Environment and working directory are those of the time of the call, in workers that are kept too."""
    for number in range(2):
        folder = tmp_path / str(number)
        folder.mkdir()
        monkeypatch.setenv("COLOUR", f"colour {number}")
        monkeypatch.chdir(folder)
        note = partial(calls.note_surroundings, folder / "note", "COLOUR")
        assert get_executor("processpool").submit([note])[0].wait(PATIENCE_S)

        assert (folder / "note").read_text().split("\n")[:2] == [f"colour {number}", str(folder)]


def test_libraries_use_one_thread_unless_the_environment_says_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pool uses all the cores: BLAS and OpenMP in each worker would use them again."""
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setenv("MKL_NUM_THREADS", "7")
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        note = partial(calls.note_surroundings, tmp_path / name, name)
        assert get_executor("processpool").submit([note])[0].wait(PATIENCE_S)

    assert (tmp_path / "OMP_NUM_THREADS").read_text().startswith("1\n")
    assert (tmp_path / "MKL_NUM_THREADS").read_text().startswith("7\n")


def test_pools_in_pools_share_the_cores(tmp_path: Path) -> None:
    """A call that is alone may use all the cores in pools of its own, one of many only its share."""
    notes = [tmp_path / name for name in ("first", "alone")]
    shares = [partial(calls.note_surroundings, note, "") for note in notes]
    assert all(handle.wait(PATIENCE_S) for handle in get_executor("processpool").submit(shares, max_jobs=1))

    assert [note.read_text().split("\n")[2] for note in notes] == [
        str(max(1, usable_cores() // 2)),
        str(usable_cores()),
    ]


def test_an_interrupted_worker_is_a_lost_job() -> None:
    """SIGINT sent to a worker is nobody's failure."""
    handle = get_executor("processpool").submit([partial(calls.die, signal.SIGINT)])[0]
    handle.wait(PATIENCE_S)

    error = handle.error()
    assert isinstance(error, JobLostError)
    assert "killed by SIGINT" in str(error)


def test_a_worker_killed_while_idle_costs_nothing(tmp_path: Path) -> None:
    """The next call gets another worker."""
    note = tmp_path / "pid"

    def write_pid() -> None:
        note.write_text(str(os.getpid()))

    for _ in range(2):
        handle = get_executor("processpool").submit([write_pid])[0]
        assert handle.wait(PATIENCE_S)
        assert handle.error() is None
        os.kill(int(note.read_text()), signal.SIGKILL)


def test_the_end_of_the_program_ends_the_workers(tmp_path: Path) -> None:
    """What still runs at the end is killed at once; there are no leftovers and no warnings but ours."""
    script = tmp_path / "script.py"
    script.write_text(
        "import os, pathlib, time\n"
        "from cachedmodel.executors import get_executor\n"
        "def call(number):\n"
        "    pathlib.Path(f'new{number}').write_text(str(os.getpid()))\n"
        "    os.rename(f'new{number}', f'pid{number}')\n"
        "    time.sleep(1000)\n"
        "calls = [lambda number=number: call(number) for number in range(3)]\n"
        "get_executor('processpool').submit(calls, max_jobs=1)\n"
        "while not os.path.exists('pid0'):\n"
        "    time.sleep(0.01)\n"
    )
    run = subprocess.run(
        [sys.executable, "-W", "error", script], cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60
    )

    assert run.stderr == "2 calls had not started in the processpool when the program ended, and were dropped.\n"
    assert process_id(int((tmp_path / "pid0").read_text())).endswith(":")


def test_workers_end_when_the_program_was_killed(tmp_path: Path) -> None:
    """Idle workers see that their pool is gone."""
    script = tmp_path / "script.py"
    script.write_text(
        "import os, pathlib\n"
        "from cachedmodel.executors import get_executor\n"
        "call = lambda: pathlib.Path('pid').write_text(str(os.getpid()))\n"
        "get_executor('processpool').submit([call])[0].wait()\n"
        "os.kill(os.getpid(), 9)\n"
    )
    subprocess.run([sys.executable, script], cwd=tmp_path, check=False)

    worker = int((tmp_path / "pid").read_text())
    calls.until(lambda: process_id(worker).endswith(":"))


def test_workers_end_in_the_midst_of_a_call_when_the_program_was_killed(tmp_path: Path) -> None:
    """What nobody waits for any more is not computed to its end, by a child of the worker neither."""
    script = tmp_path / "script.py"
    script.write_text(
        "import os, pathlib, signal, time\n"
        "from cachedmodel.executors import get_executor\n"
        "def call():\n"
        "    child = os.fork()\n"
        "    if child:\n"
        "        pathlib.Path('pids').write_text(f'{os.getpid()} {child} ')\n"
        "    signal.pause()\n"
        "get_executor('processpool').submit([call])\n"
        "while not os.path.exists('pids') or not pathlib.Path('pids').read_text().endswith(' '):\n"
        "    time.sleep(0.01)\n"
        "os.kill(os.getpid(), 9)\n"
    )
    subprocess.run([sys.executable, script], cwd=tmp_path, check=False, timeout=60)

    for pid in (tmp_path / "pids").read_text().split():
        calls.until(lambda pid=pid: process_id(int(pid)).endswith(":"))  # type: ignore[misc]


def test_a_lost_worker_is_noticed_though_its_children_live(tmp_path: Path) -> None:
    """A child of the call holds the worker's socket open; it is ended with the worker."""
    note = tmp_path / "pid"

    def fork_and_die() -> None:
        child = os.fork()
        if child == 0:
            signal.pause()
        note.write_text(str(child))
        os.kill(os.getpid(), signal.SIGKILL)

    handle = get_executor("processpool").submit([fork_and_die])[0]

    assert handle.wait(PATIENCE_S)
    assert isinstance(handle.error(), JobLostError)
    calls.until(lambda: process_id(int(note.read_text())).endswith(":"))


@pytest.mark.parametrize("cluster", ["processpool", "local"])
def test_an_interrupted_program_leaves_nothing(tmp_path: Path, cluster: str) -> None:
    """Ctrl-C at a terminal ends the program at once, and then what it had running."""
    script = tmp_path / "script.py"
    script.write_text(
        "import os, sys, time\n"
        "from cachedmodel.executors import get_executor\n"
        "def call():\n"
        "    os.write(1, b'%d\\n' % os.getpid())\n"
        "    open('started', 'w').write(str(os.getpid()))\n"
        "    time.sleep(1000)\n"
        f"handle = get_executor({cluster!r}, folder='jobs').submit([call])[0]\n"
        "handle.wait()\n"
    )
    with subprocess.Popen(
        [sys.executable, script],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    ) as program:
        started = tmp_path / "started"
        calls.until(lambda: started.exists() and started.read_text())
        os.killpg(program.pid, signal.SIGINT)
        _, err = program.communicate(timeout=PATIENCE_S)

    assert err.rstrip().endswith(b"KeyboardInterrupt")
    assert err.count(b"Traceback") == 1
    calls.until(lambda: process_id(int(started.read_text())).endswith(":"))


@pytest.mark.slow
def test_every_call_ends_though_workers_are_killed(tmp_path: Path) -> None:
    """Workers killed at random times cost the calls they ran, and only these."""
    source = random.Random(0)
    log = tmp_path / "log"

    def note(number: int) -> None:
        calls.append(log, f"{number} {os.getpid()}\n")
        time.sleep(0.005)

    handles = get_executor("processpool").submit([partial(note, number) for number in range(400)])
    kills = 0
    while not all(handle.done() for handle in handles):
        time.sleep(source.uniform(0.01, 0.1))
        if log.exists() and (pids := {int(line.split()[1]) for line in log.read_text().splitlines()[-2:]}):
            with contextlib.suppress(ProcessLookupError):
                os.kill(source.choice(sorted(pids)), signal.SIGKILL)
                kills += 1

    numbers = [int(line.split()[0]) for line in log.read_text().splitlines()]
    lost = [handle for handle in handles if isinstance(handle.error(), JobLostError)]
    assert all(handle.error() is None for handle in handles if handle not in lost)
    assert 0 < len(lost) <= kills
    assert len(numbers) == len(set(numbers)) >= len(handles) - len(lost)


def test_a_call_is_stopped_at_its_time_limit(tmp_path: Path) -> None:
    """The error says which setting it was; other calls, and the next ones, are not touched."""
    executor = get_executor("processpool", parameters={"timeout_min": 1 / 60})
    long, short = executor.submit([partial(calls.hold, tmp_path / "started", tmp_path / "go"), calls.nothing])
    assert long.wait(PATIENCE_S)
    assert short.wait(PATIENCE_S)
    with pytest.raises(
        JobLostError, match=r"was stopped after timeout_min=0\.01.*: ask for more with infra\.timeout_min"
    ):
        calls.fail(long.error() or AssertionError("no error"))
    assert (long.status(), short.status(), short.error()) == ("failed", "completed", None)
    again = executor.submit([calls.nothing])[0]
    assert (again.wait(PATIENCE_S), again.error()) == (True, None)
