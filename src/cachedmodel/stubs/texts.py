"""Types that exist at run time, as the text of a stub, with the imports that this text needs."""

from __future__ import annotations

import inspect
import re
import sys
import types
import typing as tp

import typing_extensions as te

_UNIONS = (tp.Union, types.UnionType)
_DEFAULT = "_default"
_NEVER_NAMED = ("<locals>", "<lambda>")


class Texts:
    """Writes types as seen from a module, and remembers what must be imported and what could not be said.

    Imports get names with an underscore (``import pathlib as _pathlib``): neither what the module itself imports nor a field
    can hide them.

    Attributes
    ----------
    imports
        Modules that the texts name.
    notes
        What could not be typed, as sentences that begin with a place.
    place
        Where in the module a note belongs.
    """

    def __init__(self, module: types.ModuleType) -> None:
        self.module = module
        self.imports: set[str] = set()
        self.notes: list[str] = []
        self.place: str = module.__name__
        self._has_default = False

    def note(self, text: str) -> None:
        """Remembers that something could not be typed."""
        line = f"{self.place}: {text}"
        if line not in self.notes:
            self.notes.append(line)

    def named(self, module: str, name: str) -> str:
        """A name of another module."""
        self.imports.add(module)
        return f"{alias(module)}.{name}"

    def any(self, why: str = "") -> str:
        """``Any``, and why."""
        if why:
            self.note(why)
        return self.named("typing", "Any")

    def default(self) -> str:
        """The name that stands for the default of a field."""
        self._has_default = True
        self.imports.add("typing")
        return _DEFAULT

    def import_lines(self) -> str:
        """The imports of what was written."""
        imports = "".join(f"import {name} as {alias(name)}\n" for name in sorted(self.imports))
        return imports + f"\n{_DEFAULT}: {alias('typing')}.Any\n" * self._has_default

    def text(self, kind: object) -> str:
        """A type."""
        if kind is None or kind is type(None):
            return "None"
        if kind is ...:
            return "..."
        if isinstance(kind, list):  # the parameters of a Callable
            return f"[{self._listed(kind)}]"
        if isinstance(kind, (tp.TypeVar, te.TypeVar, tp.ParamSpec, te.ParamSpec)):
            return self._variable(kind)
        if isinstance(kind, te.TypeAliasType):
            return self._reachable(kind, kind.__module__ or "", kind.__name__) or self.text(kind.__value__)
        origin, args = tp.get_origin(kind), tp.get_args(kind)
        if origin is not None:
            return self._applied(origin, args)
        if kind is tp.Any or kind is te.Any:
            return self.any()
        return self.class_text(kind) if inspect.isclass(kind) else self._special(kind)

    def union(self, texts: tp.Iterable[str]) -> str:
        """A union of texts, each once, None last."""
        parts = list(dict.fromkeys(part for text in texts for part in _split(text)))
        any_text = f"{alias('typing')}.Any"
        if any_text in parts:
            return any_text
        return " | ".join(sorted(parts, key=lambda part: part == "None"))

    def class_text(self, cls: type) -> str:
        """A class, by a name under which it is found; the arguments of a model that is generic."""
        meta = getattr(cls, "__pydantic_generic_metadata__", None)
        if meta and meta["origin"] is not None:
            return f"{self.text(meta['origin'])}[{self._listed(meta['args'])}]"
        if cls.__module__ == "builtins":
            return "None" if cls is type(None) else cls.__qualname__
        if cls is types.FunctionType or cls is types.BuiltinFunctionType:
            return f"{self.named('collections.abc', 'Callable')}[..., {self.any()}]"
        return self._reachable(cls, cls.__module__, cls.__qualname__) or self.any(
            f"{cls.__module__}.{cls.__qualname__} is found under no name, so it is written as Any"
        )

    # -- inside --------------------------------------------------------------------------------------------------------

    def _listed(self, kinds: tp.Iterable[object]) -> str:
        return ", ".join(self.text(kind) for kind in kinds)

    def _applied(self, origin: object, args: tuple[object, ...]) -> str:
        if origin is tp.Annotated or origin is te.Annotated:
            return self.text(args[0])
        if origin in (tp.Literal, te.Literal):
            return self.literal(args)
        if origin in _UNIONS:
            return self.union(self.text(arg) for arg in args)
        if origin is tp.ClassVar or origin is tp.Final:
            return self.text(args[0])
        if origin is tp.Unpack or origin is te.Unpack:
            return f"*{self.text(args[0])}"
        if origin is tuple and not args:
            return "tuple[()]"
        base = self.text(origin)
        return f"{base}[{self._listed(args)}]" if args and base != f"{alias('typing')}.Any" else base

    def literal(self, values: tp.Iterable[object]) -> str:
        """A Literal of some values; enum members by name."""
        import enum

        shown = [
            f"{self.class_text(type(value))}.{value.name}" if isinstance(value, enum.Enum) else repr(value)
            for value in values
        ]
        return f"{self.named('typing', 'Literal')}[{', '.join(shown)}]"

    def _variable(self, kind: tp.Any) -> str:  # Any: a TypeVar of either module
        name: str = kind.__name__
        if getattr(self.module, name, None) is kind:
            return name
        module = str(getattr(kind, "__module__", ""))
        if getattr(sys.modules.get(module), name, None) is kind:
            return self.named(module, name)
        return self.any()  # of a generic base elsewhere: what it stands for is not known here

    def _reachable(self, value: object, module: str, qualname: str) -> str | None:
        """The shortest public name of an object: classes often live in a private module and are shown by another."""
        if any(part in qualname for part in _NEVER_NAMED):
            return None
        if module == self.module.__name__:
            return qualname if _lookup(self.module, qualname) is value else None
        parts = module.split(".")
        for length in range(1, len(parts) + 1):
            name = ".".join(parts[:length])
            if name in sys.modules and _lookup(sys.modules[name], qualname) is value:
                if name == self.module.__name__:
                    return qualname
                return self.named(name, qualname)
        return None

    def _special(self, kind: object) -> str:
        """Special forms, new types, forward references."""
        if isinstance(kind, tp.ForwardRef):
            return str(kind.__forward_arg__)
        if isinstance(kind, str):
            return kind
        for module in ("typing", "typing_extensions"):
            name = getattr(kind, "_name", None) or getattr(kind, "__name__", None)
            if isinstance(name, str) and getattr(sys.modules[module], name, None) is kind:
                return self.named(module, name)
        if isinstance(kind, tp.NewType):
            return self._reachable(kind, kind.__module__ or "", kind.__name__) or self.text(kind.__supertype__)
        return self.any(f"{kind!r} is no type that can be written, so it is Any")


def alias(module: str) -> str:
    """The name that a stub gives to a module that it imports."""
    return "_" + module.replace(".", "_")


def _lookup(module: types.ModuleType, qualname: str) -> object:
    found: object = module
    for part in qualname.split("."):
        found = vars(found).get(part) if hasattr(found, "__dict__") else None
    return found


def _split(text: str) -> list[str]:
    """The members of a union that is no part of anything else."""
    depth, members, quoted = 0, [""], ""
    for token in re.split(r"( \| |[\[\](){}'\"])", text):
        if quoted:
            quoted = "" if token == quoted else quoted
        elif token in ("'", '"'):
            quoted = token
        depth += 0 if quoted else (token in "[({") * bool(token) - (token in "])}") * bool(token)
        if token == " | " and not depth and not quoted:
            members.append("")
        else:
            members[-1] += token
    return members
