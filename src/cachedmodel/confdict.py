"""ConfDict: a nested dict whose keys may be dotted, as configurations are written, merged and stored."""

from __future__ import annotations

import os
import typing as tp
from collections.abc import Callable, Iterable, Mapping, Sequence

from . import uid as _uid
from .confkeys import MISSING, REPLACE, Path, escape, is_index, join, look, split, walk

if tp.TYPE_CHECKING:
    import pydantic

# `Any` in the signatures of this file: a configuration holds whatever a field of a model can hold.
_Source = Mapping[tp.Any, tp.Any] | Iterable[tuple[str, tp.Any]] | None

# How a value meets what is there: `assign` takes its place, `merge` merges mappings, `update` does too and obeys
# "=replace=", `strict` merges and refuses to lose anything.
_How = tp.Literal["assign", "merge", "update", "strict"]


class ConfDict(dict[str, tp.Any]):
    r"""A nested dict for configurations, read and written with dotted keys.

    Mappings given to it, at any depth also in lists and tuples, are copied into ConfDicts, and their dotted keys
    nested. A part of a key may be the index of a list. A literal dot in a key is written ``\.``;
    iteration gives the keys of one level, as they are. Keys that are no strings are kept, and never split.
    Any other value is held as it is.

    Parameters
    ----------
    source
        Mapping, or pairs of keys and values; merged in order, then the keyword arguments.

    Examples
    --------
    >>> conf = ConfDict({"optim.lr": 0.1, "layers": [{"width": 8}]}, seed=1)
    >>> conf["optim"], conf["layers.0.width"], "optim.name" in conf
    (ConfDict({'lr': 0.1}), 8, False)
    >>> conf["layers.0.width"] = 16
    >>> conf.update({"optim": {"name": "adam"}})
    >>> conf
    ConfDict({'optim': {'lr': 0.1, 'name': 'adam'}, 'layers': [{'width': 16}], 'seed': 1})
    """

    def __init__(self, source: _Source = None, /, **kwargs: tp.Any) -> None:
        super().__init__()
        self._take(source, "merge")
        self._take(kwargs, "merge")

    # -- one key ----------------------------------------------------------------------------------------------------

    def __getitem__(self, key: str) -> tp.Any:
        value = self._find(key)
        if value is MISSING:
            raise self._missing(key)
        return value

    def __setitem__(self, key: str, value: tp.Any) -> None:
        _put(self, (), split(key), value, "assign")

    def __delitem__(self, key: str) -> None:
        self.pop(key)

    def __contains__(self, key: object) -> bool:
        return self._find(key) is not MISSING

    def get(self, key: str, default: tp.Any = None) -> tp.Any:
        """The value at a dotted key, or the default if there is none."""
        value = self._find(key)
        return default if value is MISSING else value

    def setdefault(self, key: str, default: tp.Any = None) -> tp.Any:
        """The value at a dotted key, which is set to the default if there is none."""
        if key not in self:
            self[key] = default
        return self[key]

    def pop(self, key: str, default: tp.Any = MISSING) -> tp.Any:
        """Takes the value at a dotted key out; without a default, a key that is not there is a KeyError."""
        *parents, last = split(key)
        value = self._find(key)
        if value is MISSING:
            if default is MISSING:
                raise self._missing(key)
            return default
        box = walk(self, parents)
        if isinstance(box, dict):
            return dict.pop(box, last)
        if isinstance(box, tuple):
            raise _immutable(parents)
        return box.pop(int(last))

    # -- many keys --------------------------------------------------------------------------------------------------

    def update(self, source: _Source = None, /, **kwargs: tp.Any) -> None:  # type: ignore[override]  # merges
        """Merges deeply: mappings into mappings, key by key; any other value takes the place of what was there.

        A mapping whose keys are all indexes is merged into the items of a list. A mapping with the entry
        ``"=replace=": True`` takes the place of what was there instead of being merged.

        Examples
        --------
        >>> conf = ConfDict({"optim": {"name": "sgd", "momentum": 0.9}, "seed": 1})
        >>> conf.update({"optim": {"=replace=": True, "name": "adam"}, "seed": 2})
        >>> conf
        ConfDict({'optim': {'name': 'adam'}, 'seed': 2})
        """
        self._take(source, "update")
        self._take(kwargs, "update")

    def flat(self) -> dict[str, tp.Any]:
        r"""Dotted keys to leaves, in order: ``from_flat``, the constructor and ``update`` take them back exactly.

        Leaves are all values but mappings; lists are leaves, and so are empty mappings and those with keys that are
        no strings. Dots in keys come escaped.

        Examples
        --------
        >>> ConfDict({"data": {"path": "x", "sizes": [1, 2]}, r"files.a\.png": 3, "empty": {}}).flat()
        {'data.path': 'x', 'data.sizes': [1, 2], 'files.a\\.png': 3, 'empty': ConfDict({})}
        """
        out: dict[str, tp.Any] = {}
        _flatten(self, "", out)
        return out

    def to_dict(self) -> dict[str, tp.Any]:
        """The same as plain dicts, at any depth, with the keys as they are (a dot is part of a key)."""
        return tp.cast(dict[str, tp.Any], _unwrap(self, lambda key: key))

    def copy(self) -> tp.Self:
        """A copy that shares no mapping, list or tuple with this one, but all other values."""
        return self._restore({key: _own(value) for key, value in self.items()})

    __copy__ = copy

    def __or__(self, other: tp.Any) -> tp.Any:
        if not isinstance(other, Mapping):
            return NotImplemented
        out = self.copy()
        out.update(other)
        return out

    def __ror__(self, other: tp.Any) -> tp.Any:
        if not isinstance(other, Mapping):
            return NotImplemented
        out = type(self)(other)
        out.update(self)
        return out

    def __ior__(self, other: _Source) -> tp.Self:  # type: ignore[override,misc]  # merges
        self.update(other)
        return self

    def __repr__(self) -> str:
        return f"{type(self).__name__}({_unwrap(self, escape)!r})"

    def __reduce__(self) -> tuple[tp.Any, ...]:
        # the keys are literal: the default would send them through __setitem__
        return type(self)._restore, (dict(self),)

    def __reduce_ex__(self, protocol: tp.SupportsIndex) -> tuple[tp.Any, ...]:
        return self.__reduce__()

    # -- in and out -------------------------------------------------------------------------------------------------

    @classmethod
    def from_flat(cls, flat: Mapping[str, tp.Any]) -> tp.Self:
        """The inverse of `flat`; keys that contradict each other, as ``a`` and ``a.b``, are a ValueError."""
        out = cls()
        out._take(flat, "strict")
        return out

    @classmethod
    def from_nested(cls, mapping: Mapping[str, tp.Any]) -> tp.Self:
        """From nested mappings whose keys are taken as they are: a dot in one is no path."""
        return cls._restore(_literal(dict(mapping)))

    @classmethod
    def from_model(cls, model: pydantic.BaseModel, exclude_defaults: bool = False) -> tp.Self:
        """The fields of a pydantic model by their names, as the Python values they hold.

        Models and dataclasses inside become mappings with all their fields (those of a subclass, and those that a
        dump would leave out, too); secrets are masked.

        Parameters
        ----------
        exclude_defaults
            Leave out the fields whose value equals their default in type and value; discriminators of a union stay.
        """
        from .confplain import of_model

        return cls.from_nested(of_model(model, exclude_defaults))

    @classmethod
    def from_args(cls, args: Sequence[str]) -> tp.Self:
        """Arguments of a command line, ``--key=value`` or ``key=value``; of a key given twice the last counts.

        Values are read as scalars of YAML 1.2: ``1e-3`` is a number, ``true`` and ``false`` are the booleans, ``null``
        is None, and ``on``, ``2024-01-01`` or ``a: b`` are text, as is the empty value. What starts with a bracket, a
        brace or a quote is read as a YAML list, mapping or quoted text.

        Examples
        --------
        >>> ConfDict.from_args(["--optim.lr=1e-3", "sizes=[1, 2]", "name=on"])
        ConfDict({'optim': {'lr': 0.001}, 'sizes': [1, 2], 'name': 'on'})
        """
        from .confyaml import scalar

        out = cls()
        for arg in args:
            key, equals, value = arg.removeprefix("--").partition("=")
            if not equals or not key or key.startswith("-"):
                raise ValueError(f"the argument {arg!r} is not of the form key=value or --key=value")
            out._take({key: scalar(value, f"the argument {arg!r}")}, "merge")
        return out

    @classmethod
    def from_yaml(cls, source: str | bytes | os.PathLike[str] | tp.IO[str] | tp.IO[bytes]) -> tp.Self:
        """Reads a YAML text, its bytes, a path, or an open file; dotted keys are nested.

        A string of one line that is the name of a file is taken as path. Nothing but plain values is ever
        constructed. A key that is given twice, or keys that contradict each other, are a ValueError that says where.
        """
        from .confyaml import loads, read

        text, place = read(source)
        value = loads(text, place)
        if value is None:
            return cls()
        if not isinstance(value, dict):
            hint = "; there is no file of this name" if value == source else ""
            raise ValueError(f"{place} holds {_cut(value)}, not a mapping of keys to values{hint}")
        try:
            return cls.from_flat(value)
        except ValueError as e:
            raise ValueError(f"{place}: {e}") from None

    def to_yaml(self, path: str | os.PathLike[str] | None = None) -> str:
        """The YAML text, which is also written to `path` if one is given.

        `from_yaml` gives back exactly: None, bool, int, float, str, bytes, dates and datetimes, and lists and
        mappings of them. All else is written as something readable, and read back as that: tuples, sets (sorted)
        and arrays as lists; enums as their values; paths, decimals, fractions, UUIDs, times and durations as text;
        numpy scalars as numbers; models and dataclasses as mappings; secrets masked; a datetime with a named time zone
        with its offset (and without `fold`).
        """
        from .confsimple import text as text_of

        text = text_of(self)
        if path is not None:
            with open(path, "w", encoding="utf-8", newline="\n") as file:
                file.write(text)
        return text

    def uid(self) -> str:
        """A readable name of the content and its hash, safe as a file name: the same in every process.

        Differs if any value or its type does; the order of the keys does not count. What cannot be told apart
        faithfully is a `UidError`.
        """
        readable = ",".join(f"{key}={value}" for key, value in self.flat().items())
        return _uid.text(readable, _uid.canonical(self.to_dict()))

    # -- inside -----------------------------------------------------------------------------------------------------

    @classmethod
    def _restore(cls, items: Mapping[str, tp.Any]) -> tp.Self:
        """From keys and values that are taken as they are."""
        out = cls.__new__(cls)
        dict.update(out, items)
        return out

    def _take(self, source: _Source, how: _How) -> None:
        mapping = source if isinstance(source, Mapping) else dict(source or ())
        merged = _met(self, mapping, how, ())
        if merged is not self:
            self.clear()
            dict.update(self, merged)

    def _find(self, key: object) -> tp.Any:
        return walk(self, split(key))

    def _missing(self, key: str) -> KeyError:
        """What is wrong with a key that is not there: where its path ends, and what there is."""
        parts = split(key)
        depth = next(n for n in range(len(parts)) if walk(self, parts[: n + 1]) is MISSING)
        box, part, place = walk(self, parts[:depth]), parts[depth], join(parts[:depth])
        where = f"in {place!r}" if place else "here"
        if isinstance(box, (list, tuple)):
            return _no_index(box, part, parts[:depth])
        if not isinstance(box, dict):
            return KeyError(f"no key {key!r}: {place!r} is {_cut(box)}, which has no keys")
        rest = ".".join(map(str, parts[depth:]))
        if dict.__contains__(box, rest):
            literal = join((*parts[:depth], rest))
            return KeyError(f"no key {key!r}: a dot that is part of a key is written with a backslash, {literal!r}")
        known = ", ".join(map(repr, list(box)[:20])) or "none"
        return KeyError(f"no key {part!r} {where}; the keys are: {known}{', ...' if len(box) > 20 else ''}")


