"""Typed stubs of the user's modules: what inline types cannot say of models, written to ``.pyi`` files."""

from .modules import StubError
from .writing import Report, check, write

__all__ = ["Report", "StubError", "check", "write"]
