"""What is claimed is computed once: by threads, processes and jobs, whoever dies meanwhile."""

from __future__ import annotations

import os
import threading
import time
from collections import Counter
from multiprocessing.context import SpawnContext
from pathlib import Path

import pytest

from cachedmodel.cache import Cache, Keeper
from cachedmodel.cache.lives import me

from .conftest import Open
from .processes import claim_and_hang, compute_once, wait_for

JOB = Keeper.job("slurm", "123_4", 1.5e9)


def _claims(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob(".claim-*"))


@pytest.mark.parametrize("single", [True, False])
def test_a_claim_is_made_once(opened: Open, single: bool) -> None:
    """Neither the same process nor the same cache opened again is granted what is claimed."""
    one, other = opened(single=single), opened(single=single)

    assert one.claim([""]) == [""]
    assert one.claim([""]) == []
    assert other.claim([""]) == []
    assert other.holders([""]) == {"": me()}
    assert other.holders([""])[""].is_me


def test_claims_are_granted_in_order(opened: Open) -> None:
    """Of several keys those are granted that are free, in order and each once."""
    one, other = opened(), opened()
    one.claim(["b", "d"])
    one.write("e", 1)
    one.commit()

    assert other.claim(["f", "e", "d", "c", "b", "a", "f"]) == ["f", "c", "a"]


@pytest.mark.parametrize("single", [True, False])
def test_released_keys_are_free(opened: Open, single: bool) -> None:
    """A released claim is over at once, also for others."""
    one, other = opened(single=single), opened(single=single)
    one.claim([""])

    one.release([""])

    assert other.holders([""]) == {}
    assert other.claim([""]) == [""]


def test_a_part_of_a_claim_can_be_released(opened: Open) -> None:
    """Keys claimed together end one by one."""
    one, other = opened(), opened()
    one.claim(["a", "b", "c"])

    one.release(["b"])

    assert other.claim(["a", "b", "c"]) == ["b"]
    assert one.claim(["a", "c"]) == []


@pytest.mark.parametrize("single", [True, False])
def test_a_stored_key_is_not_granted(opened: Open, single: bool) -> None:
    """What was stored since it was looked up is not granted, though no claim is in the way."""
    one, other = opened(single=single), opened(single=single)
    assert other.read([""]).values == {}
    one.write("", 1)
    one.commit()

    assert other.claim([""]) == []
    assert other.holders([""]) == {}


def test_stored_keys_can_be_claimed_to_replace_them(opened: Open) -> None:
    """`replace` says what may be stored already: failures, or anything."""
    from cachedmodel.cache import Failure

    cache = opened()
    cache.write("value", 1)
    cache.write_failure("failure", Failure("m.Error", "no", ""))
    cache.commit()

    assert cache.claim(["value", "failure"]) == []
    assert cache.claim(["value", "failure"], "failures") == ["failure"]
    assert cache.claim(["value", "failure"], "all") == ["value"]
    assert cache.holders(["value", "failure"], "all").keys() == {"value", "failure"}
    assert cache.holders(["value", "failure"]) == {}


def test_nothing_is_left_in_the_folder_of_a_task(opened: Open, tmp_path: Path) -> None:
    """A task's claim is a file while it is computed, and gone with the entry, or when it is released."""
    cache = opened(single=True)
    cache.claim([""])
    assert len(_claims(tmp_path / "map")) == 1

    cache.write("", 1)
    assert os.listdir(tmp_path / "map") == ["entry"]

    assert cache.claim([""], "all") == [""]
    cache.release([""])
    assert os.listdir(tmp_path / "map") == ["entry"]


def test_few_files_are_left_in_the_folder_of_a_map(opened: Open, tmp_path: Path) -> None:
    """However many claims there were, one small file is left, whose number nobody uses again."""
    one, other = opened(), opened()
    for number in range(20):
        for cache in (one, other):
            keys = cache.claim([f"{number}-{id(cache)}", f"{number}-{id(cache)}'"])
            cache.write(keys[0], 1)
            cache.commit()
            cache.release(keys)

    (left,) = _claims(tmp_path / "map")
    assert int(left.removeprefix(".claim-")) >= 40


