"""Jobs of this machine: the queue, the files of a job, and what is left when processes are killed."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import textwrap
from functools import partial
from pathlib import Path

import pytest

from cachedmodel.errors import InfraError, JobLostError
from cachedmodel.executors import Handle, attach, get_executor
from cachedmodel.executors.jobfiles import Batch, JobFiles, Started, read_record
from cachedmodel.executors.processid import is_alive
from tests.conformance import ProcessExecutorTests
from tests.executors import calls
from tests.executors.calls import PATIENCE_S, environment_with


class TestLocal(ProcessExecutorTests):
    """Jobs are processes."""

    cluster = "local"


def submit_hold(tmp_path: Path, **settings: object) -> Handle:
    """A job that runs until the file "go" is there."""
    executor = get_executor("local", folder=str(tmp_path / "jobs"), parameters=settings)
    handle = executor.submit([partial(calls.hold, tmp_path / "started", tmp_path / "go")])[0]
    calls.until((tmp_path / "started").exists)
    return handle


def files_of(handle: Handle) -> JobFiles:
    assert handle.folder is not None
    assert handle.job_id is not None
    return JobFiles(handle.folder, handle.job_id)


def pid_of(process: str) -> int:
    return int(process.rsplit(":", 2)[1])


def controller_of(handle: Handle) -> str:
    """Name of the process that controls a running job."""
    started = read_record(files_of(handle).started, Started)
    assert started is not None
    return started.process


def runner_of(handle: Handle) -> str:
    """Name of the process that keeps the queue."""
    batch = read_record(files_of(handle).batch, Batch)
    assert batch is not None
    return batch.runner


def test_the_queue_is_one_for_all_arrays(tmp_path: Path) -> None:
    """Over several arrays too, jobs start in order and no more at once than max_jobs."""
    log = tmp_path / "log"
    executors = [get_executor("local", folder=str(tmp_path / name), max_jobs=1) for name in ("jobs", "others")]
    handles = [
        executor.submit([partial(calls.append, log, name)])[0] for executor, name in zip(executors, "ab", strict=True)
    ]

    assert all(handle.wait(PATIENCE_S) for handle in handles)
    assert log.read_text() == "ab"


def test_output_can_be_read_while_the_job_runs(tmp_path: Path) -> None:
    """stdout and stderr are apart, there before the end, and hold what the call printed and nothing else."""
    executor = get_executor("local", folder=str(tmp_path / "jobs"))
    handle = executor.submit([partial(calls.speak, "to out", "to err", tmp_path / "go")])[0]
    calls.until(lambda: "to out" in handle.stdout() and "to err" in handle.stderr())

    assert handle.status() == "running"
    (tmp_path / "go").touch()
    assert handle.wait(PATIENCE_S)
    assert (handle.stdout(), handle.stderr()) == ("to out\n", "to err\n")


def test_another_process_attaches(tmp_path: Path) -> None:
    """Folder and id of a job are enough, in any process, to ask after it, read its log and cancel it."""
    executor = get_executor("local", folder=str(tmp_path / "jobs"))
    handle = executor.submit([partial(calls.speak, "spoken", "", tmp_path / "go")])[0]
    calls.until(handle.stdout)
    code = (
        "import sys; from cachedmodel.executors import attach; handle = attach('local', *sys.argv[1:]);"
        "print(handle.status(), handle.stdout()); handle.cancel(); handle.wait(30);"
        "print(handle.status())"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, str(handle.folder), str(handle.job_id)], capture_output=True, text=True, check=True
    )

    assert run.stdout.split() == ["running", "spoken", "cancelled"]
    assert handle.wait(PATIENCE_S)
    assert handle.status() == "cancelled"


def test_an_unknown_job_was_not_submitted(tmp_path: Path) -> None:
    """There is nothing to tell of a job without files."""
    handle = attach("local", str(tmp_path), "nothing_0")

    assert (handle.status(), handle.stdout(), handle.error()) == ("not submitted", "", None)


def test_what_travels_is_for_this_user_only(tmp_path: Path) -> None:
    """Pickles lie in folders that nobody else may read, one for each submission."""
    executor = get_executor("local", folder=str(tmp_path / "jobs"))
    handles = [executor.submit([calls.nothing])[0] for _ in range(2)]
    assert all(handle.wait(PATIENCE_S) for handle in handles)

    folders = [handle.folder or "" for handle in handles]
    assert len(set(folders)) == 2
    assert [stat.S_IMODE(os.stat(folder).st_mode) for folder in folders] == [0o700] * 2


def test_a_job_is_stopped_at_its_time_limit(tmp_path: Path) -> None:
    """The error says which setting it was."""
    handle = submit_hold(tmp_path, timeout_min=1 / 60)
    assert handle.wait(PATIENCE_S)

    with pytest.raises(JobLostError, match=r"was stopped after timeout_min=0\.01.*: ask for more"):
        calls.fail(handle.error() or AssertionError("no error"))
    assert handle.status() == "failed"


def test_a_lost_job_shows_the_end_of_its_log(tmp_path: Path) -> None:
    """The error has the last lines of stderr, and its path."""
    executor = get_executor("local", folder=str(tmp_path / "jobs"))

    def speak_and_die() -> None:
        for number in range(30):
            print(f"line {number}", file=sys.stderr, flush=True)
        calls.die(signal.SIGKILL)

    handle = executor.submit([speak_and_die])[0]
    assert handle.wait(PATIENCE_S)

    text = str(handle.error())
    assert text.endswith("\n".join(f"line {number}" for number in range(10, 30)))
    assert repr(files_of(handle).stderr(0)) in text


def test_a_job_that_leaves_by_exit_has_no_result(tmp_path: Path) -> None:
    """An exit code of 0 is no result: the call did not return."""
    executor = get_executor("local", folder=str(tmp_path / "jobs"))
    exits, leaves = executor.submit([partial(sys.exit, 0), partial(os._exit, 0)])
    assert exits.wait(PATIENCE_S)
    assert leaves.wait(PATIENCE_S)

    assert isinstance(exits.error(), SystemExit)
    assert "ended without a result: its process exited with code 0" in str(leaves.error())


def test_a_killed_controller_is_noticed(tmp_path: Path) -> None:
    """kill -9 of the process between the queue and the job ends the job, and is told."""
    handle = submit_hold(tmp_path)
    os.kill(pid_of(controller_of(handle)), signal.SIGKILL)

    assert handle.wait(5)
    assert "lost its controlling process, which was killed by SIGKILL" in str(handle.error())
    assert isinstance(handle.error(), JobLostError)


def test_a_killed_queue_is_noticed(tmp_path: Path) -> None:
    """kill -9 of the queue loses what was queued; what runs goes on, and the next submission has a new queue."""
    running = submit_hold(tmp_path)
    executor = get_executor("local", folder=str(tmp_path / "jobs"), max_jobs=1)
    queued = executor.submit([calls.nothing])[0]
    os.kill(pid_of(runner_of(queued)), signal.SIGKILL)

    assert queued.wait(5)
    assert "was killed, together with its queue" in str(queued.error())
    assert running.status() == "running"
    later = executor.submit([calls.nothing])[0]
    (tmp_path / "go").touch()
    assert running.wait(PATIENCE_S)
    assert running.status() == "completed"
    assert later.wait(PATIENCE_S)
    assert later.status() == "completed"


def test_a_job_whose_queue_was_killed_can_be_cancelled(tmp_path: Path) -> None:
    """Its controller is asked instead."""
    handle = submit_hold(tmp_path)
    os.kill(pid_of(runner_of(handle)), signal.SIGKILL)
    calls.until(lambda: is_alive(runner_of(handle)) is False)

    handle.cancel()
    assert handle.wait(PATIENCE_S)
    assert handle.status() == "cancelled"


SUBMITTER = """
import os, sys, time
from functools import partial
from pathlib import Path
from cachedmodel.executors import get_executor
from tests.executors import calls

