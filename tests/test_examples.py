"""The examples run as a newcomer runs them: each a script in a fresh interpreter, twice in one folder."""

from __future__ import annotations

import re
import subprocess
import sys
import typing as tp
from pathlib import Path

import numpy as np
import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"
DIGITS = EXAMPLES / "digits.py"
EXPERIMENTS = 20
IMAGES = 300
LIMIT_S = 240


class Ran(tp.NamedTuple):
    """What a run of digits.py said."""

    counts: dict[str, tuple[int, int]]  # of features and scores: how many were computed, how many came from the cache
    table: str
    log: str


def digits(folder: Path, *arguments: str, images: int = IMAGES) -> Ran:
    """Runs the sweep."""
    command = [sys.executable, "-W", "error", str(DIGITS), "--folder", str(folder), "--images", str(images), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S)
    assert done.returncode == 0, done.stderr
    found = re.findall(
        r"^(\w+): +computed +([\d,]+), from the cache +([\d,]+), in [\d.]+ s$", done.stdout, re.MULTILINE
    )
    counts = {what: (int(computed.replace(",", "")), int(stored.replace(",", ""))) for what, computed, stored in found}
    return Ran(counts, done.stdout.split("\n\n")[1].strip(), done.stderr)


class Swept(tp.NamedTuple):
    """A folder with the sweep in it, what the run that filled it said, and what it drew."""

    folder: Path
    first: Ran
    picture: Path


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Swept:
    """The sweep, computed in one process."""
    folder = tmp_path_factory.mktemp("digits")
    picture = folder / "sweep.png"
    return Swept(folder, digits(folder, "--cluster", "None", "--plot", str(picture)), picture)


def accuracies(table: str) -> list[float]:
    """The per cents of a table, row by row."""
    return [float(number) for number in re.findall(r"([\d.]+)%", table)]


def test_second_run_computes_nothing(swept: Swept) -> None:
    """The first run computes everything; the second gives the same table, to the last digit, from the cache alone."""
    second = digits(swept.folder, "--cluster", "None")

    assert swept.first.counts == {"features": (4 * IMAGES, 0), "scores": (EXPERIMENTS, 0)}
    assert second.counts == {"features": (0, 4 * IMAGES), "scores": (0, EXPERIMENTS)}
    assert second.table == swept.first.table


@pytest.mark.parametrize(
    "cluster",
    ["processpool", *(pytest.param(name, marks=pytest.mark.slow) for name in ("threadpool", "local"))],
)
def test_every_cluster_computes_the_same_once(cluster: str, swept: Swept, tmp_path: Path) -> None:
    """Wherever the sweep runs its accuracies are those of one process, and a second run submits nothing."""
    first = digits(tmp_path, "--cluster", cluster)
    second = digits(tmp_path, "--cluster", cluster)

    assert first.counts == swept.first.counts
    assert accuracies(first.table) == accuracies(swept.first.table)
    assert first.log.count("Sent") == 5
    assert (second.counts["scores"], second.table, second.log) == ((0, EXPERIMENTS), first.table, "")


def test_only_what_changes_is_computed(swept: Swept) -> None:
    """Another split needs other scores and the same features; more images need the features of the new ones alone."""
    reseeded = digits(swept.folder, "--cluster", "None", "--seed", "1")
    grown = digits(swept.folder, "--cluster", "None", images=IMAGES + 10)

    assert reseeded.counts == {"features": (0, 4 * IMAGES), "scores": (EXPERIMENTS, 0)}
    assert grown.counts == {"features": (4 * 10, 4 * IMAGES), "scores": (EXPERIMENTS, 0)}


def test_classifiers_learn(swept: Swept) -> None:
    """Looking more finely helps every classifier, and none only guesses."""
    rows = np.array(accuracies(swept.first.table)).reshape(-1, 4)

    assert rows.min() > 20
    assert (rows[:, 2] > rows[:, 0] + 20).all()
    assert rows.max() > 90


def test_plot_is_drawn(swept: Swept) -> None:
    """With --plot there is a PNG with something on it: lines of many colours on a white ground."""
    import matplotlib.image

    pixels = matplotlib.image.imread(swept.picture)[..., :3]

    assert min(pixels.shape[:2]) > 400
    assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 50
    assert 0.5 < (pixels == 1).all(axis=-1).mean() < 0.99
