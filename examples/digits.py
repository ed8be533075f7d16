"""Which classifier reads handwritten digits best, and how finely must it look at them? A sweep in which nothing is done twice.

The digits are the 1,797 images of 8 x 8 pixels of UCI's collection, which come with scikit-learn. Run this twice: the second time
everything comes from the cache. Then change something, here or with an option, and only what it changes is computed.

    python examples/digits.py
    python examples/digits.py --cluster processpool --plot digits.png
"""

from __future__ import annotations

import argparse
import hashlib
import logging
import time
import typing as tp
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pydantic

import cachedmodel as cm

Array = npt.NDArray[np.float64]


# -- the experiment: what it is made of, and what is computed ------------------------------------------------------------


class Config(pydantic.BaseModel):
    """Part of an experiment: an ordinary pydantic model that refuses misspelt fields."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)


class Data(Config):
    """Which images there are, and which of them are kept for the test."""

    images: int = pydantic.Field(default=1797, ge=100, le=1797)
    test_fraction: float = pydantic.Field(default=0.5, gt=0, lt=1)
    seed: int = 0

    def load(self) -> tuple[Array, Array]:
        """Images, shape (images, 8, 8), and the digits they show, shape (images,)."""
        from sklearn.datasets import load_digits

        digits = load_digits()
        return digits.images[: self.images], digits.target[: self.images]


class Features(Config):
    """What a classifier sees of an image: in each of `cells` x `cells` cells, how much it rises in which direction."""

    cells: int = pydantic.Field(default=4, ge=1, le=8)
    orientations: int = pydantic.Field(default=8, ge=1)

    def of(self, image: Array) -> Array:
        """Histogram of oriented gradients, shape (cells * cells * orientations,)."""
        dy, dx = np.gradient(image)
        turn = np.arctan2(dy, dx) / (2 * np.pi) % 1
        direction = (turn * self.orientations).astype(int) % self.orientations
        row, column = np.indices(image.shape) * self.cells // len(image)
        place = (row * self.cells + column) * self.orientations + direction
        histogram = np.bincount(place.ravel(), np.hypot(dx, dy).ravel(), self.cells**2 * self.orientations)
        return histogram / max(float(np.linalg.norm(histogram)), 1e-9)


class Logistic(Config):
    kind: tp.Literal["logistic"] = "logistic"
    c: float = pydantic.Field(default=1.0, gt=0)

    def build(self) -> tp.Any:  # Any: scikit-learn has no types
        from sklearn.linear_model import LogisticRegression

        return LogisticRegression(C=self.c, max_iter=2000)


class Neighbours(Config):
    kind: tp.Literal["neighbours"] = "neighbours"
    k: int = pydantic.Field(default=1, ge=1)

    def build(self) -> tp.Any:
        from sklearn.neighbors import KNeighborsClassifier

        return KNeighborsClassifier(self.k)


class SupportVectors(Config):
    kind: tp.Literal["support-vectors"] = "support-vectors"
    c: float = pydantic.Field(default=1.0, gt=0)

    def build(self) -> tp.Any:
        from sklearn.svm import SVC

        return SVC(C=self.c)


Classifier = tp.Annotated[Logistic | Neighbours | SupportVectors, pydantic.Field(discriminator="kind")]


class Score(tp.NamedTuple):
    """How a classifier did on the test images."""

    accuracy: float
    train_s: float


def image_uid(image: Array) -> str:
    """Names an image by what is in it."""
    return hashlib.blake2b(image.tobytes(), digest_size=16).hexdigest()


class Digits(cm.CachedModel, version="1", cache_name="Digits", frozen=True):
    """One experiment: its configuration, and the two computations that are cached."""

    data: Data = Data()
    features: Features = Features()
    classifier: Classifier = Logistic()

    # an image's features depend on neither the other images nor the classifier: experiments share them
    @cm.map(item_uid=image_uid, exclude=("data", "classifier"), infra={"min_items_per_job": 1000})
    def describe(self, images: tp.Iterable[Array]) -> tp.Iterator[Array]:
        """The features of each image."""
        for image in images:
            yield self.features.of(image)

    @cm.task
    def score(self) -> Score:
        """Trains the classifier on one part of the images, and tests it on the other."""
        from sklearn.model_selection import train_test_split

        images, shown = self.data.load()
        x = np.stack(list(self.describe(images)))
        train_x, test_x, train_y, test_y = train_test_split(
            x, shown, test_size=self.data.test_fraction, random_state=self.data.seed, stratify=shown
        )
        start = time.perf_counter()
        classifier = self.classifier.build().fit(train_x, train_y)
        return Score(float(classifier.score(test_x, test_y)), time.perf_counter() - start)


# -- the sweep -------------------------------------------------------------------------------------------------------------


def sweep(data: Data, infra: cm.InfraDict) -> list[Digits]:
    """Every classifier with every fineness of the features."""
    classifiers: list[Classifier] = [
        Neighbours(),
        Logistic(c=1),
        Logistic(c=100),
        SupportVectors(c=1),
        SupportVectors(c=10),
    ]
    return [
        Digits(data=data, features=Features(cells=cells), classifier=classifier, infra=infra)
        for cells in (1, 2, 4, 8)
        for classifier in classifiers
    ]


def describe_all(experiments: list[Digits], data: Data) -> None:
    """Computes the features before the experiments need them, so that these need not wait for each other."""
    images, _ = data.load()
    start = time.perf_counter()
    one_each = {xp.features: xp for xp in experiments}.values()
    stored = sum(len(xp.describe.plan(images).cached) for xp in one_each)
    for job in [xp.describe.submit(images) for xp in one_each]:
        job.result()
    report("features", len(one_each) * len(images) - stored, stored, start)


def score_all(experiments: list[Digits]) -> dict[Digits, Score]:
    """The scores: what is missing is submitted as one array of jobs, the rest is read."""
    start = time.perf_counter()
    stored = sum(xp.score.is_cached() for xp in experiments)
    jobs = cm.job_array(xp.score for xp in experiments)
    scores = {xp: job.result() for xp, job in zip(experiments, jobs, strict=True)}
    report("scores", len(experiments) - stored, stored, start)
    return scores


# -- what is shown -----------------------------------------------------------------------------------------------------------


def report(what: str, computed: int, stored: int, start: float) -> None:
    took = time.perf_counter() - start
    print(f"{what + ':':<10}computed {computed:>5,}, from the cache {stored:>5,}, in {took:.2f} s")


def lines(scores: dict[Digits, Score]) -> dict[str, dict[int, Score]]:
    """The scores by classifier, then by number of cells."""
    found: dict[str, dict[int, Score]] = {}
    for xp, score in scores.items():
        kind, *setting = xp.classifier.model_dump().items()
        name = ", ".join([kind[1], *(f"{key}={value:g}" for key, value in setting)])
        found.setdefault(name, {})[xp.features.cells] = score
    return found


def table(scores: dict[Digits, Score]) -> str:
    """Accuracy, and seconds of training, of each experiment."""
    rows = lines(scores)
    columns = sorted({cells for row in rows.values() for cells in row})
    out = [f"{'cells':<24}" + "".join(f"{f'{cells} x {cells}':>18}" for cells in columns)]
    for name, row in rows.items():
        out.append(f"{name:<24}" + "".join(f"{row[c].accuracy:>9.1%} {row[c].train_s:>6.2f} s" for c in columns))
    return "\n".join(out)


def plot(scores: dict[Digits, Score], path: Path) -> None:
    """Draws the accuracy of each classifier over the fineness of the features."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 4.5), layout="constrained")
    for name, row in lines(scores).items():
        axes.plot(list(row), [100 * score.accuracy for score in row.values()], marker="o", label=name)
    axes.set_xscale("log", base=2)
    axes.set_xticks([1, 2, 4, 8], ["1 x 1", "2 x 2", "4 x 4", "8 x 8"])
    axes.set(xlabel="cells of an image", ylabel="test accuracy (%)", title="Handwritten digits, oriented gradients")
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path, dpi=150)
    plt.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, default=Path("digits-cache"), help="where results are kept")
    parser.add_argument("--cluster", default="auto", help="None, threadpool, processpool, local, slurm or auto")
    parser.add_argument("--images", type=int, default=Data().images, help="use only the first of them")
    parser.add_argument("--seed", type=int, default=Data().seed, help="another split into training and test")
    parser.add_argument("--plot", type=Path, metavar="PNG", help="draw the sweep")
    given = parser.parse_args()
    logging.basicConfig(format="%(message)s")
    logging.getLogger("cachedmodel").setLevel(logging.INFO)

    data = Data(images=given.images, seed=given.seed)
    cluster = None if given.cluster == "None" else given.cluster
    experiments = sweep(data, {"folder": given.folder, "cluster": cluster})
    describe_all(experiments, data)
    scores = score_all(experiments)
    print(f"\n{table(scores)}")
    if given.plot:
        plot(scores, given.plot)
        print(f"\nDrawn in {given.plot}")


if __name__ == "__main__":
    main()
