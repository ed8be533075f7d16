"""``cachedmodel repair``: sets aside what ``verify`` calls damaged, and ends what dead writers left open."""

from __future__ import annotations

import os
import sys
from collections import Counter

from cachedmodel.cache.repair import repair

from .amounts import folder_of


def repair_command(folder: str, *, is_dry: bool) -> int:
    """Runs the command; exit code 1 if something damaged could not be repaired, 2 if there is no such folder.

    Parameters
    ----------
    folder
        A cache, or a folder in it.
    is_dry
        Only say what would be done.
    """
    counts: Counter[str] = Counter()
    try:
        place = folder_of(folder)
        for done in repair(place, dry=is_dry):
            counts[done.done] += 1
            print(f"{done.done}: {os.path.relpath(done.path, place)} ({done.why})", flush=True)
    except BrokenPipeError:
        raise  # nobody reads on: told to `head` and the like by the exit code alone
    except OSError as error:
        print(f"cachedmodel repair: {error}", file=sys.stderr)
        return 2
    text = ", ".join(f"{count:,} {what}" for what, count in counts.items()) or "there is nothing to repair"
    print(f"{'Would be done: ' if is_dry and counts else ''}{text}.", flush=True)
    return 1 if counts["left"] else 0
