"""From a stored payload to a value or a failure: whose pickles are loaded, and what cannot be read."""

from __future__ import annotations

import os
from collections.abc import Callable

from cachedmodel import codecs
from cachedmodel.errors import CacheError
from cachedmodel.failure import Failure

from .files import Unreadable, user_name
from .frames import FAILED, PICKLED, Record
from .options import Options


def is_trusted(owner: int, options: Options) -> bool:
    """Whether pickles in a file of this user may be loaded."""
    return owner in (os.geteuid(), 0) or user_name(owner) in options.trusted_users


def decode(record: Record, payload: memoryview, owner: Callable[[], int], options: Options, path: str) -> object:
    """The value, or the `Failure`; Unreadable if it cannot be restored here; CacheError if that is forbidden.

    `owner` tells whose file it is. It is asked for what is pickled alone, as most values are not; and what a file that
    anybody may have written says of itself is no reason to load a pickle.
    """
    if record.flags & FAILED:
        try:
            failure = Failure.from_bytes(bytes(payload))
        except (ValueError, TypeError) as why:
            raise Unreadable(f"a stored failure is damaged ({why})") from why
        trusted = bool(failure.pickled) and options.allow_pickle and is_trusted(owner(), options)
        return failure if trusted else failure.without_pickle()
    if not record.flags & PICKLED:
        try:
            return codecs.load(record.codec, payload, allow_pickle=False)
        except codecs.PickleRefusedError:
            pass
        except Exception as why:
            raise _unreadable(record, why) from why
    whose = owner()
    if not (options.allow_pickle and is_trusted(whose, options)):
        raise CacheError(_refusal(record, whose, options, path))
    try:
        return codecs.load(record.codec, payload, allow_pickle=True)
    except Exception as why:
        raise _unreadable(record, why) from why


def _unreadable(record: Record, why: Exception) -> Unreadable:
    return Unreadable(f"a value of codec {record.codec!r} cannot be restored ({type(why).__name__}: {why})")


def _refusal(record: Record, owner: int, options: Options, path: str) -> str:
    item = f" for {record.key!r}" if record.key else ""
    if not options.allow_pickle:
        return (
            f"The entry{item} in {path} is pickled, and allow_pickle=False forbids to load it. "
            "Allow pickles, or clear the entry so that it is computed again."
        )
    user = user_name(owner)
    return (
        f"The entry{item} in {path} is pickled, and the file belongs to the user {user!r}: loading it could run "
        f"their code. If you trust them, give trusted_users=({user!r},); otherwise use another folder."
    )