# -- writing --------------------------------------------------------------------------------------------------------


def _paths(mapping: Mapping[tp.Any, tp.Any], how: _How) -> list[tuple[Path, tp.Any]]:
    """Paths and values of one mapping; the keys of a ConfDict were split when they came in."""
    pairs = list(mapping.items())  # what is merged may be part of what it is merged into
    if how == "update":
        pairs = [(key, value) for key, value in pairs if not (key == REPLACE and value is True)]
    literal = isinstance(mapping, ConfDict)
    return [((key,) if literal else split(key), value) for key, value in pairs]


def _put(box: tp.Any, at: Path, parts: Sequence[tp.Any], value: tp.Any, how: _How) -> None:
    """Sets or merges a value at the path `parts` in a box, which is itself at the path `at`."""
    here = (*at, parts[0])
    old = look(box, parts[0])
    if len(parts) == 1:
        new = _met(old, value, how, here)
    else:
        new = old if isinstance(old, (ConfDict, list, tuple)) else ConfDict()
        if new is not old and old is not MISSING:
            _check_loss(how, here)
        _put(new, here, parts[1:], value, how)
    if new is old:
        return
    if isinstance(box, dict):
        dict.__setitem__(box, parts[0], new)
    elif isinstance(box, tuple):
        raise _immutable(at)
    elif old is MISSING:
        raise _no_index(box, parts[0], at)
    else:
        box[int(parts[0])] = new


