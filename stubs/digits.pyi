# Written by `cachedmodel stubs`: change digits instead, and run it again.
"""Which classifier reads handwritten digits best, and how finely must it look at them? A sweep in which nothing is done twice.

The digits are the 1,797 images of 8 x 8 pixels of UCI's collection, which come with scikit-learn. Run this twice: the second time
everything comes from the cache. Then change something, here or with an option, and only what it changes is computed.

    python examples/digits.py
    python examples/digits.py --cluster processpool --plot digits.png
"""

import cachedmodel as _cachedmodel
import typing as _typing

_default: _typing.Any

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

class Config(pydantic.BaseModel):
    """Part of an experiment: an ordinary pydantic model that refuses misspelt fields."""
    model_config = pydantic.ConfigDict(extra='forbid', frozen=True)

    def __init__(self) -> None: ...

class Data(Config):
    """Which images there are, and which of them are kept for the test."""
    images: int = pydantic.Field(default=1797, ge=100, le=1797)
    test_fraction: float = pydantic.Field(default=0.5, gt=0, lt=1)
    seed: int = 0

    def load(self) -> tuple[Array, Array]:
        """Images, shape (images, 8, 8), and the digits they show, shape (images,)."""
        ...

    def __init__(
        self,
        *,
        images: int = ...,
        test_fraction: float = ...,
        seed: int = ...,
    ) -> None: ...

class Features(Config):
    """What a classifier sees of an image: in each of `cells` x `cells` cells, how much it rises in which direction."""
    cells: int = pydantic.Field(default=4, ge=1, le=8)
    orientations: int = pydantic.Field(default=8, ge=1)

    def of(self, image: Array) -> Array:
        """Histogram of oriented gradients, shape (cells * cells * orientations,)."""
        ...

    def __init__(
        self,
        *,
        cells: int = ...,
        orientations: int = ...,
    ) -> None: ...

class Logistic(Config):
    kind: tp.Literal['logistic'] = 'logistic'
    c: float = pydantic.Field(default=1.0, gt=0)

    def build(self) -> tp.Any: ...

    def __init__(
        self,
        *,
        kind: _typing.Literal['logistic'] = ...,
        c: float = ...,
    ) -> None: ...

class Neighbours(Config):
    kind: tp.Literal['neighbours'] = 'neighbours'
    k: int = pydantic.Field(default=1, ge=1)

    def build(self) -> tp.Any: ...

    def __init__(
        self,
        *,
        kind: _typing.Literal['neighbours'] = ...,
        k: int = ...,
    ) -> None: ...

class SupportVectors(Config):
    kind: tp.Literal['support-vectors'] = 'support-vectors'
    c: float = pydantic.Field(default=1.0, gt=0)

    def build(self) -> tp.Any: ...

    def __init__(
        self,
        *,
        kind: _typing.Literal['support-vectors'] = ...,
        c: float = ...,
    ) -> None: ...
_ClassifierAlias = tp.Annotated[Logistic | Neighbours | SupportVectors, pydantic.Field(discriminator='kind')]
Classifier: _typing.TypeAlias = _typing.Any

class Score(tp.NamedTuple):
    """How a classifier did on the test images."""
    accuracy: float
    train_s: float

def image_uid(image: Array) -> str:
    """Names an image by what is in it."""
    ...

class Digits(cm.CachedModel, version='1', cache_name='Digits', frozen=True):
    """One experiment: its configuration, and the two computations that are cached."""
    data: Data = _default
    features: Features = _default
    classifier: _ClassifierAlias = _default

    @cm.map(item_uid=image_uid, exclude=('data', 'classifier'), infra={'min_items_per_job': 1000})
    def describe(self, images: tp.Iterable[Array]) -> tp.Iterator[Array]:
        """The features of each image."""
        ...

    @cm.task
    def score(self) -> Score:
        """Trains the classifier on one part of the images, and tests it on the other."""
        ...

    def __init__(
        self,
        *,
        infra: _cachedmodel.Infra | _cachedmodel.InfraDict = ...,
        data: Data | _DataDict = ...,
        features: Features | _FeaturesDict = ...,
        classifier: Logistic | _Logistic_kind_Dict | Neighbours | _Neighbours_kind_Dict | SupportVectors | _SupportVectors_kind_Dict = ...,
    ) -> None: ...

def sweep(data: Data, infra: cm.InfraDict) -> list[Digits]:
    """Every classifier with every fineness of the features."""
    ...

def describe_all(experiments: list[Digits], data: Data) -> None:
    """Computes the features before the experiments need them, so that these need not wait for each other."""
    ...

def score_all(experiments: list[Digits]) -> dict[Digits, Score]:
    """The scores: what is missing is submitted as one array of jobs, the rest is read."""
    ...

def report(what: str, computed: int, stored: int, start: float) -> None: ...

def lines(scores: dict[Digits, Score]) -> dict[str, dict[int, Score]]:
    """The scores by classifier, then by number of cells."""
    ...

def table(scores: dict[Digits, Score]) -> str:
    """Accuracy, and seconds of training, of each experiment."""
    ...

def plot(scores: dict[Digits, Score], path: Path) -> None:
    """Draws the accuracy of each classifier over the fineness of the features."""
    ...

def main() -> None: ...

@_typing.type_check_only
class _DataDict(_typing.TypedDict, total=False):
    images: int
    test_fraction: float
    seed: int

@_typing.type_check_only
class _FeaturesDict(_typing.TypedDict, total=False):
    cells: int
    orientations: int

@_typing.type_check_only
class _Logistic_kind_Dict(_typing.TypedDict, total=False):
    kind: _typing.Required[_typing.Literal['logistic']]
    c: float

@_typing.type_check_only
class _Neighbours_kind_Dict(_typing.TypedDict, total=False):
    kind: _typing.Required[_typing.Literal['neighbours']]
    k: int

@_typing.type_check_only
class _SupportVectors_kind_Dict(_typing.TypedDict, total=False):
    kind: _typing.Required[_typing.Literal['support-vectors']]
    c: float
