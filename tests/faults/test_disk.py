"""A disk that is full, a quota, a folder that may not be written or is gone: values are handed out, and nothing is spoiled."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
import tempfile
import typing as tp
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

import cachedmodel as cm
from tests.cache.processes import as_user

from .samples import is_right, lines, sample

root_only = pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount, or be several users")
ALICE, BOB, GROUP = 54321, 54322, 54300


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A file system of a some hundred kilobytes."""
    place = tmp_path / "small"
    place.mkdir()
    options = ["-t", "tmpfs", "-o", "size=300k", "tmpfs", str(place)]
    if subprocess.run(["mount", *options], capture_output=True, check=False).returncode:
        pytest.skip("this user may not mount a tmpfs here")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


@root_only
@pytest.mark.parametrize("cluster", [None, "threadpool"])
def test_a_full_disk_in_this_process(cluster: str | None, small: Path, tmp_path: Path) -> None:
    """All values come, one warning names the error; what was stored stays, and the rest is computed when there is room."""
    infra: tp.Any = {"folder": small, "cluster": cluster}
    with pytest.warns(RuntimeWarning, match="No space left on device") as told:
        values = list(sample(tmp_path, **infra).draws(range(200)))
    assert len(told) == 1
    assert all(is_right(n, value) for n, value in enumerate(values))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # it is still full
        value = sample(tmp_path, n=43, **infra).draw()
    assert is_right(43, value)

    stored = dict(sample(tmp_path, folder=small).draws.cache.items())
    assert 3 <= len(stored) < 200
    assert all(is_right(int(n), value) for n, value in stored.items())
    subprocess.run(["mount", "-o", "remount,size=60m", str(small)], check=True)
    (tmp_path / "computed").unlink()
    again = list(sample(tmp_path, **infra).draws(range(200)))
    assert all(is_right(n, value) for n, value in enumerate(again))
    assert {int(n) for n, *_ in lines(tmp_path / "computed")} == {*range(200)} - {int(n) for n in stored}
    sample(tmp_path, n=43, **infra).draw()
    assert sample(tmp_path, n=43, **infra).draw.is_cached()


@root_only
@pytest.mark.parametrize("cluster", ["processpool", pytest.param("local", marks=pytest.mark.slow)])
def test_a_full_disk_in_a_job(cluster: str, small: Path, tmp_path: Path) -> None:
    """Whoever waits is told with the error of the system; nothing is recorded as the method's failure."""
    xp = sample(tmp_path, folder=small, cluster=cluster, logs=tmp_path / "logs", max_jobs=1)
    with pytest.raises((cm.CacheError, cm.JobLostError, OSError)) as raised:
        list(xp.draws(range(200)))
    assert "No space left" in str(raised.value) + str(raised.value.__cause__) + str(
        getattr(raised.value, "__notes__", "")
    )
    plan = sample(tmp_path, folder=small).draws.plan(range(200))
    assert not plan.failed
    subprocess.run(["mount", "-o", "remount,size=60m", str(small)], check=True)
    values = list(sample(tmp_path, folder=small).draws(range(200)))
    assert all(is_right(n, value) for n, value in enumerate(values))


@root_only
@pytest.mark.slow
def test_a_local_job_that_fills_the_disk_of_its_logs(small: Path, tmp_path: Path) -> None:
    """Whoever waits is told at once, though nothing more can be written beside its logs."""
    with pytest.raises(cm.CachedModelError, match="No space left on device"):
        sample(tmp_path, folder=small, cluster="local", max_jobs=1).draws.submit(range(200)).result(60)
    assert not sample(tmp_path, folder=small).draws.plan(range(200)).failed


LIMITED = """
import resource, signal, sys, warnings
from pathlib import Path
from tests.faults.samples import is_right, sample
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
with warnings.catch_warnings(record=True) as told:
    values = list(sample(Path(sys.argv[1])).draws(range(200)))
assert all(is_right(n, value) for n, value in enumerate(values))
print(len(told), told[0].message)
"""


def test_a_limit_of_the_size_of_files(tmp_path: Path) -> None:
    """A quota is told like a full disk, with the file; what was stored stays."""
    run = subprocess.run([sys.executable, "-c", LIMITED, str(tmp_path)], capture_output=True, text=True, check=True)
    assert run.stdout.startswith("1 ")
    assert os.strerror(errno.EFBIG) in run.stdout
    assert ".shard" in run.stdout
    stored = dict(sample(tmp_path).draws.cache.items())
    assert 3 <= len(stored) < 200
    assert all(is_right(int(n), value) for n, value in stored.items())


@pytest.fixture
def shared() -> Iterator[Path]:
    """A folder that a group shares."""
    folder = Path(tempfile.mkdtemp())
    os.chown(folder, -1, GROUP)
    folder.chmod(0o2775)
    yield folder
    shutil.rmtree(folder)


@root_only
def test_a_user_who_may_only_read(shared: Path) -> None:
    """They read what is there, and compute what is missing without storing it, with one warning."""
    list(sample(shared).draws(range(20)))
    sample(shared, n=1).draw()
    before = sorted(shared.rglob("*"))
    (shared / "computed").chmod(0o666)

    def work() -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert len(list(sample(shared).draws(range(20)))) == 20
            assert is_right(1, sample(shared, n=1).draw())
        with pytest.warns(RuntimeWarning, match=r"nothing can be stored in .*Permission denied") as told:
            values = list(sample(shared).draws(range(30))) + list(sample(shared).draws(range(30)))
        assert all(is_right(n % 30, value) for n, value in enumerate(values))
        assert len(told) == 1
        with pytest.raises(cm.MissingError):
            sample(shared, n=9, mode="read-only").draw()

    as_user(ALICE, work)
    assert sorted(shared.rglob("*")) == before


@root_only
def test_two_users_of_a_group(shared: Path) -> None:
    """With umask 002 and a setgid folder both compute, read and force what the other computed."""

    def work(first: int) -> None:
        assert all(is_right(n, value) for n, value in enumerate(sample(shared).draws(range(first + 10))))
        xp = sample(shared, n=1, mode="force")
        assert is_right(1, xp.draw())
        sample(shared, n=first + 1).draw()
        sample(shared).draws.clear([3])

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for first, user in ((0, ALICE), (10, BOB), (20, ALICE)):
            as_user(user, lambda first=first: work(first), groups=[GROUP], umask=0o002)  # type: ignore[misc]
    computed = [int(n) for n, *_ in lines(shared / "computed")]
    assert [computed.count(n) for n in (0, 12, 25)] == [1, 1, 1]
    assert {owner.stat().st_uid for owner in shared.rglob("*.shard")} == {ALICE, BOB}


@root_only
def test_a_file_system_that_may_not_be_written(small: Path, tmp_path: Path) -> None:
    """A mount that is read-only is read; what is missing is computed and not stored, also by root."""
    list(sample(tmp_path, folder=small).draws(range(3)))
    from cachedmodel.cache.cache import _all

    for cache in list(_all):
        cache.end()
    subprocess.run(["mount", "-o", "remount,ro", str(small)], check=True)

    assert len(list(sample(tmp_path, folder=small).draws(range(3)))) == 3
    with pytest.warns(RuntimeWarning, match=os.strerror(errno.EROFS)):
        values = list(sample(tmp_path, folder=small).draws(range(6)))
    assert all(is_right(n, value) for n, value in enumerate(values))
