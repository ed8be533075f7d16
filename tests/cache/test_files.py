"""Files are written whole or not at all, by whoever is first, and read by position."""

from __future__ import annotations

import os
import stat
import threading
from pathlib import Path

import pytest

from cachedmodel.cache import files


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_publish_replaces(tmp_path: Path) -> None:
    """A file is replaced as a whole, and nothing is left beside it."""
    path = tmp_path / "new" / "folder" / "file"
    files.publish(str(path), [b"one", bytearray(b"two")])
    files.publish(str(path), [b"three"], sync=True)

    assert path.read_bytes() == b"three"
    assert os.listdir(path.parent) == ["file"]


def test_one_of_many_is_first(tmp_path: Path) -> None:
    """Of many threads that publish the same name, exactly one is first."""
    path = str(tmp_path / "file")
    won: list[int] = []

    def compete(number: int) -> None:
        if files.publish_first(path, [b"%d" % number]):
            won.append(number)

    threads = [threading.Thread(target=compete, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert [int(Path(path).read_bytes())] == won
    assert os.listdir(tmp_path) == ["file"]


def test_first_without_links(tmp_path: Path) -> None:
    """Where there are no hard links, the copy has one winner too, and the same mode."""
    source, path = tmp_path / "source", tmp_path / "file"
    source.write_bytes(b"data")
    source.chmod(0o640)

    assert files._copy_first(str(source), str(path))
    assert not files._copy_first(str(source), str(path))
    assert path.read_bytes() == b"data"
    assert _mode(path) == 0o640


def test_a_failure_leaves_nothing(tmp_path: Path) -> None:
    """What cannot be published names its path, and leaves nothing beside it."""
    (tmp_path / "file").mkdir()

    with pytest.raises(OSError, match="file"):
        files.publish(str(tmp_path / "file"), [b"data"])
    assert os.listdir(tmp_path) == ["file"]


def test_a_symlink_is_not_written_through(tmp_path: Path) -> None:
    """A link that was planted is replaced, or in the way; what it points to stays as it is."""
    target = tmp_path / "target"
    target.write_bytes(b"precious")
    link = tmp_path / "link"
    link.symlink_to(target)

    assert not files.publish_first(str(link), [b"x"])
    with pytest.raises(FileExistsError):
        files.create(str(link))
    files.publish(str(link), [b"x"])

    assert target.read_bytes() == b"precious"
    assert not link.is_symlink()


@pytest.mark.parametrize("umask", [0o022, 0o002, 0o077])
def test_modes_follow_the_umask(tmp_path: Path, umask: int) -> None:
    """Without `permissions` the umask decides, for files and folders."""
    before = os.umask(umask)
    try:
        files.publish(str(tmp_path / "a" / "b" / "file"), [b"x"])
    finally:
        os.umask(before)

    assert _mode(tmp_path / "a" / "b" / "file") == 0o666 & ~umask
    assert _mode(tmp_path / "a") == _mode(tmp_path / "a" / "b") == 0o777 & ~umask


def test_permissions_apply_to_what_is_made(tmp_path: Path) -> None:
    """`permissions` are those of new files and folders, whatever the umask, and of nothing that was there."""
    (tmp_path / "old").mkdir(mode=0o700)
    before = os.umask(0o077)
    try:
        files.publish(str(tmp_path / "old" / "new" / "file"), [b"x"], 0o775)
    finally:
        os.umask(before)

    assert _mode(tmp_path / "old") == 0o700
    assert _mode(tmp_path / "old" / "new") == 0o775
    assert _mode(tmp_path / "old" / "new" / "file") == 0o664


def test_everything_is_written(tmp_path: Path) -> None:
    """Many parts, more than the system takes at once, and through a pipe that takes few bytes at a time."""
    parts = [bytes([number % 256]) * (number % 7) for number in range(3000)]
    read, write = os.pipe()
    received: list[bytes] = []

    def receive() -> None:
        while data := os.read(read, 1000):
            received.append(data)

    thread = threading.Thread(target=receive)
    thread.start()
    files.write_all(write, [*parts, bytes(200_000)], "pipe")
    os.close(write)
    thread.join()
    os.close(read)

    assert b"".join(received) == b"".join(parts) + bytes(200_000)


def test_open_files_are_few(tmp_path: Path) -> None:
    """However many files are read, few stay open; one in use stays open as long as it is used."""
    for number in range(files.MOST_OPEN + 50):
        (tmp_path / str(number)).write_bytes(b"%d" % number)
    before = len(os.listdir("/dev/fd"))
    first = files.open_files.get(str(tmp_path / "0"))

    for number in range(files.MOST_OPEN + 50):
        assert files.open_files.get(str(tmp_path / str(number))).pread(10, 0) == b"%d" % number

    assert len(os.listdir("/dev/fd")) <= before + files.MOST_OPEN + 1
    assert first.pread(10, 0) == b"0"


def test_a_damaged_length_allocates_nothing(tmp_path: Path) -> None:
    """Asked for more than there is, a file gives what there is."""
    path = tmp_path / "file"
    path.write_bytes(b"0123456789")
    file = files.File(str(path))

    assert file.pread(1 << 60, 3) == b"3456789"
    assert file.pread(1 << 60, 30) == b""
    with pytest.raises(files.Torn):
        file.map(0, 11)
    assert bytes(file.map(2, 3)) == b"234"