folder = Path(sys.argv[1])
executor = get_executor("local", folder=str(folder / "jobs"), max_jobs=1, survive_submitter=sys.argv[2] == "survive")
handles = executor.submit(
    [partial(calls.hold, folder / "started", folder / "go"), partial(calls.write, folder / "second")]
)
for handle in handles:
    print(handle.folder, handle.job_id)
calls.until((folder / "started").exists)
if sys.argv[3] == "killed":
    sys.stdout.flush()
    os.kill(os.getpid(), 9)
"""


def handles_after_submitter(tmp_path: Path, survive: str, end: str) -> list[Handle]:
    """The handles of two jobs, one running and one queued, whose submitter has ended."""
    script = tmp_path / "submitter.py"
    script.write_text(SUBMITTER)
    run = subprocess.run(
        [sys.executable, "-W", "error", script, str(tmp_path), survive, end],
        capture_output=True,
        text=True,
        check=False,
        env=environment_with(os.getcwd()),
        timeout=PATIENCE_S,
    )
    assert run.stderr == ""
    return [attach("local", *line.split()) for line in run.stdout.splitlines()]


@pytest.mark.parametrize("end", [pytest.param("returns", marks=pytest.mark.slow), "killed"])
def test_jobs_end_with_their_submitter(tmp_path: Path, end: str) -> None:
    """Whichever way the submitter ends, its running jobs are stopped and its queued ones cancelled."""
    handles = handles_after_submitter(tmp_path, "", end)

    for handle in handles:
        assert handle.wait(PATIENCE_S)
        assert handle.status() == "cancelled"
        assert "because the process that submitted it ended" in str(handle.error())
    assert is_alive(controller_of(handles[0])) is False
    calls.until(lambda: is_alive(runner_of(handles[0])) is False)


@pytest.mark.parametrize("end", [pytest.param("returns", marks=pytest.mark.slow), "killed"])
def test_jobs_survive_their_submitter(tmp_path: Path, end: str) -> None:
    """By a setting, running jobs go on and queued ones have their turn."""
    handles = handles_after_submitter(tmp_path, "survive", end)

    assert [handle.status() for handle in handles] == ["running", "queued"]
    (tmp_path / "go").touch()
    assert all(handle.wait(PATIENCE_S) for handle in handles)
    assert [handle.status() for handle in handles] == ["completed", "completed"]
    assert (tmp_path / "second").exists()
    calls.until(lambda: is_alive(runner_of(handles[0])) is False)


def test_each_rank_runs_the_call(tmp_path: Path) -> None:
    """tasks_per_node processes run it, and one failure fails the job."""
    executor = get_executor("local", folder=str(tmp_path / "jobs"), parameters={"tasks_per_node": 2})

    def call() -> None:
        rank = os.environ["SUBMITIT_LOCAL_GLOBALID"]
        print(f"rank {rank}", flush=True)
        if rank == "1":
            raise calls.OneArgumentError(rank)

    handle = executor.submit([call])[0]
    assert handle.wait(PATIENCE_S)
    assert [f"rank {rank}" in handle.stdout() for rank in range(2)] == [True, True]
    assert isinstance(handle.error(), calls.OneArgumentError)


def test_a_job_sees_the_surroundings_of_its_submission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Environment and working directory are those of the time it was submitted."""
    monkeypatch.setenv("COLOUR", "green")
    monkeypatch.chdir(tmp_path)
    executor = get_executor("local", folder="jobs")
    handle = executor.submit([partial(calls.note_surroundings, tmp_path / "note", "COLOUR")])[0]
    monkeypatch.chdir("/")
    monkeypatch.setenv("COLOUR", "red")

    assert handle.wait(PATIENCE_S)
    assert (tmp_path / "note").read_text().split("\n")[:2] == ["green", str(tmp_path)]


