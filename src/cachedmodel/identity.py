"""What a configuration is, against the defaults that counts: which fields enter the uid, and which are left out.

A field at its default is left out of the uid, so that adding a field keeps every cache. The default that counts is the one
first seen for that method, kept in a `Baseline`: changing a default in the code neither serves an old entry for the new
meaning nor loses one. Baselines know a field by its path in the schema ("data.size", "layers[].width"), not by the name of
its class, so that classes may be renamed. All fields count but those marked `NotInUid` and those excluded.
"""

from __future__ import annotations

import functools
import json
import typing as tp

import pydantic
from pydantic.fields import FieldInfo

from . import uid as _uid
from .errors import UidError


class NotInUid:
    """Marks a field that changes nothing in the results: ``device: Annotated[str, NotInUid] = "cpu"``."""


class _Field(tp.NamedTuple):
    """What a class says of one of its fields."""

    name: str
    classes: frozenset[type]  # model classes its annotation names
    discriminators: tuple[str, ...]
    as_validated: tuple[bytes, bytes] | None  # a default that was never validated, and what it means


class _Row(tp.NamedTuple):
    """A field at one place of the schema, and the default that counts there."""

    field: _Field
    path: str
    default: bytes | None  # its encoding, if today's default is still the first one
    digest: str  # that of the first default; "" if it had none


_PLAIN = (bool, int, float, str, bytes, type(None))


def _is_model(cls: type) -> bool:
    return issubclass(cls, pydantic.BaseModel)


def _annotated(annotation: object, seen: tuple[set[type], set[str]]) -> tuple[set[type], set[str]]:
    """Model classes and discriminators named anywhere in an annotation."""
    classes, discriminators = seen
    if isinstance(annotation, type) and tp.get_origin(annotation) is None and _is_model(annotation):
        classes.add(annotation)
    for meta in getattr(annotation, "__metadata__", ()):
        name = getattr(meta, "discriminator", None)
        if isinstance(name, str):
            discriminators.add(name)
    value = getattr(annotation, "__value__", None)  # type X = ...
    for arg in (*tp.get_args(annotation), *(() if value is None else (value,))):
        _annotated(arg, seen)
    return seen


def default_of(cls: type[pydantic.BaseModel], name: str) -> tuple[object, object] | None:
    """The default of a field as it is and as its type validates it; None if it has none that can be known."""
    info = cls.__pydantic_fields__[name]
    if info.is_required() or (info.default_factory is not None and info.default_factory_takes_validated_data):
        return None
    raw = info.get_default(call_default_factory=True)
    annotation = info.annotation
    if raw is None or annotation is type(raw) or type(raw) in tp.get_args(annotation) or _is_model(type(raw)):
        return raw, raw
    try:
        # the class's own validator for this field alone: X(a=1) and X() with the default 1 of a float are equal
        valid = cls.model_construct()
        cls.__pydantic_validator__.validate_assignment(valid, name, raw)
        return raw, valid.__dict__[name]
    except Exception:  # a validator of the user's that needs other fields: the default is taken as it is
        return raw, raw


@functools.lru_cache(maxsize=4096)
def _fields(cls: type[pydantic.BaseModel]) -> tuple[_Field, ...]:
    """The fields of a class that count, by name."""
    out = []
    for name, info in sorted(cls.__pydantic_fields__.items()):
        if is_marked(info):
            continue
        classes, discriminators = _annotated(info.annotation, (set(), set()))
        for meta in (info, *info.metadata):
            if isinstance(getattr(meta, "discriminator", None), str):
                discriminators.add(meta.discriminator)
        as_validated = None
        default = default_of(cls, name)
        if default is not None and default[0] is not default[1]:
            try:
                pair = _uid.canonical(default[0]), _uid.canonical(default[1])
                as_validated = pair if pair[0] != pair[1] else None
            except UidError:  # told when a value is encoded
                pass
        out.append(_Field(name, frozenset(classes), tuple(sorted(discriminators)), as_validated))
    return tuple(out)


