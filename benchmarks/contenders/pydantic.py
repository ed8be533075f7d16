"""The floor of a model: pydantic, without anything cached."""

from __future__ import annotations

from benchmarks import subject
from benchmarks.fields import Fields


class Contender:
    """Makes configurations."""

    def open(self, folder: str) -> None:
        """There is no folder."""

    def config(self, spec: subject.Spec) -> Fields:
        return Fields(**spec)
