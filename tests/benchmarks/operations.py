"""Operations that the tests have children run."""

from __future__ import annotations

import sys

from benchmarks.child import Answer


def imports_late(contender: object) -> Answer:
    """Whether a module was there before it is imported."""
    there = "wave" in sys.modules
    import wave

    return {"there": there, "one": float(wave.WAVE_FORMAT_PCM)}


def grows(contender: object, megabytes: int) -> Answer:
    """Takes memory, and gives it back."""
    return {"bytes": float(len(bytearray(megabytes * 2**20)))}


def fails(contender: object) -> Answer:
    """Raises."""
    raise ValueError("not today")


def ends(contender: object) -> Answer:
    """Ends its process."""
    sys.exit(3)