def is_marked(info: FieldInfo) -> bool:
    """True if a field is marked `NotInUid`."""
    return any(meta is NotInUid or isinstance(meta, NotInUid) for meta in info.metadata)


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
        self.known = dict(known or {})
        self.fresh: dict[str, str] = {}
        self._rows: dict[tuple[type, str], tuple[_Row, ...]] = {}

    def rows(self, cls: type[pydantic.BaseModel], prefix: str) -> tuple[_Row, ...]:
        """The fields of a class at one place of the schema; their defaults are taken in if they are new."""
        rows = self._rows.get((cls, prefix))
        if rows is None:
            rows = tuple(self._row(cls, field, f"{prefix}{field.name}") for field in _fields(cls))
            self._rows[cls, prefix] = rows
        return rows

    def _row(self, cls: type[pydantic.BaseModel], field: _Field, path: str) -> _Row:
        default = default_of(cls, field.name)
        encoding = None
        if default is not None:
            try:
                encoding = Minimal(self).field(default[1], field, path)
            except UidError:
                encoding = None  # a default that cannot be encoded is never left out; a value is refused in its place
        today = "" if encoding is None else _uid.digest(encoding)
        first = self.known.get(path)
        if first is None:
            first = self.known[path] = self.fresh[path] = today
        return _Row(field, path, encoding if first == today else None, first)


class _Pass(_uid.Encoding):
    """A pass over a configuration that knows where it is."""

    def __init__(self, exclude: frozenset[str] = frozenset()) -> None:
        super().__init__()
        self.exclude = exclude
        self.names: tuple[str, ...] = ()
        self._place: tuple[_Field, str] | None = None

    def field(self, value: tp.Any, field: _Field, path: str) -> bytes:  # Any: whatever a field can hold
        """The encoding of the value of a field."""
        if type(value) in _PLAIN:
            encoding = self.value(value)
        elif isinstance(value, pydantic.BaseModel) and not hasattr(type(value), "__uid_value__"):
            encoding = self.model_at(value, field, path)
        else:
            before, self._place = self._place, (field, path + "[]")
            encoding = self.value(value)
            self._place = before
        if field.as_validated is not None and encoding == field.as_validated[0]:
            encoding = field.as_validated[1]
        return encoding

    def model(self, value: tp.Any) -> bytes:
        if self._place is None:
            return super().model(value)
        return self.model_at(value, *self._place)

    def model_at(self, value: pydantic.BaseModel, field: _Field, path: str) -> bytes:
        raise NotImplementedError  # Minimal and Complete

    def is_excluded(self, name: str) -> bool:
        return bool(self.exclude) and ".".join((*self.names, name)) in self.exclude

    def tag(self, value: pydantic.BaseModel, field: _Field) -> tuple[str, tuple[str, ...]]:
        """What tells the class of a model among those its field may hold, and which discriminators say so."""
        cls = type(value)
        names = tuple(name for name in field.discriminators if name in cls.__pydantic_fields__)
        if cls in field.classes and (names or len(field.classes) == 1):
            return ",".join(f"{name}={value.__dict__.get(name)!r}" for name in names), names
        return _uid.class_path(cls), names


def _state(value: pydantic.BaseModel) -> dict[str, tp.Any]:
    return value.__dict__


def _refuse(value: pydantic.BaseModel, name: str, error: UidError) -> tp.NoReturn:
    text = str(error)
    place = f"{type(value).__name__}.{name}"
    raise UidError(text if text.startswith("field ") else f"field {place}: {text}") from None


