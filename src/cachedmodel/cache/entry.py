"""The entry of a task: one checksummed file, written aside and linked or renamed into place. It is a shard of one record."""

from __future__ import annotations

import errno
import math
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from threading import RLock

from cachedmodel import codecs
from cachedmodel.failure import CODEC as FAILURE_CODEC
from cachedmodel.failure import Failure

from . import frames, provenance
from .decoding import decode
from .files import (
    Buffer,
    File,
    Torn,
    Unreadable,
    first_bytes,
    look_anew,
    names_in,
    publish,
    publish_first,
    sync_folder,
    warn_once,
)
from .options import Found, Options, State
from .records import MAPPED_CODEC

NAME = "entry"
#: The only key of a task.
KEY = ""
#: Most entries are read at once; one read of more than a page would cost its memory.
_ONE_READ, _MORE = 1 << 12, 1 << 16
_Opened = tuple[File, bytes, frames.Header, frames.Record]
#: Seeds of files that turned out to be unreadable, by path: each counts as missing until another replaces it.
_unreadable: dict[str, int] = {}


class Preceded(Exception):
    """Others have stored a value meanwhile, which stays: this process stood still, and was taken for dead."""


class Entry:
    """The one file of a task. Nothing of it is remembered, so a fork or another process changes nothing."""

    def __init__(self, folder: str, options: Options, lock: RLock, committed: Callable[[Iterable[str]], None]) -> None:
        self.folder = folder
        self.path: str = f"{folder}/{NAME}"
        self.options: Options = options
        self.lock = lock
        self._committed = committed
        _unreadable.pop(self.path, None)

    def forget(self) -> None:
        """Nothing to do after a fork."""

    def set_options(self, options: Options) -> None:
        """Reads and writes like this from now on."""
        if options != self.options:
            _unreadable.pop(self.path, None)
        self.options = options

    def refresh(self, names: Iterable[str] | None = None) -> bool:
        """True, as the file is read anew each time; but a mount may believe for seconds that it is not there."""
        # Listing the folder is what makes NFS look anew, making a name what makes FUSE do so.
        if NAME in (names_in(self.folder) if names is None else names):
            look_anew(self.path)
        return True

    # -- reading

    def _open(self) -> _Opened | None:
        """The file, its first bytes, and what they say; None if there is nothing to read."""
        return _opened(self.path, self.options.accept)

    def read(self, keys: Sequence[str], expected: int = 1) -> Found:
        """The value or failure, if it is stored."""
        opened = self._open() if KEY in keys else None
        if opened is None:
            return Found({}, {})
        file, data, header, record = opened
        try:
            value = self._decode(file, data, record)
        except Unreadable as why:
            _unreadable[self.path] = header.seed
            warn_once(self.path, str(why))
            return Found({}, {})
        if record.flags & frames.FAILED and isinstance(value, Failure):
            return Found({}, {KEY: value})
        return Found({KEY: value}, {})

    def _decode(self, file: File, data: bytes, record: frames.Record) -> object:
        try:
            if record.codec.startswith(MAPPED_CODEC) and record.length:
                payload = file.map(record.start, record.length)
            elif record.start + record.length <= len(data):
                payload = memoryview(data)[record.start : record.start + record.length]
            else:
                payload = memoryview(file.pread(record.length, record.start))
            if len(payload) != record.length or not frames.payload_holds(payload, record.checksum):
                raise Unreadable("its value is damaged")
            return decode(record, payload, file.owner, self.options, self.path)
        except (OSError, ValueError) as why:
            raise Unreadable(f"it cannot be read ({why})") from why

    def states(self, keys: Sequence[str], *, fresh: bool = True) -> dict[str, State]:
        """What is stored, without decoding."""
        opened = self._open() if KEY in keys else None
        return {} if opened is None else {KEY: _state_of(opened[3].flags)}

    def version(self, key: str) -> object:
        """The random seed of the file; None if there is none."""
        opened = self._open() if key == KEY else None
        return None if opened is None else opened[2].seed

    def keys(self) -> Iterator[tuple[str, State]]:
        """The only key, if it is stored."""
        return iter(self.states([KEY]).items())

    def provenance(self, key: str) -> dict[str, object] | None:
        """Who wrote the entry, when, and how long it took; None if it is not stored."""
        opened = self._open() if key == KEY else None
        return None if opened is None else provenance.of_item(opened[2].provenance, opened[3].time, opened[3].seconds)

    # -- writing

    def write(self, key: str, value: object, seconds: float | None, over: bool = True) -> bool:
        """Makes the entry; `over`: in place of a value that is there."""
        options = self.options
        payload = codecs.dump(value, options.codec, allow_pickle=options.allow_pickle)
        self._publish(frames.PICKLED if payload.pickled else 0, payload.codec, payload.parts, seconds, over)
        return True

    def write_failure(self, key: str, failure: Failure, seconds: float | None, over: bool = True) -> bool:
        """Makes the entry one of a failure; as `write`."""
        if not self.options.allow_pickle:
            failure = failure.without_pickle()
        flags = frames.FAILED | (frames.PICKLED if failure.pickled else 0)
        self._publish(flags, FAILURE_CODEC, [failure.to_bytes()], seconds, over)
        return True

    def _publish(self, flags: int, codec: str, parts: Sequence[Buffer], seconds: float | None, over: bool) -> None:
        options = self.options
        seed = int.from_bytes(os.urandom(8), "little")
        about = provenance.text(options.provenance)
        header = frames.pack_header(frames.ENTRY_MAGIC, seed, 0, 0, options.header_identity(), about)
        took = math.nan if seconds is None else seconds
        record = frames.pack_record(seed, len(header), flags, codec, b"", parts, int(time.time()), took)
        data = [header, *record]
        if over or not publish_first(self.path, data, options.permissions, is_whole=True):
            # what cannot be read, and a failure that is tried again, are replaced
            if not over and self.states([KEY]).get(KEY) == "value":
                raise Preceded
            publish(self.path, data, options.permissions)
        with self.lock:
            self._committed([KEY])

    def commit(self, sync: bool = False) -> None:
        """What was written is there already; `sync` makes it durable."""
        if not sync:
            return
        try:
            fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
        sync_folder(self.folder)

    def outrank(self) -> None:
        """Who comes later does not replace a value."""

    def share(self) -> None:
        """What was written is there already, on all hosts."""

    def delete(self, keys: Iterable[str] | None) -> None:
        """Removes the entry."""
        if keys is None or KEY in list(keys):
            try:
                os.unlink(self.path)
            except FileNotFoundError:
                return

    def close(self) -> None:
        """Nothing is open."""


