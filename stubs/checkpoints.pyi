# Written by `cachedmodel stubs`: change checkpoints instead, and run it again.
"""A sweep whose jobs may be killed at any moment: each keeps a checkpoint, and goes on from it.

A linear classifier learns handwritten digits (the 1,797 that come with scikit-learn) by stochastic gradient descent. On Slurm,
what is preempted is queued again by itself; elsewhere, or after a time-out, run the script again. With --die-at, jobs are killed
in the middle, as a node may fail: the script runs them again, and they resume.

    python examples/checkpoints.py --cluster slurm
    python examples/checkpoints.py --cluster local --die-at 3
"""

import cachedmodel as _cachedmodel

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
    ...

def save_state(path: Path, state: State) -> None:
    """Keeps a checkpoint: under another name first, so that there is always a whole one."""
    ...

class Result(tp.NamedTuple):
    """What came of a training."""
    accuracy: float
    losses: list[float]
    resumed_at: int

class Training(cm.CachedModel, version='1', cache_name='CheckpointedTraining', timeout_min=10, cpus_per_task=1):
    """One training."""
    lr: float = pydantic.Field(default=0.1, gt=0)
    batch: int = 32
    epochs: int = 8
    seed: int = 0
    die_at: tp.Annotated[int | None, cm.NotInUid] = None

    @cm.task
    def train(self) -> Result:
        """Trains from the last checkpoint on, and tests."""
        ...

    def step(self, state: State, x: Array, y: Array) -> State:
        """One epoch; its order of the examples depends on nothing but seed and epoch, so resuming changes nothing."""
        ...

    def __init__(
        self,
        *,
        infra: _cachedmodel.Infra | _cachedmodel.InfraDict = ...,
        lr: float = ...,
        batch: int = ...,
        epochs: int = ...,
        seed: int = ...,
        die_at: int | None = ...,
    ) -> None: ...

def results(experiments: list[Training]) -> list[Result]:
    """The results of all, of which those whose job is lost are submitted again."""
    ...

def main() -> None: ...
