"""Fills ``docs/typing.md`` with the words of the checkers: ``python -m tests.typing.page`` rewrites it.

A block of text below a block of Python that is not run holds what mypy and pyright say of it; where mypy alone says
nothing, what it says with our plugin.
"""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

from tests.typing.checkers import TOP, Complaint, check

PAGE = TOP / "docs" / "typing.md"
_FIRST = re.compile(r"```python\n(.*?)```", re.DOTALL)
_ERROR = re.compile(
    r"(<!-- not run: has an error -->\n```python\n(?P<code>.*?)```\n.*?```text\n)(?P<words>.*?)(?=```)", re.DOTALL
)


def filled(text: str) -> str:
    """The page with today's words."""
    with tempfile.TemporaryDirectory() as scratch:
        said = _said(text, Path(scratch))
    found = iter(said)
    return _ERROR.sub(lambda match: match[1] + next(found), text)


def _said(text: str, scratch: Path) -> list[str]:
    """What is said of each block with an error."""
    first = _FIRST.search(text)
    assert first is not None
    files = []
    for number, match in enumerate(_ERROR.finditer(text)):
        files.append(scratch / f"block_{number}.py")
        files[-1].write_text(f"{first[1]}\n\n{match['code']}")
    complaints = {name: check(name, files, scratch) for name in ("mypy", "plugin", "pyright")}
    return [_words(file, complaints) for file in files]


def _words(file: Path, complaints: dict[str, list[Complaint]]) -> str:
    of_file = {name: [one for one in found if one.file == file.resolve()] for name, found in complaints.items()}
    mypy = ("mypy", of_file["mypy"]) if of_file["mypy"] else ("mypy with the plugin", of_file["plugin"])
    lines = []
    for name, found in (mypy, ("pyright", of_file["pyright"])):
        assert found, f"{name} says nothing of {file.read_text()}"
        lines += [f"{name}: {_plain(one)}" for one in found]
    return "\n".join(lines) + "\n"


def _plain(complaint: Complaint) -> str:
    text = complaint.text.replace("\N{NO-BREAK SPACE}", " ")
    return f"{text}  [{complaint.code}]" if complaint.code else text


if __name__ == "__main__":
    PAGE.write_text(filled(PAGE.read_text()))
