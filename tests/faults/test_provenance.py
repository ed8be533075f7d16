"""Every entry tells where it comes from, wherever it was computed."""

from __future__ import annotations

import calendar
import getpass
import os
import shutil
import subprocess
import sys
import time
from importlib import metadata
from pathlib import Path

import pytest

import cachedmodel as cm
from tests.experiment import EVERY

from .samples import sample


@pytest.mark.parametrize("cluster", EVERY)
def test_who_when_where_and_with_what(cluster: str | None, tmp_path: Path) -> None:
    """When, host, user, seconds, versions and the commit of the code; a job says its id, and nothing is beside the shards."""
    before = int(time.time())
    xp = sample(tmp_path, cluster, pause=0.05)
    xp.draw()
    list(xp.draws([1, 2]))

    for facts in (xp.draw.provenance(), xp.draws.provenance(2)):
        assert facts is not None
        when = calendar.timegm(time.strptime(str(facts["when"]), "%Y-%m-%dT%H:%M:%SZ"))
        assert before <= when <= time.time()
        assert facts["host"] == os.uname().nodename
        assert facts["user"] == getpass.getuser()
        assert 0.05 <= float(str(facts["seconds"])) < 60
        assert facts["python"] == ".".join(map(str, sys.version_info[:3]))
        assert facts["cachedmodel"] == metadata.version("cachedmodel")
        assert ("job" in facts) == (cluster == "local")
    assert xp.draws.provenance(3) is None
    folder = xp.draws.uid_folder()
    assert folder is not None
    known = {"config.yaml", "full-uid.yaml", "uid.yaml", "submitit", "job.json"}
    rest = [name for name in os.listdir(folder) if name not in known and not name.startswith(".")]
    assert all(name.endswith(".shard") for name in rest), rest


def test_what_is_not_stored_has_none(tmp_path: Path) -> None:
    """Asking computes nothing, makes nothing, and works without a folder."""
    xp = sample(tmp_path)
    assert xp.draw.provenance() is None
    assert xp.draws.provenance(1) is None
    assert list(tmp_path.iterdir()) == []
    assert sample(tmp_path, folder=None).draw.provenance() is None


MODULE = """
import cachedmodel as cm

class Code(cm.CachedModel):
    @cm.task
    def run(self) -> int:
        return 1

    @cm.map(item_uid=str)
    def items(self, items: list[int]) -> list[int]:
        return items
"""


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
def test_the_commit_of_the_code(tmp_path: Path) -> None:
    """It is that of the repository where the class is written, whatever the current folder."""
    code = tmp_path / "code"
    code.mkdir()
    (code / "usercode.py").write_text(MODULE)
    git = ["git", "-C", str(code), "-c", "user.name=n", "-c", "user.email=e"]
    for words in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "first"]):
        subprocess.run([*git, *words], check=True)
    commit = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()
    script = """
import usercode
xp = usercode.Code(infra={"folder": "cache"})
xp.run(), list(xp.items([1]))
print(xp.run.provenance()["commit"], xp.items.provenance(1)["commit"])
"""
    run = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(code)},
        check=True,
        capture_output=True,
        text=True,
    )

    assert run.stdout.split() == [commit, commit]


def test_it_is_there_for_failures_too(tmp_path: Path) -> None:
    """Also a failure was computed by somebody, somewhere."""

    class Failing(cm.CachedModel):
        @cm.task
        def run(self) -> int:
            raise ValueError("no")

    xp = Failing(infra={"folder": tmp_path})
    with pytest.raises(ValueError, match="no"):
        xp.run()

    assert xp.run.provenance() is not None
