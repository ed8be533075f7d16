"""A sweep whose jobs may be killed at any moment: each keeps a checkpoint, and goes on from it.

A linear classifier learns handwritten digits (the 1,797 that come with scikit-learn) by stochastic gradient descent. On Slurm,
what is preempted is queued again by itself; elsewhere, or after a time-out, run the script again. With --die-at, jobs are killed
in the middle, as a node may fail: the script runs them again, and they resume.

    python examples/checkpoints.py --cluster slurm
    python examples/checkpoints.py --cluster local --die-at 3
"""

from __future__ import annotations

import argparse
import os
import signal
import typing as tp
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pydantic

import cachedmodel as cm

Array = npt.NDArray[np.float64]


class State(tp.NamedTuple):
    """All that training needs to go on."""

    epoch: int
    weights: Array
    losses: list[float]


def load_state(path: Path) -> State | None:
    """The checkpoint, or None if there is none yet."""
    if not path.exists():
        return None
    with np.load(path) as stored:
        return State(int(stored["epoch"]), stored["weights"], list(stored["losses"]))


def save_state(path: Path, state: State) -> None:
    """Keeps a checkpoint: under another name first, so that there is always a whole one."""
    aside = path.with_name(f"{path.stem}-new.npz")
    np.savez(aside, epoch=state.epoch, weights=state.weights, losses=state.losses)
    os.replace(aside, path)


class Result(tp.NamedTuple):
    """What came of a training."""

    accuracy: float
    losses: list[float]
    resumed_at: int  # the epoch at which the run that ended it began


class Training(cm.CachedModel, version="1", cache_name="CheckpointedTraining", timeout_min=10, cpus_per_task=1):
    """One training."""

    lr: float = pydantic.Field(default=0.1, gt=0)
    batch: int = 32
    epochs: int = 8
    seed: int = 0
    die_at: tp.Annotated[int | None, cm.NotInUid] = None  # the epoch before which the job is killed, for show

    @cm.task
    def train(self) -> Result:
        """Trains from the last checkpoint on, and tests."""
        from sklearn.datasets import load_digits

        digits = load_digits()
        x = np.hstack([digits.data / 16, np.ones((len(digits.data), 1))])
        y = np.eye(10)[digits.target]
        half = len(x) // 2
        folder = self.train.uid_folder(create=True)
        assert folder is not None, "checkpoints need infra.folder"
        path = Path(folder) / "checkpoint.npz"
        state = load_state(path) or State(0, np.zeros((x.shape[1], 10)), [])
        start = state.epoch
        print(f"starting at epoch {start} of {self.epochs}", flush=True)
        while state.epoch < self.epochs:
            if state.epoch == self.die_at and start == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            state = self.step(state, x[:half], y[:half])
            save_state(path, state)
        right = (x[half:] @ state.weights).argmax(1) == digits.target[half:]
        path.unlink(missing_ok=True)  # it has served
        return Result(float(right.mean()), state.losses, start)

    def step(self, state: State, x: Array, y: Array) -> State:
        """One epoch; its order of the examples depends on nothing but seed and epoch, so resuming changes nothing."""
        order = np.random.default_rng((self.seed, state.epoch)).permutation(len(x))
        weights, loss = state.weights.copy(), 0.0
        for begin in range(0, len(x), self.batch):
            rows = order[begin : begin + self.batch]
            scores = x[rows] @ weights
            chances = np.exp(scores - scores.max(1, keepdims=True))
            chances /= chances.sum(1, keepdims=True)
            loss -= float(np.log((chances * y[rows]).sum(1)).sum())
            weights -= self.lr * x[rows].T @ (chances - y[rows]) / len(rows)
        return State(state.epoch + 1, weights, [*state.losses, loss / len(x)])


def results(experiments: list[Training]) -> list[Result]:
    """The results of all, of which those whose job is lost are submitted again."""
    while True:
        jobs = cm.job_array(xp.train for xp in experiments)
        lost = [error for job in jobs if isinstance(error := job.exception(), cm.JobLostError)]
        if not lost:
            return [job.result() for job in jobs]
        print(f"{len(lost)} jobs were lost; again. The first: {str(lost[0]).splitlines()[0]}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, default=Path("checkpoints-cache"), help="where results are kept")
    parser.add_argument("--cluster", default="auto", help="local, slurm or auto")
    parser.add_argument("--lr", type=float, nargs="+", default=[0.01, 0.1, 1.0])
    parser.add_argument("--die-at", type=int, help="kill each job once, before this epoch")
    given = parser.parse_args()

    infra: cm.InfraDict = {"folder": given.folder, "cluster": given.cluster, "max_jobs": 8}
    experiments = [Training(lr=lr, die_at=given.die_at, infra=infra) for lr in given.lr]
    print(f"{'lr':<8}{'loss':>8}{'accuracy':>10}  resumed at epoch")
    for xp, result in zip(experiments, results(experiments), strict=True):
        print(f"{xp.lr:<8g}{result.losses[-1]:>8.3f}{result.accuracy:>10.1%}  {result.resumed_at}")


if __name__ == "__main__":
    main()
