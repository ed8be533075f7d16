"""What Slurm says of jobs: one `squeue` for any number of them, kept for a second; `sacct` only for those it forgot.

`squeue` asks the controller, which knows what is queued or runs, and for some minutes what ended. So a job that it does not
show is over, also where the accounting never hears of it (a task of an array that was cancelled while it waited) or there
is none. A node that failed ends its jobs for the moments until they are queued again: such an end is not believed at once.
"""

from __future__ import annotations

import functools
import logging
import math
import os
import re
import threading
import time
import typing as tp
from collections.abc import Iterable

if tp.TYPE_CHECKING:
    import subprocess

logger: logging.Logger = logging.getLogger("cachedmodel")
KEPT_S = 1.0, 15.0  # how long an answer counts: at first, and at most, when nothing changes for long
PATIENCE = 0.1  # part of the time since something changed for which an answer counts
UNANSWERED_S = 5.0  # until a controller that does not answer is asked again
TIMEOUT_S = 30.0
REQUEUE_S = 20.0  # from the end of a job whose node is gone until it is queued again, at most
ACCOUNTED_S = 10.0  # how long an answer of the accounting counts, for all of an array
SKEW_S = 300.0  # between our clock and the controller's

QUEUED = frozenset(
    ["PENDING", "CONFIGURING", "REQUEUED", "REQUEUE_FED", "REQUEUE_HOLD", "RESV_DEL_HOLD", "SPECIAL_EXIT"]
)
RUNNING = frozenset(["RUNNING", "COMPLETING", "SUSPENDED", "STOPPED", "SIGNALING", "STAGE_OUT", "RESIZING"])
RETURNING = frozenset(["NODE_FAIL", "BOOT_FAIL", "PREEMPTED", "REVOKED"])
"""Ends after which a job may be queued again."""
_HOPELESS = re.compile(
    r"BadConstraints|DependencyNeverSatisfied|Invalid(Account|QOS)|(Account|QOS)NotAllowed|Partition(Config|NodeLimit|TimeLimit)"
    r"|(Assoc|QOS)Max\w*Per(Job|Node)|JobHeldAdmin|launch.failed.requeued.held"
)
"""Why a job waits that does not start by itself: sbatch accepts it where the cluster's EnforcePartLimits says so."""
GONE = "GONE"
"""The controller has forgotten the job, or never knew it."""


class Seen(tp.NamedTuple):
    """What was seen of a job.

    Attributes
    ----------
    state
        In Slurm's words, or `GONE`.
    code
        How its script ended, as `os.wait` gives it.
    submitted, ended
        In seconds since 1970; 0 where that is not known.
    reason
        Why it waits, in Slurm's words.
    """

    state: str
    code: int = 0
    submitted: int = 0
    restarts: int = 0
    ended: int = 0
    reason: str = ""

    @property
    def is_over(self) -> bool:
        return self.state not in QUEUED and self.state not in RUNNING


