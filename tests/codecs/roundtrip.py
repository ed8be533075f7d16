"""From a value to bytes and back, as a cache does it."""

from __future__ import annotations

import typing as tp

from cachedmodel.codecs import Payload, dump, load


def join(payload: Payload) -> memoryview:
    """The bytes as `load` receives them: read-only, in one piece."""
    return memoryview(b"".join(payload.parts))


def again(value: object, codec: str | None = None, *, allow_pickle: bool = False) -> tp.Any:
    """The value after its way to bytes and back; by default, no pickle may be involved."""
    payload = dump(value, codec, allow_pickle=allow_pickle)
    return load(payload.codec, join(payload), allow_pickle=allow_pickle)
