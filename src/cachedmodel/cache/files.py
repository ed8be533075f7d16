"""Files: made with their permissions, written whole, published at once, and read by position.

What is published is written aside under a random name and then linked (if nobody may have been first) or
renamed (if it replaces). Nothing here follows a symbolic link when it writes, and no name depends on pid or host.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import os
import threading
import warnings
from collections import OrderedDict
from collections.abc import Sequence

Buffer = bytes | bytearray | memoryview

#: Suffix of what is being written aside.
ASIDE = ".tmp"
#: Open files kept for reading, by all caches of the process.
MOST_OPEN = 128

_CREATE = os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | getattr(os, "O_NOFOLLOW", 0)
#: A named pipe that somebody put in the place of a file must not stop us: opened like this, it cannot be read.
_READ = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK
_BIG = 1 << 20
_IOV = 512  # IOV_MAX is 1,024 on Linux and macOS
_NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}


def random_name() -> str:
    """16 hex digits that nobody else has."""
    return os.urandom(8).hex()


def make_folder(folder: str, permissions: int | None = None) -> None:
    """Makes the folder and its missing parents; `permissions` apply only to those made here."""
    try:
        os.mkdir(folder)
    except FileExistsError:
        if not os.path.isdir(folder):
            raise NotADirectoryError(errno.ENOTDIR, "a file is where a folder has to be", folder) from None
        return
    except FileNotFoundError:
        make_folder(os.path.dirname(folder), permissions)
        make_folder(folder, permissions)
        return
    if permissions is not None:
        # Some file systems know no modes; that must not fail a computation.
        with contextlib.suppress(OSError):
            os.chmod(folder, permissions)


def refuse_links(root: str, folder: str) -> None:
    """OSError if a folder below `root`, or one above it there, is a link that leads out: nothing is written through it.

    Somebody may have planted it. Where the root itself is, links or not, is up to who gives it.
    """
    place = folder
    while len(place) > len(root):
        if os.path.islink(place) and not os.path.realpath(place).startswith(f"{os.path.realpath(root)}/"):
            raise OSError(errno.ELOOP, "a link that leads out of the cache is where a folder has to be", place)
        place = os.path.dirname(place)


def create(path: str, permissions: int | None = None) -> int:
    """A descriptor for appending to a file that did not exist; its folder is made if needed."""
    flags = _CREATE | os.O_WRONLY | os.O_APPEND
    try:
        fd = os.open(path, flags, 0o666)
    except FileNotFoundError:
        make_folder(os.path.dirname(path), permissions)
        fd = os.open(path, flags, 0o666)
    if permissions is not None:
        with contextlib.suppress(OSError):
            os.fchmod(fd, permissions & 0o666)
    return fd


def write_all(fd: int, parts: Sequence[Buffer], path: str) -> None:
    """Writes all the parts; an OSError names `path`."""
    try:
        for first in range(0, len(parts), _IOV):
            some = parts[first : first + _IOV]
            wanted = sum(map(len, some))
            done = os.writev(fd, some)
            if done < wanted:
                rest = memoryview(b"".join(some))[done:]
                while rest:
                    rest = rest[os.write(fd, rest) :]
    except OSError as error:
        raise OSError(error.errno, error.strerror, path) from error


def publish(path: str, parts: Sequence[Buffer], permissions: int | None = None, *, sync: bool = False) -> None:
    """Writes a file aside and renames it to `path`, over what was there."""
    aside = _aside(path, parts, permissions, sync)
    try:
        os.rename(aside, path)
    except OSError:
        discard(aside)
        raise


def publish_first(
    path: str, parts: Sequence[Buffer], permissions: int | None = None, *, is_whole: bool = False
) -> bool:
    """Writes a file aside and links it to `path`, as `link_first` does; False if there is a file already."""
    aside = _aside(path, parts, permissions, False)
    try:
        return link_first(aside, path, is_whole=is_whole)
    finally:
        discard(aside)


def link_first(source: str, path: str, *, is_whole: bool = False) -> bool:
    """Gives `source` the second name `path`; False if there is a file already.

    `is_whole`: readers are never to see a part of it, so where there are no hard links it replaces what is there.
    """
    try:
        os.link(source, path)
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        if not is_whole:
            return _copy_first(source, path)
        os.rename(source, path)
    return True


def _copy_first(source: str, path: str) -> bool:
    # Without hard links the name is taken first and the bytes follow: readers take a short file for one being written.
    with open(source, "rb") as file:
        data = file.read()
        mode = os.fstat(file.fileno()).st_mode
    try:
        fd = os.open(path, _CREATE | os.O_WRONLY, mode & 0o777)
    except FileExistsError:
        return False
    try:
        write_all(fd, [data], path)
    finally:
        os.close(fd)
    return True


def _aside(path: str, parts: Sequence[Buffer], permissions: int | None, sync: bool) -> str:
    folder, name = os.path.split(path)
    aside = f"{folder}/.{name.lstrip('.')}-{random_name()}{ASIDE}"
    fd = create(aside, permissions)
    try:
        write_all(fd, parts, path)
        if sync:
            os.fsync(fd)
    except BaseException:
        discard(aside)
        raise
    finally:
        os.close(fd)
    return aside


def discard(path: str) -> None:
    """Removes a file if it is there and we may."""
    with contextlib.suppress(OSError):
        os.unlink(path)


def look_anew(path: str) -> None:
    """Has a mount with a cache look again whether there is a file of this name, and how large it is.

    Opening a name that a network or FUSE mount believes to be missing fails for as long as it caches that, seconds. A name
    about to be made is looked up for certain; and this one is never made, since no link leads to another file system.
    """
    with contextlib.suppress(OSError):
        os.link(os.devnull, path)


def names_in(folder: str) -> list[str]:
    """The names in a folder; none if there is no folder."""
    try:
        return os.listdir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return []


def sync_folder(folder: str) -> None:
    """Makes the names in a folder durable, where the file system can."""
    fd = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        with contextlib.suppress(OSError):
            os.fsync(fd)
    finally:
        os.close(fd)


class File:
    """A file open for reading by position; closed when nobody holds it any more."""

    __slots__ = ("__weakref__", "fd", "path")

    def __init__(self, path: str) -> None:
        self.fd: int = -1
        self.path: str = path
        self.fd = os.open(path, _READ)

    def pread(self, size: int, offset: int) -> bytes:
        """Up to `size` bytes from `offset`; fewer only at the end of the file."""
        if size > _BIG:
            # A damaged length must not allocate what the file cannot hold.
            size = max(0, min(size, self.stat().st_size - offset))
        data = os.pread(self.fd, size, offset)
        if len(data) == size or not data:
            return data
        parts, have = [data], len(data)
        while have < size and (data := os.pread(self.fd, size - have, offset + have)):
            parts.append(data)
            have += len(data)
        return b"".join(parts)

    def read_own(self, size: int, offset: int) -> bytearray:
        """As `pread`, into memory that may be written to."""
        if size > _BIG:
            size = max(0, min(size, self.stat().st_size - offset))
        data = bytearray(size)
        have = os.preadv(self.fd, [data], offset)
        if have < size:
            rest = self.pread(size - have, offset + have)
            data[have:] = rest
        return data

    def stat(self) -> os.stat_result:
        return os.fstat(self.fd)

    def owner(self) -> int:
        """The user whose file it is."""
        return self.stat().st_uid

    def size(self) -> int:
        """How large it was at some time since it was opened, also where a mount keeps sizes for seconds."""
        return self.begin(1)[1]

    def begin(self, most: int) -> tuple[bytes, int]:
        """The first bytes, at most so many, and the size."""
        data = os.pread(self.fd, most, 0)  # what a mount reads anew of a file opened anew makes it ask for the size
        size = self.stat().st_size
        if not size:
            look_anew(self.path)
            size = self.stat().st_size
        return data, size

    def map(self, start: int, length: int) -> memoryview:
        """These bytes as a read-only memory map, which stays valid as long as the view is held."""
        import mmap

        if start + length > self.stat().st_size:
            raise Torn("it is shorter than it should be")  # touching pages behind the end would kill the process
        page = start - start % mmap.ALLOCATIONGRANULARITY
        mapped = mmap.mmap(self.fd, start - page + length, prot=mmap.PROT_READ, offset=page)
        return memoryview(mapped)[start - page :]

    def __del__(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)


def first_bytes(path: str, most: int) -> bytes:
    """The first bytes of a file, at most so many."""
    fd = os.open(path, _READ)
    try:
        return os.pread(fd, most, 0)
    finally:
        os.close(fd)


def read_whole(path: str) -> bytes:
    """All bytes of a file that is small."""
    file = File(path)
    return file.pread(file.stat().st_size, 0)


class _OpenFiles:
    """The files opened last. A file in use stays open when it is dropped here: its user holds it."""

    def __init__(self) -> None:
        self._files: OrderedDict[str, File] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, path: str) -> File:
        """The open file; FileNotFoundError if there is none."""
        with self._lock:
            file = self._files.get(path)
            if file is not None:
                self._files.move_to_end(path)
                return file
        return self.renew(path)

    def renew(self, path: str) -> File:
        """The file opened again: over a network file system only that shows what was appended elsewhere."""
        try:
            file = File(path)
        except OSError as error:
            if error.errno not in (errno.EMFILE, errno.ENFILE):
                raise
            with self._lock:
                self._files.clear()
            file = File(path)
        with self._lock:
            self._files[path] = file
            self._files.move_to_end(path)
            while len(self._files) > MOST_OPEN:
                self._files.popitem(last=False)
        return file

    def drop(self, path: str) -> None:
        """Forgets a file that is gone."""
        with self._lock:
            self._files.pop(path, None)

    def forget_lock(self) -> None:
        self._lock = threading.Lock()


open_files: _OpenFiles = _OpenFiles()
os.register_at_fork(after_in_child=open_files.forget_lock)

_warned: set[tuple[str, str]] = set()
_untold: list[str] = []


def warn_once(path: str, what: str, remedy: str = "") -> None:
    """Notes that a file is damaged, to be told once a file, remedy and process, by the next `tell_warnings`."""
    if (path, remedy) not in _warned:
        _warned.add((path, remedy))
        remedy = (
            remedy or "What it held is computed again when it is needed; delete the file if the warning comes back."
        )
        _untold.append(f"{path}: {what}. {remedy}")


def tell_warnings() -> None:
    """Warns of what was noted: not in the midst of something, since a warning may be turned into an exception."""
    while _untold:
        warnings.warn(_untold.pop(0), RuntimeWarning, stacklevel=3)


class Unreadable(Exception):
    """Bytes that cannot be what was written: torn, damaged, alien, or of a codec that is not known here."""


class Torn(Unreadable):
    """The file ends before the record does: it is being written, or its writer died."""


@functools.cache
def user_name(uid: int) -> str:
    """Name of a user, or the number as text where it has none."""
    import pwd

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
