"""Who wrote a file, when and with what: one small JSON text for each file, and two numbers for each item."""

from __future__ import annotations

import functools
import json
import math
import os
import sys
import time
from collections.abc import Callable

from .files import user_name


def text(extra: Callable[[], dict[str, object]] | None) -> bytes:
    """The provenance of a file that is written now."""
    facts: dict[str, object] = {
        "when": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "host": os.uname().nodename,
        "user": user_name(os.getuid()),
        "pid": os.getpid(),
        **_versions(),
    }
    if extra is not None:
        facts.update(extra())
    return json.dumps(facts, default=str).encode()


@functools.cache
def _versions() -> dict[str, str]:
    from importlib import metadata

    try:
        package = metadata.version("cachedmodel")
    except metadata.PackageNotFoundError:  # used from a source tree that was never installed
        package = "unknown"
    return {"python": ".".join(map(str, sys.version_info[:3])), "cachedmodel": package}


def of_item(file_text: bytes, when: int, seconds: float) -> dict[str, object]:
    """The provenance of one item: that of its file, with its own time."""
    try:
        facts = json.loads(file_text)
    except ValueError:
        facts = {}
    facts = dict(facts) if isinstance(facts, dict) else {}
    facts["when"] = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(when))
    facts["seconds"] = None if math.isnan(seconds) else round(seconds, 6)
    return facts
