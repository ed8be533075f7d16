"""Tasks on every cluster: computed once, stored, raised again, taken over, and never waited for by themselves."""

from __future__ import annotations

import subprocess
import sys
import threading
import traceback
import typing as tp
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pytest

import cachedmodel as cm
from tests.executors.calls import until
from tests.experiment import EVERY, QUEUED, QUICK, Experiment, Outer, OwnError, experiment, notes

every = pytest.mark.parametrize("cluster", EVERY)
quick = pytest.mark.parametrize("cluster", QUICK)


@every
def test_a_task_is_computed_once(cluster: str | None, tmp_path: Path) -> None:
    """A second call, of the same or of an equal model, gives what is stored."""
    xp = experiment(tmp_path, cluster, n=3)

    assert [xp.double(), xp.double(), experiment(tmp_path, cluster, n=3).double()] == [6, 6, 6]
    assert notes(tmp_path) == ["double 3"]


@every
def test_a_failure_is_stored_and_raised_again_by_type(cluster: str | None, tmp_path: Path) -> None:
    """The exception has its own type, says where it was raised and what has it computed again, and is not computed again."""
    xp = experiment(tmp_path, cluster, n=3, act="fail")

    for model in (xp, xp, experiment(tmp_path, cluster, n=3, act="fail")):
        with pytest.raises(OwnError, match="3") as caught:
            model.double()
        assert "in double" in "".join(traceback.format_exception(caught.value))
    assert "infra.mode='retry' computes anew" in caught.value.__notes__[-1]
    assert notes(tmp_path) == ["double 3"]
    assert xp.double.status() == "failed"
    assert not xp.double.is_cached()


@quick
def test_an_exception_that_does_not_unpickle_is_told(cluster: str | None, tmp_path: Path) -> None:
    """From a store or another process it is a ComputeError with its type name and traceback."""
    with pytest.raises(Exception, match="this and that"):
        experiment(tmp_path, cluster, act="odd").double()
    with pytest.raises(cm.ComputeError, match="OddError: this and that") as caught:
        experiment(tmp_path, cluster, act="odd").double()
    assert caught.value.type_name == "tests.experiment.OddError"
    assert "in double" in caught.value.remote_traceback


@every
def test_retry_computes_failures_again(cluster: str | None, tmp_path: Path) -> None:
    """What failed is computed again at each call until it succeeds; what succeeded is not."""
    with pytest.raises(OwnError):
        experiment(tmp_path, cluster, act="fail").double()
    with pytest.raises(OwnError):
        experiment(tmp_path, cluster, act="fail", mode="retry").double()
    assert len(notes(tmp_path)) == 2
    (tmp_path / "repaired").touch()

    xp = experiment(tmp_path, cluster, act="fail", mode="retry")
    assert [xp.double(), xp.double(), experiment(tmp_path, cluster, act="fail").double()] == [2, 2, 2]
    assert len(notes(tmp_path)) == 1


@every
def test_force_computes_once_per_instance(cluster: str | None, tmp_path: Path) -> None:
    """Each instance computes anew, once; others then find the new value."""
    first = experiment(tmp_path, cluster, act="random").double()
    forced = experiment(tmp_path, cluster, act="random", mode="force")

    second = forced.double()
    assert second != first
    assert forced.double() == second
    assert experiment(tmp_path, cluster, act="random").double() == second
    assert len(notes(tmp_path)) == 2
    assert experiment(tmp_path, cluster, act="random", mode="force").double() != second


@every
def test_force_with_the_same_outcome_ends(cluster: str | None, tmp_path: Path) -> None:
    """A value that is equal to the old one is taken for what it is: computed again."""
    assert experiment(tmp_path, cluster).double() == 2
    forced = experiment(tmp_path, cluster, mode="force")

    assert [forced.double(), forced.double()] == [2, 2]
    assert list(experiment(tmp_path, cluster, mode="force").doubles([1, 2])) == [2, 4]
    assert list(experiment(tmp_path, cluster, mode="force").doubles([1, 2])) == [2, 4]
    assert sorted(notes(tmp_path)) == ["1", "1", "2", "2", "double 1", "double 1"]