def test_modules_beside_the_script_can_be_imported(tmp_path: Path) -> None:
    """A job imports from where the script could, whatever the working directory."""
    (tmp_path / "beside.py").write_text("def call():\n    print('from beside')\n")
    script = tmp_path / "script.py"
    script.write_text(
        textwrap.dedent("""
        import beside
        from cachedmodel.executors import get_executor
        handle = get_executor("local", folder="jobs").submit([beside.call])[0]
        handle.wait()
        print(handle.error(), "from beside" in handle.stdout())
        """)
    )
    (tmp_path / "elsewhere").mkdir()
    run = subprocess.run(
        [sys.executable, script], cwd=tmp_path / "elsewhere", capture_output=True, text=True, check=True
    )

    assert run.stdout.split() == ["None", "True"]


@pytest.mark.parametrize(
    ("parameters", "folder", "message"),
    [
        ({"nodes": 2}, "jobs", "nodes=2 cannot work with cluster='local'"),
        ({"conda_env": "/no/such/env"}, "jobs", "has no interpreter '/no/such/env/bin/python'"),
        ({"max_pickle_size_gb": 1e-9}, "jobs", "more than max_pickle_size_gb=1e-09"),
        ({}, "jobs-%j", "contains '%j'"),
        ({}, None, "cluster='local' needs a folder"),
    ],
)
def test_what_cannot_work_is_refused(
    tmp_path: Path, parameters: dict[str, object], folder: str | None, message: str
) -> None:
    """Before anything is submitted, with the setting to change."""
    with pytest.raises(InfraError, match=message):
        get_executor("local", folder=folder and str(tmp_path / folder), parameters=parameters).submit([calls.nothing])


