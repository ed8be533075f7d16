"""Every error of the package, as a tree; and which errors are the machinery's.

CachedModelError
├── DefinitionError (TypeError)     a class, a method or a function is declared in a way that cannot work
├── InfraError (ValueError)         a setting, or a combination of settings, that cannot work
├── UidError (ValueError)           a value that cannot be told apart faithfully from others
├── MissingError (LookupError)      mode="read-only" forbids computing, and an entry is not there
├── CacheError                      the folder of a cache cannot be read or written as asked
├── ComputeError                    a failure of the user's code that cannot be raised as its own type
│   └── RecursiveComputeError       a computation asked for its own result
├── JobLostError                    a job ended without a result: killed, out of memory, node lost, timed out
└── ItemErrors (ExceptionGroup)     the failures of the items of a map, each naming its item

What the user's own code raises comes back as its own type and is not part of this tree.
"""

from __future__ import annotations

import errno
import typing as tp

if tp.TYPE_CHECKING:
    from collections.abc import Sequence


class CachedModelError(Exception):
    """Root of all errors of the package."""


class DefinitionError(CachedModelError, TypeError):
    """A class, a method or a function is declared in a way that cannot work."""


class InfraError(CachedModelError, ValueError):
    """A setting, or a combination of settings, that cannot work."""


class UidError(CachedModelError, ValueError):
    """A value that cannot be encoded faithfully, or that changed after its uid was computed."""


class MissingError(CachedModelError, LookupError):
    """``mode="read-only"`` forbids computing, and some entries are not cached."""


class CacheError(CachedModelError):
    """A cache folder cannot be read or written as asked; an ``OSError`` is among the causes, if there was one."""


class ComputeError(CachedModelError):
    """A failure of the user's code whose exception cannot be restored: carries its type name and traceback.

    Attributes
    ----------
    type_name
        Qualified name of the type that was raised, eg ``"builtins.ValueError"``.
    remote_traceback
        The traceback as text, where the failure happened.
    """

    def __init__(self, message: str, type_name: str = "", remote_traceback: str = "") -> None:
        super().__init__(message)
        self.type_name = type_name
        self.remote_traceback = remote_traceback

    def __reduce__(self) -> tuple[type[ComputeError], tuple[str, str, str]]:
        return type(self), (str(self), self.type_name, self.remote_traceback)


class RecursiveComputeError(ComputeError):
    """A computation asked, directly or through others, for its own result."""


class JobLostError(CachedModelError):
    """A job ended without a result: killed, out of memory, node lost, timed out or cancelled.

    It is nobody's result: nothing is cached, and the next call computes again.
    """


class ItemErrors(ExceptionGroup[Exception], CachedModelError):
    """The failures of a map's items: an exception group, even for one, whose members name their item."""

    def derive(self, excs: Sequence[Exception], /) -> ItemErrors:  # type: ignore[override]  # items fail by Exceptions
        """A group of some of the members, as ``split`` and ``subgroup`` make it."""
        return ItemErrors(self.message, excs)


def is_machinery(error: BaseException) -> bool:
    """True for what is not the failure of the user's code, and is never cached: no memory, no disk, a lost job, a wrong call."""
    if isinstance(error, ItemErrors):
        return any(is_machinery(member) for member in error.exceptions)
    if isinstance(error, CachedModelError):
        return type(error) is not ComputeError
    if isinstance(error, OSError):
        return error.errno in (errno.ENOSPC, errno.EDQUOT)
    return isinstance(error, MemoryError) or not isinstance(error, Exception)