@every
def test_a_failing_force_keeps_the_old_entry(cluster: str | None, tmp_path: Path) -> None:
    """The failure is raised once; the old value stays for all, this instance too."""
    (tmp_path / "repaired").touch()
    assert experiment(tmp_path, cluster, act="fail").double() == 2
    (tmp_path / "repaired").unlink()
    forced = experiment(tmp_path, cluster, act="fail", mode="force")

    with pytest.raises(OwnError):
        forced.double()
    assert [forced.double(), experiment(tmp_path, cluster, act="fail").double()] == [2, 2]
    assert len(notes(tmp_path)) == 2


@pytest.mark.parametrize("cluster", QUEUED)
def test_the_old_entry_is_readable_while_it_is_forced(cluster: str, tmp_path: Path) -> None:
    """Until the new value is complete, others get the old one."""
    (tmp_path / "go-1").touch()
    assert experiment(tmp_path, cluster, act="hold").double() == 2
    (tmp_path / "started-1").unlink()
    (tmp_path / "go-1").unlink()

    job = experiment(tmp_path, cluster, act="hold", mode="force").double.job()
    until((tmp_path / "started-1").exists)
    assert job.status() == "running"
    assert experiment(tmp_path, cluster, act="hold").double() == 2
    (tmp_path / "go-1").touch()
    assert job.result(30) == 2


def test_an_instance_that_arrives_in_a_job_does_not_force(tmp_path: Path) -> None:
    """mode="force" is for the sender: a nested task of the job is found in the cache."""
    inner = experiment(tmp_path, mode="force")
    inner.double()
    list(inner.doubles([1, 2]))
    outer = Outer(inner=inner, infra={"folder": tmp_path / "cache", "cluster": "processpool"})
    notes(tmp_path)

    assert outer.total() == [2, 2, 4]
    assert notes(tmp_path) == ["total"]


@quick
def test_read_only_never_computes_or_writes(cluster: str | None, tmp_path: Path) -> None:
    """What is stored is given; what is missing raises, and no folder is made."""
    reader = experiment(tmp_path, cluster, mode="read-only")
    with pytest.raises(cm.MissingError, match=r"is not cached in .*mode='read-only'"):
        reader.double()
    with pytest.raises(cm.MissingError, match=r"2 of 2 items .* are not cached .*: '1', '2'"):
        list(reader.doubles([1, 2]))
    assert not (tmp_path / "cache").exists()
    experiment(tmp_path, cluster).double()

    assert reader.double() == 2
    assert notes(tmp_path) == ["double 1"]


@pytest.mark.parametrize("cluster", ["processpool", pytest.param("local", marks=pytest.mark.slow)])
def test_a_lost_job_is_nobodys_result(cluster: str, tmp_path: Path) -> None:
    """kill -9 of the worker: whoever waits gets a JobLostError, and the next call computes."""
    xp = experiment(tmp_path, cluster, act="die")
    with pytest.raises(cm.JobLostError, match="SIGKILL"):
        xp.double()
    assert not xp.double.is_cached()
    (tmp_path / "repaired").touch()

    assert xp.double() == 2
    assert len(notes(tmp_path)) == 2


@quick
def test_no_memory_is_not_cached(cluster: str | None, tmp_path: Path) -> None:
    """A MemoryError is the machine's failure: raised, not stored."""
    for _ in range(2):
        with pytest.raises(MemoryError):
            experiment(tmp_path, cluster, act="memory").double()
    assert len(notes(tmp_path)) == 2


@pytest.mark.parametrize("cluster", ["threadpool", "processpool", pytest.param("local", marks=pytest.mark.slow)])
def test_sys_exit_of_a_job_does_not_end_its_submitter(cluster: str, tmp_path: Path) -> None:
    """It is a lost job here."""
    with pytest.raises(cm.JobLostError, match=r"ended by SystemExit\(3\)"):
        experiment(tmp_path, cluster, act="exit").double()


@quick
def test_results_are_kept_in_ram(cluster: str | None, tmp_path: Path) -> None:
    """The object itself is handed out again, its arrays read-only; else it is read anew."""
    kept = Arrays(infra={"folder": tmp_path, "cluster": cluster, "keep_in_ram": True})
    array = kept.array()
    assert kept.array() is array
    assert not array.flags.writeable
    assert next(kept.arrays(["a"])) is next(kept.arrays(["a"]))

    fresh = Arrays(infra={"folder": tmp_path, "cluster": cluster})
    assert fresh.array() is not fresh.array()
    assert np.array_equal(fresh.array(), array)