def test_a_claim_becomes_that_of_a_job(opened: Open, tmp_path: Path) -> None:
    """After `hand_over` the job is the keeper, until the scheduler says that it ended."""
    alive: dict[str, bool | None] = {"123_4": True}
    asked: list[tuple[str, str, float]] = []

    def job_alive(scheduler: str, job_id: str, submitted: float) -> bool | None:
        asked.append((scheduler, job_id, submitted))
        return alive[job_id]

    one, other = opened(job_alive=job_alive), opened(job_alive=job_alive)
    one.claim(["a", "b", "c"])
    one.hand_over(["a", "b"], JOB)

    assert other.holders(["a", "b", "c"]) == {"a": JOB, "b": JOB, "c": me()}
    assert asked[0] == ("slurm", "123_4", 1.5e9)
    assert other.claim(["a", "b", "c"]) == []
    assert one.claim(["a"]) == []
    alive["123_4"] = None  # the scheduler does not answer: what it said last counts
    assert other.claim(["a", "b", "c"]) == []
    alive["123_4"] = False
    assert other.claim(["a"]) == ["a"]
    alive["123_4"] = None
    assert one.claim(["a", "b"]) == ["b"]


@pytest.mark.parametrize("single", [True, False])
def test_a_job_ends_its_claims(opened: Open, tmp_path: Path, single: bool) -> None:
    """`end_job` ends the claims of a job, and no others."""
    cache = opened(single=single)
    cache.claim([""])
    cache.hand_over([""], JOB)
    cache.end_job(Keeper.job("slurm", "5", 0.0))
    assert cache.holders([""]) == {"": JOB}

    cache.end_job(Keeper.job("slurm", "123_4", 0.0))

    assert cache.holders([""]) == {}
    assert cache.claim([""]) == [""]
    cache.release([""])
    assert len(_claims(tmp_path / "map")) == (0 if single else 1)


def test_a_claim_needs_a_folder_that_can_be_written(tmp_path: Path, opened: Open) -> None:
    """Where no claim can be made, the error is the system's and names the place."""
    (tmp_path / "map").write_text("a file")

    with pytest.raises(OSError, match="map"):
        opened().claim(["a"])