class Minimal(_Pass):
    """Leaves out every field at its default: what the uid is made of.

    Attributes
    ----------
    shown
        The fields that differ, as pairs of the names that lead to them and their value.
    """

    def __init__(self, baseline: Baseline, exclude: frozenset[str] = frozenset()) -> None:
        super().__init__(exclude)
        self.baseline = baseline
        self.shown: list[tuple[tuple[str, ...], object]] = []

    def model_at(self, value: pydantic.BaseModel, field: _Field, path: str) -> bytes:
        tag, discriminators = self.tag(value, field)
        self.mutable = self.mutable or not value.model_config.get("frozen")
        prefix = f"{path}<{tag}>." if tag else f"{path}."
        return _uid.tagged(
            "model", tag.encode("utf-8", "surrogatepass") + b";", *self.fields(value, prefix, discriminators)
        )

    def fields(self, value: pydantic.BaseModel, prefix: str, forced: tuple[str, ...] = ()) -> list[bytes]:
        """Name and encoding of each field that is not at its default."""
        state, parts, names = _state(value), [], self.names
        for field, path, default, digest in self.baseline.rows(type(value), prefix):
            name = field.name
            if self.exclude and self.is_excluded(name):
                continue
            before = len(self.shown)
            self.names = (*names, name)
            try:
                encoding = self.field(state[name], field, path)
            except UidError as error:
                _refuse(value, name, error)
            except KeyError:
                raise UidError(f"field {type(value).__name__}.{name} was never set (model_construct?)") from None
            finally:
                self.names = names
            if name not in forced and (encoding == default or (default is None and digest == _uid.digest(encoding))):
                del self.shown[before:]
                continue
            parts.append(_uid.canonical(name) + encoding)
            if len(self.shown) == before or not isinstance(state[name], pydantic.BaseModel):
                self.shown[before:] = [((*names, name), state[name])]
        for name, extra in sorted((value.__pydantic_extra__ or {}).items()):
            parts.append(_uid.canonical(name) + self.value(extra))
            self.shown.append(((*names, name), extra))
        return parts


class Complete(_Pass):
    """Encodes every field that counts, defaults too: what an entry was computed with.

    Attributes
    ----------
    leaves
        Encodings by path in the schema, without the models between them.
    """

    def __init__(self, exclude: frozenset[str] = frozenset()) -> None:
        super().__init__(exclude)
        self.leaves: dict[str, list[bytes]] = {}
        self._models = 0

    def model_at(self, value: pydantic.BaseModel, field: _Field, path: str) -> bytes:
        tag, _ = self.tag(value, field)
        self.mutable = self.mutable or not value.model_config.get("frozen")
        self._models += 1
        prefix = f"{path}<{tag}>." if tag else f"{path}."
        return _uid.tagged("model", tag.encode("utf-8", "surrogatepass") + b";", *self.fields(value, prefix))

    def fields(self, value: pydantic.BaseModel, prefix: str) -> list[bytes]:
        """Name and encoding of each field that counts."""
        state, parts, names = _state(value), [], self.names
        for field in _fields(type(value)):
            if self.exclude and self.is_excluded(field.name):
                continue
            self.names, models, path = (*names, field.name), self._models, prefix + field.name
            try:
                encoding = self.field(state[field.name], field, path)
            except UidError as error:
                _refuse(value, field.name, error)
            finally:
                self.names = names
            parts.append(_uid.canonical(field.name) + encoding)
            leaf = encoding if models == self._models else self._shape(state[field.name], field)
            self.leaves.setdefault(path, []).append(leaf)
        for name, extra in sorted((value.__pydantic_extra__ or {}).items()):
            parts.append(_uid.canonical(name) + self.value(extra))
            self.leaves.setdefault(prefix + name, []).append(parts[-1])
        return parts

    def _shape(self, value: object, field: _Field) -> bytes:
        return _Shape(self.exclude).field(value, field, "")


class _Shape(_Pass):
    """A model is the tag of its class: what holds the models of a field, without what they hold."""

    def model_at(self, value: pydantic.BaseModel, field: _Field, path: str) -> bytes:
        return _uid.canonical(self.tag(value, field)[0])