class Controller:
    """Slurm, as one process asks it; thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._jobs: dict[str, Seen] = {}
        self._asked = -math.inf
        self._changed = -math.inf
        self._answered = False
        self._others: set[str] = set()  # arrays that are not ours, or gone: asked for by id
        self._gone_since: dict[str, float] = {}
        self._told: set[str] = set()  # arrays that may never start

    def see(self, job_id: str, submitted: float) -> Seen | None:
        """The job with this id that was submitted at this time; None if Slurm does not answer."""
        with self._lock:
            array = job_id.partition("_")[0]
            self._refresh()
            if self._answered and array not in self._others and job_id not in self._jobs:
                self._others.add(array)
                self._changed = time.monotonic()
                self._answered = self._look(["--jobs", ",".join(sorted(self._others))])
            if not self._answered:
                return None
            seen = self._jobs.get(job_id, Seen(GONE))
            if not seen.restarts and submitted and abs(seen.submitted - submitted) > SKEW_S:
                seen = Seen(GONE)  # ids begin anew when a cluster was set up anew: it is another's
            if seen.state in QUEUED and array not in self._told and _HOPELESS.match(seen.reason):
                self._told.add(array)
                logger.warning(
                    "Job %s may wait for ever: Slurm's reason is %s. Cancel it (scancel %s), and change what it asks for",
                    job_id,
                    seen.reason,
                    array,
                )
            return self._believed(job_id, seen)

    def forget(self) -> None:
        """Asks anew at the next question: something was just submitted or cancelled."""
        self._asked = -math.inf
        self._changed = time.monotonic()

    def _refresh(self) -> None:
        now = time.monotonic()
        kept = min(max(KEPT_S[0], PATIENCE * (now - self._changed)), KEPT_S[1]) if self._answered else UNANSWERED_S
        if now - self._asked < kept:
            return
        before, self._jobs = self._jobs, {}
        self._answered = self._look(["--user", str(os.getuid())])
        if self._answered and self._others:
            self._others -= {job_id.partition("_")[0] for job_id in self._jobs}
            self._answered = not self._others or self._look(["--jobs", ",".join(sorted(self._others))])
        self._asked = time.monotonic()
        if self._jobs != before:
            self._changed = self._asked

    def _look(self, which: list[str]) -> bool:
        text = ask("squeue", *which, "--all", "--noheader", "--array", "--states=all", f"--Format={_FORMAT}")
        for line in (text or "").splitlines():
            job_id, state, code, submitted, restarts, ended, reason, _ = line.split("|")
            exit_code, began, again, end = map(_number, (code, submitted, restarts, ended))
            self._jobs[job_id] = Seen(state, exit_code, began, again, end, reason)
        return text is not None

    def _believed(self, job_id: str, seen: Seen) -> Seen:
        if seen.state not in RETURNING:
            self._gone_since.pop(job_id, None)
            return seen
        since = self._gone_since.setdefault(job_id, time.monotonic())
        return seen if time.monotonic() - since > REQUEUE_S else seen._replace(state="REQUEUED")


_FORMAT = "JobArrayID:|,State:|,exit_code:|,SubmitTime:|,RestartCnt:|,EndTime:|,Reason:|"
controller: Controller = Controller()


def ended_as(job_id: str) -> Seen | None:
    """How a job ended that the controller has forgotten, as the accounting says; None where it does not know."""
    array = job_id.partition("_")[0]
    with _accounts_lock:
        asked, account = _accounts.get(array, (-math.inf, {}))
        if time.monotonic() - asked > ACCOUNTED_S:
            account = _account(array)
            _accounts[array] = time.monotonic(), account
    return account.get(job_id)


def _account(array: str) -> dict[str, Seen]:
    text = ask(
        "sacct", "--allocations", "--noheader", "--parsable2", f"--jobs={array}", "--format=JobID,State,ExitCode"
    )
    found = {}
    for line in (text or "").splitlines():
        job_id, state, code = line.split("|")
        status, _, number = code.partition(":")
        found[job_id] = Seen(state.split()[0], (_number(status) << 8) + _number(number))
    return found


_accounts: dict[str, tuple[float, dict[str, Seen]]] = {}
_accounts_lock = threading.Lock()


def states_of(array: str) -> dict[str, str] | None:
    """States of the queued and running jobs of an array, by their ids; None if Slurm does not answer."""
    text = ask("squeue", f"--jobs={array}", "--all", "--noheader", "--array", "--Format=JobArrayID:|,State:|")
    return None if text is None else dict(line.split("|")[:2] for line in text.splitlines())


def cancel(job_id: str) -> None:
    """Asks Slurm to cancel a job."""
    ask("scancel", "--quiet", job_id)
    controller.forget()


def cluster_name() -> str:
    """The name of the cluster, which tells its ids from another's; "" if it does not answer."""
    return settings.get("ClusterName", "")


