"""What is written for readers is true: examples run, print what they say, commands exist, links lead somewhere.

The blocks of a page are run in their order, as one script. A fenced block of Python is a part of it; one with
``title="train.py"``, of whatever language, is a file that is written there; one of a shell is run if all its commands are among
`COMMANDS`, and must else consist of `make` commands that exist. What follows as ``text title="output"`` must be printed, where
``...`` stands for anything. Any other block of code says, in the line above it, why it is not run::

    <!-- not run: needs a cluster -->
"""

from __future__ import annotations

import contextlib
import doctest
import importlib
import os
import pkgutil
import re
import subprocess
import sys
import typing as tp
from pathlib import Path

import pytest

import cachedmodel

TOP = Path(__file__).parents[1]
PAGES = [*sorted(TOP.glob("*.md")), *sorted((TOP / "docs").rglob("*.md"))]
MODULES = [cachedmodel.__name__, *(m.name for m in pkgutil.walk_packages(cachedmodel.__path__, "cachedmodel."))]

SHELL = {"bash", "sh", "shell", "console"}
COMMANDS = {"python", "cachedmodel", "ls", "cat", "export"}
NOT_CODE = {"text", "yaml", "toml", "json", "ini", "mermaid", "diff"}
DOCTEST_FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
PAGE_LIMIT_S = 240

EXCUSE = re.compile(r"<!-- not run: .*\S.* -->")
FENCE = re.compile(r"(?P<indent> *)(?P<fence>```+|~~~+) *(?P<language>[\w+-]*)(?: +title=\"(?P<title>[^\"]+)\")?")
LINK = re.compile(r"(?<!\\)\[[^\]\n]*\]\((?P<inline>[^)\s]+)[^)\n]*\)|^\[[^\]]+\]: *(?P<reference>\S+)", re.MULTILINE)


class Block(tp.NamedTuple):
    """A fenced block of a page; `line` is that of its first line of code, counted from 1."""

    language: str
    code: str
    line: int
    excused: bool
    title: str | None = None

    def commands(self) -> list[str]:
        """The lines of a shell, without comments and prompts."""
        lines = (line.partition("#")[0].strip().removeprefix("$ ") for line in self.code.splitlines())
        return [line for line in lines if line]

    def statements(self) -> list[str]:
        """What runs it, as lines of Python that take no more lines than it has; nothing for what is not run."""
        if self.excused or self.title == "output":
            return []
        if self.title is not None:
            return [f"__import__('pathlib').Path({self.title!r}).write_text({self.code!r})"]
        if self.language == "python":
            return self.code.splitlines()
        if self.language in SHELL and all(command.split()[0] in COMMANDS for command in self.commands()):
            return [
                f"__import__('subprocess').run({'set -e; ' + '; '.join(self.commands())!r}, shell=True, check=True)"
            ]
        return []


def blocks(text: str) -> list[Block]:
    """The fenced blocks of a page, in order."""
    found = []
    lines = text.splitlines()
    position = 0
    while position < len(lines):
        opening = FENCE.match(lines[position])
        if opening:
            above = next((line.strip() for line in reversed(lines[:position]) if line.strip()), "")
            start = position = position + 1
            while position < len(lines) and lines[position].strip() != opening["fence"]:
                position += 1
            code = [line.removeprefix(opening["indent"]) for line in lines[start:position]]
            excused = EXCUSE.fullmatch(above) is not None
            found.append(Block(opening["language"], "\n".join(code) + "\n", start + 1, excused, opening["title"]))
        position += 1
    return found


def make_targets() -> set[str]:
    """The commands of the Makefile."""
    return set(re.findall(r"^([a-z-]+):", (TOP / "Makefile").read_text(), re.MULTILINE))


def complaint(block: Block) -> str | None:
    """Why a block can be neither run nor left alone, or None."""
    if block.statements() or block.excused or block.language in NOT_CODE | {"python"}:
        return None
    if block.language not in SHELL:
        return f"name its language: one of {sorted(SHELL | NOT_CODE | {'python'})}"
    for line in block.commands():
        command, *targets = line.split()
        if command != "make" or not set(targets) <= make_targets():
            return f"{line!r} is no make command that exists; say above the block why it is not run"
    return None


def as_script(text: str) -> str:
    """What runs the blocks of a page as one file, each at the line where the page has it."""
    lines: list[str] = []
    for block in blocks(text):
        statements = block.statements()
        if statements:
            lines += [""] * (block.line - 1 - len(lines)) + statements
    return "\n".join(lines) + "\n"


def is_shown(text: str, printed: str) -> bool:
    """Whether a script printed what its page shows as output, in that order."""
    shown = [block.code.strip() for block in blocks(text) if block.title == "output"]
    return doctest.OutputChecker().check_output(f"...{'...'.join(shown)}...", printed, DOCTEST_FLAGS)


def page_id(page: Path) -> str:
    return str(page.relative_to(TOP))


@pytest.fixture
def scratch(tmp_path: Path) -> tp.Iterator[Path]:
    """An empty folder that is the current one while an example runs."""
    with contextlib.chdir(tmp_path):
        yield tmp_path