class Identity(tp.NamedTuple):
    """What a configuration is for one method.

    Attributes
    ----------
    uid
        Its name, "default" if nothing differs from the defaults that count.
    shown
        The fields that differ, as pairs of the names that lead to them and their value.
    complete
        128 bits of the complete configuration.
    mutable
        True if something in it can change in place.
    """

    uid: str
    shown: list[tuple[tuple[str, ...], object]]
    complete: bytes
    mutable: bool


def identify(model: pydantic.BaseModel, baseline: Baseline, exclude: frozenset[str] = frozenset()) -> Identity:
    """The identity of a model; `exclude` holds dotted names, "infra" among them.

    Raises
    ------
    UidError
        If a value cannot be told apart faithfully, naming its field.
    """
    try:
        minimal = Minimal(baseline, exclude)
        parts = minimal.fields(model, "")
        complete, mutable = fingerprint(model, exclude)
    except RecursionError:
        raise UidError(f"a value in {type(model).__name__} contains itself, or is nested too deeply") from None
    uid = _uid.text(readable(minimal.shown), b"".join(parts)) if parts else "default"
    return Identity(uid, minimal.shown, complete, mutable)


def fingerprint(model: pydantic.BaseModel, exclude: frozenset[str] = frozenset()) -> tuple[bytes, bool]:
    """128 bits of the complete configuration, and whether something in it can change in place."""
    whole = Complete(exclude)
    return _uid.complete_digest(b"".join(whole.fields(model, ""))), whole.mutable


def stored(model: pydantic.BaseModel, complete: bytes, exclude: frozenset[str] = frozenset()) -> bytes:
    """What an entry keeps of the configuration it was computed with."""
    return complete + json.dumps(_leaves(model, exclude), separators=(",", ":")).encode()


def _leaves(model: pydantic.BaseModel, exclude: frozenset[str]) -> dict[str, str]:
    whole = Complete(exclude)
    whole.fields(model, "")
    return {path: _uid.digest(b"".join(parts)) for path, parts in whole.leaves.items()}


def agrees(kept: bytes, model: pydantic.BaseModel, complete: bytes, exclude: frozenset[str] = frozenset()) -> bool:
    """Whether an entry that keeps `kept` was computed with this configuration, up to fields added or removed since.

    A field that one of the two does not know is at its first default in the other, or their uids would differ.
    """
    if kept[:16] == complete:
        return True
    try:
        then = json.loads(kept[16:])
    except ValueError:
        return False
    now = _leaves(model, exclude)
    return all(now.get(path, digest) == digest for path, digest in then.items())


def readable(shown: tp.Iterable[tuple[tuple[str, ...], object]]) -> str:
    """The fields that differ as one line, for a person."""
    return ",".join(f"{'.'.join(names)}={_short(value)}" for names, value in shown)


def _short(value: object) -> str:
    if isinstance(value, (bool, int, str)):
        return str(value)[:40]
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, (list, tuple, set, frozenset)):
        return ",".join(_short(item) for item in list(value)[:8])[:40]
    hook = getattr(type(value), "__uid_value__", None)
    if hook is not None:
        return _short(hook(value))
    if isinstance(value, dict):
        return ",".join(f"{key}-{_short(item)}" for key, item in list(value.items())[:8])[:40]
    if isinstance(value, pydantic.BaseModel):
        return type(value).__name__
    return (
        str(value)[:40] if type(value).__str__ is not object.__str__ and len(repr(value)) < 80 else type(value).__name__
    )


def counting(model: pydantic.BaseModel, exclude: frozenset[str], names: tuple[str, ...]) -> dict[str, object]:
    """The fields of a model that count, by name; `names` lead to the model."""
    fields = (field.name for field in _fields(type(model)) if ".".join((*names, field.name)) not in exclude)
    return {**{name: model.__dict__[name] for name in fields}, **(model.__pydantic_extra__ or {})}
