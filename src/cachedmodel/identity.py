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

__all__ = ["Baseline", "Identity", "NotInUid", "counting", "identify"]

_NEVER = object()
_NO_TAG = _uid.canonical("")
_MAX_PLACES = 4096
#: Names that lead to a field, its value, and what to call it where that says more than the value.
Shown = tuple[tuple[str, ...], object, str]


class Row:
    """A field at one place of the schema, and the default that counts there."""

    __slots__ = ("atom", "default", "digest", "field", "head", "inner", "name", "names", "path", "same")

    def __init__(self, field: Field, path: str, names: tuple[str, ...]) -> None:
        self.field: Field = field
        self.name: str = field.name
        self.head: bytes = field.head
        self.same: tuple[bytes, bytes] | None = field.same
        self.path: str = path
        self.names: tuple[str, ...] = names  # that lead to it
        self.atom: object = _NEVER  # the default itself, where it cannot change: no need to encode it
        self.default: bytes | None = None  # its encoding, if today's default is still the first one
        self.digest: str = ""  # otherwise that of the first one
        self.inner: dict[tuple[type, bool], tuple[bytes, Place]] = {}  # of models that are or contain its value


class Place(tp.NamedTuple):
    """What a class holds at one place of the schema."""

    rows: tuple[Row, ...]
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
            is_root = issubclass(cls, pydantic.RootModel)
            rows = [
                Row(field, prefix + field.name, names if is_root else (*names, field.name)) for field in fields_of(cls)
            ]
            counting = tuple(row for row in rows if ".".join(row.names) not in exclude)
            for row in counting:
                self._take_default(row, exclude, row.name in forced)
            left_out = {prefix + name for name in cls.__pydantic_fields__} - {row.path for row in counting}
            if len(self._places) >= _MAX_PLACES:  # classes made in a loop
                self._places.clear()
            extra, is_frozen = Row(EXTRA, f"{prefix}+", names), bool(cls.model_config.get("frozen"))
            place = Place(counting, extra, tuple(sorted(left_out)), is_frozen)
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
        row.default = encoding
        if _uid.atoms(type(row.field.unvalidated)) is not None:
            row.atom = row.field.unvalidated


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
    """

    def __init__(self, baseline: Baseline, exclude: frozenset[str]) -> None:
        super().__init__()
        self.baseline = baseline
        self.exclude = exclude
        self.shown: list[Shown] = []
        self._row: Row | None = None

    def top(self, model: pydantic.BaseModel) -> bytes:
        """The encoding of a whole model.

        Raises
        ------
        UidError
            If a value cannot be told apart faithfully, naming its field.
        """
        try:
            return b"".join(self.fields(model, self.baseline.place(type(model), self.exclude)))
        except RecursionError:
            raise UidError(f"a value in {type(model).__name__} contains itself, or is nested too deeply") from None

    def fields(self, model: pydantic.BaseModel, place: Place) -> list[bytes]:
        """Name and encoding of each field that is not at its default."""
        state, parts, shown, atoms = model.__dict__, [], self.shown, _uid.atoms
        name = ""
        try:
            for row in place.rows:
                name = row.name
                value = state[name]
                if value is row.atom:
                    continue
                before, label, encode = len(shown), "", atoms(type(value))
                if encode is None:
                    encoding, label = self.at(value, row)
                else:
                    encoding = encode(value)
                    if row.same is not None and encoding == row.same[0]:
                        encoding = row.same[1]
                if encoding == row.default or (row.digest and row.digest == _uid.digest(encoding)):
                    del shown[before:]
                    continue
                if len(shown) == before:
                    shown.append((row.names, value, label))
                parts.append(row.head + encoding)
            if model.__pydantic_extra__:
                for name, value in sorted(model.__pydantic_extra__.items()):
                    parts += self._extra(name, value, place.extra)
        except UidError as error:
            text = str(error)
            raise (
                error if text.startswith("field ") else UidError(f"field {type(model).__name__}.{name}: {text}")
            ) from None
        except KeyError:
            if name in state:
                raise
            raise UidError(f"field {type(model).__name__}.{name} was never set (by model_construct?): set it") from None
        return parts

    def _extra(self, name: str, value: object, row: Row) -> list[bytes]:
        """A value beyond the fields, tagged: an alias may leave a field's own name to an extra value."""
        names = (*row.names, name)
        if ".".join(names) in self.exclude:
            return []
        encoding, label = self.at(value, row)
        self.shown.append((names, value, label))
        return [_uid.tagged("extra", _uid.canonical(name), encoding)]

    def at(self, value: tp.Any, row: Row) -> tuple[bytes, str]:  # Any: whatever a field can hold
        """The encoding of the value of a field, and what to call it where that says more."""
        outer, self._row = self._row, row
        try:
            if (type(value), False) in row.inner or _is_model(value):
                return self._inside(value, row, False)
            before = len(self.shown)
            encoding = self.value(value)
            del self.shown[before:]  # of models in a container, which is shown whole
        finally:
            self._row = outer
        if row.same is not None and encoding == row.same[0]:
            encoding = row.same[1]
        return encoding, ""

    def model(self, value: tp.Any) -> bytes:
        assert self._row is not None  # every model but the first is met in a field
        return self._inside(value, self._row, True)[0]

    def _inside(self, value: pydantic.BaseModel, row: Row, contained: bool) -> tuple[bytes, str]:
        """The encoding of a model that is the value of a field, or contained in it, and what to call it."""
        cls = type(value)
        known = row.inner.get((cls, contained))
        if known is None:
            tag, forced = tag_of(value, row.field)
            prefix = f"{row.path}{'[]' * contained}{f'<{tag}>' * bool(tag)}."
            known = _uid.canonical(tag), self.baseline.place(cls, self.exclude, prefix, row.names, forced)
            if not row.field.discriminators:  # which are of the value
                row.inner[cls, contained] = known
        tag_encoding, place = known
        if not place.is_frozen:
            self.watched.append((_state, value, tuple(value.__dict__.values())))
        if value.__pydantic_extra__ is not None:
            self.watch(_uid.items_of, value.__pydantic_extra__)
        return self.encoded(value, tag_encoding, place), "default" if tag_encoding == _NO_TAG else cls.__name__

    def encoded(self, value: pydantic.BaseModel, tag: bytes, place: Place) -> bytes:
        """The encoding of a model of which tag and place are known."""
        parts = self.fields(value, place)
        return b"<5:model%d;" % (len(parts) + 1) + tag + b"".join(parts)


