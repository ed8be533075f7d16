"""Several users of one cache: whose pickles are loaded, who may read, who may write."""

from __future__ import annotations

import os
import shutil
import tempfile
import typing as tp
import warnings
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from cachedmodel.cache import Cache, CacheDict, Failure, Options, files, frames
from cachedmodel.codecs.pickles import dump_pickle
from cachedmodel.errors import CacheError

from .processes import as_user

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be several users")

ALICE, BOB, GROUP = 54321, 54322, 54300


class Odd:
    """A value that only pickle can store."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Odd)

    __hash__ = None  # type: ignore[assignment]  # equal, but mutable


_sprung: list[str] = []


def _spring() -> None:
    _sprung.append("sprung")


class _Trap:
    """Runs code when it is unpickled."""

    def __reduce__(self) -> tuple[tp.Any, ...]:
        return _spring, ()


@pytest.fixture
def root() -> Iterator[Path]:
    """A folder that everybody can enter and the group `GROUP` can write to."""
    folder = Path(tempfile.mkdtemp())
    os.chown(folder, -1, GROUP)
    folder.chmod(0o2775)
    yield folder
    shutil.rmtree(folder)


def _open(root: Path, *, single: bool = False, **options: tp.Any) -> Cache:
    return Cache(str(root / f"shared-{single}"), str(root), single=single, options=Options(**options))


def _store(root: Path, single: bool) -> None:
    cache = _open(root, single=single)
    cache.write("" if single else "odd", Odd())
    if not single:
        cache.write("plain", [1, 2])
        cache.write_failure("failed", Failure.of(ValueError("wrong")))
    cache.close()


@pytest.mark.parametrize("single", [True, False])
def test_pickles_of_others_are_not_loaded(root: Path, single: bool) -> None:
    """What another user pickled is an error that says how to trust them; with their name in `trusted_users` it is loaded."""
    as_user(ALICE, lambda: _store(root, single), groups=[GROUP])
    key = "" if single else "odd"

    def read() -> None:
        with pytest.raises(CacheError, match=rf"belongs to the user '{ALICE}'.*trusted_users=\('{ALICE}',\)"):
            _open(root, single=single).read([key])
        trusting = _open(root, single=single, trusted_users=(str(ALICE),))
        assert trusting.read([key]).values == {key: Odd()}

    as_user(BOB, read, groups=[GROUP])
    read()  # root trusts nobody either


@pytest.mark.parametrize("single", [True, False])
def test_a_file_that_hides_its_pickles_is_not_believed(root: Path, single: bool) -> None:
    """Whose file it is counts, whatever it says of itself: nothing of it runs."""
    key, cache = "" if single else "odd", _open(root, single=single)
    cache.write(key, [1])
    cache.close()
    (path,) = [
        path for path in (root / f"shared-{single}").iterdir() if path.name == "entry" or path.suffix == ".shard"
    ]
    header = frames.read_header(frames.ENTRY_MAGIC if single else frames.SHARD_MAGIC, path.read_bytes())
    trap = dump_pickle(_Trap()).parts
    record = frames.pack_record(header.seed, header.end, 0, "pickle1", key.encode(), trap, 0, 0.0)
    path.write_bytes(b"".join([path.read_bytes()[: header.end], *record]))
    os.chown(path, ALICE, -1)

    with pytest.raises(CacheError, match=f"belongs to the user '{ALICE}'"):
        _open(root, single=single).read([key])
    assert not _sprung
    os.chown(path, os.geteuid(), -1)
    assert len(_open(root, single=single).read([key]).values) == 1
    assert _sprung.pop() == "sprung"


def test_what_is_not_pickled_is_shared(root: Path) -> None:
    """Everything else of another user is read; of a failure, the text."""
    as_user(ALICE, lambda: _store(root, False), groups=[GROUP])
    cache = _open(root)

    assert cache.read(["plain"]).values == {"plain": [1, 2]}
    failure = cache.read(["failed"]).failures["failed"]
    assert (failure.message, failure.pickled) == ("wrong", b"")


def test_own_pickles_and_those_of_root_are_loaded(root: Path) -> None:
    """A user trusts themself and root."""
    _store(root, False)

    def check() -> None:
        assert _open(root).read(["odd"]).values == {"odd": Odd()}
        mine = _open(root)
        mine.write("mine", Odd())
        mine.commit()
        assert _open(root).read(["mine"]).values == {"mine": Odd()}

    (root / "shared-False").chmod(0o2777)
    as_user(ALICE, check)


@pytest.mark.parametrize("single", [True, False])
def test_allow_pickle_false_refuses_own_ones_too(root: Path, single: bool) -> None:
    """The error says that it is forbidden, and what to do."""
    _store(root, single)
    key = "" if single else "odd"

    with pytest.raises(CacheError, match=r"pickled, and allow_pickle=False.*[Aa]llow pickles, or clear"):
        _open(root, single=single, allow_pickle=False).read([key])


def test_a_group_shares_both_ways(root: Path) -> None:
    """With umask 002 and a setgid folder two users read, claim, replace and delete what the other made."""

    def work(user: int, other: int) -> None:
        for single in (True, False):
            cache = _open(root, single=single)
            cache.refresh()
            key = "" if single else f"{user}"
            assert cache.claim([key], "all") == [key]
            cache.write(key, [user])
            cache.close()
            cache.release([key])
            if not single:
                cache.delete([f"{other}"])
                cache.write("both", [user])
                cache.close()
            assert cache.read([key]).values == {key: [user]}
        names = CacheDict[int](root / "dict")
        names.clear()
        names["x"] = user

    for user, other in ((ALICE, BOB), (BOB, ALICE), (ALICE, BOB)):
        as_user(user, lambda user=user, other=other: work(user, other), groups=[GROUP], umask=0o002)  # type: ignore[misc]

    cache = _open(root)
    assert cache.read([*map(str, (ALICE, BOB)), "both"]).values == {str(ALICE): [ALICE], "both": [ALICE]}
    assert dict(CacheDict[int](root / "dict")) == {"x": ALICE}


def test_a_reader_without_the_right_to_write(root: Path) -> None:
    """Who may not write reads everything; claiming and writing raise the error of the system, with the place."""
    for single in (True, False):
        cache = _open(root, single=single)
        cache.write("", [1])
        cache.commit()

    def check() -> None:
        for single in (True, False):
            cache = _open(root, single=single)
            assert cache.read([""]).values == {"": [1]}
            assert cache.provenance("") is not None
            cache.refresh()
            with pytest.raises(PermissionError, match=r"shared|lives"):
                cache.claim(["" if single else "new"], "all")
            with pytest.raises(PermissionError, match="shared"):
                cache.write("", 2)
            assert cache.read([""]).values == {"": [1]}
            cache.close()

    as_user(ALICE, check)


def test_a_file_that_may_not_be_read(root: Path) -> None:
    """Entries of a user who shares nothing are missing, with a warning that says why."""
    (root / "shared-False").mkdir()
    (root / "shared-False").chmod(0o2777)
    (root / "shared-True").mkdir()
    (root / "shared-True").chmod(0o2777)
    for single in (True, False):
        as_user(ALICE, lambda single=single: _store(root, single), umask=0o077)  # type: ignore[misc]

    def check() -> None:
        for single in (True, False):
            files._warned.clear()
            cache = _open(root, single=single)
            with pytest.warns(RuntimeWarning, match=r"cannot be read \(Permission denied\).*right to read"):
                assert cache.read(["" if single else "plain"]).values == {}
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                assert cache.read(["" if single else "plain"]).values == {}

    as_user(BOB, check)


def test_nothing_can_be_written_by_everybody(root: Path) -> None:
    """Without being asked, nothing that is made can be written by users outside the group."""

    def work() -> None:
        for single in (True, False):
            cache = _open(root, single=single)
            cache.claim([""])
            cache.write("", Decimal(1))
            cache.commit()
            for folder, _, names in os.walk(root):
                for path in (folder, *(os.path.join(folder, name) for name in names)):
                    assert not os.lstat(path).st_mode & 0o002, path

    as_user(ALICE, work, groups=[GROUP], umask=0o002)
