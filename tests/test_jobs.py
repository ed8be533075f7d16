"""Jobs: the same object for a computation here, in a pool, in a job, and for one that another process started."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
import typing as tp
from pathlib import Path

import pytest

import cachedmodel as cm
from tests.executors.calls import PATIENCE_S, until
from tests.experiment import EVERY, QUEUED, QUICK, Experiment, OwnError, experiment, notes

every = pytest.mark.parametrize("cluster", EVERY)
quick = pytest.mark.parametrize("cluster", QUICK)
queued = pytest.mark.parametrize("cluster", QUEUED)


@every
def test_a_job_has_a_result(cluster: str | None, tmp_path: Path) -> None:
    """Computed once; with cluster None when it is made."""
    xp = experiment(tmp_path, cluster)
    assert xp.double.status() == "not submitted"
    job = xp.double.job()

    assert [job.result(PATIENCE_S), job.result(0), xp.double()] == [2, 2, 2]
    assert job.wait(0)
    assert job.done()
    assert (job.status(), xp.double.status(), job.exception()) == ("completed", "completed", None)
    assert notes(tmp_path) == ["double 1"]
    assert "completed" in repr(job)


@every
def test_a_failed_job_has_an_exception(cluster: str | None, tmp_path: Path) -> None:
    """Submitting does not raise it, its result does."""
    job = experiment(tmp_path, cluster, act="fail").double.job()
    assert isinstance(job.exception(PATIENCE_S), OwnError)
    assert job.done()
    assert job.status() == "failed"
    with pytest.raises(OwnError):
        job.result()


@queued
def test_a_job_goes_through_its_states(cluster: str, tmp_path: Path) -> None:
    """Queued, running, completed; waiting has a limit, and asking again submits nothing."""
    first = experiment(tmp_path, cluster, act="hold", max_jobs=1)
    second = experiment(tmp_path, cluster, n=2, max_jobs=1)
    one, two = cm.job_array([first.double, second.double])
    until((tmp_path / "started-1").exists)

    assert (one.status(), two.status()) == ("running", "queued")
    assert (first.double.status(), second.double.status()) == ("running", "queued")
    assert not one.wait(0.01)
    assert not one.done()
    with pytest.raises(TimeoutError, match="no result after 0"):
        one.result(0)
    with pytest.raises(TimeoutError, match="has not ended after 0"):
        one.exception(0)
    assert experiment(tmp_path, cluster, act="hold").double.job().status() == "running"
    (tmp_path / "go-1").touch()
    assert [one.result(PATIENCE_S), two.result(PATIENCE_S)] == [2, 4]
    assert len(notes(tmp_path)) == 2


@queued
def test_a_job_can_be_cancelled(cluster: str, tmp_path: Path) -> None:
    """One that waits never starts, one that runs stops where that is possible; the next call computes."""
    models = [experiment(tmp_path, cluster, n=n, act="hold", max_jobs=1) for n in (1, 2)]
    one, two = cm.job_array(model.double for model in models)
    until((tmp_path / "started-1").exists)

    two.cancel()
    assert two.wait(PATIENCE_S)
    assert (two.status(), two.done()) == ("cancelled", True)
    with pytest.raises(cm.JobLostError, match="cancelled"):
        two.result()
    one.cancel()
    for n in (1, 2):
        (tmp_path / f"go-{n}").touch()
    assert one.wait(PATIENCE_S)
    if cluster != "threadpool":  # a thread cannot be stopped
        assert one.status() == "cancelled"
        assert isinstance(one.exception(), cm.JobLostError)
        assert not models[0].double.is_cached()
    assert [model.double() for model in models] == [2, 4]
    assert notes(tmp_path)[-1] == "double 2"


@pytest.mark.slow
def test_another_process_finds_the_job(tmp_path: Path) -> None:
    """By configuration: its state, its output, its result; it computes nothing itself."""
    script = "import sys, time; from pathlib import Path; from tests.experiment import experiment\n"
    script += "experiment(Path(sys.argv[1]), 'local', act='hold').double.job().result()"
    submitter = subprocess.Popen([sys.executable, "-c", script, str(tmp_path)])
    until((tmp_path / "started-1").exists)

    xp = experiment(tmp_path, "local", act="hold")
    assert xp.double.status() == "running"
    job = xp.double.job()
    assert job.job_id is not None
    assert job.stdout() == ""
    assert cm.find_slurm_job(job.job_id, tmp_path / "cache") is not None
    (tmp_path / "go-1").touch()
    assert job.result(PATIENCE_S) == 2
    assert submitter.wait(PATIENCE_S) == 0
    assert notes(tmp_path) == ["double 1"]


@pytest.mark.slow
def test_a_job_of_another_process_can_be_cancelled(tmp_path: Path) -> None:
    """And then it is cancelled for both."""
    script = "import sys; from pathlib import Path; from tests.experiment import experiment\n"
    script += "job = experiment(Path(sys.argv[1]), 'local', act='hold').double.job(); job.wait(); print(job.status())"
    submitter = subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    until((tmp_path / "started-1").exists)

    job = experiment(tmp_path, "local", act="hold").double.job()
    job.cancel()
    with pytest.raises(cm.JobLostError, match="cancelled"):
        job.result(PATIENCE_S)
    assert submitter.communicate(timeout=PATIENCE_S)[0] == "cancelled\n"
    assert experiment(tmp_path, "local", act="hold").double.status() == "cancelled"


@pytest.mark.slow
def test_a_job_outlives_its_submitter_if_asked_to(tmp_path: Path) -> None:
    """survive_submitter: its claim is its own, so nobody computes the same meanwhile."""
    script = "import sys; from pathlib import Path; from tests.experiment import experiment\n"
    script += "experiment(Path(sys.argv[1]), 'local', act='hold', survive_submitter=True).double.job()"
    subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=True)
    xp = experiment(tmp_path, act="hold")
    values: list[object] = []
    thread = threading.Thread(target=lambda: values.append(xp.double()))
    thread.start()
    until((tmp_path / "started-1").exists)
    assert xp.double.status() == "running"
    (tmp_path / "go-1").touch()
    thread.join(PATIENCE_S)
    assert values == [2]
    assert notes(tmp_path) == ["double 1"]


@pytest.mark.slow
def test_a_lost_job_that_nobody_waits_for_blocks_nobody(tmp_path: Path) -> None:
    """Its submitter lives and does not ask; another process computes all the same."""
    place = tmp_path / "place"
    place.mkdir()
    script = (
        "import sys; from pathlib import Path; from tests.experiment import experiment\n"
        "from tests.executors.calls import until\n"
        "place, cluster = Path(sys.argv[1]), sys.argv[2]\n"
        "experiment(place, cluster, act='die').double.job()\n"
        "until((place / 'repaired').exists, 60)\n"
        "until((place / 'end').exists, 60)\n"
    )
    for cluster in ("processpool", "local"):
        submitter = subprocess.Popen([sys.executable, "-c", script, str(place), cluster])
        until((place / "dies").exists)
        (place / "repaired").touch()
        until(lambda: experiment(place, act="die").double.status() in ("failed", "not submitted"))
        assert experiment(place, act="die").double() == 2
        (place / "end").touch()
        assert submitter.wait(PATIENCE_S) == 0
        experiment(place, act="die").double.clear()
        for name in ("repaired", "end", "dies"):
            (place / name).unlink()


@pytest.mark.slow
def test_a_local_job_is_recorded(tmp_path: Path) -> None:
    """Its logs can be read, the record names no absolute path, and the cache works without the logs."""
    xp = experiment(tmp_path, "local", act="print")
    job = xp.double.job()
    assert job.result(PATIENCE_S) == 2
    until(lambda: "printed" in job.stdout())
    folder = xp.double.uid_folder()
    assert folder is not None
    record = json.loads((Path(folder) / "job.json").read_text())
    assert record["job_id"] == job.job_id
    assert str(tmp_path) not in json.dumps(record)

    import shutil

    shutil.rmtree(tmp_path / "cache" / "logs")
    again = experiment(tmp_path, "local", act="print")
    assert [again.double(), again.double.job().stdout(), again.double.job().job_id] == [2, "", None]


@every
def test_jobs_can_be_awaited(cluster: str | None, tmp_path: Path) -> None:
    """Together, while the event loop goes on."""
    models = [experiment(tmp_path, cluster, n=n) for n in range(2)]

    async def run() -> tuple[list[object], list[object]]:
        jobs = [await job for job in [model.double.job() for model in models]]
        return jobs, await models[0].doubles.submit([1, 2])

    assert asyncio.run(run()) == ([0, 2], [2, 4])


# -- arrays -------------------------------------------------------------------------------------------------------------


@every
def test_an_array_computes_what_is_missing(cluster: str | None, tmp_path: Path) -> None:
    """Once each, of different models and settings; what is stored is not submitted."""
    experiment(tmp_path, n=1).double()
    models = [experiment(tmp_path, cluster, n=n) for n in (0, 1, 2, 0)]

    jobs = cm.job_array((model.double for model in models), max_workers=2)
    assert [job.result(PATIENCE_S) for job in jobs] == [0, 2, 4, 0]
    assert sorted(notes(tmp_path)) == ["double 0", "double 1", "double 2"]


@quick
def test_an_array_is_filled_in_a_with_block(cluster: str | None, tmp_path: Path) -> None:
    """Submitted at its end; equal models and an empty array are refused unless they are meant."""
    xp = experiment(tmp_path, cluster)
    with xp.double.job_array(max_workers=2) as array:
        array.extend(xp.infra.clone_obj(n=n) for n in range(3))
        assert notes(tmp_path) == []
    assert [tp.cast(Experiment, model).double() for model in array] == [0, 2, 4]

    with pytest.raises(cm.InfraError, match=r"job array is empty.*allow_empty=True"), xp.double.job_array():
        pass
    with xp.double.job_array(allow_empty=True):
        pass
    with (
        pytest.raises(cm.InfraError, match=r"models 0 and 1 .* same uid .*allow_repeated"),
        xp.double.job_array() as array,
    ):
        array.extend([xp, xp.infra.clone_obj()])
    with xp.double.job_array(allow_repeated_tasks=True) as array:
        array.extend([xp, xp.infra.clone_obj()])
    assert cm.job_array([]) == []
    for wrong in (xp, 3):
        with pytest.raises(cm.InfraError, match=r"takes tasks, as in job_array\(model.train for .*\), not"):
            cm.job_array([wrong])  # type: ignore[arg-type]


def test_an_array_that_could_not_be_filled_is_not_submitted(tmp_path: Path) -> None:
    """An error in the block is the only thing that comes of it."""
    xp = experiment(tmp_path)
    array = xp.double.job_array()
    array.__enter__().append(xp)
    error = ZeroDivisionError()
    assert not array.__exit__(ZeroDivisionError, error, None)
    assert notes(tmp_path) == []


@quick
def test_a_failure_does_not_stop_an_array(cluster: str | None, tmp_path: Path) -> None:
    """Each job has its own."""
    jobs = cm.job_array(experiment(tmp_path, cluster, n=n, act=act).double for n, act in enumerate(["", "fail", ""]))
    assert [job.exception(PATIENCE_S) is None for job in jobs] == [True, False, True]


# -- maps -----------------------------------------------------------------------------------------------------------------


@every
def test_a_map_can_be_submitted(cluster: str | None, tmp_path: Path) -> None:
    """Its job gives all outputs, in order, more than once."""
    job = experiment(tmp_path, cluster).doubles.submit([3, 1, 3])
    assert job.result() == [6, 2, 6]
    assert list(job) == [6, 2, 6]
    assert job.wait(0)
    assert job.done()
    assert len(job) == 3
    assert sorted(notes(tmp_path)) == ["1", "3"]


@every
def test_outputs_as_they_are_completed(cluster: str | None, tmp_path: Path) -> None:
    """With their items; a failing one comes last, as an error."""
    settings: tp.Any = {} if cluster in (None, "debug") else {"min_items_per_job": 1}
    job = experiment(tmp_path, cluster, acts={2: "fail"}, **settings).doubles.submit([1, 2, 3])
    received: list[tuple[int, object]] = []
    with pytest.raises(cm.ItemErrors, match=r"1 item\(s\)"):
        received.extend(job.as_completed())
    assert sorted(received) == [(1, 2), (3, 6)]
    with pytest.raises(cm.ItemErrors):
        job.result()


@pytest.mark.parametrize("cluster", ["threadpool", "processpool"])
def test_as_completed_does_not_wait_in_order(cluster: str, tmp_path: Path) -> None:
    """What is ready comes first."""
    job = experiment(tmp_path, cluster, acts={1: "hold"}, max_jobs=2).doubles.submit([1, 2])
    completed = job.as_completed()
    assert next(completed) == (2, 4)
    assert not job.done()
    with pytest.raises(TimeoutError):
        job.result(0)
    (tmp_path / "go-1").touch()
    assert next(completed) == (1, 2)
    assert list(completed) == []
    assert job.done()


@queued
def test_a_submitted_map_can_be_cancelled(cluster: str, tmp_path: Path) -> None:
    """What is stored by then stays."""
    xp = experiment(tmp_path, cluster, acts={1: "hold"}, max_jobs=1, min_items_per_job=2)
    job = xp.doubles.submit([1, 2])
    until((tmp_path / "started-1").exists)
    assert xp.doubles.plan([1, 2, 3]) == cm.Plan(cached=[], running=[1, 2], failed=[], missing=[3])
    job.cancel()
    (tmp_path / "go-1").touch()
    if cluster == "threadpool":  # it ends at its next item
        assert job.wait(PATIENCE_S)
    else:
        with pytest.raises(cm.JobLostError, match="cancelled"):
            job.result(PATIENCE_S)
        assert xp.doubles.plan([1, 2]).missing == [1, 2]
    assert list(xp.doubles([1, 2])) == [2, 4]


def test_a_submitted_map_computes_here_as_it_is_asked(tmp_path: Path) -> None:
    """With cluster None; cancelled, it computes no more."""
    job = experiment(tmp_path, chunk_size=1).doubles.submit([1, 2])
    assert notes(tmp_path) == []
    outputs = iter(job)
    assert next(outputs) == 2
    job.cancel()
    with pytest.raises(cm.JobLostError, match="cancelled"):
        next(outputs)
    assert notes(tmp_path) == ["1"]


def test_statuses_never_raise(tmp_path: Path) -> None:
    """Not even where nothing can be found out."""
    xp = experiment(tmp_path)
    xp.double()
    folder = xp.double.uid_folder()
    assert folder is not None
    (Path(folder) / "entry").write_bytes(b"damaged")
    with pytest.warns(RuntimeWarning, match="entry"):
        assert experiment(tmp_path).double.status() == "not submitted"
    (Path(folder) / "job.json").write_text("{damaged")
    assert experiment(tmp_path).double.status() == "not submitted"