class _Leaves(Pass):
    """The encodings of all values that count, by path in the schema, without the models between them."""

    def __init__(self, exclude: frozenset[str]) -> None:
        super().__init__(_ALL, exclude)
        self.leaves: dict[str, list[bytes]] = {}

    def fields(self, model: pydantic.BaseModel, place: Place) -> list[bytes]:
        parts = super().fields(model, place)
        paths = [row.path for row in place.rows]
        for path, part in zip(paths + [place.extra.path] * (len(parts) - len(paths)), parts, strict=True):
            self.leaves.setdefault(path, []).append(part)
        for path in place.left_out:
            self.leaves.setdefault(path, [])
        return parts

    def encoded(self, value: pydantic.BaseModel, tag: bytes, place: Place) -> bytes:
        self.fields(value, place)
        return _uid.tagged("model", tag)

    # in an order that does not depend on the process, in which leaves of one path are joined

    def mapping(self, value: tp.Mapping[tp.Any, object]) -> bytes:
        return super().mapping({key: value[key] for key in sorted(value, key=self._order)})

    def members(self, tag: bytes, values: tp.Collection[object]) -> bytes:
        return super().members(tag, sorted(values, key=self._order))

    def _order(self, item: object) -> bytes:
        assert self._row is not None  # containers are met in fields
        return Pass(_ALL, self.exclude).at(item, self._row)[0]


def _is_model(value: object) -> bool:
    if not _uid.is_container(type(value)) and isinstance(value, pydantic.BaseModel):
        return not hasattr(type(value), "__uid_value__")
    return False


def _state(model: pydantic.BaseModel) -> tuple[object, ...]:
    return tuple(model.__dict__.values())


class Identity:
    """What a configuration is for one method.

    Attributes
    ----------
    uid
        Its name, "default" if nothing differs from the defaults that count.
    shown
        The fields that differ.
    mutable
        True if something in it can change in place.
    """

    def __init__(self, model: pydantic.BaseModel, baseline: Baseline, exclude: frozenset[str]) -> None:
        found = Pass(baseline, exclude)
        encoding = found.top(model)
        self._model, self._baseline, self._exclude = model, baseline, exclude
        self.uid: str = _uid.text(readable(found.shown), encoding) if encoding else "default"
        self._own = self.uid
        self._watched, self._opaque = found.watched, found.opaque
        self._complete: bytes | None = None
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
            self._complete = _uid.complete_digest(Pass(_ALL, self._exclude).top(self._model))
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


def identify(model: pydantic.BaseModel, baseline: Baseline, exclude: frozenset[str] = frozenset()) -> Identity:
    """The identity of a model; `exclude` holds dotted names, "infra" among them.

    Raises
    ------
    UidError
        If a value cannot be told apart faithfully, naming its field.
    """
    return Identity(model, baseline, exclude)


def counting(model: pydantic.BaseModel, exclude: frozenset[str], names: tuple[str, ...]) -> dict[str, object]:
    """The fields of a model that count, by name; `names` lead to the model."""
    values = {field.name: model.__dict__[field.name] for field in fields_of(type(model))}
    values.update(model.__pydantic_extra__ or {})
    return {name: value for name, value in values.items() if ".".join((*names, name)) not in exclude}
