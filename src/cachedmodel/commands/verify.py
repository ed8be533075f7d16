"""``cachedmodel verify``: what is damaged, alien or left behind in a cache, as text or as lines of JSON."""

from __future__ import annotations

import json
import os
import sys
import typing as tp
from collections import Counter

from cachedmodel.cache.verify import Folder, What, verify

from .amounts import bytes_text, counted, folder_of

_KINDS: tuple[What, ...] = tp.get_args(What)


def verify_command(folder: str, *, as_json: bool) -> int:
    """Runs the command; exit code 1 if something is damaged, 2 if there is no such folder.

    Parameters
    ----------
    folder
        A cache, or a folder in it.
    as_json
        Print a line of JSON for each folder, and one for all of them.
    """
    try:
        place = folder_of(folder)
        total: Counter[str] = Counter()
        for report in verify(place):
            facts = _facts(report)
            total.update({name: value for name, value in facts.items() if isinstance(value, int)}, folders=1)
            total.update(finding.what for finding in report.findings)
            if as_json:
                print(json.dumps(facts), flush=True)
            elif report.findings:
                print(_text(report, place), flush=True)
    except BrokenPipeError:
        raise  # nobody reads on: told to `head` and the like by the exit code alone
    except OSError as error:
        print(f"cachedmodel verify: {error}", file=sys.stderr)
        return 2
    if as_json:
        counts = ("folders", "files", "bytes", "values", "failures", "deletions", *_KINDS)
        print(json.dumps({"summary": {name: total[name] for name in counts}}), flush=True)
    else:
        print(_summary(total), flush=True)
    return 1 if total["damaged"] else 0


def _facts(report: Folder) -> dict[str, object]:
    return {
        "folder": report.path,
        "files": report.files,
        "bytes": report.size,
        "values": report.values,
        "failures": report.failures,
        "deletions": report.deletions,
        "findings": [finding._asdict() for finding in report.findings],
    }


def _text(report: Folder, place: str) -> str:
    lines = [os.path.relpath(report.path, place) if report.path != place else place]
    for finding in report.findings:
        lines.append(f"  {finding.what:<9} {os.path.relpath(finding.path, report.path)}: {finding.why}")
    return "\n".join(lines)


def _summary(total: Counter[str]) -> str:
    found = ", ".join(f"{total[kind]:,} {kind}" for kind in _KINDS if total[kind])
    stored = f"{counted(total['values'], 'value')}, {counted(total['failures'], 'failure')}"
    places = f"{counted(total['folders'], 'folder')}, {counted(total['files'], 'file')}, {bytes_text(total['bytes'])}"
    hint = "; cachedmodel repair sets aside what is damaged" if total["damaged"] else ""
    return f"{places}: {stored}. {found or 'All is whole'}{hint}."
