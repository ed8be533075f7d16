"""One run of a job at a time: Slurm may lose sight of one, or of its whole node, and start the job again elsewhere.

Each run notes its process beside the files of the job. So a later run on the same host kills what is left of an earlier
one, and an earlier run on another host sees that it is no longer the last, and stops. The later one gives it the time
for that: what both computed would be handed out twice, with different values.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time

from cachedmodel.executors.jobfiles import JobFiles, Started, read_record, write_record
from cachedmodel.executors.processid import is_alive, process_id

LOOK_S = 5.0
STOP_S = 2 * LOOK_S  # until an earlier run on another host, if it goes on at all, has looked and stopped


def end_earlier_run(files: JobFiles, rank: int) -> None:
    """Notes that this run is the last, and ends an earlier one of before the job was queued again, if it did not end itself."""
    path = files.process(rank)
    earlier = read_record(path, Started)
    lost = earlier.process if earlier is not None else ""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        while lost and is_alive(lost):
            os.kill(int(lost.rsplit(":", 2)[1]), signal.SIGKILL)
            time.sleep(0.01)
    write_record(path, Started(process_id(os.getpid()), time.time()))
    if lost and is_alive(lost) is None:
        time.sleep(STOP_S)


def note_end(files: JobFiles, rank: int) -> None:
    """Nothing of this run will be left; a later one is still told from it."""
    with contextlib.suppress(OSError):  # a full disk: a later run waits in vain
        last = read_record(files.process(rank), Started)
        if last is not None and last.process == process_id(os.getpid()):
            write_record(files.process(rank), Started("", time.time()))


def stop_when_run_again(files: JobFiles, rank: int) -> None:
    """From now on, interrupts the main thread as Ctrl-C does when another run of the job has begun."""
    if signal.getsignal(signal.SIGINT) in (signal.SIG_IGN, signal.SIG_DFL):
        signal.signal(signal.SIGINT, signal.default_int_handler)
    name = f"cachedmodel-reruns-{files.job_id}"
    threading.Thread(target=_look, args=(files.process(rank), files.job_id), name=name, daemon=True).start()


def _look(path: str, job_id: str) -> None:
    me, last = process_id(os.getpid()), None
    while last is None or last.process in (me, ""):  # "": this run is about to end
        time.sleep(LOOK_S)
        with contextlib.suppress(OSError):
            last = read_record(path, Started)
    print(f"cachedmodel: job {job_id} was started again ({last.process}): this run stops", file=sys.stderr, flush=True)
    signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