def max_array_size() -> int:
    """One more than the largest index of an array."""
    return _number(settings.get("MaxArraySize", "")) or 1001


def log_folder(job_id: str) -> str:
    """The folder that a job writes its log to; "" if Slurm does not know it."""
    log = re.search(r"^ *StdOut=(.+)$", ask("scontrol", "show", "job", job_id) or "", re.MULTILINE)
    return os.path.dirname(log[1]) if log else ""


def remedy(words: str, given: Iterable[str] = ()) -> str:
    """What to change, by what Slurm says of a submission that it refuses, and by what settings it was asked for."""
    if re.search(r"contact slurm|slurm controller|timed out|backup controller", words, re.IGNORECASE):
        return "Slurm does not answer: try again when it does, or compute on this machine with infra.cluster='local'"
    if "configuration source" in words:
        return "Slurm is installed here, but knows of no cluster: say infra.cluster='local', or 'auto'"
    named = list(dict.fromkeys(setting for pattern, setting in _REMEDIES if re.search(pattern, words, re.IGNORECASE)))
    named = [setting for setting in named if setting in given] or named
    return f"Change {' or '.join(f'infra.{name}' for name in named)}" if named else "Change the settings"


_REMEDIES = (
    (r"partition", "slurm_partition"),
    (r"account", "slurm_account"),
    (r"\bqos\b", "slurm_qos"),
    (r"feature", "slurm_constraint"),
    (r"time ?limit|time specification", "timeout_min"),
    (r"generic resource|gres|node configuration", "gpus_per_node"),
    (r"memory|node configuration", "mem_gb"),
    (r"cpu count|processors|node configuration", "cpus_per_task"),
    (r"node count|node configuration", "nodes"),
    (r"option|invalid .*(specification|argument)|job dependency", "slurm_additional_parameters"),
)


class _Settings(dict[str, str]):
    """Settings of the cluster, asked for once it answers."""

    def get(self, name: str, default: str = "") -> str:  # type: ignore[override]  # of strings only
        if not self:
            self.update(re.findall(r"^(\w+)\s*= *(\S+)", ask("scontrol", "show", "config") or "", re.MULTILINE))
        return super().get(name, default)


settings: _Settings = _Settings()


def is_configured() -> bool:
    """Whether there is a cluster that can be asked to compute: False without Slurm's programs, or where they know of none.

    A cluster that does not answer is one all the same: it may be a login node's, where nobody should compute instead.
    """
    import shutil

    program = shutil.which("sbatch")
    return program is not None and _knows_a_cluster(program, os.environ.get("SLURM_CONF"))


@functools.cache
def _knows_a_cluster(program: str, configuration: str | None) -> bool:
    run = _run("scontrol", "ping", timeout_s=TIMEOUT_S)
    return run is None or "configuration source" not in run.stderr


def ask(program: str, *arguments: str, timeout_s: float = TIMEOUT_S) -> str | None:
    """What a program of Slurm's prints; None if it fails. Nothing in the environment changes what it prints."""
    run = _run(program, *arguments, timeout_s=timeout_s)
    if run is None:
        return None
    if run.returncode and "Invalid job id" in run.stderr:
        return ""
    return run.stdout if run.returncode == 0 else None


def _run(program: str, *arguments: str, timeout_s: float) -> subprocess.CompletedProcess[str] | None:
    import subprocess

    environment = {name: value for name, value in os.environ.items() if not name.startswith(("SQUEUE_", "SACCT_"))}
    environment["SLURM_TIME_FORMAT"] = "%s"
    try:
        return subprocess.run(
            [program, *arguments],
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None


def _number(text: str) -> int:
    digits = re.match(r"\d+", text.strip())
    return int(digits[0]) if digits else 0


def _forget_after_fork() -> None:
    global controller, _accounts_lock
    controller, _accounts_lock = Controller(), threading.Lock()


os.register_at_fork(after_in_child=_forget_after_fork)
