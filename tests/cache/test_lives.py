"""Who lives and who is dead, on this host and on others."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
import tempfile
import threading
import typing as tp
from pathlib import Path

import pytest

from cachedmodel.cache import Cache, Options
from cachedmodel.cache.claims import Claims
from cachedmodel.cache.lives import Keeper, Lives, me

from .conftest import Open
from .processes import wait_for


def _lives(root: Path) -> Lives:
    return Lives(str(root), me())


def _elsewhere(life: str) -> Keeper:
    """A process of another host that has this host's name, and a pid that is in use here."""
    return dataclasses.replace(me(), life=life, boot="another boot")


def test_keepers_come_back() -> None:
    """A keeper is read back as it was written."""
    for keeper in (me(), Keeper.job("slurm", "12_3", 1.25)):
        assert Keeper.from_json(keeper.to_json()) == keeper


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"kind": "cat"}', "null"])
def test_what_names_no_keeper_is_refused(text: str) -> None:
    """Anything else is an error."""
    with pytest.raises(ValueError, match=r"keeper|Expecting"):
        Keeper.from_json(text)


def test_this_process_lives(tmp_path: Path) -> None:
    """This process lives, whatever its files say; it alone is `is_me`."""
    assert _lives(tmp_path).is_alive(me(), 0.0)
    assert me().is_me
    assert not dataclasses.replace(me(), life="other").is_me


def test_a_process_of_this_host_is_judged_by_its_pid(tmp_path: Path) -> None:
    """Pid and start time tell who lives, at once: an ended process, a zombie and a pid used again are dead."""
    lives = _lives(tmp_path)
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    stat = Path(f"/proc/{child.pid}/stat")
    if not stat.exists():
        pytest.skip("without /proc the heartbeat decides")
    start = stat.read_text().rsplit(")", 1)[1].split()[19]
    keeper = dataclasses.replace(me(), life="child", pid=child.pid, start=start)

    assert lives.is_alive(keeper, 1e9)
    assert not lives.is_alive(dataclasses.replace(keeper, start="1"), 1e9)
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert not lives.is_alive(keeper, 1e9)
    child.communicate()
    assert not lives.is_alive(keeper, 1e9)


@pytest.mark.parametrize("field", ["boot", "namespace", "host"])
def test_a_process_elsewhere_is_not_judged_by_its_pid(tmp_path: Path, field: str) -> None:
    """A kernel, a pid namespace or a host of another name is elsewhere: only a lease without heartbeat tells."""
    lives = _lives(tmp_path)
    facts: dict[str, tp.Any] = {field: "other"}
    keeper = dataclasses.replace(me(), life="other", start="1", **facts)

    assert lives.is_alive(keeper, 1e9)
    assert not lives.is_alive(keeper, 0.0)


def test_a_heartbeat_that_changes_is_alive(tmp_path: Path) -> None:
    """A lease begins anew with each beat that is seen."""
    lives, keeper = _lives(tmp_path), _elsewhere("other")
    (tmp_path / ".lives").mkdir()
    life = tmp_path / ".lives" / "other"
    for beat in range(3):
        life.write_text(f"{beat:016x} more")
        assert lives.is_alive(keeper, 0.0)
        assert not lives.is_alive(keeper, 0.0)
        assert lives.is_alive(keeper, 1e9)


def test_the_heart_beats_while_a_claim_is_held(tmp_path: Path, opened: Open) -> None:
    """Without a claim there is neither life file nor thread; with one the file changes; then the thread ends."""
    cache = opened(lease_s=0.08)
    cache.write("other", 1)
    assert not (tmp_path / ".lives").exists()

    cache.claim(["a"])
    life = tmp_path / ".lives" / me().life
    first = life.read_bytes()
    wait_for(lambda: life.read_bytes() not in (first, b""))
    cache.release(["a"])

    wait_for(lambda: not [thread for thread in threading.enumerate() if thread.name.endswith(f" {tmp_path}/.lives")])


def test_a_life_file_that_was_removed_comes_back(tmp_path: Path, opened: Open) -> None:
    """Who is taken for dead by mistake shows that it lives."""
    cache = opened(lease_s=0.08)
    cache.claim(["a"])
    life = tmp_path / ".lives" / me().life
    life.unlink()

    wait_for(life.exists)


def test_life_files_go_with_their_process(tmp_path: Path) -> None:
    """A process that ends leaves neither life file nor claims, whether or not it released them."""
    code = (
        "import sys; from cachedmodel.cache import Cache, Options\n"
        "for name, single in (('map', False), ('task', True)):\n"
        "    cache = Cache.open(f'{sys.argv[1]}/{name}', sys.argv[1], single=single, options=Options())\n"
        "    assert cache.claim(['']) == ['']\n"
        "cache.write('', 1)\n"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True)

    assert list((tmp_path / ".lives").iterdir()) == []
    assert os.listdir(tmp_path / "task") == ["entry"]
    (left,) = os.listdir(tmp_path / "map")
    assert left == ".claim-00000002"