def _met(old: tp.Any, value: tp.Any, how: _How, at: Path) -> tp.Any:
    """What comes of a value that is given where `old` is: `old` itself, merged into, or what takes its place."""
    if how == "assign" or not isinstance(value, Mapping):
        if old is not MISSING:
            _check_loss(how, at)
        return _own(value)
    paths = _paths(value, how)
    replaced = how == "update" and len(paths) < len(value)
    into_items = isinstance(old, (list, tuple)) and paths and all(is_index(path[0]) for path, _ in paths)
    if not replaced and (isinstance(old, ConfDict) or into_items):
        new = old
    else:
        new = ConfDict.__new__(ConfDict)
        if old is not MISSING:
            _check_loss(how, at)
    for path, sub in paths:
        _put(new, at, path, sub, how)
    return new


def _own(value: tp.Any) -> tp.Any:
    """A value as it is held: mappings as ConfDicts, lists and tuples copied."""
    if isinstance(value, ConfDict):
        return _literal(value)
    if isinstance(value, Mapping):
        return ConfDict(value)
    if type(value) in (list, tuple):
        return type(value)(map(_own, value))
    return value


def _literal(value: tp.Any) -> tp.Any:
    """As `_own`, with the keys taken as they are."""
    if isinstance(value, Mapping):
        return ConfDict._restore({key: _literal(sub) for key, sub in value.items()})
    if type(value) in (list, tuple):
        return type(value)(map(_literal, value))
    return value


