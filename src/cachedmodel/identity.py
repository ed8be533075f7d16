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

import contextlib
import json
import typing as tp

import pydantic

from . import uid as _uid
from .errors import UidError
from .readable import readable
from .schema import EXTRA, Field, NotInUid, fields_of, tag_of

__all__ = ["Baseline", "Identity", "NotInUid", "counting"]

_NEVER = object()
#: Types of which equal values have one encoding.
_EXACT = frozenset((type(None), bool, int, str, bytes))
_MAX_PLACES = 4096
#: Names that lead to a field, its value, and what to call it where that says more than the value.
Shown = tuple[tuple[str, ...], object, str]


class Row:
    """A field at one place of the schema, and the default that counts there."""

    __slots__ = (
        *("atom", "contained", "default", "digest", "field", "head", "index", "inner", "kind", "name", "names", "path"),
        *("same", "whole"),
    )

    def __init__(self, field: Field, path: str, names: tuple[str, ...]) -> None:
        self.field: Field = field
        self.name: str = field.name
        self.head: bytes = field.head
        self.same: tuple[bytes, bytes] | None = field.same
        self.path: str = path
        self.names: tuple[str, ...] = names  # that lead to it
        self.index: int = 0  # among the rows of its place
        self.atom: object = _NEVER  # the default itself, where it cannot change: no need to encode it
        self.kind: object = _NEVER  # its type, where what equals it and has this type has its encoding
        self.whole: bytes = b""  # name and encoding of the default
        self.default: bytes | None = None  # its encoding, if today's default is still the first one
        self.digest: str = ""  # otherwise that of the first one
        self.inner: dict[type, tuple[bytes, str, Place]] = {}  # of models that are its value
        self.contained: dict[type, tuple[bytes, str, Place]] = {}  # of models in a container that is its value


class Place(tp.NamedTuple):
    """What a class holds at one place of the schema."""

    rows: tuple[Row, ...]
    wholes: list[bytes]  # name and encoding of each default: what a model holds that differs nowhere
    extra: Row
    left_out: tuple[str, ...]  # paths of the fields that do not count
    is_frozen: bool


class Baseline:
    """The defaults first seen for a method, by path.

    Attributes
    ----------
    known
        Digest of the first default by path, "" for a field that had none.
    fresh
        Those of `known` that were added since it was made: what is to be kept for others.
    """

    def __init__(self, known: tp.Mapping[str, str] | None = None) -> None:
        self.known: dict[str, str] = dict(known or {})
        self.fresh: dict[str, str] = {}
        self._places: dict[tuple[type, str, frozenset[str]], Place] = {}

    def place(
        self,
        cls: type[pydantic.BaseModel],
        exclude: frozenset[str],
        prefix: str = "",
        names: tuple[str, ...] = (),
        forced: tp.Container[str] = (),
    ) -> Place:
        """A class at one place of the schema; the defaults of its fields are taken in if they are new.

        Parameters
        ----------
        exclude
            Dotted names that do not count.
        prefix, names
            What comes before the path of each field, and the names that lead there.
        forced
            Fields that are never left out.
        """
        place = self._places.get((cls, prefix, exclude))
        if place is None:
            is_root = cls.__pydantic_root_model__
            rows = [
                Row(field, prefix + field.name, names if is_root else (*names, field.name)) for field in fields_of(cls)
            ]
            counting = tuple(row for row in rows if ".".join(row.names) not in exclude)
            for index, row in enumerate(counting):
                row.index = index
                self._take_default(row, exclude, row.name in forced)
            left_out = {prefix + name for name in cls.__pydantic_fields__} - {row.path for row in counting}
            if len(self._places) >= _MAX_PLACES:  # classes made in a loop
                self._places.clear()
            extra, is_frozen = Row(EXTRA, f"{prefix}+", names), bool(cls.model_config.get("frozen"))
            wholes = [row.whole for row in counting]
            place = Place(counting, wholes, extra, tuple(sorted(left_out)), is_frozen)
            self._places[cls, prefix, exclude] = place
        return place

    def _take_default(self, row: Row, exclude: frozenset[str], forced: bool) -> None:
        encoding = None
        if row.field.default is not None:
            with contextlib.suppress(
                UidError
            ):  # one that cannot be encoded is never left out; as a value it is refused
                encoding = Pass(self, exclude).at(row.field.default[0], row)[0]
        today = "" if encoding is None else _uid.digest(encoding)
        first = self.known.get(row.path)
        if first is None:
            first = self.known[row.path] = self.fresh[row.path] = today
        if forced:
            return
        if encoding is None or first != today:
            row.digest = first
            return
        row.default, row.whole = encoding, row.head + encoding
        atom = row.field.unvalidated
        if _uid.atoms(type(atom)) is not None:
            row.atom = atom
            if type(atom) in _EXACT or (type(atom) is float and atom):  # -0.0 == 0.0
                row.kind = type(atom)


