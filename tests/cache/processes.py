"""What the processes of the tests run: writers that are killed, claimants that race, owners that die."""

from __future__ import annotations

import os
import time
import traceback
import typing as tp
from pathlib import Path

from cachedmodel.cache import Cache, Options


def open_cache(folder: str, *, single: bool = False) -> Cache:
    """The cache `folder`, whose root is the folder above it."""
    return Cache(folder, os.path.dirname(folder), single=single, options=Options())


def write_for_ever(folder: str, journal: str, tag: str) -> None:
    """Writes entries that differ in kind and size, and notes each in `journal` once it is committed."""
    cache = open_cache(folder)
    with open(journal, "a", buffering=1) as notes:
        waiting: list[str] = []
        number = 0
        while True:
            key = f"{tag}-{number}"
            waiting.append(key)
            if cache.write(key, value_of(key), 0.001):
                notes.write("".join(f"{key}\n" for key in waiting))
                waiting.clear()
            number += 1
            if number % 400 == 0:
                cache.close()


def value_of(key: str) -> object:
    """The only right value of a key."""
    number = int(key.rsplit("-", 1)[1])
    if number % 50 == 0:
        return bytes([number % 251]) * 90_000
    return [key, number] if number % 10 == 0 else number / 7


def compute_once(folder: str, keys: list[str], journal: str, *, single: bool = False) -> None:
    """Computes what is missing of the keys, as an engine does, and notes in `journal` what it computed itself."""
    cache = open_cache(folder, single=single)
    with open(journal, "a", buffering=1) as notes:
        while True:
            found = cache.read(keys).values
            missing = [key for key in keys if key not in found]
            if not missing:
                break
            for key in (claimed := cache.claim(missing[:5])):
                notes.write(f"{key}\n")
                time.sleep(0.0005)
                cache.write(key, f"value of {key}")
            cache.commit()
            cache.release(claimed)
            if not claimed:
                cache.wait(missing, 10.0)
    cache.end()


def claim_and_hang(folder: str, keys: list[str], ready: str, *, single: bool = False) -> None:
    """Claims the keys, says so by making the file `ready`, and waits to be killed."""
    cache = open_cache(folder, single=single)
    cache.claim(keys)
    Path(ready).write_text(str(os.getpid()))
    time.sleep(600)


def wait_for(condition: tp.Callable[[], object], seconds: float = 30.0) -> None:
    """Returns once the condition holds; fails after some time."""
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it did not happen"
        time.sleep(0.002)


def as_user(uid: int, call: tp.Callable[[], object], *, groups: tp.Sequence[int] = (), umask: int = 0o022) -> None:
    """Calls something in a fork that is run by another user; fails if it raises. Only root can."""
    import cloudpickle  # noqa: F401  # the user may not be able to read where modules are

    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            os.setgroups(list(groups))
            os.setgid(groups[0] if groups else uid)
            os.setuid(uid)
            os.umask(umask)
            call()
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    assert os.waitpid(pid, 0)[1] == 0, f"it failed as user {uid}: see its traceback"