def _check_loss(how: _How, at: Path) -> None:
    if how == "strict":
        raise ValueError(f"the key {join(at)!r} is given twice, in ways that contradict each other: keep one")


def _immutable(at: Iterable[tp.Any]) -> TypeError:
    return TypeError(f"{join(at)!r} is a tuple, whose items cannot be set: set it as a whole, or make it a list")


def _no_index(box: Sequence[tp.Any], part: tp.Any, at: Iterable[tp.Any]) -> KeyError:
    kind = type(box).__name__
    return KeyError(f"no item {part!r} in {join(at)!r}, which is a {kind} of length {len(box)} (indexes start at 0)")


# -- out ------------------------------------------------------------------------------------------------------------


def _flatten(conf: ConfDict, prefix: str, out: dict[str, tp.Any]) -> None:
    for key, value in conf.items():
        name = prefix + escape(key) if isinstance(key, str) else key
        if isinstance(value, ConfDict) and value and all(isinstance(sub, str) for sub in value):
            _flatten(value, name + ".", out)
        else:
            out[name] = _own(value)


def _unwrap(value: tp.Any, key: Callable[[str], str]) -> tp.Any:
    """The same with plain dicts, and `key` applied to all keys that are strings."""
    if isinstance(value, ConfDict):
        return {key(name) if isinstance(name, str) else name: _unwrap(sub, key) for name, sub in value.items()}
    if type(value) in (list, tuple):
        return type(value)(_unwrap(sub, key) for sub in value)
    return value


def _cut(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