class _NoDefaults(Baseline):
    """Nothing is at its default: what `Identity.complete` is made of."""

    def _take_default(self, row: Row, exclude: frozenset[str], forced: bool) -> None:
        pass


_ALL = _NoDefaults()


class Pass(_uid.Encoding):
    """A pass over a configuration that knows where it is and leaves out what is at its default.

    Attributes
    ----------
    shown
        The fields that differ.
    is_whole
        False once a model was met in a container, of which the defaults are in no encoding of this pass.
    """

    is_whole: bool = True
    _row: Row | None = None

    def __init__(self, baseline: Baseline, exclude: frozenset[str]) -> None:
        self.watched = []
        self.baseline = baseline
        self.exclude = exclude
        self.shown: list[Shown] = []

    def top(self, model: pydantic.BaseModel) -> tuple[bytes, bytes | None]:
        """The encoding of a model without what is at its default, and that of all of it, if this pass can tell.

        Raises
        ------
        UidError
            If a value cannot be told apart faithfully, naming its field.
        """
        try:
            parts, every = self.fields(model, self.baseline.place(type(model), self.exclude))
            return b"".join(parts), b"".join(every) if self.is_whole else None
        except RecursionError:
            raise UidError(f"a value in {type(model).__name__} contains itself, or is nested too deeply") from None

    def fields(self, model: pydantic.BaseModel, place: Place) -> tuple[list[bytes], list[bytes]]:
        """Name and encoding of each field that is not at its default, and of each."""
        state, shown, atoms = model.__dict__, self.shown, _uid.atoms
        parts: list[bytes] = []
        every = place.wholes.copy()
        name = ""
        try:
            for row in place.rows:
                name = row.name
                value = state[name]
                kind = type(value)
                if value is row.atom or (kind is row.kind and value == row.atom):
                    continue
                before, label = len(shown), ""
                encode = atoms(kind)
                if encode is not None:
                    encoding = encode(value)
                    if row.same is not None and encoding == row.same[0]:
                        encoding = row.same[1]
                    part = every[row.index] = row.head + encoding
                else:
                    encoding, whole, label = self.at(value, row)
                    part = row.head + encoding
                    every[row.index] = part if whole is encoding else row.head + whole
                if encoding == row.default or (row.digest and row.digest == _uid.digest(encoding)):
                    del shown[before:]
                    continue
                if len(shown) == before:
                    shown.append((row.names, value, label))
                parts.append(part)
            if model.__pydantic_extra__:
                for name, value in sorted(model.__pydantic_extra__.items()):
                    for part, whole in self._extra(name, value, place.extra):
                        parts.append(part)
                        every.append(whole)
        except UidError as error:
            text = str(error)
            raise (
                error if text.startswith("field ") else UidError(f"field {type(model).__name__}.{name}: {text}")
            ) from None
        except KeyError:
            if name in state:
                raise
            raise UidError(f"field {type(model).__name__}.{name} was never set (by model_construct?): set it") from None
        return parts, every

    def _extra(self, name: str, value: object, row: Row) -> list[tuple[bytes, bytes]]:
        """A value beyond the fields, tagged: an alias may leave a field's own name to an extra value."""
        names = (*row.names, name)
        if ".".join(names) in self.exclude:
            return []
        encoding, whole, label = self.at(value, row)
        self.shown.append((names, value, label))
        head = _uid.canonical(name)
        return [(_uid.tagged("extra", head, encoding), _uid.tagged("extra", head, whole))]

    def at(self, value: tp.Any, row: Row) -> tuple[bytes, bytes, str]:  # Any: whatever a field can hold
        """The encoding of the value of a field, that with its defaults, and what to call it where that says more."""
        kind = type(value)
        encode = _uid.containers(kind)
        if encode is None and (kind in row.inner or _is_model(value)):
            return self._inside(value, row, row.inner, "")
        outer, self._row, before = self._row, row, len(self.shown)
        encoding = self.value(value) if encode is None else encode(self, value)
        self._row = outer
        del self.shown[before:]  # of models in a container, which is shown whole
        if row.same is not None and encoding == row.same[0]:
            encoding = row.same[1]
        return encoding, encoding, ""

    def model(self, value: tp.Any) -> bytes:
        assert self._row is not None  # every model but the first is met in a field
        self.is_whole = False
        return self._inside(value, self._row, self._row.contained, "[]")[0]

    def _inside(
        self, value: pydantic.BaseModel, row: Row, inner: dict[type, tuple[bytes, str, Place]], step: str
    ) -> tuple[bytes, bytes, str]:
        """The encodings of a model that is the value of a field, or contained in it, and what to call it."""
        cls = type(value)
        known = inner.get(cls)
        if known is None:
            tag, forced = tag_of(value, row.field)
            prefix = f"{row.path}{step}{f'<{tag}>' * bool(tag)}."
            place = self.baseline.place(cls, self.exclude, prefix, row.names, forced)
            known = _uid.canonical(tag), cls.__name__ if tag else "default", place
            if not row.field.discriminators:  # which are of the value
                inner[cls] = known
        tag_encoding, label, place = known
        if not place.is_frozen:
            self.watched.append((_state, value, tuple(value.__dict__.values())))
        if value.__pydantic_extra__ is not None:
            self.watch(_uid.items_of, value.__pydantic_extra__)
        encoding, whole = self.encoded(value, tag_encoding, place)
        return encoding, whole, label

    def encoded(self, value: pydantic.BaseModel, tag: bytes, place: Place) -> tuple[bytes, bytes]:
        """The encodings of a model of which tag and place are known."""
        parts, every = self.fields(value, place)
        return (
            b"<5:model%d;%b%b" % (len(parts) + 1, tag, b"".join(parts)),
            b"<5:model%d;%b%b" % (len(every) + 1, tag, b"".join(every)),
        )


