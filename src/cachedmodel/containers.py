"""Values that hold others to bytes, and whether one of them has changed since: `CONTAINERS` says how exact types are encoded."""

from __future__ import annotations

import functools
import operator
import re
import types
import typing as tp
from collections import Counter, OrderedDict, defaultdict, deque

from .atoms import ATOMS, atoms, of_bytes, of_str, tagged
from .classpath import class_path

#: How to look at something that can change in place: at its items, or at bytes that stand for it.
Probe = tp.Callable[[tp.Any], tp.Collection[object]]
#: That, the thing, and what was seen.
Watched = tuple[Probe, object, tp.Collection[object]]
Handler = tp.Callable[["Walk", tp.Any], bytes]  # Any: each takes the type it is registered for


class Walk:
    """One pass over a value. Subclasses say how models and all other types are encoded.

    Attributes
    ----------
    watched
        What was met that can change in place, with what it held.
    opaque
        True once something was met whose changes only a new pass can tell: an array, a tensor.
    """

    watched: list[Watched]
    opaque: bool = False

    def __init__(self) -> None:
        self.watched = []

    def model(self, value: tp.Any) -> bytes:  # Any: a pydantic model, which this layer does not import
        """A model is its class and all of its fields."""
        self.opaque = True
        state = {name: value.__dict__.get(name) for name in type(value).__pydantic_fields__}
        parts = self.mapping(state), self.value(value.__pydantic_extra__ or {})
        return tagged("model", of_str(class_path(type(value))), *parts)

    def mapping(self, value: tp.Mapping[tp.Any, object]) -> bytes:
        """Key and value encodings, sorted: the order of a mapping is no part of its value."""
        pairs = sorted((self.value(key), self.value(val)) for key, val in value.items())
        return b"d%d:" % len(pairs) + b"".join([key + val for key, val in pairs])

    def sequence(self, tag: bytes, values: tp.Collection[object]) -> bytes:
        """A list or tuple as its tag, its length and its values."""
        kinds = {*map(type, values)}
        encode = None
        if len(kinds) == 1:
            kind = kinds.pop()
            if kind is int:  # in one piece, which takes a third of the time
                return b"%b%d:%b" % (tag, len(values), b"i%x;" * len(values) % (*values,))
            encode = atoms(kind)
        return b"%b%d:%b" % (tag, len(values), b"".join(map(encode or self.value, values)))

    def members(self, tag: bytes, values: tp.Collection[object]) -> bytes:
        """A set as its tag, its length and its values, sorted."""
        return tag + b"%d:" % len(values) + b"".join(sorted([self.value(value) for value in values]))

    def value(self, value: tp.Any) -> bytes:  # Any: whatever a field can hold
        """The canonical encoding of any value, or a `UidError`."""
        kind = type(value)
        encoder = ATOMS.get(kind)
        if encoder is not None:
            return encoder(value)
        return (CONTAINERS.get(kind) or self.other(tp.cast("tp.Hashable", kind)))(self, value)

    def other(self, kind: tp.Any) -> Handler:
        """How values of any other type are encoded."""
        raise NotImplementedError  # by Encoding

    def watch(self, probe: Probe, value: object) -> None:
        """Remembers what something holds now."""
        self.watched.append((probe, value, probe(value)))


def looks_same(watched: tp.Sequence[Watched]) -> tp.Callable[[], bool]:
    """Gives a function that tells whether nothing that was watched holds other objects now.

    False proves no change: an item may have been replaced by an equal one.
    """
    shape = tuple((probe, -1 if isinstance(seen, bytes) else len(seen)) for probe, _, seen in watched)
    if sum(length for _, length in shape) > _MOST_WRITTEN_OUT:
        return lambda: all(_is_same(probe(value), seen) for probe, value, seen in watched)
    return _written_out(shape)(*(part for _, *pair in watched for part in pair))


def _is_same(now: tp.Collection[object], seen: tp.Collection[object]) -> bool:
    if isinstance(seen, bytes):
        return now == seen
    return len(now) == len(seen) and all(map(operator.is_, seen, now))


_MOST_WRITTEN_OUT = 64


