# Written by `cachedmodel stubs`: change train instead, and run it again.
"""An experiment that a YAML file describes, with changes from the command line: do cell nuclei show that a tumour is malignant?

The data are the 569 biopsies of UCI's Wisconsin collection, which come with scikit-learn.

    python examples/train.py examples/train.yaml
    python examples/train.py examples/train.yaml model.lr=0.1 data.seed=3
    python examples/train.py examples/train.yaml model='{kind: logistic, =replace=: true}' infra.cluster=auto

`cachedmodel run examples/train.py:Experiment examples/train.yaml model.lr=0.1` does the same without a main().
"""

import cachedmodel as _cachedmodel
import typing as _typing

_default: _typing.Any

import sys
import typing as tp
import pydantic
import cachedmodel as cm

class Part(pydantic.BaseModel):
    """Part of an experiment; misspelt fields are refused."""
    model_config = pydantic.ConfigDict(extra='forbid', frozen=True)

    def __init__(self) -> None: ...

class Data(Part):
    test_fraction: float = pydantic.Field(default=0.5, gt=0, lt=1, description='What is kept for the test.')
    seed: int = pydantic.Field(default=0, description='Another split.')

    def __init__(
        self,
        *,
        test_fraction: float = ...,
        seed: int = ...,
    ) -> None: ...

class Logistic(Part):
    kind: tp.Literal['logistic'] = 'logistic'
    c: float = pydantic.Field(default=1.0, gt=0, description='The less, the simpler the model.')

    def build(self) -> tp.Any: ...

    def __init__(
        self,
        *,
        kind: _typing.Literal['logistic'] = ...,
        c: float = ...,
    ) -> None: ...

class Boosting(Part):
    kind: tp.Literal['boosting'] = 'boosting'
    lr: float = pydantic.Field(default=0.1, gt=0, description='How much each tree counts.')
    trees: int = pydantic.Field(default=50, ge=1)

    def build(self) -> tp.Any: ...

    def __init__(
        self,
        *,
        kind: _typing.Literal['boosting'] = ...,
        lr: float = ...,
        trees: int = ...,
    ) -> None: ...

class Scores(tp.NamedTuple):
    """How well the test biopsies were told apart."""
    accuracy: float
    missed: int

class Experiment(cm.CachedModel, version='1', cache_name='Biopsies'):
    """Trains a classifier, and tests it."""
    data: Data = _default
    model: tp.Annotated[Logistic | Boosting, pydantic.Field(discriminator='kind')] = _default

    @cm.task
    def score(self) -> Scores:
        """Accuracy on the test biopsies."""
        ...

    def __init__(
        self,
        *,
        infra: _cachedmodel.Infra | _cachedmodel.InfraDict = ...,
        data: Data | _DataDict = ...,
        model: Logistic | _Logistic_kind_Dict | Boosting | _Boosting_kind_Dict = ...,
    ) -> None: ...

def main() -> None: ...

@_typing.type_check_only
class _DataDict(_typing.TypedDict, total=False):
    test_fraction: float
    seed: int

@_typing.type_check_only
class _Logistic_kind_Dict(_typing.TypedDict, total=False):
    kind: _typing.Required[_typing.Literal['logistic']]
    c: float

@_typing.type_check_only
class _Boosting_kind_Dict(_typing.TypedDict, total=False):
    kind: _typing.Required[_typing.Literal['boosting']]
    lr: float
    trees: int
