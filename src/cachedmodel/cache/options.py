"""How a cache is read and written, and what a look-up gives back: values only."""

from __future__ import annotations

import typing as tp
from collections.abc import Callable
from dataclasses import dataclass

from cachedmodel.failure import Failure


class Found(tp.NamedTuple):
    """What is stored of the keys that were asked for; the others are missing."""

    values: dict[str, object]
    failures: dict[str, Failure]


State = tp.Literal["value", "failure"]
#: What a claim may be about: keys that are not stored; those and stored failures; any key.
Replace = tp.Literal["nothing", "failures", "all"]


@dataclass(slots=True)  # not frozen, though nothing changes it: a hit makes one, and would take a fiftieth longer
class Options:
    """How a cache is read and written.

    Attributes
    ----------
    codec
        Name of the codec for values; None: the first that gives back exactly the value.
    allow_pickle
        False: nothing pickled is written or loaded.
    trusted_users
        Users whose pickled entries are loaded; this user and root always are.
    permissions
        Mode of the folders that are made here (files get it without the execute bits); None: the umask decides.
    lease_s
        Seconds after which an owner on another host, whose heartbeat stopped, counts as dead.
    identity
        Written in the header of every file, and given to `accept` when it is read; or what gives it, for it may cost
        more than a hit.
    accept
        Whether the entries of a file with this identity count; if not they are ignored, with one warning.
    job_alive
        ``(scheduler, job_id, submitted)``: whether the job is queued or running; None: the scheduler does not answer.
    provenance
        More provenance (git commit, job id, ...), called once for each file written.
    """

    codec: str | None = None
    allow_pickle: bool = True
    trusted_users: tuple[str, ...] = ()
    permissions: int | None = None
    lease_s: float = 60.0
    identity: bytes | Callable[[], bytes] = b""
    accept: Callable[[bytes], bool] | None = None
    job_alive: Callable[[str, str, float], bool | None] | None = None
    provenance: Callable[[], dict[str, object]] | None = None

    def header_identity(self) -> bytes:
        """The identity itself."""
        return self.identity if isinstance(self.identity, bytes) else self.identity()
