"""The index at the end of a sealed shard finds every row, and says when it is damaged."""

from __future__ import annotations

from array import array
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cachedmodel.cache import footer
from cachedmodel.cache.files import File, Unreadable

HASHES = st.integers(0, 2**64 - 1) | st.integers(0, 3) | st.integers(2**64 - 3, 2**64 - 1)


def _written(path: Path, hashes: list[int]) -> tuple[File, footer.Footer]:
    """A file with some frames and the footer of rows with these hashes, whose places count from 0."""
    frames = bytes(64)
    path.write_bytes(frames + footer.pack(len(frames), array("Q", hashes), array("Q", range(len(hashes)))))
    file = File(str(path))
    found = footer.read(file, path.stat().st_size)
    assert found is not None
    return file, found


@given(hashes=st.lists(HASHES, max_size=40), repeat=st.integers(1, 40))
def test_every_row_is_found(tmp_path_factory: pytest.TempPathFactory, hashes: list[int], repeat: int) -> None:
    """All rows of a hash are found, newest first, however many there are and wherever pages begin."""
    rows = [hashed for hashed in hashes for _ in range(repeat)]
    file, found = _written(tmp_path_factory.mktemp("footer") / "shard", rows)

    expected: dict[int, list[int]] = {}
    for hashed in {*hashes, 0, 1, 2**64 - 1, 12345}:
        places = [place for place, other in enumerate(rows) if other == hashed]
        assert found.places(file, hashed) == places[::-1]
        if places:
            expected[hashed] = places[::-1]
    assert found.search(file, {*hashes, 0, 1, 2**64 - 1, 12345}) == expected
    assert sorted(found.all(file)) == sorted(zip(rows, range(len(rows)), strict=True))


def test_sorting_with_numpy_gives_the_same(tmp_path: Path) -> None:
    """Many rows are sorted by numpy, with the same result."""
    rows = [(number * 0x9E3779B97F4A7C15) % 2**64 for number in range(30_000)]
    file, found = _written(tmp_path / "shard", rows)

    assert found.rows == len(rows)
    for place in (0, 1, 255, 256, 29_999):
        assert found.places(file, rows[place]) == [place]


def test_damage_is_noticed(tmp_path: Path) -> None:
    """Any changed byte of an index makes it unreadable, or no index at all; it never gives another place."""
    path = tmp_path / "shard"
    hashes = [number << 40 for number in range(600)]
    file, _found = _written(path, hashes)
    whole = path.read_bytes()
    head = 64 + 24
    for at in [*range(head, len(whole), 97), *range(len(whole) - 48, len(whole))]:
        damaged = tmp_path / f"damaged-{at}"
        damaged.write_bytes(whole[:at] + bytes([whole[at] ^ 16]) + whole[at + 1 :])
        file = File(str(damaged))
        try:
            found_here = footer.read(file, len(whole))
            answers = None if found_here is None else [found_here.places(file, hashed) for hashed in hashes]
        except Unreadable:
            continue
        assert answers in (None, [[place] for place in range(600)])


@pytest.mark.parametrize("size", [0, 10, 39, 40, 64])
def test_a_short_file_has_no_index(tmp_path: Path, size: int) -> None:
    """A file that is too short for an index has none."""
    path = tmp_path / "shard"
    path.write_bytes(bytes(size))

    assert footer.read(File(str(path)), size) is None
