"""The place of a job of an array that may have only so many running: it is lent while the job waits for others.

Slurm is told to let one more run for each job that waits. A wait is made of many short ones, so a place that is taken back is
kept lent for a moment longer.
"""

from __future__ import annotations

import glob
import os
import threading

from cachedmodel.executors import slurm
from cachedmodel.executors.jobfiles import Batch, JobFiles, read_record, remove, touch

KEPT_S = 3.0


class SlurmPlace:
    """See the module."""

    def __init__(self, files: JobFiles) -> None:
        self._files = files
        self._lock = threading.Lock()
        self._timer: threading.Timer | None = None
        self._is_lent = False

    def lend(self) -> None:
        with self._lock:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            if not self._is_lent:
                self._is_lent = True
                touch(self._files.waits)
                self._tell()

    def take_back(self) -> None:
        with self._lock:
            self._timer = threading.Timer(KEPT_S, self._end)
            self._timer.daemon = True
            self._timer.start()

    def _end(self) -> None:
        with self._lock:
            if self._timer is not None:  # else it was lent again in the meantime
                self._timer = None
                self._is_lent = False
                remove(self._files.waits)
                self._tell()

    def _tell(self) -> None:
        """So many of the array may run now, those that wait not counted."""
        batch = read_record(self._files.batch, Batch)
        array, _, number = self._files.job_id.partition("_")
        if batch is not None and batch.max_jobs and number:
            waiting = len(glob.glob(os.path.join(glob.escape(self._files.folder), f"{array}_*_waits")))
            slurm.ask("scontrol", "update", f"jobid={array}", f"ArrayTaskThrottle={batch.max_jobs + waiting}")
