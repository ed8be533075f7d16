"""The door to a folder: what is committed when, what is shared, and what a fork, a full disk or a collection of garbage does."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import threading
import typing as tp
import weakref
from pathlib import Path

import pytest

from cachedmodel.cache import Cache, Failure, Options
from cachedmodel.errors import CacheError

from .conftest import Open
from .processes import wait_for


def test_the_cache_of_a_folder_is_shared(tmp_path: Path) -> None:
    """One object serves a folder in a process, with the options that were given last; opening touches no file."""
    root = str(tmp_path / "root")
    one = Cache.open(f"{root}/a", root, single=False, options=Options())
    other = Cache.open(f"{root}/b", root, single=False, options=Options())
    options = Options(codec="pickle")

    assert Cache.open(f"{root}/a", root, single=False, options=options) is one
    assert other is not one
    assert one.options is options
    assert os.listdir(tmp_path) == []


def test_reading_and_asking_touch_no_file(tmp_path: Path, opened: Open) -> None:
    """Who only reads makes nothing, wherever it looks."""
    for single in (True, False):
        cache = opened(single=single, folder="nowhere")
        assert cache.read(["", "a"]) == ({}, {})
        assert cache.states(["", "a"]) == {}
        assert cache.holders(["", "a"]) == {}
        assert list(cache.keys()) == []
        assert cache.provenance("") is None
        cache.wait([""], 0.0)
        cache.delete()
        cache.delete([""])
        cache.close()
    assert os.listdir(tmp_path) == []


def test_a_slow_item_is_committed_at_once(opened: Open) -> None:
    """The first item of a block, and one that comes later than 2 ms after a commit, is seen by others when it is written."""
    one = opened()

    assert one.write("a", 1)
    assert opened().read(["a"]).values == {"a": 1}


def test_quick_items_are_committed_together(opened: Open) -> None:
    """Items that come quickly wait for each other; their writer sees them all the same."""
    one = opened()
    one.commit()
    one._store.block_s = 1e9  # type: ignore[union-attr]  # as quick as can be
    one.write("a", 1)
    committed = [one.write(str(number), number) for number in range(3000)]

    assert committed.index(True) == 2046
    assert sum(committed) == 1
    assert len(list(opened().keys())) == 2048
    assert one.read(["2999"]).values == {"2999": 2999}
    assert len(list(opened().keys())) == 3001


def test_large_items_are_committed_at_once(opened: Open) -> None:
    """Large values are not held in memory."""
    one = opened()
    one._store.block_s = 1e9  # type: ignore[union-attr]

    assert one.write("a", bytes(100_000))


def test_what_is_written_is_as_it_was_then(opened: Open) -> None:
    """A value that its owner changes after it was written is stored as it was."""
    one = opened()
    one._store.block_s = 1e9  # type: ignore[union-attr]
    value, array = [1, 2], bytearray(b"before" * 50)

    one.write("list", value)
    one.write("bytes", array)
    value.append(3)
    array[:6] = b"after!"
    one.commit()

    assert opened().read(["list", "bytes"]).values == {"list": [1, 2], "bytes": bytearray(b"before" * 50)}


def test_a_value_that_cannot_be_stored(opened: Open) -> None:
    """Such a value is refused when it is written, and nothing else is lost."""
    for single in (True, False):
        cache = opened(single=single, folder=f"folder-{single}", allow_pickle=False)
        with pytest.raises(CacheError, match="pickle"):
            cache.write("", object())
        assert cache.write("", 1)
        assert cache.read([""]).values == {"": 1}


@pytest.mark.parametrize("single", [True, False])
def test_provenance(opened: Open, single: bool) -> None:
    """Every entry tells when, where, by whom, with what and how long it was computed."""
    cache = opened(single=single, provenance=lambda: {"commit": "abc", "path": Path("/x")})
    cache.write("", [1], 2.5)
    cache.commit()

    about = opened(single=single).provenance("")

    assert about is not None
    assert about["seconds"] == 2.5
    assert (about["commit"], about["path"], about["pid"]) == ("abc", "/x", os.getpid())
    assert {"when", "host", "user", "python", "cachedmodel"} <= about.keys()
    assert opened(single=single).provenance("other") is None


@pytest.mark.parametrize("single", [True, False])
def test_another_identity_is_ignored(opened: Open, single: bool) -> None:
    """Entries of another configuration that has the same uid are not served, and one warning says so."""
    one = opened(single=single, identity=b"one")
    one.write("", 1)
    one.close()
    other = opened(single=single, identity=b"two", accept=lambda identity: identity == b"two")

    with pytest.warns(RuntimeWarning, match="another configuration"):
        assert other.read([""]).values == {}
    assert other.claim([""]) == [""]
    other.write("", 2)
    other.close()

    again = opened(single=single, identity=b"two", accept=lambda identity: identity == b"two")
    assert again.read([""]).values == {"": 2}


def test_a_new_identity_begins_a_new_file(opened: Open) -> None:
    """What is written after the options changed carries the new identity."""
    cache = opened(identity=b"one")
    cache.write("a", 1)
    cache.set_options(Options(identity=b"two", accept=lambda identity: identity == b"two"))
    cache.write("b", 2)
    cache.commit()

    reader = opened(accept=lambda identity: identity == b"two")
    with pytest.warns(RuntimeWarning, match="another configuration"):
        assert reader.read(["a", "b"]).values == {"b": 2}


def test_a_background_flush(opened: Open) -> None:
    """What was written becomes visible within the period, though its writer does nothing more."""
    one = opened()
    with one.flush_every(0.02):
        one.write("a", 1)
        assert not one.write("b", 2)
        wait_for(lambda: opened().read(["b"]).values)
        one.write("c", 3)
    assert opened().read(["c"]).values == {"c": 3}
    assert not [thread for thread in threading.enumerate() if thread.name == "cachedmodel-flush"]


# -- forks


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_after_a_fork_both_write_what_is_theirs(opened: Open, tmp_path: Path) -> None:
    """A child neither repeats nor ends what its parent has begun: block, shard, claims, heartbeat."""
    cache = opened(lease_s=0.1)
    cache._store.block_s = 1e9  # type: ignore[union-attr]
    cache.claim(["parent", "waiting"])
    cache.write("before", 0)
    cache.write("waiting", 1)
    threads = threading.active_count()

    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            assert threading.active_count() == 1
            assert cache.holders(["parent"])["parent"].pid == os.getppid()
            assert cache.claim(["parent", "child"]) == ["child"]
            cache.write("child", 2)
            cache.close()
            cache.release(["child", "parent"])
            assert cache.read(["waiting", "child"]).values == {"child": 2}
            status = 0
        finally:
            os._exit(status)
    assert os.waitpid(pid, 0)[1] == 0

    assert threading.active_count() == threads
    assert cache.holders(["parent"])["parent"].is_me
    cache.write("parent", 3)
    cache.close()
    values = {"before": 0, "waiting": 1, "child": 2, "parent": 3}
    assert opened().read(list(values)).values == values
    assert sorted(opened().keys()) == sorted(values)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_fork_beside_threads_that_write(opened: Open) -> None:
    """A child works, whatever the threads of its parent were doing when it was made."""
    cache = opened()
    stop = threading.Event()

    def write(tag: str) -> None:
        number = 0
        while not stop.is_set():
            cache.write(f"{tag}{number}", number)
            cache.read([f"{tag}{number - 5}"])
            number += 1

    threads = [threading.Thread(target=write, args=(tag,)) for tag in "ab"]
    for thread in threads:
        thread.start()
    try:
        for number in range(8):
            pid = os.fork()
            if pid == 0:
                signal.alarm(20)
                cache.write(f"child {number}", number)
                cache.close()
                os._exit(0 if cache.read([f"child {number}", "a0"]).values[f"child {number}"] == number else 1)
            assert os.waitpid(pid, 0)[1] == 0
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert len(opened().read([f"child {number}" for number in range(8)]).values) == 8


# -- errors of the system


_FULL = """
import resource, sys, errno
from cachedmodel.cache import Cache, Failure, Options
root, single = sys.argv[1], sys.argv[2] == "True"
cache = Cache(f"{root}/map", root, single=single, options=Options())
cache.write("", 1)
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, resource.RLIM_INFINITY))
for key, value in (("", bytes(200_000)), ("big", bytes(200_000)), ("bigger", bytes(300_000))):
    try:
        cache.write(key, value)
        cache.commit()
    except OSError as error:
        assert error.errno == errno.EFBIG, error
        assert str(error.filename).startswith(f"{root}/map/"), error
    else:
        raise AssertionError("the limit was not met")
    if not single:
        cache.write(f"after {key}", [2])
        cache.commit()
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
cache.write("room", bytes(200_000))
cache.close()
"""


@pytest.mark.parametrize("single", [True, False])
def test_a_full_disk(opened: Open, tmp_path: Path, single: bool) -> None:
    """What does not fit is an OSError with the path; all before it stays, and all after it is stored."""
    code = "import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n" + _FULL
    subprocess.run([sys.executable, "-c", code, str(tmp_path), str(single)], check=True)
    cache = opened(single=single)

    if single:
        assert cache.read([""]).values == {"": bytes(200_000)}
        assert os.listdir(tmp_path / "map") == ["entry"]
    else:
        expected: dict[str, object] = {"": 1, "room": bytes(200_000)}
        expected |= {f"after {key}": [2] for key in ("", "big", "bigger")}
        assert cache.read([*expected, "big", "bigger"]).values == expected


def test_a_folder_that_cannot_be_made(tmp_path: Path, opened: Open) -> None:
    """The error of the system is raised with its path, by whatever writes."""
    (tmp_path / "map").write_text("a file")
    for single in (True, False):
        cache = opened(single=single)
        assert cache.read(["", "a"]) == ({}, {})
        with pytest.raises(OSError, match="map"):
            cache.write("", 1)
        with pytest.raises(OSError, match="map"):
            cache.claim([""])


# -- finalizers


def test_a_release_in_the_midst_of_another_call(opened: Open) -> None:
    """A claim that the garbage collector ends, while its cache is busy in the same thread, is ended afterwards."""
    answers: list[tp.Any] = []

    class Work:
        """What is being computed: a cycle, which only the collector finds."""

        def __init__(self) -> None:
            self.cycle = self

    def job_alive(scheduler: str, job_id: str, submitted: float) -> bool:
        gc.collect()
        answers.append(cache.holders(["a"]).get("a"))
        return True

    from cachedmodel.cache import Keeper

    cache = opened(job_alive=job_alive)
    cache.claim(["a", "b"])
    cache.hand_over(["b"], Keeper.job("slurm", "1", 0.0))
    work = Work()
    weakref.finalize(work, cache.release, ["a"])
    gc.disable()
    try:
        del work
        cache.holders(["b"])
    finally:
        gc.enable()

    assert answers[0].is_me  # not yet
    cache.commit()
    assert cache.holders(["a"]) == {}


@pytest.mark.parametrize("single", [True, False])
def test_failures_are_entries(opened: Open, single: bool) -> None:
    """A stored failure is found as such, replaced by a value, and the other way round."""
    one = opened(single=single)
    failure = Failure.of(ValueError("wrong"))
    one.write_failure("", failure, 1.5)
    one.commit()

    other = opened(single=single)
    assert other.read([""]) == ({}, {"": failure})
    assert other.states([""]) == {"": "failure"}
    assert other.provenance("") == one.provenance("")
    other.write("", 1)
    other.commit()
    assert opened(single=single).read([""]) == ({"": 1}, {})


@pytest.mark.parametrize("single", [True, False])
def test_failures_without_pickle(opened: Open, single: bool) -> None:
    """With `allow_pickle=False` the pickle of a failure is neither written nor handed out; the text is."""
    failure = Failure.of(ValueError("wrong"))
    strict, lax = opened(single=single, allow_pickle=False), opened(single=single)

    lax.write_failure("", failure)
    lax.commit()
    assert strict.read([""]).failures == {"": failure.without_pickle()}
    strict.refresh()
    strict.write_failure("", failure)
    strict.commit()
    lax.refresh()
    assert lax.read([""]).failures == {"": failure.without_pickle()}
