"""A job of Slurm's, by its files and its id: what becomes of it, and why."""

from __future__ import annotations

import os
import re
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
        if super()._was_cancelled():
            return "was cancelled."
        log = self.files.end_of_log(self.batch.ranks)
        return how_it_ended(self._end(), log, timeout_min=self.batch.timeout_min, mem_gb=self.batch.mem_gb)


def how_it_ended(end: slurm.Seen, log: str, *, timeout_min: float | None, mem_gb: float | None) -> str:
    """What happened to a job without a result, and the remedy, as what follows "Job 12".

    Parameters
    ----------
    end
        What Slurm says.
    log
        The end of the job's log: whose memory was exceeded is told there by srun, or by a node that polls, while the state
        is that of any failure.
    timeout_min, mem_gb
        What the job had asked for.
    """
    state = "OUT_OF_MEMORY" if end.state == "FAILED" and _OUT_OF_MEMORY.search(log) else end.state
    if state == "FAILED" and end.code:
        # a shell, and srun, tell a signal as 128 more than its number
        code = os.waitstatus_to_exitcode(end.code)
        if code == _NO_LOG:
            return "never ran: its node cannot write its log. All nodes must see infra.folder, and infra.logs if you set it."
        return f"ended without a result: its process {describe_exit(128 - code if 128 < code < 160 else code)}."
    if state not in _ENDS:
        return f"ended without a result, in state {state} (exit status {end.code})."
    return _ENDS[state].format(
        limit="that of its partition" if timeout_min is None else f"timeout_min={timeout_min:g}",
        memory="that of its partition" if mem_gb is None else f"mem_gb={mem_gb:g}",
    )


_NO_LOG = -53  # the signal that stands for it
_OUT_OF_MEMORY = re.compile(r"^(slurmstepd|srun)\b.*error: .*(oom.kill|memory limit|out of memory)", re.I | re.M)
_ENDS = {
    "CANCELLED": "was cancelled: by somebody with scancel, or by Slurm.",
    "TIMEOUT": "reached its time limit ({limit}): ask for more with infra.timeout_min. Call again to go on with what is "
    "not stored yet.",
    "DEADLINE": "reached its deadline.",
    "OUT_OF_MEMORY": "was killed out of memory: it took more than its limit ({memory}); ask for more with infra.mem_gb.",
    "NODE_FAIL": "was lost with its node, and Slurm did not queue it again: call again.",
    "BOOT_FAIL": "was lost, since its node did not boot: call again.",
    "PREEMPTED": "was preempted, and Slurm did not queue it again: call again.",
    "COMPLETED": "ended in good order, but left no result: its files were removed, or its process was ended by its own code.",
    slurm.GONE: "is not known to Slurm (any more), and left no result: it was cancelled before it started, or Slurm lost it.",
}
