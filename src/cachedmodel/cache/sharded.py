"""The entries of a map: values are gathered into blocks and committed to a shard of this process, and read from all.

A block is committed when 2 ms passed since the last commit, so a slow item is a block of one, or when it is big.
Every method expects the caller to hold the lock of the cache, except those that decode.
"""

from __future__ import annotations

import contextlib
import errno
import math
import time
import typing as tp
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from threading import RLock

from cachedmodel import codecs
from cachedmodel.failure import CODEC as FAILURE_CODEC
from cachedmodel.failure import Failure

from . import columns, frames, provenance
from .decoding import decode
from .files import Buffer, discard, sync_folder
from .index import Index
from .options import Found, Options, State
from .records import Reader, Where
from .shard import Shard
from .writer import ShardWriter

#: A block is committed after so many seconds, items or bytes.
BLOCK_S = 0.002
BLOCK_ITEMS = 2048
BLOCK_BYTES = 1 << 18
#: Payloads of so many bytes are written at once, without a copy.
_LARGE = 1 << 16


class _Record(tp.NamedTuple):
    key: str
    flags: int
    codec: str
    parts: Sequence[Buffer]
    seconds: float


class Sharded:
    """A folder of shards."""

    def __init__(self, folder: str, options: Options, lock: RLock, committed: Callable[[Iterable[str]], None]) -> None:
        self.folder = folder
        self.options: Options = options
        self.lock = lock
        #: Seconds between commits.
        self.block_s = BLOCK_S
        self._committed = committed
        self.forget()

    def forget(self) -> None:
        """After a fork: the parent keeps its writer and its block, and all is looked at anew."""
        self._index = Index(self.folder)
        self._index.accept = self.options.accept
        self._writer: ShardWriter | None = None
        self._shard: Shard | None = None
        self._last_commit = 0.0
        #: By how much the next shard's generation is above all that are known.
        self._ahead = 1
        self._clear_block()

    def _clear_block(self) -> None:
        self._columns: dict[int, tuple[list[str], list[object], list[float]]] = {}
        self._records: list[_Record] = []
        self._waiting: dict[str, None] = {}
        self._bytes = 0

    def set_options(self, options: Options) -> None:
        """Reads and writes like this from now on."""
        if options.identity != self.options.identity and self._writer is not None:
            self.close()
        if options.identity != self.options.identity:
            self._index = Index(self.folder)
        self.options = options
        self._index.accept = options.accept

    # -- reading

    def refresh(self, names: Iterable[str] | None = None) -> bool:
        """Looks for what others wrote; True if what is known changed."""
        return self._index.refresh(names)

    def _find(self, keys: Sequence[str], expected: int = 0) -> dict[str, object]:
        if self._waiting and any(key in self._waiting for key in keys):
            self.commit()
        if not self._index.looked:
            self._index.refresh()
        return self._index.find(keys, expected)

    def _find_fresh(self, keys: Sequence[str], expected: int = 0) -> dict[str, object]:
        """What is stored of the keys; looks for what others wrote only if some are not known."""
        new = not self._index.looked
        found = self._find(keys, expected)
        if len(found) == len(keys) or new:
            return found
        missing = [key for key in keys if key not in found]
        if missing and self._index.refresh():
            found.update(self._index.find(missing, expected))
        return found

    def read(self, keys: Sequence[str], expected: int = 0) -> Found:
        """Values and failures of those keys that are stored. Takes the lock by itself."""
        with self.lock:
            hits = self._find_fresh(keys, expected)
        failures: dict[str, Failure] = {}
        records = [(hit.shard.name, hit.offset, key, hit) for key, hit in hits.items() if type(hit) is Where]
        records.sort(key=lambda record: record[:2])
        reader = Reader()
        for _, _, key, where in records:
            value = self._load(reader, key, where)
            if value is columns.DELETED:
                del hits[key]
            elif isinstance(value, Failure) and where.failed:
                del hits[key]
                failures[key] = value
            else:
                hits[key] = value
        return Found(hits, failures)

    def _load(self, reader: Reader, key: str, where: Where) -> object:
        """The value or failure of a record; DELETED if it cannot be read, or is gone."""
        try:
            record, payload = reader.payload(where)
            return decode(record, payload, where.shard.owner, self.options, where.shard.path)
        except frames.DAMAGE as error:
            why = str(error) or "a value is damaged"
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ESTALE):
                return self._load_moved(reader, key, where)
            why = f"it cannot be read ({error.strerror})"
        with self.lock:
            self._index.spoil(key, where, why)
        return columns.DELETED

    def _load_moved(self, reader: Reader, key: str, where: Where) -> object:
        """Looks again for an entry whose shard was deleted or compacted since it was found."""
        with self.lock:
            if where.shard is self._shard:  # it was idle for so long that it was taken for abandoned
                self._drop_writer()
            self._index.refresh()
            hit = self._index.find([key]).get(key, columns.DELETED)
        if type(hit) is not Where:
            return hit
        return columns.DELETED if hit.shard is where.shard else self._load(reader, key, hit)

    def states(self, keys: Sequence[str], *, fresh: bool = True) -> dict[str, State]:
        """What is stored of the keys, without decoding."""
        hits = self._find_fresh(keys) if fresh else self._find(keys)
        return {key: "failure" if type(hit) is Where and hit.failed else "value" for key, hit in hits.items()}

    def version(self, key: str) -> object:
        """Where a record is, or the value of a column itself; None if the key is not stored."""
        found = self._find_fresh([key])
        if key not in found:
            return None
        hit = found[key]
        return (hit.shard.name, hit.offset) if type(hit) is Where else (type(hit), hit)

    def keys(self) -> Iterator[tuple[str, State]]:
        """Every key that is stored, and as what."""
        self.commit()
        self._index.refresh()
        return ((key, "failure" if type(hit) is Where and hit.failed else "value") for key, hit in self._index.all())

    def provenance(self, key: str) -> dict[str, object] | None:
        """Who wrote the entry of a key, when, and how long it took; None if it is not stored."""
        if not self._find_fresh([key]):
            return None
        for shard in self._index.newest():
            try:
                stamp = shard.stamp(key)
            except (OSError, *frames.DAMAGE):  # reading the entry tells what is wrong with it
                continue
            if stamp is not None and shard.header is not None:
                return provenance.of_item(shard.header.provenance, *stamp)
        return None

    # -- writing

    def write(self, key: str, value: object, seconds: float | None, over: bool = True) -> bool:
        """Adds a value to the block, whatever `over`; True if everything is committed. Takes the lock by itself."""
        options = self.options
        column = columns.NONE_OF_THEM if options.codec else columns.column_of(value)
        took = math.nan if seconds is None else seconds
        if column and "\0" not in key:  # keys of a block are joined with it
            with self.lock:
                return self._add(column, key, value, took)
        payload = codecs.dump(value, options.codec, allow_pickle=options.allow_pickle)
        flags = frames.PICKLED if payload.pickled else 0
        with self.lock:
            return self._add_record(_Record(key, flags, payload.codec, payload.parts, took))

    def write_small(self, column: int, values: dict[str, object], seconds: list[float]) -> None:
        """Adds values of one column and commits. Takes the lock by itself."""
        with self.lock:
            self.commit()
            if "\0" in "".join(values):
                for (key, value), took in zip(values.items(), seconds, strict=True):
                    self.write(key, value, took)
                self.commit()
            elif values:
                with self._committing(values):
                    writer, shard = self._writer_for(values)
                    writer.block(column, list(values), list(values.values()), int(time.time()), seconds)
                    self._commit_to(writer, shard, values)

    def write_failure(self, key: str, failure: Failure, seconds: float | None, over: bool = True) -> bool:
        """Adds a failure to the block; as `write`."""
        if not self.options.allow_pickle:
            failure = failure.without_pickle()
        flags = frames.FAILED | (frames.PICKLED if failure.pickled else 0)
        took = math.nan if seconds is None else seconds
        with self.lock:
            return self._add_record(_Record(key, flags, FAILURE_CODEC, [failure.to_bytes()], took))

    def _add(self, column: int, key: str, value: object, seconds: float) -> bool:
        waiting = self._waiting
        if key in waiting:
            self.commit()
            waiting = self._waiting
        block = self._columns.get(column)
        if block is None:
            block = self._columns[column] = ([], [], [])
        block[0].append(key)
        block[1].append(value)
        block[2].append(seconds)
        waiting[key] = None
        self._bytes += 16 + len(key) + (len(value) if type(value) is str else 0)
        if (
            len(waiting) < BLOCK_ITEMS
            and self._bytes < BLOCK_BYTES
            and time.monotonic() - self._last_commit < self.block_s
        ):
            return False
        self.commit()
        return True

    def _add_record(self, record: _Record) -> bool:
        if record.key in self._waiting:
            self.commit()
        size = sum(memoryview(part).nbytes for part in record.parts)
        if size < _LARGE:
            # The parts may be views of memory that the caller changes before the block is committed.
            record = record._replace(parts=[b"".join(record.parts)])
        self._records.append(record)
        self._waiting[record.key] = None
        self._bytes += size + len(record.key)
        if size >= _LARGE:
            self.commit()
            return True
        return self._commit_if_due()

    def _commit_if_due(self) -> bool:
        if (
            time.monotonic() - self._last_commit >= self.block_s
            or len(self._waiting) >= BLOCK_ITEMS
            or self._bytes >= BLOCK_BYTES
        ):
            self.commit()
            return True
        return False

    def commit(self, sync: bool = False) -> None:
        """Makes visible what was written; OSError with the path if that fails: then the block is dropped."""
        if self._waiting:
            with self._committing(self._waiting):
                self._commit_block()
        if sync and self._writer is not None:
            try:
                self._writer.commit(sync=True)
            except OSError:
                self._drop_writer()
                raise
            sync_folder(self.folder)

    def outrank(self) -> None:
        """Supersedes, from now on, also what a writer begins that has not looked yet: it was taken for dead, and may go on."""
        self._seal()
        self._ahead = 2  # it may know the same shards, and begin one above them

    @contextlib.contextmanager
    def _committing(self, keys: Iterable[str]) -> Iterator[None]:
        """Wraps a commit of these keys: what fails is dropped."""
        try:
            yield
        except BaseException:
            self._drop_writer()
            raise
        finally:
            self._clear_block()
            self._last_commit = time.monotonic()
        self._committed(keys)

    def share(self) -> None:
        """Shows what was committed to other hosts too: before a claim on it ends."""
        if self._writer is not None:
            with contextlib.suppress(OSError):  # the next commit tells
                self._writer.share()

    def _commit_block(self) -> None:
        writer, shard = self._writer_for(self._waiting)
        now = int(time.time())
        entries: dict[str, object] = {}
        for column, (keys, values, seconds) in self._columns.items():
            timed = None if all(map(math.isnan, seconds)) else seconds
            writer.block(column, keys, values, now, timed)
            entries.update(zip(keys, values, strict=True))
        for record in self._records:
            offset, size = writer.record(record.flags, record.codec, record.key, record.parts, now, record.seconds)
            failed = bool(record.flags & frames.FAILED)
            deleted = record.flags & frames.DELETES
            entries[record.key] = columns.DELETED if deleted else Where(shard, offset, size, failed)
        self._commit_to(writer, shard, entries)

    def _commit_to(self, writer: ShardWriter, shard: Shard, entries: Mapping[str, object]) -> None:
        """Commits what was added to a shard."""
        writer.commit()
        self._index.wrote(shard, writer.position, entries)
        if writer.full:
            self._seal()

    def _writer_for(self, keys: Collection[str]) -> tuple[ShardWriter, Shard]:
        """The writer, whose shard supersedes what is known of these keys."""
        is_idle = self._writer is not None and self._writer.is_idle
        if is_idle:
            self._seal()
        if is_idle or not self._index.looked:
            self._index.refresh()
        replaces = bool(self._index.find(keys))
        if self._writer is not None and replaces and not self._writer.replaces:
            self._seal()
        if self._shard is not None and self._index.supersedes(self._shard.order, keys):
            self._seal()
        if self._writer is None or self._shard is None:
            return self._begin(replaces=replaces)
        return self._writer, self._shard

    def _begin(self, *, clears: bool = False, replaces: bool = False) -> tuple[ShardWriter, Shard]:
        options = self.options
        ahead, self._ahead = self._ahead, 1
        writer = ShardWriter(
            self.folder,
            self._index.generation + ahead,
            clears=clears,
            replaces=replaces or ahead > 1,
            identity=options.header_identity(),
            provenance=provenance.text(options.provenance, grows=True),
            permissions=options.permissions,
        )
        self._writer, self._shard = writer, self._index.adopt(writer.name, writer.header)
        return self._writer, self._shard

    def _seal(self) -> None:
        """Ends the shard; without its footer it is still whole, so a failure to add one is no error."""
        if self._writer is not None:
            with contextlib.suppress(OSError):
                self._writer.seal()
        self._drop_writer()

    def _drop_writer(self) -> None:
        if self._writer is not None:
            self._writer.abandon()
        if self._shard is not None:
            self._index.disown(self._shard)
        self._writer = self._shard = None

    def delete(self, keys: Iterable[str] | None) -> None:
        """Deletes the entries of the keys, or all; visible to others when it returns."""
        self.commit()
        self._index.refresh()
        if keys is None:
            self._delete_all()
            return
        gone = list(self._index.find(list(dict.fromkeys(keys))))
        for key in gone:
            if "\0" in key:
                self._add_record(_Record(key, frames.DELETES, "", [], math.nan))
            else:
                self._add(columns.GONE, key, columns.DELETED, math.nan)
        self.commit()

    def _delete_all(self) -> None:
        self._seal()
        before = list(self._index.newest())
        if not before:
            return
        writer, shard = self._begin(clears=True)
        try:
            writer.commit()
        except OSError:
            self._drop_writer()
            raise
        self._index.wrote(shard, writer.position, {})
        # Only sealed shards: one that grows may have a writer, who must find out by the new shard first.
        for old in before:
            if old.footer is not None and old.order < shard.order:
                discard(old.path)
        self._index.refresh()

    def close(self) -> None:
        """Commits, and seals the shard of this process."""
        self.commit()
        self._seal()
