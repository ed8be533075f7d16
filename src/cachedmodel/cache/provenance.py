"""Who wrote a file, when and with what: one small JSON text for each file, and two numbers for each item."""

from __future__ import annotations

import functools
import json
import math
import os
import sys
import time
import typing as tp
from collections.abc import Callable

from .files import user_name
from .lives import Keeper, me

#: What a header says for maintenance alone: the process that appends to the file; and, in a file that was made of others,
#: from which offsets on its entries are of whom.
_WRITER, _PARTS = "writer", "parts"


def text(extra: Callable[[], dict[str, object]] | None, *, grows: bool = False) -> bytes:
    """The provenance of a file that is written now; one that `grows` also says how to tell whether its writer lives."""
    facts: dict[str, object] = {
        "when": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "host": os.uname().nodename,
        "user": user_name(os.getuid()),
        "pid": os.getpid(),
        **_versions(),
    }
    if extra is not None:
        facts.update(extra())
    if grows:
        facts[_WRITER] = json.loads(me().to_json())
    return json.dumps(facts, default=str).encode()


@functools.cache
def _versions() -> dict[str, str]:
    from importlib import metadata

    try:
        about = metadata.distribution("cachedmodel")
        # Not about.version: a parser of mails would be imported for this line.
        lines = (about.read_text("METADATA") or "").splitlines()
        found = [line.removeprefix("Version: ") for line in lines[:3] if line.startswith("Version: ")]
        package = found[0] if found else about.version
    except metadata.PackageNotFoundError:  # used from a source tree that was never installed
        package = "unknown"
    return {"python": ".".join(map(str, sys.version_info[:3])), "cachedmodel": package}


def writer(file_text: bytes) -> Keeper | None:
    """The process that appends to the file, where it is known."""
    try:
        return Keeper.from_json(json.dumps(_facts(file_text).get(_WRITER)))
    except (ValueError, TypeError):
        return None


def parts(file_text: bytes) -> list[tuple[int, dict[str, object]]]:
    """Whose entries a file holds: from which offset on, and the provenance of that part."""
    facts = _facts(file_text)
    inner = facts.pop(_PARTS, None)
    facts.pop(_WRITER, None)
    if not isinstance(inner, list):
        return [(0, facts)]
    return [(int(start), dict(part)) for start, part in inner]


def of_parts(inner: list[tuple[int, dict[str, object]]]) -> bytes:
    """The provenance of a file that is made of others; as long as any with as many of these parts or fewer."""
    # Offsets have as many digits whatever they are: the text is written before they are known.
    text = [f"[{json.dumps(f'{start:016d}')}, {json.dumps(part)}]" for start, part in inner]
    return f'{{"{_PARTS}": [{", ".join(text)}]}}'.encode()


def _facts(file_text: bytes) -> dict[str, tp.Any]:
    try:
        facts = json.loads(file_text)
    except ValueError:
        return {}
    return dict(facts) if isinstance(facts, dict) else {}


def of_item(file_text: bytes, when: int, seconds: float, offset: int = 0) -> dict[str, object]:
    """The provenance of one item at an offset: that of its file, or of its part of it, with its own time."""
    facts: dict[str, object] = {}
    for start, part in parts(file_text):
        if start <= offset:
            facts = dict(part)
    facts["when"] = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(when))
    facts["seconds"] = None if math.isnan(seconds) else round(seconds, 6)
    return facts