@pytest.fixture(scope="session")
def search_path(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A PATH on which Slurm knows of no cluster: the nodes of one need not see a scratch folder, so "auto" is this machine."""
    folder = tmp_path_factory.mktemp("programs")
    for name in ("sbatch", "scontrol"):
        (folder / name).write_text("#!/bin/sh\necho 'Could not establish a configuration source' >&2; exit 1\n")
        (folder / name).chmod(0o755)
    return os.pathsep.join((str(Path(sys.executable).parent), str(folder), os.environ["PATH"]))


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_every_block_is_run_or_excused(page: Path) -> None:
    """Each fenced block is run by this suite, is no code, or says why it is not run."""
    found = {f"{page_id(page)}:{block.line}": complaint(block) for block in blocks(page.read_text())}

    assert {place: why for place, why in found.items() if why} == {}


@pytest.mark.parametrize("page", [page for page in PAGES if as_script(page.read_text()).strip()], ids=page_id)
def test_blocks_of_a_page_run(page: Path, scratch: Path, search_path: str) -> None:
    """The blocks of a page, in order and as one script, run without an error and print what the page shows."""
    text = page.read_text()
    script = scratch / f"page_{page.stem}.py"
    script.write_text(as_script(text))

    done = subprocess.run(
        [sys.executable, "-u", str(script)],
        env={**os.environ, "PATH": search_path},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PAGE_LIMIT_S,
    )

    assert done.returncode == 0, f"{page_id(page)}: {done.stderr}"
    assert is_shown(text, done.stdout), f"{page_id(page)} printed\n{done.stdout}"


@pytest.mark.parametrize("name", MODULES)
def test_docstring_examples_run(name: str, scratch: Path) -> None:
    """The examples in the docstrings of a module give what they show."""
    if name == "cachedmodel.codecs.tensors":
        pytest.importorskip("torch", reason="torch is not in the lock: PyPI's build for Linux is several GB; CI has it")
    result = doctest.testmod(importlib.import_module(name), optionflags=DOCTEST_FLAGS)

    assert result.failed == 0


def without_blocks(text: str) -> str:
    """A page without its fenced blocks."""
    return re.sub(r"^( *)(```+|~~~+).*?^\1\2 *$", "", text, flags=re.MULTILINE | re.DOTALL)


def anchors(text: str) -> set[str]:
    """The names that the headings of a page can be linked by."""
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", without_blocks(text))
    headings = re.findall(r"^#+ +(.*?) *#*$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def broken_links(page: Path) -> list[str]:
    """The relative links of a page that lead to no file, or to no heading of one."""
    broken = []
    for match in LINK.finditer(re.sub(r"`[^`\n]*`", "", without_blocks(page.read_text()))):
        link = match["inline"] or match["reference"]
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        if not target.exists() or (anchor and target.suffix == ".md" and anchor not in anchors(target.read_text())):
            broken.append(link)
    return broken


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_relative_links_resolve(page: Path) -> None:
    """A link to a file of the project, or to a heading, finds it."""
    assert broken_links(page) == []


PAGE = """\
# A page: of [links](no-link)

```python
x = 1
```
[good](#a-page-of-links) [gone](gone.md) [no heading](#other) [outside](https://example.org/x) `[code](none)`

  <!-- not run: needs a cluster -->
  ```python
  raise SystemExit
  ```

```python
assert x == 1
```
```bash
sbatch job.sh
```
```bash
make test  # a command of ours
```
```
what is this?
```
"""


def test_blocks_keep_their_lines_and_excuses() -> None:
    """The script of a page has each block at its line, and leaves out what is excused."""
    assert as_script(PAGE).splitlines() == ["", "", "", "x = 1", *[""] * 9, "assert x == 1"]


def test_unexcused_blocks_are_noticed() -> None:
    """A command that is not run, and a block without a language, need an excuse; a make command must exist."""
    complaints = [complaint(block) for block in blocks(PAGE)]

    assert [why is not None for why in complaints] == [False, False, False, True, False, True]
    assert complaint(Block("bash", "make nothing-of-the-kind\n", 1, False)) is not None


def test_broken_links_are_noticed(tmp_path: Path) -> None:
    """A link to a file or a heading that does not exist is found; code and other sites are left alone."""
    page = tmp_path / "page.md"
    page.write_text(PAGE)

    assert broken_links(page) == ["no-link", "gone.md", "#other"]


def test_site_is_built_strictly(tmp_path: Path) -> None:
    """The site is built as `make docs` builds it, with every link and reference leading somewhere."""
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--quiet", "--site-dir", str(tmp_path / "site")],
        cwd=TOP,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        timeout=PAGE_LIMIT_S,
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "site" / "index.html").exists()


def test_reference_is_complete() -> None:
    """Every public name is in the reference, once."""
    pages = "".join(page.read_text() for page in (TOP / "docs" / "reference").glob("*.md"))
    named = re.findall(r"^::: cachedmodel\.(\w+)$", pages, re.MULTILINE)

    assert sorted(named) == sorted([*cachedmodel.__all__, "map"])


SESSION = """\
```yaml title="conf.yaml"
a: 1
```
```python
print("first\\nread")
```
```bash
cat conf.yaml  # shows it
```
```text title="output"
first...
a: 1
```
"""


def test_files_commands_and_outputs(scratch: Path) -> None:
    """A block with a title is a file, commands are run in their place, and what is shown as output must be printed."""
    done = subprocess.run([sys.executable, "-u", "-c", as_script(SESSION)], capture_output=True, text=True, timeout=60)

    assert is_shown(SESSION, done.stdout), done.stderr
    assert not is_shown(SESSION, "a: 1\nfirst\n")
    assert [complaint(block) for block in blocks(SESSION)] == [None] * 4
