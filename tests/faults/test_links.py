"""Links that somebody planted in a cache are not followed for writing: nothing outside is made, changed or removed."""

from __future__ import annotations

import contextlib
import os
import warnings
from pathlib import Path

import pytest

from cachedmodel.cache.compaction import compact
from cachedmodel.cache.repair import repair

from .samples import Sample, fingerprint, sample

ITEMS = range(12)


def use(place: Path, cluster: str | None = None) -> Sample:
    """Computes a task and a map, with whatever warnings there may be."""
    xp = sample(place, cluster, n=1, lease_s=1.0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        xp.draw()
        list(xp.draws(ITEMS))
    return xp


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A folder that is none of the cache's business."""
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / "precious").write_text("precious")
    return folder


def is_untouched(outside: Path) -> bool:
    return os.listdir(outside) == ["precious"] and (outside / "precious").read_text() == "precious"


def folders(tmp_path: Path) -> dict[str, Path]:
    """Where things of a cache are, found out in another one."""
    other = tmp_path / "other"
    other.mkdir()
    xp = use(other)
    task, items = (Path(method.uid_folder() or "") for method in (xp.draw, xp.draws))
    there = {"task": task, "map": items, "task's method": task.parent, "map's method": items.parent}
    there |= {"defaults": task.parent / ".defaults", "lives": other / "cache" / ".lives"}
    return {name: tmp_path / "cache" / path.relative_to(other / "cache") for name, path in there.items()}


@pytest.mark.parametrize("which", ["task", "map", "task's method", "map's method", "defaults", "lives"])
def test_folders(which: str, outside: Path, tmp_path: Path) -> None:
    """Where a folder is a link that leads out, results are computed and not stored."""
    link = folders(tmp_path)[which]
    link.parent.mkdir(parents=True)
    link.symlink_to(outside)

    xp = use(tmp_path)

    assert is_untouched(outside)
    assert link.is_symlink()
    for method in (xp.draw, xp.draws):
        with contextlib.suppress(OSError):
            method.clear()
    assert is_untouched(outside)


@pytest.mark.parametrize("which", ["task", "map's method"])
def test_a_link_within_the_cache(which: str, tmp_path: Path) -> None:
    """It leads nowhere else, and is followed."""
    link = folders(tmp_path)[which]
    link.parent.mkdir(parents=True)
    (tmp_path / "cache" / "kept").mkdir()
    link.symlink_to(tmp_path / "cache" / "kept")

    xp = use(tmp_path)

    assert fingerprint(use(tmp_path).draw()) == fingerprint(xp.draw())
    assert os.listdir(tmp_path / "cache" / "kept") != []


def test_the_cache_itself_may_be_a_link(tmp_path: Path) -> None:
    """Where the cache is, is for the user to say."""
    (tmp_path / "disk").mkdir()
    (tmp_path / "cache").symlink_to("disk")

    xp = use(tmp_path)

    assert xp.draw.is_cached()
    assert list((tmp_path / "disk").glob("*/*/entry"))


def test_files(outside: Path, tmp_path: Path) -> None:
    """An entry, YAML files and the record of a job are replaced; shards, claims and heartbeats get names of their own."""
    places = folders(tmp_path)
    for folder in (places["task"], places["map"]):
        folder.mkdir(parents=True)
        for name in ("entry", "config.yaml", "full-uid.yaml", "uid.yaml", "job.json", "00.shard", ".claim-00000001"):
            (folder / name).symlink_to(outside / "precious")
    use(tmp_path)
    use(tmp_path, "local")
    for folder in (places["task"], places["map"]):
        list(repair(str(folder)))
        compact(str(folder), grace_s=0.0)

    assert is_untouched(outside)


def test_maintenance(outside: Path, tmp_path: Path) -> None:
    """Neither what is set aside nor what is compacted goes through a link."""
    xp = use(tmp_path)
    folder = Path(xp.draw.uid_folder() or "")
    (folder / "uid.yaml").write_text("- [")
    (folder / ".damaged").symlink_to(outside)
    (tmp_path / "cache" / "linked").symlink_to(outside)

    (step,) = repair(str(tmp_path / "cache"))

    assert step.done == "left"
    assert is_untouched(outside)
