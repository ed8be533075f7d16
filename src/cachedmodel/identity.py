"""What a configuration is, against the defaults that count: which fields enter the uid, and which are left out.

A field at its default is left out of the uid, so that adding a field keeps every cache. The default that counts is the one
first seen for that method, kept in a `Baseline`: changing a default in the code neither serves an old entry for the new
meaning nor loses one. Baselines know a field by its path in the schema ("data.size", "layers[].width"), not by the name of
its class, so that classes may be renamed. All fields count but those marked `NotInUid` and those excluded.

    fields of a class + first defaults -> rows      once for each place of the schema
    values of a model along the rows   -> uid       what differs from the defaults
                                       -> complete  all that counts, kept with each entry and compared when it is read
"""

from __future__ import annotations

import json
import typing as tp
from collections.abc import Callable

import pydantic

from . import uid as _uid
from .atoms import tagged
from .containers import looks_same
from .differing import ALL, Baseline, Pass, Place, Shown
from .readable import readable

_to_json: tp.Final = json.JSONEncoder(separators=(",", ":")).encode


class Identity:
    """What a configuration is for one method.

    Parameters
    ----------
    baseline
        The defaults that count.
    exclude
        Dotted names that do not count, "infra" among them.

    Attributes
    ----------
    uid
        Its name, "default" if nothing differs from the defaults that count.
    mutable
        True if something in it can change in place.
    looks_same
        Tells quickly that nothing did; False proves no change, `is_unchanged` finds out.

    Raises
    ------
    UidError
        If a value cannot be told apart faithfully, naming its field.
    """

    __slots__ = (
        "_baseline",
        "_complete",
        "_exclude",
        "_model",
        "_opaque",
        "_own",
        "_watched",
        "_whole",
        "looks_same",
        "mutable",
        "uid",
    )

    def __init__(self, model: pydantic.BaseModel, baseline: Baseline, exclude: frozenset[str] = frozenset()) -> None:
        found = Pass(baseline, exclude)
        encoding, self._whole = found.top(model)
        self._complete: bytes | None = None
        self._model, self._baseline, self._exclude = model, baseline, exclude
        self.uid: str = _uid.text(readable(found.shown), encoding) if encoding else "default"
        self._own = self.uid
        self._watched, self._opaque = found.watched, found.opaque
        self.mutable: bool = found.opaque or bool(found.watched)
        self.looks_same: Callable[[], bool] = _cannot_tell  # made late: many a uid is never looked at again

    def rename(self, uid: str) -> None:
        """Gives it another uid, of a method that asks for more than the configuration."""
        self.uid = uid

    def shown(self) -> list[Shown]:
        """The fields that differ from the defaults that count."""
        found = Pass(self._baseline, self._exclude)  # few are asked: not kept
        found.top(self._model)
        return found.shown

    def is_unchanged(self) -> bool:
        """Whether the model still is what it was."""
        if self.looks_same is _cannot_tell and not self._opaque:
            self.looks_same = looks_same(self._watched)
        if self.looks_same():
            return True
        now = Identity(self._model, self._baseline, self._exclude)
        if now._own != self._own:
            return False
        if not self._opaque:
            self.looks_same = looks_same(now._watched)  # an item was replaced by an equal one
        return True

    @property
    def complete(self) -> bytes:
        """128 bits of the complete configuration, defaults too."""
        if self._complete is None:
            whole = Pass(ALL, self._exclude).top(self._model)[0] if self._whole is None else self._whole
            self._complete, self._whole = _uid.complete_digest(whole), None
        return self._complete

    def stored(self) -> bytes:
        """What an entry keeps of the configuration it was computed with."""
        complete = self.complete
        leaves = self._leaves() if self.is_unchanged() else None  # a method changed it: what it was is gone
        return complete + _to_json(leaves).encode()

    def agrees(self, kept: bytes) -> bool:
        """Whether an entry that keeps `kept` was computed with this configuration, up to fields added or removed since.

        A field that one of the two does not know is at its first default in the other, or their uids would differ. One that
        counts now and did not count then had a value that nobody knows.
        """
        if kept[:16] == self.complete:
            return True
        try:
            then: dict[str, str] = dict(json.loads(kept[16:]))
        except (ValueError, TypeError):
            return False
        now = self._leaves()
        return all(now.get(path, "") in ("", digest) for path, digest in then.items())

    def _leaves(self) -> dict[str, str]:
        """Digests of the values that count by path in the schema; "" for fields that do not."""
        found = _Leaves(self._baseline, self._exclude)
        found.top(self._model)
        return {path: _uid.digest(b"".join(parts)) if parts else "" for path, parts in found.leaves.items()}


def _cannot_tell() -> bool:
    return False


class _Leaves(Pass):
    """The encodings of all values that count, by path in the schema, without the models between them."""

    def __init__(self, baseline: Baseline, exclude: frozenset[str]) -> None:
        super().__init__(baseline, exclude)
        self.leaves: dict[str, list[bytes]] = {}

    def fields(self, model: pydantic.BaseModel, place: Place) -> tuple[list[bytes], list[bytes]]:
        parts, every = super().fields(model, place)
        for row, part in zip(place.rows, every, strict=False):
            self.leaves.setdefault(row.path, []).append(part)
        for part in every[len(place.rows) :]:
            self.leaves.setdefault(place.extra.path, []).append(part)
        for path in place.left_out:
            self.leaves.setdefault(path, [])
        return parts, every

    def encoded(self, value: pydantic.BaseModel, tag: bytes, place: Place) -> tuple[bytes, bytes]:
        self.fields(value, place)
        encoding = tagged("model", tag)
        return encoding, encoding

    # in an order that does not depend on the process, in which leaves of one path are joined

    def mapping(self, value: tp.Mapping[tp.Any, object]) -> bytes:
        return super().mapping({key: value[key] for key in sorted(value, key=self._order)})

    def members(self, tag: bytes, values: tp.Collection[object]) -> bytes:
        return super().members(tag, sorted(values, key=self._order))

    def _order(self, item: object) -> bytes:
        assert self._row is not None  # containers are met in fields
        return Pass(ALL, self.exclude).at(item, self._row)[0]
