"""One run of a job at a time: a run stops when it is started again, and not as it ends itself."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

_RUN = """
import sys, threading
from cachedmodel.executors import reruns
from cachedmodel.executors.jobfiles import JobFiles, Started, write_record

reruns.LOOK_S = 0.01
files = JobFiles(sys.argv[1], "7")
reruns.end_earlier_run(files, 0)
reruns.stop_when_run_again(files, 0)
if sys.argv[2] == "ends":
    reruns.note_end(files, 0)
else:
    write_record(files.process(0), Started("another", 0.0))
threading.Event().wait(float(sys.argv[3]))
"""


@pytest.mark.parametrize(("what", "seconds", "stops"), [("ends", "0.5", False), ("is started again", "60", True)])
def test_who_stops(what: str, seconds: str, stops: bool, tmp_path: Path) -> None:
    """A run that noted its end is let end, and one that was started again is interrupted."""
    done = subprocess.run([sys.executable, "-c", _RUN, tmp_path, what, seconds], capture_output=True, text=True)

    assert ("KeyboardInterrupt" in done.stderr) is stops
    assert ("was started again" in done.stderr) is stops
