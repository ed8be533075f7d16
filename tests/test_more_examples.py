"""The smaller examples run as a newcomer runs them: each a script in a fresh interpreter, twice in one folder."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"
LIMIT_S = 240


def run(script: str, folder: Path, *arguments: str, code: int = 0) -> tuple[str, str]:
    """What an example prints, and what it writes to its standard error, where `folder` is the current one."""
    command = [sys.executable, "-W", "error", str(EXAMPLES / script), *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=LIMIT_S)
    assert done.returncode == code, done.stderr
    return done.stdout, done.stderr


def test_texts_are_embedded_once(tmp_path: Path) -> None:
    """The first search embeds thousands of texts, the second none; what is asked for is found."""
    first, _ = run("texts.py", tmp_path, "median of numbers", "--cluster", "processpool")
    second, _ = run("texts.py", tmp_path, "remove a directory tree", "--top", "3")

    total = re.match(r"([\d,]+) texts: embedded ([\d,]+), from the cache 0, ", first)
    assert total is not None
    assert total[1] == total[2]
    assert int(total[1].replace(",", "")) > 2000
    assert f"embedded 0, from the cache {total[1]}, " in second
    assert "statistics.median" in first
    assert "os.rmdir" in second
    assert len(second.strip().splitlines()) == 2 + 3


def test_pipeline_learns_only_what_is_new(tmp_path: Path) -> None:
    """A second sweep learns the codebook that is new alone; more codes draw better pictures."""
    first, log = run("pipeline.py", tmp_path, "--codes", "4", "16", "--cluster", "local")
    second, _ = run("pipeline.py", tmp_path, "--codes", "4", "16", "64", "--cluster", "None")

    assert first.startswith("codebooks: 2 to learn, 0 from the cache")
    assert log.count("Sent 2 item(s) of Codebook.learn") == 1
    assert second.startswith("codebooks: 1 to learn, 2 from the cache")
    assert first.splitlines()[2:] == second.splitlines()[2:-1]
    for picture in range(2):
        quality = [float(re.findall(r"([\d.]+) dB", line)[picture]) for line in second.splitlines()[3:]]
        assert quality == sorted(quality)
        assert quality[-1] > 20
    assert len([*tmp_path.glob("pipeline-cache/Patches.sample,1/*/entry")]) == 1


def test_killed_jobs_resume(tmp_path: Path) -> None:
    """Jobs that are killed in the middle are run again from their checkpoint, and learn what others do without a break."""
    (tmp_path / "other").mkdir()
    killed, _ = run("checkpoints.py", tmp_path, "--cluster", "local", "--lr", "0.1", "1", "--die-at", "3")
    whole, _ = run("checkpoints.py", tmp_path / "other", "--cluster", "local", "--lr", "0.1", "1")
    again, _ = run("checkpoints.py", tmp_path, "--cluster", "local", "--lr", "0.1", "1")

    assert "2 jobs were lost; again." in killed
    assert "killed by SIGKILL" in killed
    rows = [line.rsplit(maxsplit=1) for line in killed.splitlines()[-2:]]
    assert [epoch for _, epoch in rows] == ["3", "3"]
    assert [row.split() for row, _ in rows] == [line.split()[:-1] for line in whole.splitlines()[-2:]]
    assert again.splitlines()[-2:] == killed.splitlines()[-2:]


def test_training_from_yaml(tmp_path: Path) -> None:
    """A file and arguments describe an experiment, which is found again; what is wrong is named and computes nothing."""
    conf = str(EXAMPLES / "train.yaml")
    first, _ = run("train.py", tmp_path, conf, "model.lr=0.1", "model.trees=5")
    second, _ = run("train.py", tmp_path, conf, "model.lr=0.1", "model.trees=5")
    switched, _ = run("train.py", tmp_path, conf, "model={kind: logistic, =replace=: true}")
    _, wrong = run("train.py", tmp_path, conf, "model.lr=-1", code=1)

    assert "(computed: " in first
    assert second == first.replace("computed", "from the cache")
    assert float(switched.split()[1].rstrip("%,")) > 90
    assert "model.boosting.lr" in wrong
    assert len([*tmp_path.glob("train-cache/Biopsies.score,1/*/entry")]) == 2


@pytest.mark.parametrize("script", sorted(path.name for path in EXAMPLES.glob("*.py")))
def test_examples_say_how_they_are_used(script: str, tmp_path: Path) -> None:
    """Each example is short enough to be read at one sitting, and shows its own command first."""
    text = (EXAMPLES / script).read_text()

    assert f"    python examples/{script}" in text[:1000]
    assert len(text.splitlines()) <= 260