@functools.lru_cache(maxsize=1024)
def _written_out(shape: tuple[tuple[Probe, int], ...]) -> tp.Callable[..., tp.Callable[[], bool]]:
    """Makes such a function, of the things and what was seen of each, by the probe and the length (-1: bytes) of each.

    Written out, for loops and calls take several times as long, and this is most of what a result costs that is kept in memory.
    """
    names: dict[str, tp.Any] = {f"probe{at}": probe for at, (probe, _) in enumerate(shape)}
    arguments, unpack, look, same = [], [], [], []
    for at, (probe, length) in enumerate(shape):
        arguments += [f"value{at}", f"seen{at}"]
        if length < 0:
            same.append(f"probe{at}(value{at}) == seen{at}")
            continue
        then, now = ([f"{what}{at}_{item}" for item in range(length)] for what in ("then", "now"))
        held = {tuple: f"value{at}", values_of: f"value{at}.__dict__.values()"}.get(probe, f"probe{at}(value{at})")
        unpack.append(f" [{', '.join(then)}] = seen{at}")
        look.append(f"   [{', '.join(now)}] = {held}")
        same += map("{} is {}".format, now, then)
    lines = [
        f"def new({', '.join(arguments)}):",
        *unpack,
        " def same():",
        "  try:",
        *(look or ["   pass"]),
        "  except ValueError:",  # not as many items as there were
        "   return False",
        f"  return {' and '.join(same) or True}",
        " return same",
    ]
    exec("\n".join(lines), names)
    new: tp.Callable[..., tp.Callable[[], bool]] = names["new"]
    return new


def values_of(model: tp.Any) -> tuple[object, ...]:  # Any: a pydantic model
    """The values that a model holds, to be watched."""
    return tuple(model.__dict__.values())


def items_of(value: tp.Mapping[object, object]) -> tuple[object, ...]:
    """The keys and values of a mapping, to be watched."""
    return *value, *value.values()


def _list(self: Walk, value: list[object]) -> bytes:
    self.watched.append((tuple, value, tuple(value)))
    return self.sequence(b"l", value)


def _set(self: Walk, value: set[object]) -> bytes:
    self.watch(tuple, value)
    return self.members(b"S", value)


def _deque(self: Walk, value: deque[object]) -> bytes:
    self.watch(tuple, value)
    return tagged("deque", self.value(value.maxlen), self.sequence(b"l", value))


def _bytearray(self: Walk, value: bytearray) -> bytes:
    self.watch(bytes, value)
    return tagged("bytearray", of_bytes(bytes(value)))


def _dict(self: Walk, value: dict[object, object]) -> bytes:
    self.watch(items_of, value)
    return self.mapping(value)


def _ordered(self: Walk, value: OrderedDict[object, object]) -> bytes:
    self.watch(items_of, value)
    return tagged("OrderedDict", self.sequence(b"l", [x for pair in value.items() for x in pair]))


def _tagged_mapping(tag: str) -> Handler:
    def encode(self: Walk, value: tp.Any) -> bytes:
        self.watch(items_of, value)
        return tagged(tag, self.value(getattr(value, "default_factory", None)), self.mapping(value))

    return encode


def _attributes(tag: str, *names: str) -> Handler:
    def encode(self: Walk, value: tp.Any) -> bytes:
        return tagged(tag, *(self.value(getattr(value, name)) for name in names))

    return encode


CONTAINERS: dict[type, Handler] = {
    list: _list,
    tuple: lambda self, value: self.sequence(b"t", value),
    dict: _dict,
    set: _set,
    frozenset: lambda self, value: self.members(b"Z", value),
    bytearray: _bytearray,
    deque: _deque,
    OrderedDict: _ordered,
    defaultdict: _tagged_mapping("defaultdict"),
    Counter: _tagged_mapping("Counter"),
    types.MappingProxyType: _tagged_mapping("mappingproxy"),
    re.Pattern: _attributes("pattern", "pattern", "flags"),
    range: _attributes("range", "start", "stop", "step"),
    slice: _attributes("slice", "start", "stop", "step"),
    functools.partial: _attributes("partial", "func", "args", "keywords"),
}


containers: tp.Final = CONTAINERS.get
