"""What a cache asks of its file system, call by call, as the page about its cost says: strace counts."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[1] / "docs/explanation/cost.md"

pytestmark = pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace (apt-get install strace)")

#: What is done, in one process, in this order; each begins with a mark that strace sees.
SCRIPT = """
import os, sys, typing
import cachedmodel as cm

class Square(cm.CachedModel, cache_name="square"):
    n: int = 1
    @cm.task
    def square(self) -> int:
        return self.n * self.n

class Halves(cm.CachedModel, cache_name="halves"):
    name: str = ""
    @cm.map(item_uid=str)
    def halves(self, items: typing.Iterable[int]) -> typing.Iterator[float]:
        for item in items:
            yield item / 2

root = {"folder": os.path.join(sys.argv[1], "cache")}
ram = {**root, "keep_in_ram": True}

def mark(what):
    os.access("/mark/" + what, os.F_OK)

def halves(items, infra=root, name=""):
    return list(Halves(name=name, infra=infra).halves(items))

if sys.argv[2] == "write":
    Square(infra=root).square()  # the first of all makes folders that the others share
    halves([0], name="other")
    mark("task, not stored")
    Square(n=2, infra=root).square()
    mark("task, stored")
    Square(n=2, infra=root).square()
    mark("")
    again = Square(n=2, infra=ram)
    again.square()
    mark("task, kept in memory")
    again.square()
    mark("map, no item stored")
    halves([0])
    mark("map, another item")
    halves([1])
    mark("map, items that this process knows")
    halves([0, 1])
    mark("")
    halves(range(1000))
else:
    mark("map, one item of a new reader")
    halves([500])
    mark("map, the same item again")
    halves([500])
    mark("map, all 1,000 items")
    halves(range(1000))
    mark("")
"""

#: Calls by what they are for a file system. Those on open files that it answers without a look (close, fstat) are left out.
KINDS = {
    "pread64": "reads", "read": "reads", "write": "writes", "writev": "writes", "pwrite64": "writes",
    "rename": "renames", "link": "links", "linkat": "links", "unlink": "removes", "unlinkat": "removes",
    "mkdir": "creates", "mkdirat": "creates", "stat": "stats", "access": "stats", "fsync": "syncs", "mmap": "maps",
}  # fmt: skip


def kind_of(call: str, arguments: str) -> str | None:
    if call in ("open", "openat"):
        return "lists" if "O_DIRECTORY" in arguments else "creates" if "O_CREAT" in arguments else "opens"
    if call == "newfstatat":
        return None if "AT_EMPTY_PATH" in arguments else "stats"
    return KINDS.get(call)


def traced(place: Path, what: str) -> dict[str, Counter[str]]:
    """Calls on files below `place`, by kind, for each mark."""
    output = place.parent / f"{what}.strace"
    command = ["strace", "-f", "-y", "-s", "0", "-e", "trace=file,desc", "-o", str(output)]
    subprocess.run([*command, sys.executable, "-c", SCRIPT, str(place), what], check=True)
    counts: dict[str, Counter[str]] = {}
    here: Counter[str] = Counter()
    for line in output.read_text().splitlines():
        match = re.match(r"\d+ +(\w+)\((.*)", line)
        if match is None:
            continue
        call, arguments = match.groups()
        if mark := re.search(r'"/mark/([^"]*)"', arguments):
            here = counts.setdefault(mark[1], Counter())
        elif f"{place}/" in arguments and (kind := kind_of(call, arguments)):
            here[kind] += 1
    counts.pop("")
    return counts


@pytest.fixture(scope="module")
def counted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Counter[str]]:
    """Calls of one process that writes, and of one that reads what it wrote."""
    place = tmp_path_factory.mktemp("syscalls") / "place"
    place.mkdir()
    return traced(place, "write") | traced(place, "read")


def told() -> dict[str, Counter[str]]:
    """The table of the page: calls by kind, for each thing that is done."""
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in PAGE.read_text().splitlines() if "|" in line
    ]
    head = next(row for row in rows if "lists" in row)
    cells = {row[0]: row[1:] for row in rows if len(row) == len(head) and row[1].isdecimal()}
    return {what: +Counter(dict(zip(head[1:], map(int, cells[what]), strict=True))) for what in cells}


@pytest.mark.parametrize("what", told())
def test_calls_are_those_that_the_page_tells(counted: dict[str, Counter[str]], what: str) -> None:
    """No more, and no fewer: who plans for a slow file system can rely on it."""
    assert counted[what] == told()[what]


def test_the_page_tells_all_that_is_counted(counted: dict[str, Counter[str]]) -> None:
    """Each thing that is done here has its row."""
    assert counted.keys() == told().keys()
