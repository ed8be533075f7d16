"""Folders and processes for the tests of the cache: a fresh cache as another process sees it, and real processes."""

from __future__ import annotations

import multiprocessing
import typing as tp
from collections.abc import Callable, Iterator
from multiprocessing.context import SpawnContext
from pathlib import Path

import pytest

from cachedmodel.cache import Cache, Options

Open = Callable[..., Cache]


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Open]:
    """Opens the cache of the test's folder as a process does that has not seen it: nothing is shared between two."""
    caches: list[Cache] = []

    def open_anew(*, single: bool = False, folder: str = "map", **options: tp.Any) -> Cache:
        cache = Cache(str(tmp_path / folder), str(tmp_path), single=single, options=Options(**options))
        caches.append(cache)
        return cache

    yield open_anew
    for cache in caches:
        cache.end()


@pytest.fixture(scope="session")
def spawn() -> SpawnContext:
    """Processes that share nothing with this one but the files."""
    return multiprocessing.get_context("spawn")