def test_a_dead_process_elsewhere_is_buried(tmp_path: Path, opened: Open) -> None:
    """Taking over from a dead process removes its claim and its life file."""
    cache = opened(lease_s=0.1)
    dead = _elsewhere("dead")
    claims = Claims(str(tmp_path / "map"), str(tmp_path), single=False)
    claims._publish(dead, ["a"], cache.options)
    (tmp_path / ".lives").mkdir()
    (tmp_path / ".lives" / "dead").write_text("0000000000000001")

    assert cache.claim(["a"]) == []
    wait_for(lambda: cache.claim(["a"]))

    assert not (tmp_path / ".lives" / "dead").exists()
    assert [path.name for path in (tmp_path / "map").glob(".claim-*")] == [".claim-00000002"]


def test_the_newest_claim_counts(tmp_path: Path) -> None:
    """Whoever took over what this process holds is its holder, also for this process."""
    claims, others = (Claims(str(tmp_path / "map"), str(tmp_path), single=False) for _ in range(2))
    options = Options()
    assert claims.take(["a", "b"], options) == ["a", "b"]
    others.refresh()

    others._publish(_elsewhere("heir"), ["a"], options)
    claims.refresh()

    assert claims.holders(["a", "b"], options) == {"a": _elsewhere("heir"), "b": me()}
    claims.end(["a", "b"], options)
    assert claims.holders(["a", "b"], options) == {"a": _elsewhere("heir")}


def _task(root: Path, folder: Path) -> Cache:
    return Cache.open(str(folder), str(root), single=True, options=Options())


def _claim_in(folder: Path) -> Path:
    (claim,) = folder.glob(".claim-*")
    return claim


def test_claims_on_tasks_are_names_of_one_file(tmp_path: Path) -> None:
    """However many tasks a process computes, it makes one file for their claims."""
    one, other = _task(tmp_path, tmp_path / "one"), _task(tmp_path, tmp_path / "other")
    for folder in (tmp_path / "one", tmp_path / "other"):
        folder.mkdir()

    assert one.claim([""]) == other.claim([""]) == [""]

    source = tmp_path / ".lives" / f"{me().life}.claim"
    assert _claim_in(tmp_path / "one").samefile(source)
    assert _claim_in(tmp_path / "other").samefile(source)
    one.write("", 1)
    other.release([""])
    assert source.stat().st_nlink == 1


def test_the_file_for_claims_on_tasks_is_made_anew(tmp_path: Path) -> None:
    """If somebody removed it, the next task is claimed all the same, and those after it are names of a new one."""
    caches = {name: _task(tmp_path, tmp_path / name) for name in "abc"}
    for name in caches:
        (tmp_path / name).mkdir()
    source = tmp_path / ".lives" / f"{me().life}.claim"

    assert caches["a"].claim([""]) == [""]
    source.unlink()
    assert caches["b"].claim([""]) == caches["c"].claim([""]) == [""]

    assert not _claim_in(tmp_path / "b").samefile(_claim_in(tmp_path / "a"))
    assert _claim_in(tmp_path / "c").samefile(source)
    for name, cache in caches.items():
        cache.release([""])
        assert os.listdir(tmp_path / name) == []


def test_permissions_are_those_of_each_claim(tmp_path: Path) -> None:
    """A task whose files are for others too does not get the claim of one whose files are not."""
    caches = []
    for name, permissions in (("mine", None), ("ours", 0o666)):
        (tmp_path / name).mkdir()
        options = Options(permissions=permissions)
        caches.append(Cache.open(str(tmp_path / name), str(tmp_path), single=True, options=options))

    assert [cache.claim([""]) for cache in caches] == [[""], [""]]

    assert _claim_in(tmp_path / "ours").stat().st_mode & 0o777 == 0o666
    assert not _claim_in(tmp_path / "ours").samefile(_claim_in(tmp_path / "mine"))


@pytest.mark.skipif(not os.path.isdir("/dev/shm"), reason="needs a second file system")
def test_tasks_are_claimed_where_no_link_leads(tmp_path: Path) -> None:
    """A folder to which there are no links from that of the heartbeats has claims of its own."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        caches = [_task(tmp_path, Path(folder) / name) for name in "ab"]

        for cache in caches:
            assert cache.claim([""]) == [""]
            assert cache.holders([""]) == {"": me()}
            cache.release([""])
            assert os.listdir(cache.folder) == []
