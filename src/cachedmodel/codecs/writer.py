"""The writing half of the tree: a value becomes a skeleton of tagged nodes, and buffers beside it. See objects.py."""

from __future__ import annotations

import typing as tp
from collections.abc import Callable, Collection, Iterable

from .base import ALIGNMENT, Buffer, Declined, Payload
from .kinds import is_atom, kind_of

MAX_DEPTH = 100
"""Deeper nestings are left to pickle, so that reading never meets Python's recursion limit."""

INLINE = 256
"""Buffers up to this many bytes lie in the skeleton: for them, padding would cost more than copying."""

MAX_SHAPE = 64
"""Up to so many keys of a dict are kept for later dicts to refer to."""

_SIZES = [bytes([size]) for size in range(128)]
_ZEROS = bytes(ALIGNMENT)

ENCODERS: dict[type, Callable[[Writer, tp.Any], None]] = {}
"""Encoder of each exact type; users' codecs are added to it."""

COLUMNS: dict[type, Callable[[Writer, tp.Any], bool]] = {}
"""Packs a column of values of exactly this type, or declines."""


#: What comes before the only buffer of a value, by its kind, the rest of its state and the size of the buffer: arrays of a
#: map often differ in it alone.
_heads: dict[tuple[object, ...], bytes] = {}
_MOST_HEADS, _LONGEST_HEAD = 256, 1024


