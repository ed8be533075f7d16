"""The inside of a job that submitit runs: the call, what it raises, and the signals that end or preempt it."""

from __future__ import annotations

import os
import pickle
import re
import signal
import sys
import time
import types
import typing as tp

import submitit
from submitit.core.utils import DelayedSubmission, UncompletedJobError

from cachedmodel.executors import slurm
from cachedmodel.executors.jobfiles import JobFiles, remove, touch, write_bytes
from cachedmodel.executors.lending import SlurmPlace
from cachedmodel.executors.packing import own_import_path
from cachedmodel.executors.places import set_place, set_ranks
from cachedmodel.executors.reruns import end_earlier_run, note_end, stop_when_run_again
from cachedmodel.failure import Failure

WARNING_S = 200.0  # so long before the time limit, at most, Slurm sends its warning

ANSWER_S = 3.0  # of the grace time of a preempted job


class Stopped(KeyboardInterrupt):
    """Slurm ends this job: it was cancelled, preempted, or reached its time limit."""


class JobCall:
    """A callable on its way into a job, and what the job does around it."""

    def __init__(self, call: bytes) -> None:
        self.call = call
        self.path: list[str] = own_import_path()

    def __call__(self) -> None:
        """Runs the call; what it raises is kept in a file, and raised again so that the scheduler sees a failure."""
        environment = submitit.JobEnvironment()
        files = JobFiles(str(environment.paths.folder), environment.job_id)
        rank = environment.global_rank
        signals = _Signals(environment.job_id, rank) if environment.cluster == "slurm" else None
        place = SlurmPlace(files) if environment.cluster == "slurm" else _Place(files)
        set_place(place)
        set_ranks(rank, environment.num_tasks)
        sys.path[1:1] = [folder for folder in self.path if folder not in sys.path]
        try:
            end_earlier_run(files, rank)
            if environment.cluster != "local":
                stop_when_run_again(files, rank)
            remove(files.raised(rank))  # of a run before the job was queued again
            pickle.loads(self.call)()
        except (KeyboardInterrupt, UncompletedJobError):  # stopped from outside: nobody's failure
            if signals is not None and signals.preempted:
                slurm.ask("scontrol", "requeue", environment.job_id)
            raise
        except BaseException as error:
            write_bytes(files.raised(rank), Failure.of(error).to_bytes())
            raise
        finally:
            place.end()
            note_end(files, rank)

    def checkpoint(self) -> DelayedSubmission:
        """What runs when the job was preempted and is queued again: the same; what it had stored, it finds."""
        return DelayedSubmission(self)


class _Place:
    """The place of this job in the queue that started it; a marker file lends it."""

    def __init__(self, files: JobFiles) -> None:
        self._files = files

    def lend(self) -> None:
        touch(self._files.waits)

    def take_back(self) -> None:
        remove(self._files.waits)

    def end(self) -> None:
        """Nothing is lent: it is taken back at once."""


class _Signals:
    """Slurm's signals, in place of submitit's handlers, which pass over SIGTERM and take any warning for a time-out.

    SIGTERM ends the job, through the call's own clean-up. SIGUSR2 is sent some time before the limit, for which there is
    nothing to do, and when the job is preempted: then it ends too, and is queued again.
    """

    def __init__(self, job_id: str, rank: int) -> None:
        self._job_id = job_id
        self._rank = rank
        self.preempted = False
        for number in (signal.SIGTERM, signal.SIGUSR2):
            signal.signal(number, self._handle)

    def _handle(self, number: int, _: types.FrameType | None) -> None:
        preempted = self._is_preempted(number)
        name = signal.Signals(number).name
        if preempted and self._rank:
            return  # the first process has the job queued again, which ends the others
        if number == signal.SIGUSR2 and not preempted:
            print(f"cachedmodel: {name}: the time limit of job {self._job_id} is near", file=sys.stderr, flush=True)
            return
        self.preempted = preempted
        for each in (signal.SIGTERM, signal.SIGUSR2):
            signal.signal(each, signal.SIG_IGN)
        why = "is preempted, and queued again" if preempted else "was cancelled, preempted, or is out of time"
        raise Stopped(f"{name}: job {self._job_id} {why}")

    def _is_preempted(self, number: int) -> bool:
        job_id = os.environ.get("SLURM_JOB_ID", self._job_id)
        text = slurm.ask("scontrol", "show", "job", job_id, timeout_s=ANSWER_S) or ""
        told = re.search(r"\bPreemptTime=(\S+)", text)
        if told is not None and told[1] not in ("None", "Unknown", "N/A"):
            return True
        ends = re.search(r"\bEndTime=(\d+)", text)
        return number == signal.SIGUSR2 and ends is not None and int(ends[1]) > time.time() + WARNING_S


def submission_of(call: bytes, timeout_min: int) -> tp.Any:  # Any: submitit's
    """A call as submitit's jobs read it."""
    submission = DelayedSubmission(JobCall(call))
    submission.set_timeout(timeout_min, 0)
    return submission
