"""An experiment that a YAML file describes, with changes from the command line: do cell nuclei show that a tumour is malignant?

The data are the 569 biopsies of UCI's Wisconsin collection, which come with scikit-learn.

    python examples/train.py examples/train.yaml
    python examples/train.py examples/train.yaml model.lr=0.1 data.seed=3
    python examples/train.py examples/train.yaml model='{kind: logistic, =replace=: true}' infra.cluster=auto

`cachedmodel run examples/train.py:Experiment examples/train.yaml model.lr=0.1` does the same without a main().
"""

from __future__ import annotations

import sys
import typing as tp

import pydantic

import cachedmodel as cm


class Part(pydantic.BaseModel):
    """Part of an experiment; misspelt fields are refused."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)


class Data(Part):
    test_fraction: float = pydantic.Field(default=0.5, gt=0, lt=1, description="What is kept for the test.")
    seed: int = pydantic.Field(default=0, description="Another split.")


class Logistic(Part):
    kind: tp.Literal["logistic"] = "logistic"
    c: float = pydantic.Field(default=1.0, gt=0, description="The less, the simpler the model.")

    def build(self) -> tp.Any:  # Any: scikit-learn has no types
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        return make_pipeline(StandardScaler(), LogisticRegression(C=self.c))


class Boosting(Part):
    kind: tp.Literal["boosting"] = "boosting"
    lr: float = pydantic.Field(default=0.1, gt=0, description="How much each tree counts.")
    trees: int = pydantic.Field(default=50, ge=1)

    def build(self) -> tp.Any:
        from sklearn.ensemble import GradientBoostingClassifier

        return GradientBoostingClassifier(learning_rate=self.lr, n_estimators=self.trees, random_state=0)


class Scores(tp.NamedTuple):
    """How well the test biopsies were told apart."""

    accuracy: float
    missed: int  # malignant ones


class Experiment(cm.CachedModel, version="1", cache_name="Biopsies"):
    """Trains a classifier, and tests it."""

    data: Data = Data()
    model: tp.Annotated[Logistic | Boosting, pydantic.Field(discriminator="kind")] = Logistic()

    @cm.task
    def score(self) -> Scores:
        """Accuracy on the test biopsies."""
        from sklearn.datasets import load_breast_cancer
        from sklearn.model_selection import train_test_split

        x, benign = load_breast_cancer(return_X_y=True)
        train_x, test_x, train_y, test_y = train_test_split(
            x, benign, test_size=self.data.test_fraction, random_state=self.data.seed, stratify=benign
        )
        found = self.model.build().fit(train_x, train_y).predict(test_x)
        return Scores(float((found == test_y).mean()), int(((found == 1) & (test_y == 0)).sum()))


def main() -> None:
    if len(sys.argv) < 2:
        raise SystemExit(f"{__doc__.splitlines()[0]}\nusage: python {sys.argv[0]} CONFIG.yaml [FIELD=VALUE ...]")
    path, *changes = sys.argv[1:]
    try:
        conf = cm.ConfDict.from_yaml(path)
        conf.update(cm.ConfDict.from_args(changes))
        experiment = Experiment.model_validate(conf)
    except ValueError as error:  # pydantic's too: it names the fields
        raise SystemExit(str(error)) from None
    before = "from the cache" if experiment.score.is_cached() else "computed"
    scores = experiment.score()
    print(f"accuracy {scores.accuracy:.1%}, missed {scores.missed} ({before}: {experiment.score.uid()})")


if __name__ == "__main__":
    main()
