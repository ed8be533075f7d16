"""Values to bytes and back, exactly: one file per kind of value."""

from .annotations import why_not
from .base import Codec, Payload, PickleRefusedError
from .registry import dump, load, register_codec

__all__ = ["Codec", "Payload", "PickleRefusedError", "dump", "load", "register_codec", "why_not"]
