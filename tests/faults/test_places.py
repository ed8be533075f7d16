"""A cache that is moved, copied or reached by another path is the same cache: no file in it depends on where it is."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import typing as tp
from collections.abc import Callable
from pathlib import Path

import pytest

import cachedmodel as cm

from .samples import Sample, fingerprint, lines

ITEMS = range(24)


def xp(place: Path, cache: Path | str, **settings: object) -> Sample:
    """A sample whose cache may be anywhere; what it computes is noted in `place`."""
    infra: tp.Any = {"folder": cache, **settings}
    return Sample(n=1, place=place, infra=infra)


def marks(sample: Sample) -> list[str]:
    """All that there is, by fingerprint."""
    return [fingerprint(sample.draw()), *map(fingerprint, sample.draws(ITEMS))]


def computed(place: Path) -> int:
    return len(lines(place / "computed"))


def moved(place: Path) -> Path:
    """As ``mv`` does."""
    return (place / "cache").rename(place / "moved")


def copied(place: Path) -> Path:
    """As ``cp -r`` does: files get new times, and links are followed or copied."""
    subprocess.run(["cp", "-r", str(place / "cache"), str(place / "copy")], check=True)
    shutil.rmtree(place / "cache")
    return place / "copy"


def linked(place: Path) -> Path:
    """By a link to the cache."""
    (place / "link").symlink_to("cache")
    return place / "link"


def link_above(place: Path) -> Path:
    """By a link to a folder above."""
    (place / "above").symlink_to(place)
    return place / "above" / "cache"


def upwards(place: Path) -> Path:
    """By a path that goes up and down again."""
    return place / "cache" / ".." / "cache"


@pytest.mark.parametrize(
    ("how", "cluster"),
    [(moved, "local"), *((how, None) for how in (moved, copied, linked, link_above, upwards))],
)
def test_elsewhere(how: Callable[[Path], Path], cluster: str | None, tmp_path: Path) -> None:
    """What was stored is read there, what is new is stored beside it, and both are there for another process."""
    (tmp_path / "cache").mkdir()
    before = marks(xp(tmp_path, tmp_path / "cache", cluster=cluster))
    there = how(tmp_path)
    count = computed(tmp_path)

    assert marks(xp(tmp_path, there)) == before
    assert marks(xp(tmp_path, there, mode="read-only")) == before
    assert computed(tmp_path) == count
    assert [marks(model) for model in xp(tmp_path, there, mode="read-only").draw.iter_cached()] == [before]
    more = [fingerprint(value) for value in xp(tmp_path, there).draws(range(20, 30))]
    assert more[:4] == before[21:]
    assert computed(tmp_path) == count + 6
    code = (
        "import sys; from pathlib import Path; from tests.faults.test_places import fingerprint, xp;"
        "print(*map(fingerprint, xp(Path(sys.argv[1]), sys.argv[2], mode='read-only').draws(range(20, 30))))"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path), str(there)], check=True, capture_output=True, text=True
    )
    assert run.stdout.split() == more


@pytest.mark.parametrize("cluster", [None, "local"])
def test_no_file_names_its_place(cluster: str | None, tmp_path: Path) -> None:
    """No file has the path of the cache in it but the settings that are kept for people; links are relative."""
    cache = tmp_path / "some-place" / "cache"
    cache.parent.mkdir()
    marks(xp(tmp_path, cache, cluster=cluster))

    files = [path for path in cache.rglob("*") if "logs" not in path.relative_to(cache).parts]
    naming = {path.name for path in files if path.is_file() and b"some-place" in path.read_bytes()}
    assert naming <= {"config.yaml"}
    assert [path.name for path in files if path.is_symlink() and os.path.isabs(os.readlink(path))] == []


def test_folders_are_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``~`` and variables are expanded, and a relative folder is one of where the model was made, not of where it is used."""
    home, here = tmp_path / "home", tmp_path / "here"
    home.mkdir()
    (here / "deep").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("WHERE", "deep")
    monkeypatch.chdir(here)
    given = {"~/a": home / "a", "$WHERE/b": here / "deep" / "b", "${HOME}/c": home / "c", "d": here / "d"}
    models = {text: xp(tmp_path, text) for text in given}
    stored: cm.CacheDict[int] = cm.CacheDict("~/$WHERE")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "nobody"))

    for text, model in models.items():
        assert model.infra.folder == given[text]
        model.draw()
        assert list(given[text].glob("*/*/entry"))
    stored["a"] = 1
    assert stored.folder == str(home / "deep")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["computed", "here", "home"]


def test_a_job_takes_the_folder_along(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative folder is the same one in a job."""
    monkeypatch.chdir(tmp_path)
    assert re.fullmatch(r"\w{16}", fingerprint(xp(tmp_path, "cache", cluster="local").draw()))
    assert list((tmp_path / "cache").glob("*/*/entry"))