def test_a_forked_child_has_a_queue_of_its_own(tmp_path: Path) -> None:
    """The parent's queue sees the end of the parent, though the child lives on."""
    handle = submit_hold(tmp_path)
    child = os.fork()
    if child == 0:  # only os._exit leaves here: the rest of pytest is the parent's
        mine = get_executor("local", folder=str(tmp_path / "jobs")).submit([calls.nothing])[0]
        os._exit(0 if mine.wait(PATIENCE_S) and runner_of(mine) != runner_of(handle) else 1)
    assert os.waitpid(child, 0)[1] == 0
    (tmp_path / "go").touch()
    assert handle.wait(PATIENCE_S)


def test_a_job_without_its_folder_is_lost(tmp_path: Path) -> None:
    """Whoever removes the files of a job that runs ends the waiting for it, and the queue goes on."""
    handle = submit_hold(tmp_path)
    shutil.rmtree(str(handle.folder))

    assert handle.wait(5)
    assert "lost its folder: it was removed" in str(handle.error())
    (tmp_path / "go").touch()
    later = get_executor("local", folder=str(tmp_path / "jobs"), max_jobs=1).submit([calls.nothing])[0]
    assert later.wait(PATIENCE_S)
    assert later.error() is None


def test_the_cores_of_a_job_are_those_it_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """cpus_per_task limits numerical libraries, and the pools that the job makes."""
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    executor = get_executor("local", folder=str(tmp_path / "jobs"), parameters={"cpus_per_task": 1})
    handle = executor.submit([partial(calls.note_surroundings, tmp_path / "note", "OMP_NUM_THREADS")])[0]

    assert handle.wait(PATIENCE_S)
    assert [(tmp_path / "note").read_text().split("\n")[line] for line in (0, 2)] == ["1", "1"]


def test_gpus_are_shared_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each job has GPUs of its own, of those that this process may use; more than there are is refused."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,7")
    settings = {"gpus_per_node": 1}
    executor = get_executor("local", folder=str(tmp_path / "jobs"), parameters=settings, max_jobs=3)
    handles = executor.submit([partial(calls.hold_gpu, tmp_path)] * 3)

    assert all(handle.wait(PATIENCE_S) for handle in handles)
    assert [handle.error() for handle in handles] == [None] * 3
    assert {path.name[:9] for path in tmp_path.glob("was-*")} == {"was-gpu-4", "was-gpu-7"}
    with pytest.raises(InfraError, match="gpus_per_node=3, but this machine has 2: ask for fewer"):
        get_executor("local", folder=str(tmp_path / "jobs"), parameters={"gpus_per_node": 3})


def test_jobs_that_a_full_disk_does_not_let_start(tmp_path: Path) -> None:
    """All that waited in the queue tell it at once, with the error and the folder, though nothing can be written there."""
    small = tmp_path / "small"
    small.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", str(small)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("this user may not mount a tmpfs here")
    try:
        hold = partial(calls.hold, tmp_path / "started", tmp_path / "go")
        handles = get_executor("local", folder=str(small), max_jobs=1).submit([hold, *[calls.nothing] * 3])
        calls.until((tmp_path / "started").exists)
        with contextlib.suppress(OSError), (small / "rest").open("wb", buffering=0) as file:
            while True:
                file.write(bytes(4096))
        (tmp_path / "go").touch()

        assert all(handle.wait(PATIENCE_S) for handle in handles)
        for handle in handles[1:]:
            assert re.search(rf"could not be started: .*No space left on device: '{small}", str(handle.error()))
            assert handle.status() == "failed"
    finally:
        subprocess.run(["umount", "--lazy", small], check=True)