class Arrays(cm.CachedModel):
    @cm.task
    def array(self) -> np.ndarray:
        return np.arange(3)

    @cm.map(item_uid=str)
    def arrays(self, items: Iterable[str]) -> Iterator[np.ndarray]:
        for _ in items:
            yield np.arange(3)


@pytest.mark.parametrize("cluster", [None, "debug", "threadpool", "processpool"])
def test_without_a_folder_results_live_in_memory(cluster: str | None, tmp_path: Path) -> None:
    """As long as the model does, failures too; clearing forgets them."""
    xp = Experiment(place=tmp_path, infra={"cluster": cluster})
    assert [xp.double(), xp.double()] == [2, 2]
    assert xp.double.is_cached()
    assert list(xp.doubles([1, 2, 1])) == [2, 4, 2]
    assert dict(xp.doubles.cache) == {"1": 2, "2": 4}
    assert sorted(notes(tmp_path)) == ["1", "2", "double 1"]

    xp.double.clear()
    assert xp.double.status() == "not submitted"
    xp.doubles.clear([1])
    assert xp.double() == 2
    assert list(xp.doubles([1, 2])) == [2, 4]
    assert sorted(notes(tmp_path)) == ["1", "double 1"]

    failing = Experiment(place=tmp_path, act="fail", infra={"cluster": cluster})
    for _ in range(2):
        with pytest.raises(OwnError):
            failing.double()
    assert notes(tmp_path) == ["double 1"]


@every
def test_clear_forgets(cluster: str | None, tmp_path: Path) -> None:
    """The next call computes again; clearing what is not there is fine."""
    xp = experiment(tmp_path, cluster)
    xp.double.clear()
    xp.double()
    xp.double.clear()

    assert not xp.double.is_cached()
    assert xp.double.status() == "not submitted"
    assert xp.double() == 2
    assert len(notes(tmp_path)) == 2


@every
def test_a_task_may_call_others(cluster: str | None, tmp_path: Path) -> None:
    """Also on the same cluster, and each is stored for itself."""
    inner = experiment(tmp_path, cluster)
    outer = Outer(inner=inner, infra={"folder": tmp_path / "cache", "cluster": cluster})

    assert outer.total() == [2, 2, 4]
    assert inner.double() == 2
    assert sorted(notes(tmp_path)) == ["1", "2", "double 1", "total"]


@pytest.mark.parametrize("cluster", ["threadpool", "processpool"])
def test_nested_tasks_do_not_fill_the_pool(cluster: str, tmp_path: Path) -> None:
    """As many as the pool has places, each waiting for a task of its own."""
    inner = [experiment(tmp_path, cluster, n=n) for n in range(4)]
    outer = [Outer(inner=model, infra={"folder": tmp_path / "cache", "cluster": cluster}) for model in inner]

    jobs = cm.job_array(model.total for model in outer)
    assert [job.result(60) for job in jobs] == [[2 * n, 2, 4] for n in range(4)]


class Recursive(cm.CachedModel):
    """Asks for itself."""

    route: str
    other: Recursive | None = None

    @cm.task
    def value(self) -> object:
        if self.route == "directly":
            return self.value()
        if self.route == "through another":
            return Asking(model=self, infra=self.infra).ask()
        if self.route == "through a map":
            return list(self.values([1]))
        return self.clone().value()

    @cm.map(item_uid=str)
    def values(self, items: Iterable[int]) -> Iterator[object]:
        for item in items:
            if self.route == "through a map":
                yield self.value()
            else:
                yield next(iter(self.values([item + 1])))

    def clone(self) -> Recursive:
        return self.infra.clone_obj()


class Asking(cm.CachedModel):
    model: Recursive

    @cm.task
    def ask(self) -> object:
        return self.model.value()


@pytest.mark.parametrize("folder", [True, False], ids=["folder", "memory"])
@pytest.mark.parametrize("route", ["directly", "through another", "through a map", "through a clone"])
@every
def test_recursion_is_an_error(cluster: str | None, route: str, folder: bool, tmp_path: Path) -> None:
    """A computation that asks for its own result is told so, whatever the route, and not stored."""
    if not folder and (cluster == "local" or (route == "through a clone")):
        pytest.skip("needs a folder")
    if cluster == "local" and route == "through a map":
        pytest.skip("three jobs that wait for one another take long")
    infra: cm.InfraDict = {"folder": tmp_path if folder else None, "cluster": cluster}
    xp = Recursive(route=route, infra=infra)

    with pytest.raises(cm.RecursiveComputeError, match="own computation"):
        xp.value()
    assert xp.value.status() != "completed"


