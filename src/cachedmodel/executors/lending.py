"""The place of a job of an array that may have only so many running: it is lent while the job waits for others.

Slurm is told to let one more run for each job that waits: of its own array, or, once all of that were started, of the array that
begins when it ends (what `MaxArraySize` did not let be one array). Else a job that waits for one of those would wait for
ever. A wait is made of many short ones, so a place that is taken back is kept lent for a moment longer.
"""

from __future__ import annotations

import itertools
import math
import os
import threading
import time

from cachedmodel.executors import slurm
from cachedmodel.executors.jobfiles import Batch, JobFiles, read_record, remove, touch

KEPT_S = 3.0
AGAIN_S = 10.0  # in a long wait: by now all of the array may have been started


class SlurmPlace:
    """See the module."""

    def __init__(self, files: JobFiles) -> None:
        self._files = files
        self._lock = threading.Lock()
        self._timer: threading.Timer | None = None
        self._told = -math.inf
        self._is_lent = False

    def lend(self) -> None:
        with self._lock:
            self._keep()
            if not self._is_lent:
                self._is_lent = True
                touch(self._files.waits)
                self._told = -math.inf
            if time.monotonic() - self._told > AGAIN_S:
                self._tell()

    def take_back(self) -> None:
        with self._lock:
            self._keep()
            self._timer = threading.Timer(KEPT_S, self._end_in_time)
            self._timer.daemon = True
            self._timer.start()

    def end(self) -> None:
        """The job ends, and its place is its own."""
        with self._lock:
            self._keep()
            if self._is_lent:
                self._end()

    def _keep(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _end_in_time(self) -> None:
        with self._lock:
            if self._timer is not None:  # else it was lent again in the meantime
                self._timer = None
                self._end()

    def _end(self) -> None:
        self._is_lent = False
        remove(self._files.waits)
        self._tell()

    def _tell(self) -> None:
        """So many of the array may run now, those that wait not counted."""
        self._told = time.monotonic()
        batch = read_record(self._files.batch, Batch)
        array, _, number = self._files.job_id.partition("_")
        if batch is None or not batch.max_jobs or not number:
            return
        states = slurm.states_of(array)
        if states is None:
            return
        waiting = sum(
            state in slurm.RUNNING and os.path.exists(JobFiles(self._files.folder, job_id).waits)
            for job_id, state in states.items()
        )
        slurm.ask("scontrol", "update", f"jobid={array}", f"ArrayTaskThrottle={batch.max_jobs + waiting}")
        after = dict(itertools.pairwise(batch.arrays)).get(array)
        if after is None:
            return
        opened = waiting and not any(state in slurm.QUEUED for state in states.values())
        changes = ["Dependency=" if opened else f"Dependency=afterany:{array}"]
        if not os.path.exists(JobFiles(self._files.folder, after).submitted):  # else it is no array, but a job
            changes.append(f"ArrayTaskThrottle={waiting if opened else batch.max_jobs}")
        slurm.ask("scontrol", "update", f"jobid={after}", *changes)
