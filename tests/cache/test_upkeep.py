"""Which folders of a cache maintenance looks at, and that it is alone there."""

from __future__ import annotations

from pathlib import Path

from cachedmodel.cache import Cache, CacheDict, Options, baseline
from cachedmodel.cache.compaction import compact
from cachedmodel.cache.upkeep import alone, folders_of_entries, kind_of, root_of

from .conftest import Open
from .dying import dies_at
from .test_compaction import fill, shards, stored


def test_folders_of_entries(tmp_path: Path) -> None:
    """They are found from the cache, the method or themselves, and a `CacheDict` is one; links and logs are none."""
    items = tmp_path / "m.T.embed,0" / "x=1"
    cache = Cache(str(items), str(tmp_path), single=False, options=Options())
    cache.claim(["a"])
    cache.write("a", 1)
    cache.end()
    baseline.extend(str(items.parent), {"x": "1"}, {"x": "1"})
    (tmp_path / "logs" / "me" / "123").mkdir(parents=True)
    (tmp_path / "m.T.embed,0" / "linked").symlink_to("x=1")
    dictionary = CacheDict[int](tmp_path / "dictionary")
    dictionary["a"] = 1
    dictionary.close()

    both = sorted([str(items), str(tmp_path / "dictionary")])
    assert sorted(folders_of_entries(str(tmp_path))) == both
    assert list(folders_of_entries(str(items.parent))) == list(folders_of_entries(str(items))) == [str(items)]
    assert [kind_of(str(place)) for place in (tmp_path, items.parent, items)] == ["cache", "method", "entries"]
    assert root_of(str(items)) == str(tmp_path)
    assert root_of(str(tmp_path / "dictionary")) == str(tmp_path / "dictionary")


def test_only_one_at_a_time(opened: Open, tmp_path: Path) -> None:
    """While somebody maintains a folder, others leave it alone and say so; who died there is in nobody's way."""
    model = fill(opened)
    folder = str(tmp_path / "map")
    before = shards(tmp_path / "map")

    with alone(folder) as is_alone:
        assert is_alone
        report = compact(folder, grace_s=0.0)
        assert report.is_busy
        assert report.notes == ["somebody else maintains it just now"]
        assert shards(tmp_path / "map") == before
        assert opened().claim(["another"]) == ["another"]  # computing is no maintenance

    def hold() -> None:
        alone(folder).__enter__()

    assert not dies_at(1 << 30, hold)
    assert not compact(folder, grace_s=0.0).is_busy
    assert len(shards(tmp_path / "map")) == 1
    assert stored(opened()) == model