def state_in(folder: str, accept: Callable[[bytes], bool]) -> State | None:
    """What is stored of the task in a folder, without decoding; None if nothing is."""
    path = f"{folder}/{NAME}"
    try:
        data = first_bytes(path, _ONE_READ)
        header = frames.read_header(frames.ENTRY_MAGIC, data)
        flags = frames.record_flags(data, header.end, header.seed, header.end)
        if path not in _unreadable and accept(header.identity):
            return _state_of(flags)
    except FileNotFoundError:
        return None
    except (OSError, *frames.DAMAGE):
        pass
    opened = _opened(path, accept)  # which tells what is wrong, if anything is
    return None if opened is None else _state_of(opened[3].flags)


def _state_of(flags: int) -> State:
    return "failure" if flags & frames.FAILED else "value"


def _opened(path: str, accept: Callable[[bytes], bool] | None) -> _Opened | None:
    try:
        file = File(path)
        data = os.pread(file.fd, _ONE_READ, 0)
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ENOTDIR, errno.ESTALE):
            warn_once(path, f"it cannot be read ({error.strerror})", "Give this user the right to read it.")
        return None
    try:
        header, record = _parse(data)
    except frames.DAMAGE as why:
        try:
            data = file.pread(_MORE, 0)  # much provenance, or a read that was cut short
            header, record = _parse(data)
        except (OSError, *frames.DAMAGE):
            warn_once(path, str(why))
            return None
    if accept is not None and not accept(header.identity):
        warn_once(
            path,
            "it was written for another configuration that has the same uid",
            "It is ignored and computed again; use another `version`, or another folder, for one of the two.",
        )
        return None
    if header.seed == _unreadable.get(path):
        return None
    return file, data, header, record


def _parse(data: bytes) -> tuple[frames.Header, frames.Record]:
    header = frames.read_header(frames.ENTRY_MAGIC, data)
    if header.end + frames.HEAD.size > len(data):
        raise Torn("it is not complete")
    return header, frames.read_record(data, header.end, header.seed, header.end)