@pytest.mark.parametrize("single", [True, False])
def test_threads_compute_once(opened: Open, single: bool, tmp_path: Path) -> None:
    """Threads that want the same entries compute each once, on one cache or several."""
    keys = [""] if single else [f"{number}" for number in range(60)]
    caches = [opened(single=single), opened(single=single)]
    computed: list[str] = []

    def work(cache: Cache) -> None:
        while missing := [key for key in keys if key not in cache.read(keys).values]:
            for key in (claimed := cache.claim(missing[:7])):
                computed.append(key)
                cache.write(key, f"value of {key}")
            cache.commit()
            cache.release(claimed)
            if not claimed:
                cache.wait(missing, 10.0)

    threads = [threading.Thread(target=work, args=(caches[number % 2],)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(computed) == sorted(keys)


@pytest.mark.parametrize("single", [True, False])
def test_processes_compute_once(spawn: SpawnContext, tmp_path: Path, single: bool) -> None:
    """Processes that want the same entries compute each once, and all get the same values."""
    keys = [""] if single else [f"{number}" for number in range(100)]
    folder = str(tmp_path / "map")
    journals = [str(tmp_path / f"journal-{number}") for number in range(3)]
    processes = [
        spawn.Process(target=compute_once, args=(folder, keys, journal), kwargs={"single": single})
        for journal in journals
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0

    computed = Counter(line for journal in journals for line in Path(journal).read_text().split("\n")[:-1])
    assert computed == Counter(keys)


@pytest.mark.parametrize("single", [True, False])
def test_a_dead_owner_is_noticed_at_once(spawn: SpawnContext, tmp_path: Path, opened: Open, single: bool) -> None:
    """The claim of a killed process of this host is taken over at once, before anybody reaps it."""
    ready = tmp_path / "ready"
    process = spawn.Process(
        target=claim_and_hang, args=(str(tmp_path / "map"), [""], str(ready)), kwargs={"single": single}
    )
    process.start()
    wait_for(ready.exists)
    cache = opened(single=single)
    assert cache.claim([""]) == []
    assert cache.holders([""])[""].pid == process.pid

    process.kill()
    os.waitid(os.P_PID, process.pid or 0, os.WEXITED | os.WNOWAIT)  # it is a zombie now

    assert cache.holders([""]) == {}
    assert cache.claim([""]) == [""]
    assert cache.holders([""])[""].is_me
    process.join()


def test_waiting_ends_when_the_owner_dies(spawn: SpawnContext, tmp_path: Path, opened: Open) -> None:
    """Who waits for a claim is told when its owner is killed."""
    ready = tmp_path / "ready"
    process = spawn.Process(target=claim_and_hang, args=(str(tmp_path / "map"), ["a"], str(ready)))
    process.start()
    wait_for(ready.exists)
    cache = opened()
    timer = threading.Timer(0.1, process.kill)
    timer.start()

    cache.wait(["a"])

    assert cache.claim(["a"]) == ["a"]
    process.join()


def test_waiting_ends_when_a_key_is_stored(opened: Open) -> None:
    """Who waits for several keys is told when one is stored, by whatever cache."""
    one, other = opened(), opened()
    one.claim(["a", "b"])

    def store() -> None:
        one.write("b", 1)
        one.commit()

    timer = threading.Timer(0.05, store)
    timer.start()

    other.wait(["a", "b"])

    assert other.read(["a", "b"]).values == {"b": 1}


def test_waiting_ends_after_the_timeout(opened: Open) -> None:
    """A timeout ends the wait, also one of zero."""
    one, other = opened(), opened()
    one.claim(["a"])

    other.wait(["a"], 0.0)
    other.wait(["a"], 0.02)

    assert other.holders(["a"]) == {"a": me()}


def test_waiting_for_nothing_ends_at_once(opened: Open) -> None:
    """Keys that nobody holds are not waited for."""
    opened().wait(["a"])


def test_waiting_for_a_replacement(opened: Open) -> None:
    """Who waits for an entry to be replaced is not satisfied by the old one."""
    one, other = opened(), opened()
    one.write("a", 1)
    one.commit()
    one.claim(["a"], "all")
    began = time.monotonic()

    def store() -> None:
        one.write("a", 2)
        one.commit()
        one.release(["a"])

    timer = threading.Timer(0.05, store)
    timer.start()
    other.wait(["a"], 30.0, "all")
    assert 0.04 < time.monotonic() - began < 20
    other.refresh()

    assert other.read(["a"]).values == {"a": 2}


def test_a_claim_that_cannot_be_read_holds_for_a_lease(opened: Open, tmp_path: Path) -> None:
    """Where a claim is being written, nobody else claims; what stays unreadable for a lease is nobody's."""
    (tmp_path / "map").mkdir()
    (tmp_path / "map" / ".claim-00000001").write_bytes(b"half")
    cache = opened(lease_s=0.2)

    assert cache.claim(["a"]) == []
    wait_for(lambda: cache.claim(["a"]))

    assert len(_claims(tmp_path / "map")) == 1


@pytest.mark.parametrize("single", [False, True])
def test_a_claim_that_will_never_be_read_holds_nothing(single: bool, opened: Open, tmp_path: Path) -> None:
    """What was torn or planted long ago, once or twice, is nobody's, and goes; one that is being written beside it holds."""
    folder = tmp_path / "map"
    folder.mkdir()
    for name, age in ((".claim-00000001", 3600), (".claim-00000002", 3600), (".claim-00000003", 0)):
        (folder / name).write_bytes(b"half")
        os.utime(folder / name, (time.time() - age,) * 2)
    cache = opened(single=single)

    assert cache.claim([""]) == []
    (folder / ".claim-00000003").unlink()
    assert cache.claim([""]) == [""]

    assert len(_claims(folder)) == 1


def test_a_claim_that_was_half_written_is_read_again(opened: Open, tmp_path: Path) -> None:
    """Where there are no hard links a claim is seen before it is complete: then it counts as what it says."""
    one, other = opened(), opened()
    one.claim(["a"])
    path = tmp_path / "map" / ".claim-00000001"
    whole = path.read_bytes()
    path.write_bytes(whole[:50])
    assert other.claim(["b"]) == []

    path.write_bytes(whole)

    assert other.claim(["a", "b"]) == ["b"]
    assert other.holders(["a"]) == {"a": me()}