class Writer:
    """Collects the nodes and buffers of one value; each object that is met again is written once."""

    __slots__ = (
        "buffers",
        "classes",
        "depth",
        "expansions",
        "hashed",
        "lone",
        "memo",
        "met",
        "out",
        "pickled",
        "shapes",
    )

    def __init__(self) -> None:
        self.out: bytearray = bytearray()
        self.buffers: list[list[Buffer]] = []
        self.pickled: bool = False
        self.depth: int = 0
        self.hashed: int = 0  # inside how many keys or set elements we are
        self.expansions: int = 0
        self.memo: dict[int, int] = {}  # id → index in `met`; -1 while the object is being written
        self.met: list[object] = []  # also keeps the objects alive, so that ids are not used again
        self.lone: tuple[object, ...] | None = None  # key of `_heads`, if the whole value is one of those
        self.shapes: dict[tuple[str, ...], int] = {}
        self.classes: dict[type, int] = {}

    def write(self, value: object) -> None:
        """Appends the node of `value`; raises `Declined`."""
        encode = ENCODERS.get(type(value), Writer.kind)
        encode(self, value)

    def size(self, number: int) -> None:
        """Appends a non-negative integer, 7 bits a byte."""
        if number < 128:
            self.out += _SIZES[number]
            return
        while number > 127:
            self.out.append(number & 127 | 128)
            number >>= 7
        self.out.append(number)

    def blob(self, data: Buffer) -> None:
        """Appends bytes: here if they are few, else beside the skeleton."""
        if len(data) <= INLINE:
            self.size(len(data) << 1)
            self.out += data
        else:
            self.aligned([data])

    def aligned(self, parts: Collection[Buffer]) -> None:
        """Appends bytes that lie beside the skeleton, at an aligned offset."""
        self.size(sum(map(len, parts)) << 1 | 1)
        self.buffers.append(list(parts))

    def enter(self, value: object) -> bool:
        """True if `value` has to be written now; else it is being referred to, and all is done."""
        index = self.memo.get(id(value))
        if index is not None:
            if index < 0:
                raise Declined("contains itself")
            if not self.hashed or is_atom(type(value)):
                self.out += b"@"
                self.size(index)
                return False
            # Keys refer to no containers: hashing tuples that share tuples could take forever when they are read.
            self.expansions += 1
            if type(value).__hash__ is object.__hash__ or self.expansions > 1000 + 10 * len(self.memo):
                raise Declined("is shared between keys")
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise Declined(f"is nested more than {MAX_DEPTH} levels deep")
        self.memo[id(value)] = -1
        return True

    def leave(self, value: object) -> None:
        """Ends what `enter` began."""
        self.depth -= 1
        self.memo[id(value)] = len(self.met)
        self.met.append(value)

    def column(self, values: Collection[object]) -> None:
        """Appends values: packed if all are floats, small integers, strings or booleans."""
        types = set(map(type, values))
        if len(types) == 1:
            pack = COLUMNS.get(types.pop())
            if pack is not None and pack(self, values):
                return
        self.out += b"*"
        self.size(len(values))
        self.nodes(values)

    def nodes(self, values: Iterable[object]) -> None:
        """Appends the nodes of values, one after the other."""
        index = 0
        try:
            for value in values:
                encode = ENCODERS.get(type(value), Writer.kind)
                encode(self, value)
                index += 1
        except Declined as declined:
            declined.path.append(f"[{index}]")
            raise

    def keys(self, values: Collection[object]) -> None:
        """Appends a column of values that will be hashed."""
        self.hashed += 1
        try:
            self.column(values)
        except Declined as declined:
            declined.path[-1] = f"<element {declined.path[-1][1:-1]}>"
            raise
        self.hashed -= 1

    def kind(self, value: object) -> None:
        """Appends a value that is not JSON-like, by its kind and state."""
        if not self.enter(value):
            return
        kind = kind_of(type(value))
        if kind is None:
            raise Declined(f"is of type {name_of(type(value))}")
        try:
            state = kind.reduce(value)
        except Declined:
            raise
        except Exception as error:  # of a library whose newer version we do not know
            raise Declined(f"cannot be reduced ({type(error).__name__}: {error})") from error
        if not self.out and state and type(state[-1]) is memoryview and len(state[-1]) > INLINE:
            *plain, content = state
            if all(map(is_plain, plain)):
                self.lone = kind.name, len(content), *plain
                if self.lone in _heads:
                    self.buffers.append([content])
                    return
        self.out += b"K"
        self.text(kind.name)
        self.size(len(state))
        for part in state:
            if isinstance(part, memoryview):
                self.out += b"V"
                self.blob(part)
            elif isinstance(part, type):
                self.cls(part)
            else:
                self.write(part)
        self.leave(value)

    def text(self, text: str) -> None:
        """Appends a string without its tag."""
        self.blob(text.encode("utf-8", "surrogatepass"))

    def cls(self, cls: type) -> None:
        """Appends a class, by the path that leads to it."""
        index = self.classes.get(cls)
        if index is not None:
            self.out += b"~"
            self.size(index)
            return
        from .classes import describe

        self.out += b"^"
        for word in describe(cls):
            self.text(word)
        self.classes[cls] = len(self.classes)

    def payload(self, codec: str) -> Payload:
        """All that was written."""
        if not self.buffers:
            return Payload(codec, (self.out,), self.pickled)
        head = _heads.get(self.lone) if self.lone is not None else None
        if head is not None:
            return Payload(codec, (head, *self.buffers[0]), self.pickled)
        skeleton, self.out = self.out, bytearray(b"B")
        self.size(len(skeleton))
        parts: list[Buffer] = [self.out, skeleton]
        end = len(self.out) + len(skeleton)
        for buffer in self.buffers:
            padding = -end % ALIGNMENT
            parts.append(_ZEROS[:padding])
            parts.extend(buffer)
            end += padding + sum(map(len, buffer))
        if self.lone is not None and len(self.buffers) == 1 and sum(map(len, parts[:-1])) <= _LONGEST_HEAD:
            if len(_heads) >= _MOST_HEADS:
                _heads.clear()
            _heads[self.lone] = b"".join(parts[:-1])
        return Payload(codec, parts, self.pickled)


def is_plain(value: object) -> bool:
    """True if it can be shared by many values: nobody can change it, and it equals nothing of another type."""
    if type(value) is tuple:
        return all(map(is_plain, value))
    return type(value) in (str, int)


def name_of(cls: type) -> str:
    """The class as messages name it."""
    return cls.__qualname__ if cls.__module__ == "builtins" else f"{cls.__module__}.{cls.__qualname__}"
