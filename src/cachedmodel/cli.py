"""The command line: ``cachedmodel COMMAND``; each command has its own function, which imports what it needs."""

from __future__ import annotations

import typing as tp
from pathlib import Path

try:
    import typer
except ModuleNotFoundError:
    raise SystemExit("the commands of cachedmodel need typer: pip install 'cachedmodel[cli]'") from None

app: typer.Typer = typer.Typer(
    name="cachedmodel",
    help="Models whose methods are computed once: commands beside the library.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.callback()
def main() -> None:
    """Models whose methods are computed once: commands beside the library."""


@app.command()
def stubs(
    target: tp.Annotated[
        str, typer.Argument(metavar="MODULE|PACKAGE", help="A dotted name, or the path of a file or a folder.")
    ],
    output: tp.Annotated[Path, typer.Option("--output", "-o", help="The folder of stubs.")] = Path("stubs"),
    check: tp.Annotated[
        bool, typer.Option("--check", help="Write nothing; exit with 1 if a stub is missing or stale.")
    ] = False,
) -> None:
    """Write typed stubs (.pyi) of the modules that hold CachedModels."""
    from . import stubs as _stubs

    try:
        report = _stubs.check(target, output) if check else _stubs.write(target, output)
    except _stubs.StubError as error:
        typer.echo(f"cachedmodel stubs: {error}", err=True)
        raise typer.Exit(2) from None
    for note in report.notes:
        typer.echo(note, err=True)
    for path in report.changed:
        typer.echo(f"{path} is stale: run cachedmodel stubs {target} -o {output}" if check else str(path))
    if check and report.changed:
        raise typer.Exit(1)


@app.command(
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
    add_help_option=False,  # with a class, --help is about its fields
)
def run(context: typer.Context) -> None:
    """Run a task of a model, validated first: cachedmodel run module:Class config.yaml field=value --task name."""
    from .commands.run import run_command

    raise typer.Exit(run_command(context.args))


_Folder = tp.Annotated[
    str, typer.Argument(metavar="FOLDER", help="A cache, a method's folder, or a folder of entries.")
]
_Dry = tp.Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")]


@app.command()
def verify(
    folder: _Folder,
    as_json: tp.Annotated[bool, typer.Option("--json", help="Print lines of JSON: a folder each, then all.")] = False,
) -> None:
    """Hold every file of a cache against its checksums; exit with 1 if something is damaged. Writes nothing."""
    from .commands.verify import verify_command

    raise typer.Exit(verify_command(folder, as_json=as_json))


@app.command()
def repair(folder: _Folder, dry_run: _Dry = False) -> None:
    """Set aside what is damaged in a cache, keep what is whole, and end what dead writers left open."""
    from .commands.repair import repair_command

    raise typer.Exit(repair_command(folder, is_dry=dry_run))


@app.command()
def compact(
    folder: _Folder,
    grace: tp.Annotated[
        str,
        typer.Option(metavar="TIME", help="How long replaced files stay for those who read them: 90s, 15m, 24h, 7d."),
    ] = "24h",
    dry_run: _Dry = False,
) -> None:
    """Give back the space of superseded and deleted entries of maps, and make few files of many."""
    from .commands.compact import compact_command

    raise typer.Exit(compact_command(folder, grace=grace, is_dry=dry_run))


if __name__ == "__main__":
    app()
