"""A job of Slurm's, by its files and its id: what becomes of it, and why."""

from __future__ import annotations

import os
import time

from cachedmodel.executors import slurm
from cachedmodel.executors.exits import describe_exit
from cachedmodel.executors.jobhandle import JobHandle


class SlurmHandle(JobHandle):
    """See the module."""

    def _see(self) -> slurm.Seen | None:
        if self.batch.cluster_name not in ("", slurm.cluster_name()):
            return None  # several clusters share the file system, and this one knows nothing of that job
        return slurm.controller.see(self.job_id, self.batch.submitted)

    def _is_over(self) -> bool:
        seen = self._see()
        return seen is not None and seen.is_over

    def _is_queued(self) -> bool:
        seen = self._see()
        if seen is None:  # no answer: the last known state counts
            return super()._is_queued()
        return seen.state in slurm.QUEUED

    def _over_for(self) -> float:
        seen = self._see()
        known = time.time() - seen.ended if seen is not None and seen.ended else 0.0
        return max(known, super()._over_for())

    def _was_cancelled(self) -> bool:
        return super()._was_cancelled() or self._end().state == "CANCELLED"

    def _stop(self) -> None:
        slurm.cancel(self.job_id)

    def _end(self) -> slurm.Seen:
        """How it ended, by who still knows."""
        seen = self._see() or slurm.Seen(slurm.GONE)
        if seen.state == slurm.GONE:
            seen = slurm.ended_as(self.job_id) or seen
        return seen

    def _how_it_ended(self) -> str:
        end = self._end()
        if super()._was_cancelled():
            return "was cancelled."
        if end.state == "FAILED" and end.code:
            # a shell, and srun, tell a signal as 128 more than its number
            code = os.waitstatus_to_exitcode(end.code)
            return f"ended without a result: its process {describe_exit(128 - code if 128 < code < 160 else code)}."
        if end.state not in _ENDS:
            return f"ended without a result, in state {end.state} (exit status {end.code})."
        limit = self.batch.timeout_min
        return _ENDS[end.state].format(limit="that of its partition" if limit is None else f"timeout_min={limit:g}")


_ENDS = {
    "CANCELLED": "was cancelled: by somebody with scancel, or by Slurm.",
    "TIMEOUT": "reached its time limit ({limit}): ask for more with infra.timeout_min. Call again to go on with what is "
    "not stored yet.",
    "DEADLINE": "reached its deadline.",
    "OUT_OF_MEMORY": "was killed out of memory: ask for more with infra.mem_gb.",
    "NODE_FAIL": "was lost with its node, and Slurm did not queue it again: call again.",
    "BOOT_FAIL": "was lost, since its node did not boot: call again.",
    "PREEMPTED": "was preempted, and Slurm did not queue it again: call again.",
    "COMPLETED": "ended in good order, but left no result: its files were removed, or its process was ended by its own code.",
    slurm.GONE: "is not known to Slurm (any more), and left no result: it was cancelled before it started, or Slurm lost it.",
}
