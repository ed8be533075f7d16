"""The command line: `python -m benchmarks [run | compare | baseline]`, from the top of a clone."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from . import baseline, page, table, workloads
from .bench import Bench
from .contenders import FLOORS, OURS, PEERS, installed
from .records import Record
from .rows import FULL, LONG, QUICK, ROWS, Row, chosen


def parser() -> argparse.ArgumentParser:
    """What may be given."""
    found = argparse.ArgumentParser(
        prog="python -m benchmarks", description="Times cachedmodel, its peers and its floors."
    )
    found.add_argument(
        "command",
        nargs="?",
        choices=["run", "compare", "baseline"],
        default="run",
        help="run (the default): print the tables; baseline: write the ratios to the floors; compare: name what got slower since",
    )
    found.add_argument("--full", action="store_true", help="every row, at the sizes of the targets: about 15 minutes")
    found.add_argument("--million", action="store_true", help="only the rows of a million items")
    found.add_argument("--only", metavar="ROW,...", help="only these rows, eg hit.object,map")
    found.add_argument("--peers", metavar="NAME,...", help=f"of {', '.join(PEERS)}; none, or all, as with --full")
    found.add_argument("--folder", help="where the stores are made, eg on the file system that you use")
    found.add_argument(
        "--cpu", action="store_true", help="time of the processor, on a busy machine: waits are not seen"
    )
    found.add_argument("--records", type=Path, metavar="FILE", help="write every figure of every round, in JSON")
    found.add_argument(
        "--write", type=Path, metavar="PAGE", help="write the tables into a page that has marks for them"
    )
    found.add_argument("--baseline", type=Path, default=baseline.PATH, metavar="FILE", help="of compare and baseline")
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command; its exit code."""
    args = parser().parse_args(arguments)
    return {"run": _run, "compare": _compare, "baseline": _baseline}[args.command](args)


def _run(args: argparse.Namespace) -> int:
    rows = _rows(args)
    names = [OURS, *FLOORS, *_peers(args.peers or ("all" if args.full else "exca"))]
    records = _measure(args, names, rows)
    if args.records:
        args.records.write_text(json.dumps([dataclasses.asdict(record) for record in records], indent=1) + "\n")
    text = f"{table.text(records, rows)}\n\n{table.caption(names, cpu=args.cpu)}"
    print(text)
    if args.write:
        page.write(args.write, text)
    return 0


def _baseline(args: argparse.Namespace) -> int:
    records = _measure(args, [OURS, *FLOORS], _rows(args), rounds=3)
    baseline.Baseline(baseline.ratios(records), cpu=args.cpu).save(args.baseline)
    return 0


def _compare(args: argparse.Namespace) -> int:
    before = baseline.Baseline.read(args.baseline)
    args.cpu = before.cpu
    found = before.slower(lambda rows, rounds: _measure(args, [OURS, *FLOORS], rows, rounds), _rows(args))
    for regression in found:
        print(regression)
    if not found:
        print("Nothing got slower by more than a fifth.")
    return 1 if found else 0


def _rows(args: argparse.Namespace) -> tuple[Row, ...]:
    if args.only:
        return chosen(args.only.split(","))
    if args.million:
        return chosen(["million"])
    return ROWS if args.full else tuple(row for row in ROWS if row.workload not in LONG)


def _peers(given: str) -> list[str]:
    names = {"none": [], "all": list(PEERS)}.get(given, given.split(","))
    for name in names:
        if name not in PEERS:
            raise SystemExit(f"{name!r} is no peer. Peers: {', '.join(PEERS)}.")
    missing = [name for name in names if not installed(name)]
    if missing:
        print(
            f"Not installed, and left out: {', '.join(missing)}. The extra `bench` has them; `make bench` installs it."
        )
    return [name for name in names if name not in missing]


def _measure(args: argparse.Namespace, names: Iterable[str], rows: Iterable[Row], rounds: int = 1) -> list[Record]:
    sizes = FULL if args.full or args.million else QUICK
    sizes = dataclasses.replace(sizes, rounds=rounds * sizes.rounds)
    with Bench(names, sizes, rows=rows, folder=args.folder, say=_progress, cpu=args.cpu) as bench:
        workloads.measure(bench)
    return bench.records


def _progress(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
