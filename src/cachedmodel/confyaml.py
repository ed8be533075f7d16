"""YAML text of plain values, in and out: exact, safe, and read alike by readers of YAML 1.1 and 1.2.

Imports yaml at the top: imported itself only where a text is read or written.
"""

from __future__ import annotations

import os
import re
import typing as tp
from collections.abc import Hashable

import yaml

try:
    from yaml import CSafeDumper as _BaseDumper
    from yaml import CSafeLoader as _BaseLoader
except ImportError:  # PyYAML built without libyaml: the same text, slower
    from yaml import SafeDumper as _BaseDumper  # type: ignore[assignment]
    from yaml import SafeLoader as _BaseLoader  # type: ignore[assignment]

_TAG = "tag:yaml.org,2002:"
_ESCAPED = "!escaped"  # text that is not Unicode (file names may hold lone surrogates) has no form in YAML

# The core schema of YAML 1.2: `on`, `yes`, `1_000` and `1:30` are text, `1e-3` is a number.
_CORE = {
    "null": (r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    "bool": (r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    "int": (r"[-+]?[0-9]+|[-+]?0o[0-7]+|[-+]?0x[0-9a-fA-F]+", list("-+0123456789")),
    "float": (
        r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        list("-+.0123456789"),
    ),
}
_KEPT = ("timestamp", "merge")  # of YAML 1.1: dates are read as dates, and `<<` merges


class _ScalarLoader(_BaseLoader):
    """Reads the core schema, refuses duplicate keys."""

    def construct_object(self, node: yaml.Node, deep: bool = False) -> tp.Any:
        try:
            return super().construct_object(node, deep)
        except (ValueError, AttributeError) as e:  # what PyYAML lets through, eg for `!!int x` or 2024-13-01
            kind = node.tag.removeprefix(_TAG)
            raise yaml.constructor.ConstructorError(None, None, f"not a valid {kind}: {e}", node.start_mark) from e

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, tp.Any]:
        first: dict[tp.Any, yaml.Mark] = {}
        for key_node, _ in node.value:
            if key_node.tag == _TAG + "merge":
                continue
            key = self.construct_object(key_node, deep=True)
            mark = key_node.start_mark
            if isinstance(key, Hashable) and first.setdefault(key, mark) is not mark:
                problem = f"the key {key!r} is given twice, first in line {first[key].line + 1}"
                raise yaml.constructor.ConstructorError(None, None, problem, mark)
        return super().construct_mapping(node, deep)

    def construct_core_int(self, node: yaml.ScalarNode) -> int:
        text = str(self.construct_scalar(node))
        return int(text, 0) if re.match("[-+]?0[ox]", text) else int(text)

    def construct_escaped(self, node: yaml.ScalarNode) -> str:
        return str(self.construct_scalar(node)).encode("ascii").decode("unicode_escape")


class _Loader(_ScalarLoader):
    """Reads dates and merge keys too."""


class _Dumper(_BaseDumper):
    """Quotes whatever a reader of either version could take for something else."""

    def ignore_aliases(self, data: object) -> bool:
        return True

    def represent_text(self, data: str) -> yaml.ScalarNode:
        try:
            data.encode()
        except UnicodeEncodeError:
            return self.represent_scalar(_ESCAPED, data.encode("unicode_escape").decode("ascii"), style='"')
        return self.represent_scalar(_TAG + "str", data, style="|" if "\n" in data else None)

    def represent_items(self, data: list[tp.Any]) -> yaml.SequenceNode:
        numbers = all(isinstance(item, (int, float)) for item in data)
        return self.represent_sequence(_TAG + "seq", data, flow_style=numbers)


_ScalarLoader.yaml_implicit_resolvers = {}
for _name, (_pattern, _first) in _CORE.items():
    for _class in (_ScalarLoader, _Dumper):
        _class.add_implicit_resolver(_TAG + _name, re.compile(f"^(?:{_pattern})$", re.ASCII), _first)
for _char, _pairs in yaml.SafeLoader.yaml_implicit_resolvers.items():
    for _tag, _regexp in _pairs:
        if _tag.removeprefix(_TAG) in _KEPT:
            _Loader.add_implicit_resolver(_tag, _regexp, [_char])
_ScalarLoader.add_constructor(_TAG + "int", _ScalarLoader.construct_core_int)
_ScalarLoader.add_constructor(_ESCAPED, _ScalarLoader.construct_escaped)
_Dumper.add_representer(str, _Dumper.represent_text)
_Dumper.add_representer(list, _Dumper.represent_items)


def dumps(value: object) -> str:
    """The text of a plain value (see `confplain.plain`); long lines are not folded, so that they can be searched."""
    text: str = yaml.dump(
        value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, default_flow_style=False, width=2**30
    )
    return text


def read(source: str | bytes | os.PathLike[str] | tp.IO[str] | tp.IO[bytes]) -> tuple[str | bytes, str]:
    """The text of a source, and how errors name it."""
    if isinstance(source, str) and "\n" not in source and os.path.isfile(source):
        return _read_file(source)
    if isinstance(source, (str, bytes)):
        return source, "the YAML text"
    if isinstance(source, os.PathLike):
        return _read_file(source)
    return source.read(), f"the file {getattr(source, 'name', 'given')!r}"


def _read_file(path: str | os.PathLike[str]) -> tuple[bytes, str]:
    with open(path, "rb") as file:
        return file.read(), f"the file {os.fspath(path)!r}"


def loads(text: str | bytes, place: str) -> tp.Any:
    """The value of a text; `place` names it in errors."""
    return _load(text, _Loader, place)


def scalar(text: str, place: str) -> tp.Any:
    """The value of one command line argument: flow style or quoted where it starts so, else a scalar, never an error.

    Dates stay text: which of both a model wants is for the model to say.
    """
    if text[:1] in ("[", "{", '"', "'"):
        return _load(text, _ScalarLoader, place)
    stripped = text.strip()
    for name, (pattern, _) in _CORE.items():
        if stripped and re.fullmatch(pattern, stripped, re.ASCII):
            return _load(stripped, _ScalarLoader, place) if name != "null" else None
    return text


def _load(text: str | bytes, loader: type[_ScalarLoader], place: str) -> tp.Any:
    try:
        return yaml.load(text, Loader=loader)
    except (yaml.YAMLError, UnicodeError) as e:
        mark = getattr(e, "problem_mark", None)
        where = f", line {mark.line + 1}, column {mark.column + 1}" if mark is not None else ""
        problem = getattr(e, "problem", None) or e
        raise ValueError(f"{place}{where} is no valid YAML: {problem}") from e
