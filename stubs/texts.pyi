# Written by `cachedmodel stubs`: change texts instead, and run it again.
"""Which function does what I want? A search through the documentation of installed packages, whose texts are embedded once.

The texts are the docstrings of numpy, scipy, scikit-learn and of Python's own modules. Each is embedded by itself, so after an
update of a package only the texts that changed are embedded again.

    python examples/texts.py "invert a matrix"
    python examples/texts.py "find files by a pattern" --cluster processpool --top 3
"""

import cachedmodel as _cachedmodel
import collections.abc as _collections_abc
import typing as _typing

_default: _typing.Any

import argparse
import hashlib
import importlib
import inspect
import re
import time
import typing as tp
import zlib
from pathlib import Path
import numpy as np
import numpy.typing as npt
import cachedmodel as cm
Vector = npt.NDArray[np.float32]
MODULES: tuple[str, str, str, str, str, str, str, str, str, str, str, str, str, str, str, str, str, str, str, str, str, str, str, str, str, str, str, str, str]

class Text(tp.NamedTuple):
    """What a function says of itself."""
    name: str
    doc: str

def texts(modules: tp.Sequence[str]) -> list[Text]:
    """The documented functions and classes, and the public methods of those classes, that modules offer."""
    ...

def text_uid(text: Text) -> str:
    """Names a text by what is in it."""
    ...

class Embedding(cm.CachedModel, version='1', cache_name='Embedding'):
    """A text as the sum of pseudo-random directions of its words and their parts."""
    width: int = 1024
    gram: int = 4
    weight_of_summary: float = 8.0

    @cm.map(item_uid=text_uid, infra={'min_items_per_job': 500})
    def embed(self, items: tp.Iterable[Text]) -> tp.Iterator[Vector]:
        """The direction of each text, of length 1."""
        ...

    def direction(self, summary: str, rest: str='') -> Vector:
        """The direction of a text whose first sentence counts more."""
        ...

    def __init__(
        self,
        *,
        infra: _cachedmodel.Infra | _cachedmodel.InfraDict = ...,
        width: int = ...,
        gram: int = ...,
        weight_of_summary: float = ...,
    ) -> None: ...

class Search(cm.CachedModel, version='1', cache_name='Search'):
    """Finds the texts that are nearest to a question."""
    embedding: Embedding = _default
    modules: tuple[str, ...] = _default
    common: int = 8

    def nearest(self, question: str, top: int) -> list[tuple[float, Text]]:
        """The nearest texts and how near they are."""
        ...

    def __init__(
        self,
        *,
        infra: _cachedmodel.Infra | _cachedmodel.InfraDict = ...,
        embedding: Embedding | _EmbeddingDict = ...,
        modules: _collections_abc.Iterable[str] = ...,
        common: int = ...,
    ) -> None: ...

def main() -> None: ...

@_typing.type_check_only
class _EmbeddingDict(_typing.TypedDict, total=False):
    infra: _cachedmodel.Infra | _cachedmodel.InfraDict
    width: int
    gram: int
    weight_of_summary: float
