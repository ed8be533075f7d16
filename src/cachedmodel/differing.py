"""What of a configuration differs from the defaults that count: one pass over its fields, along the rows of a `Baseline`."""

from __future__ import annotations

import typing as tp

import pydantic

from . import uid as _uid
from .atoms import atoms, tagged
from .containers import Watched, containers, items_of, values_of
from .errors import UidError
from .schema import EXTRA, Default, Field, default_of, fields_of, models_of, tag_of

_NEVER = object()
#: Types of which equal values have one encoding.
_EXACT = frozenset((type(None), bool, int, str, bytes))
_MAX_PLACES = 4096
#: Names that lead to a field, the same as they are shown, its value, and what to call it where that says more than the value.
Shown = tuple[tuple[str, ...], str, object, str]


class Row:
    """A field at one place of the schema, and the default that counts there."""

    __slots__ = (
        *("atom", "contained", "default", "digest", "field", "head", "index", "inner", "kind", "name", "names", "path"),
        *("same", "title", "whole"),
    )

    def __init__(self, field: Field, path: str, names: tuple[str, ...]) -> None:
        self.field: Field = field
        self.name: str = field.name
        self.head: bytes = field.head
        self.same: tuple[bytes, bytes] | None = None  # encodings of its default where they differ but mean the same
        self.path: str = path
        self.names: tuple[str, ...] = names  # that lead to it
        self.title: str = title_of(names)
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
    plan: tuple[
        tuple[str, object, object, Row], ...
    ]  # of each row its name, `atom` and `kind`, which most values are done with
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
                default = default_of(cls, row.name)
                row.index, row.same = index, default.same
                self._take_default(row, default, exclude, row.name in forced)
            left_out = {prefix + name for name in cls.__pydantic_fields__} - {row.path for row in counting}
            if len(self._places) >= _MAX_PLACES:  # classes made in a loop
                self._places.clear()
            extra, is_frozen = Row(EXTRA, f"{prefix}+", names), bool(cls.model_config.get("frozen"))
            wholes = [row.whole for row in counting]
            plan = tuple((row.name, row.atom, row.kind, row) for row in counting)
            place = Place(counting, plan, wholes, extra, tuple(sorted(left_out)), is_frozen)
            self._places[cls, prefix, exclude] = place
        return place

    def _take_default(self, row: Row, default: Default, exclude: frozenset[str], forced: bool) -> None:
        encoding = None
        if default.value is not None:
            value = default.value[0]
            encode = atoms(type(value))
            try:
                encoding = Pass(self, exclude).at(value, row)[0] if encode is None else encode(value)
            except UidError:
                encoding = None  # what cannot be encoded is never left out; as a value it is refused
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
        atom = default.unvalidated
        if atoms(type(atom)) is not None:
            row.atom = atom
            if type(atom) in _EXACT or (type(atom) is float and atom):  # -0.0 == 0.0
                row.kind = type(atom)


class _NoDefaults(Baseline):
    def _take_default(self, row: Row, default: Default, exclude: frozenset[str], forced: bool) -> None:
        pass


#: Nothing is at its default: what `Identity.complete` is made of.
ALL: tp.Final = _NoDefaults()


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
        self.watched: list[Watched] = []
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
        state, shown = model.__dict__, self.shown
        parts: list[bytes] = []
        every = place.wholes.copy()
        name = ""
        try:
            for name, atom, exact, row in place.plan:
                value = state[name]
                kind = type(value)
                if value is atom or (kind is exact and value == atom):
                    continue
                encode = atoms(kind)
                if encode is not None:
                    encoding = encode(value)
                    if row.same is not None and encoding == row.same[0]:
                        encoding = row.same[1]
                    part = every[row.index] = row.head + encoding
                    if encoding != row.default and not (row.digest and row.digest == _uid.digest(encoding)):
                        shown.append((row.names, row.title, value, ""))
                        parts.append(part)
                    continue
                before = len(shown)
                encoding, whole, label = self.at(value, row)
                part = row.head + encoding
                every[row.index] = part if whole is encoding else row.head + whole
                if encoding == row.default or (row.digest and row.digest == _uid.digest(encoding)):
                    del shown[before:]
                    continue
                if len(shown) == before:
                    shown.append((row.names, row.title, value, label))
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
        self.shown.append((names, title_of(names), value, label))
        head = _uid.canonical(name)
        return [(tagged("extra", head, encoding), tagged("extra", head, whole))]

    def at(self, value: tp.Any, row: Row) -> tuple[bytes, bytes, str]:  # Any: whatever a field can hold
        """The encoding of the value of a field, that with its defaults, and what to call it where that says more."""
        kind = type(value)
        encode = containers(kind)
        if encode is None and (kind in row.inner or _is_model(value)):
            return self._inside(value, row, row.inner, "")
        outer, self._row, before = self._row, row, len(self.shown)
        encoding = self.value(value) if encode is None else encode(self, value)
        self._row = outer
        if len(self.shown) > before:  # models in a container, which is shown whole
            del self.shown[before:]
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
            if not models_of(row.field).discriminators:  # which are of the value
                inner[cls] = known
        tag_encoding, label, place = known
        if not place.is_frozen:
            self.watched.append((values_of, value, tuple(value.__dict__.values())))
        if value.__pydantic_extra__ is not None:
            self.watch(items_of, value.__pydantic_extra__)
        encoding, whole = self.encoded(value, tag_encoding, place)
        return encoding, whole, label

    def encoded(self, value: pydantic.BaseModel, tag: bytes, place: Place) -> tuple[bytes, bytes]:
        """The encodings of a model of which tag and place are known."""
        parts, every = self.fields(value, place)
        return (
            b"<5:model%d;%b%b" % (len(parts) + 1, tag, b"".join(parts)),
            b"<5:model%d;%b%b" % (len(every) + 1, tag, b"".join(every)),
        )


def title_of(names: tuple[str, ...]) -> str:
    """What comes before the value of a field in the readable part of a uid."""
    return f"{'.'.join(names)}="


def _is_model(value: object) -> bool:
    return isinstance(value, pydantic.BaseModel) and not hasattr(type(value), "__uid_value__")