@quick
def test_recursion_within_a_chunk_is_an_error(cluster: str | None, tmp_path: Path) -> None:
    """An item may ask for an item that was computed before it, not for one behind it."""
    xp = Recursive(route="", infra={"folder": tmp_path, "cluster": cluster, "min_items_per_job": 3})

    with pytest.raises(cm.RecursiveComputeError):
        list(xp.values([1, 2, 3]))


def test_two_threads_that_wait_for_one_another_are_told(tmp_path: Path) -> None:
    """a asks for b while b asks for a, each in its own thread: an error, not a dead lock."""
    first, second = (Crossing(name=name, place=tmp_path, infra={"folder": tmp_path}) for name in "ab")
    errors: list[BaseException] = []

    def ask(model: Crossing) -> None:
        try:
            model.value()
        except cm.RecursiveComputeError as error:
            errors.append(error)

    threads = [threading.Thread(target=ask, args=(model,)) for model in (first, second)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert not any(thread.is_alive() for thread in threads)
    assert errors


class Crossing(cm.CachedModel):
    name: str
    place: tp.Annotated[Path, cm.NotInUid]

    @cm.task
    def value(self) -> object:
        other = "b" if self.name == "a" else "a"
        (self.place / f"in-{self.name}").touch()
        until((self.place / f"in-{other}").exists)
        return self.infra.clone_obj(name=other).value()


def test_threads_compute_a_task_once(tmp_path: Path) -> None:
    """Many threads that ask for the same get the same, computed once."""
    values: list[object] = []
    models = [experiment(tmp_path, act="random") for _ in range(8)]
    threads = [threading.Thread(target=lambda model=model: values.append(model.double())) for model in models]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(values) == 8
    assert len(set(values)) == 1
    assert notes(tmp_path) == ["double 1"]


SCRIPT = """
import sys
from pathlib import Path
from tests.experiment import experiment
xp = experiment(Path(sys.argv[1]), sys.argv[2] if sys.argv[2] != "None" else None, act=sys.argv[3])
print(xp.double(), *xp.doubles([3, 1, 2, 3]), flush=True)
"""


def start_process(place: Path, cluster: str | None, act: str = "") -> subprocess.Popen[str]:
    """Another process that asks for the same."""
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", SCRIPT, str(place), str(cluster), act], stdout=subprocess.PIPE, text=True
    )


@pytest.mark.parametrize("cluster", [None, "threadpool", pytest.param("processpool", marks=pytest.mark.slow)])
def test_processes_compute_everything_once(cluster: str | None, tmp_path: Path) -> None:
    """Several processes that ask for the same at the same time compute each item once."""
    processes = [start_process(tmp_path, cluster) for _ in range(3)]

    assert [process.communicate(timeout=60)[0] for process in processes] == ["2 6 2 4 6\n"] * 3
    assert sorted(notes(tmp_path)) == ["1", "2", "3", "double 1"]


def test_the_work_of_a_dead_process_is_taken_over(tmp_path: Path) -> None:
    """Whoever waits for a process that is killed computes the task itself."""
    process = start_process(tmp_path, None, "hold")
    until((tmp_path / "started-1").exists)
    xp = experiment(tmp_path, act="hold")
    assert xp.double.status() == "running"
    thread = threading.Thread(target=xp.double)
    thread.start()
    process.kill()
    process.communicate()
    (tmp_path / "go-1").touch()
    thread.join(30)

    assert xp.double.status() == "completed"
    assert notes(tmp_path) == ["double 1"] * 2


def test_nothing_draws_random_numbers(tmp_path: Path) -> None:
    """The states of `random` and numpy are the caller's."""
    import random

    before = random.getstate(), repr(np.random.get_state(legacy=False))
    for cluster in (None, "threadpool", "processpool"):
        (tmp_path / str(cluster)).mkdir()
        xp = experiment(tmp_path / str(cluster), cluster)
        xp.double()
        list(xp.doubles([1, 2]))
    assert (random.getstate(), repr(np.random.get_state(legacy=False))) == before
