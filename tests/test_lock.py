"""Installs are repeatable: constraints.txt pins all that the project needs, directly or through others."""

from __future__ import annotations

import re
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

LOCK = Path(__file__).parents[1] / "constraints.txt"


def pinned() -> dict[str, str]:
    """Version by package, as the lock file says."""
    lines = [line for line in LOCK.read_text().splitlines() if line and not line.startswith("#")]
    return {canonicalize_name(name): version for name, version in (line.split("==") for line in lines)}


def needed(package: str, extras: frozenset[str]) -> dict[str, set[str]]:
    """All that `package` with `extras` needs on this Python: for each package, who asks for it."""
    found: dict[str, set[str]] = {}
    waiting, seen = [(package, extras)], set()
    while waiting:
        name, wanted = waiting.pop()
        if (name, wanted) in seen:
            continue
        seen.add((name, wanted))
        for line in metadata.requires(name) or ():
            required = Requirement(line)
            if required.marker and not any(required.marker.evaluate({"extra": extra}) for extra in wanted | {""}):
                continue
            found.setdefault(canonicalize_name(required.name), set()).add(name)
            waiting.append((required.name, frozenset(required.extras)))
    return found


def test_everything_needed_is_pinned() -> None:
    """Whatever this Python makes the project and its extras need has its version in the lock (else: `make lock`)."""
    extras = frozenset(metadata.metadata("cachedmodel").get_all("Provides-Extra") or ())

    assert {name: by for name, by in needed("cachedmodel", extras).items() if name not in pinned()} == {}


def test_pins_are_exact() -> None:
    """The lock holds nothing but `name==version`, and neither torch nor anything of CUDA."""
    assert all(re.fullmatch(r"[\w.+!-]+", version) for version in pinned().values())
    assert [name for name in pinned() if re.match(r"torch|nvidia|cuda|triton", name)] == []