class _Leaves(Pass):
    """The encodings of all values that count, by path in the schema, without the models between them."""

    def __init__(self, exclude: frozenset[str]) -> None:
        super().__init__(_ALL, exclude)
        self.leaves: dict[str, list[bytes]] = {}

    def fields(self, model: pydantic.BaseModel, place: Place) -> tuple[list[bytes], list[bytes]]:
        parts, every = super().fields(model, place)
        paths = [row.path for row in place.rows]
        for path, part in zip(paths + [place.extra.path] * (len(parts) - len(paths)), parts, strict=True):
            self.leaves.setdefault(path, []).append(part)
        for path in place.left_out:
            self.leaves.setdefault(path, [])
        return parts, every

    def encoded(self, value: pydantic.BaseModel, tag: bytes, place: Place) -> tuple[bytes, bytes]:
        self.fields(value, place)
        encoding = _uid.tagged("model", tag)
        return encoding, encoding

    # in an order that does not depend on the process, in which leaves of one path are joined

    def mapping(self, value: tp.Mapping[tp.Any, object]) -> bytes:
        return super().mapping({key: value[key] for key in sorted(value, key=self._order)})

    def members(self, tag: bytes, values: tp.Collection[object]) -> bytes:
        return super().members(tag, sorted(values, key=self._order))

    def _order(self, item: object) -> bytes:
        assert self._row is not None  # containers are met in fields
        return Pass(_ALL, self.exclude).at(item, self._row)[0]


def _is_model(value: object) -> bool:
    return isinstance(value, pydantic.BaseModel) and not hasattr(type(value), "__uid_value__")


def _state(model: pydantic.BaseModel) -> tp.Collection[object]:
    return model.__dict__.values()


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
    shown
        The fields that differ.
    mutable
        True if something in it can change in place.

    Raises
    ------
    UidError
        If a value cannot be told apart faithfully, naming its field.
    """

    _complete: bytes | None = None

    def __init__(self, model: pydantic.BaseModel, baseline: Baseline, exclude: frozenset[str] = frozenset()) -> None:
        found = Pass(baseline, exclude)
        encoding, self._whole = found.top(model)
        self._model, self._baseline, self._exclude = model, baseline, exclude
        self.uid: str = _uid.text(readable(found.shown), encoding) if encoding else "default"
        self._own = self.uid
        self._watched, self._opaque = found.watched, found.opaque
        self.shown: list[Shown] = found.shown
        self.mutable: bool = found.opaque or bool(found.watched)

    def rename(self, uid: str) -> None:
        """Gives it another uid, of a method that asks for more than the configuration."""
        self.uid = uid

    def is_unchanged(self) -> bool:
        """Whether the model still is what it was."""
        if not self._opaque and _uid.is_same(self._watched):
            return True
        now = Identity(self._model, self._baseline, self._exclude)
        if now._own != self._own:
            return False
        self._watched = now._watched  # an item was replaced by an equal one
        return True

    @property
    def complete(self) -> bytes:
        """128 bits of the complete configuration, defaults too."""
        if self._complete is None:
            whole = Pass(_ALL, self._exclude).top(self._model)[0] if self._whole is None else self._whole
            self._complete, self._whole = _uid.complete_digest(whole), None
        return self._complete

    def stored(self) -> bytes:
        """What an entry keeps of the configuration it was computed with."""
        complete = self.complete
        leaves = self._leaves() if self.is_unchanged() else None  # a method changed it: what it was is gone
        return complete + json.dumps(leaves, separators=(",", ":")).encode()

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
        found = _Leaves(self._exclude)
        found.top(self._model)
        return {path: _uid.digest(b"".join(parts)) if parts else "" for path, parts in found.leaves.items()}


def counting(model: pydantic.BaseModel, exclude: frozenset[str], names: tuple[str, ...]) -> dict[str, object]:
    """The fields of a model that count, by name; `names` lead to the model."""
    values = {field.name: model.__dict__[field.name] for field in fields_of(type(model))}
    values.update(model.__pydantic_extra__ or {})
    return {name: value for name, value in values.items() if ".".join((*names, name)) not in exclude}
