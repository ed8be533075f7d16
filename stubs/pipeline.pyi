# Written by `cachedmodel stubs`: change pipeline instead, and run it again.
"""How few colours and shapes does a photograph need? A pipeline in three stages, each with its own cache and its own resources.

The photographs are the two that come with scikit-learn. `Patches` cuts them up, `Codebook` learns typical patches, `Compression`
draws a photograph with nothing but these. Changing the number of codes computes no patches again; asking for other photographs
needs no other codebook.

    python examples/pipeline.py
    python examples/pipeline.py --codes 8 64 512 --cluster local
"""

import cachedmodel as _cachedmodel
import collections.abc as _collections_abc
import typing as _typing

_default: _typing.Any

import argparse
import logging
import typing as tp
from pathlib import Path
import numpy as np
import numpy.typing as npt
import pydantic
import cachedmodel as cm
Array = npt.NDArray[np.float32]
_PhotoAlias = tp.Literal['china.jpg', 'flower.jpg']
Photo: _typing.TypeAlias = _typing.Any

def load(photo: _PhotoAlias) -> Array:
    """A photograph, shape (height, width, 3), values from 0 to 1."""
    ...

def cut(image: Array, size: int) -> Array:
    """All patches that do not overlap, shape (rows, columns, size * size * 3)."""
    ...

class Patches(cm.CachedModel, version='1', cache_name='Patches'):
    """Some patches of some photographs, to learn from."""
    photos: tuple[_PhotoAlias, ...] = _default
    size: int = pydantic.Field(default=4, ge=1, le=32)
    count: int = 5000
    seed: int = 0

    @cm.task
    def sample(self) -> Array:
        """Patches, shape (count, size * size * 3)."""
        ...

    def __init__(
        self,
        *,
        infra: _cachedmodel.Infra | _cachedmodel.InfraDict = ...,
        photos: _collections_abc.Iterable[_typing.Literal['china.jpg', 'flower.jpg']] = ...,
        size: int = ...,
        count: int = ...,
        seed: int = ...,
    ) -> None: ...

class Codebook(cm.CachedModel, version='1', cache_name='Codebook', cpus_per_task=2, mem_gb=2, timeout_min=30):
    """The patches that stand for all others."""
    patches: Patches = _default
    codes: int = pydantic.Field(default=64, ge=2)

    @cm.task
    def learn(self) -> Array:
        """The codes, shape (codes, size * size * 3)."""
        ...

    def __init__(
        self,
        *,
        infra: _cachedmodel.Infra | _cachedmodel.InfraDict = ...,
        patches: Patches | _PatchesDict = ...,
        codes: int = ...,
    ) -> None: ...

class Drawn(tp.NamedTuple):
    """How a photograph looks in codes."""
    codes: npt.NDArray[np.int32]
    psnr: float

class Compression(cm.CachedModel, version='1', cache_name='Compression', cpus_per_task=1, min_items_per_job=2):
    """Draws photographs with the patches of a codebook."""
    codebook: Codebook = _default

    @cm.map(item_uid=str)
    def draw(self, photos: tp.Iterable[_PhotoAlias]) -> tp.Iterator[Drawn]:
        """Which code is nearest to each patch, and how near."""
        ...

    def __init__(
        self,
        *,
        infra: _cachedmodel.Infra | _cachedmodel.InfraDict = ...,
        codebook: Codebook | _CodebookDict = ...,
    ) -> None: ...

def main() -> None: ...

@_typing.type_check_only
class _PatchesDict(_typing.TypedDict, total=False):
    infra: _cachedmodel.Infra | _cachedmodel.InfraDict
    photos: _collections_abc.Iterable[_typing.Literal['china.jpg', 'flower.jpg']]
    size: int
    count: int
    seed: int

@_typing.type_check_only
class _CodebookDict(_typing.TypedDict, total=False):
    infra: _cachedmodel.Infra | _cachedmodel.InfraDict
    patches: Patches | _PatchesDict
    codes: int
