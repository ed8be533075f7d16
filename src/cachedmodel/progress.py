"""Progress bars, at terminals only: nothing is imported elsewhere."""

from __future__ import annotations

import sys
import typing as tp

if tp.TYPE_CHECKING:
    from .infra import Infra

_DELAY_S = 1.0  # what is quicker needs no bar


class Bar:
    """A bar for a long wait, or nothing where there is no terminal or ``infra.progress`` is off.

    Parameters
    ----------
    infra
        The settings of what is waited for.
    name
        What is shown before the bar.
    total
        The number of items, if it is known.
    """

    def __init__(self, infra: Infra, name: str, total: int | None) -> None:
        self._bar: tp.Any = None  # Any: tqdm is imported where a bar is shown, only
        if infra.progress and sys.stderr is not None and sys.stderr.isatty():
            from tqdm import tqdm

            class Quiet(tqdm):  # type: ignore[type-arg]  # generic in its stubs only
                monitor_interval = 0  # no thread of its own, which a fork would find

            self._bar = Quiet(total=total, desc=name.rpartition(".")[2], delay=_DELAY_S, leave=False)

    def update(self, count: int) -> None:
        """Says that so many more items are there."""
        if self._bar is not None:
            self._bar.update(count)

    def close(self) -> None:
        """Removes the bar."""
        if self._bar is not None:
            self._bar.close()
