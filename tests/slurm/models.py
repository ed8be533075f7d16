"""What the tests of Slurm compute. Jobs import this module."""

from __future__ import annotations

import os
import sys
import time
import typing as tp
from pathlib import Path

import cachedmodel as cm
from cachedmodel.executors import usable_cores
from tests.executors.calls import append, until


class Study(cm.CachedModel):
    """Leaves a line in `log` for all that it computes, since a job may have no other way to tell."""

    log: tp.Annotated[Path, cm.NotInUid]
    number: int = 0

    def note(self, text: object) -> None:
        append(self.log, f"{text}\n")

    @property
    def gate(self) -> Path:
        """A file that the tests make when a computation may go on."""
        return self.log.with_name("gate")


class Square(Study):
    @cm.task
    def value(self) -> int:
        self.note(self.number)
        return self.number**2


class SumOfSquares(Study):
    """Its job has two more jobs compute, and waits for them."""

    @cm.task
    def value(self) -> int:
        terms = [Square(log=self.log, number=number, infra=self.infra) for number in (1, 2)]
        return sum(job.result() for job in cm.job_array(term.value for term in terms))


class Settings(Study):
    """What a job finds around itself."""

    @cm.task
    def value(self) -> dict[str, tp.Any]:
        names = (
            "SETUP",
            "CUDA_VISIBLE_DEVICES",
            "SLURM_JOB_NAME",
            "SLURM_NTASKS",
            "SLURM_JOB_ID",
            "SLURM_CPUS_PER_TASK",
        )
        found: dict[str, tp.Any] = {name: os.environ.get(name) for name in names}
        return {**found, "prefix": sys.prefix, "cores": usable_cores(), "code": __file__}


class Ranks(Study):
    """What several processes compute together: each says its number, but the result is the first one's."""

    @cm.task
    def value(self) -> str:
        rank = os.environ["SLURM_PROCID"]
        self.note(rank)
        return f"of {rank}"


class Steps(Study):
    """Prints, waits for the gate, and fails if asked to."""

    fails: bool = False

    @cm.task
    def value(self) -> str:
        print("out: started", flush=True)
        print("err: started", file=sys.stderr, flush=True)
        self.note("started")
        until(self.gate.exists, 300.0)
        if self.fails:
            raise ValueError("as asked")
        self.note("ended")
        return f"result {self.number}"


class Slow(Study):
    """Items, the later of which wait for the gate."""

    @cm.map(item_uid=str)
    def double(self, items: tp.Iterable[int]) -> tp.Iterator[int]:
        for item in items:
            if item >= 100:
                until(self.gate.exists, 300.0)
            self.note(item)
            yield 2 * item


class Training(Study):
    """Counts to 4, one step a half second, and goes on after the last step that it kept in its folder."""

    @cm.task
    def value(self) -> list[int]:
        folder = self.value.uid_folder(create=True)
        assert folder is not None
        checkpoint = Path(folder) / "checkpoint"
        first = int(checkpoint.read_text()) if checkpoint.exists() else 0
        for step in range(first, 4):
            self.note(f"step {step}")
            if step == 2 and not self.gate.exists():
                time.sleep(300)  # until it is preempted
            checkpoint.write_text(str(step + 1))
        return [first, 4]


class Deaf(Study):
    """Does not hear of being cancelled, and goes on."""

    @cm.task
    def value(self) -> str:
        self.note("started")
        while True:
            try:
                until(self.gate.exists, 300.0)
                self.note("ended")
                return "done all the same"
            except KeyboardInterrupt:
                self.note("interrupted")


class Drawn(Study):
    """Another value in each run, to tell whose result it is."""

    @cm.task
    def value(self) -> float:
        self.note(f"started {os.getpid()}")
        until(self.gate.exists, 300.0)
        self.note(f"ended {os.getpid()}")
        return float(os.getpid())


class Dying(Study):
    signal: int = 9

    @cm.task
    def value(self) -> None:
        print("the last words", file=sys.stderr, flush=True)
        os.kill(os.getpid(), self.signal)


class Hungry(Study):
    @cm.task
    def value(self) -> int:
        return len(bytearray(4 * 1024**3))


class Greedy(Study):
    """Takes memory bit by bit, and keeps it as long as it is not stopped."""

    @cm.task
    def value(self) -> int:
        self.note("started")
        taken: list[bytes] = []
        while len(taken) < 100 and not self.gate.exists():
            taken.append(os.urandom(10 * 1024**2))
            print(f"taken: {len(taken)}0 MB", flush=True, file=sys.stderr)
        until(self.gate.exists, 60.0)
        return len(taken)


class Asking(Study):
    """Has another number squared, and waits for that."""

    other: int = 1

    @cm.task
    def value(self) -> int:
        self.note("asks")
        return 1 + Square(log=self.log, number=self.other, infra=self.infra).value()


class Beside(Study):
    """Sees how many of its kind run beside it."""

    @cm.task
    def value(self) -> int:
        folder = self.log.with_name("running")
        folder.mkdir(exist_ok=True)
        own = folder / str(self.number)
        own.touch(exist_ok=False)  # or it is computed a second time
        time.sleep(0.3)  # so that others would overlap, if they could
        self.note(f"{self.number} {len(os.listdir(folder))}")
        own.unlink()
        return self.number**2


class Placed(Study):
    """Says on which host it is, and goes on when that host may."""

    @cm.task
    def value(self) -> str:
        host = os.uname().nodename
        self.note(f"{host} started")
        until(self.log.with_name(f"gate of {host}").exists, 300.0)
        self.note(f"{host} ended")
        return host
