"""Writes the tables into a page, between two marks that it has."""

from __future__ import annotations

import re
from pathlib import Path

BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"


def write(path: Path, text: str) -> None:
    """Puts a text between the marks of a page, in place of what is there.

    Raises
    ------
    SystemExit
        If the page has no marks.
    """
    page = path.read_text()
    between = re.compile(f"({re.escape(BEGIN)}\n).*({re.escape(END)})", re.DOTALL)
    if not between.search(page):
        raise SystemExit(f"{path} has no lines `{BEGIN}` and `{END}`: put them where the tables belong.")
    path.write_text(between.sub(lambda found: f"{found[1]}\n{text}\n\n{found[2]}", page))
