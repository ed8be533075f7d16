"""A process on another host that stands still for longer than its lease, and goes on: a suspended machine, a hanging mount."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.executors.calls import until

from .asking import HOST, has_got, has_namespaces, start
from .samples import fingerprint, lines, sample

ROOT = Path(__file__).parents[2]
READ = """
import sys
from pathlib import Path
from tests.faults.samples import fingerprint, sample

xp = sample(Path(sys.argv[1]), mode="read-only")
print(fingerprint(xp.draw() if sys.argv[2] == "alone" else next(iter(xp.draws([0])))))
"""


@pytest.mark.skipif(not has_namespaces(HOST), reason="this user may not make namespaces (unshare --uts --pid --mount)")
@pytest.mark.parametrize("what", ["alone", "one"])
def test_what_was_handed_out_meanwhile_stays(what: str, tmp_path: Path) -> None:
    """Others take over after the lease. What they get stays, though the first computes to its end; of a task it gets the same."""
    (tmp_path / "go").touch()
    with start(tmp_path, "frozen", what, pause=3, lease_s=1, wrapper=HOST) as owner:
        until(lambda: lines(tmp_path / "computed"))
        (frozen,) = subprocess.check_output(["pgrep", "--parent", str(owner.pid)], text=True).split()
        os.kill(int(frozen), signal.SIGSTOP)
        xp = sample(tmp_path, lease_s=1)
        handed_out = fingerprint(xp.draw() if what == "alone" else next(iter(xp.draws([0]))))
        os.kill(int(frozen), signal.SIGCONT)
        assert owner.wait(60) == 0

    assert len(lines(tmp_path / "computed")) == 2
    read = subprocess.run(
        [sys.executable, "-c", READ, tmp_path, what], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert read.stdout.strip() == handed_out
    assert has_got(tmp_path, "frozen") == 1
    if what == "alone":
        assert lines(tmp_path / "got-frozen") == [["0", handed_out]]
