"""``cachedmodel run``: a model from YAML files and ``field=value`` arguments, validated, and one of its tasks."""

from __future__ import annotations

import difflib
import importlib
import logging
import os
import sys
import typing as tp
from collections.abc import Sequence

import pydantic

from cachedmodel.boundmethods import BoundTask
from cachedmodel.confdict import ConfDict
from cachedmodel.errors import CachedModelError
from cachedmodel.methods import Map, Task
from cachedmodel.model import CachedModel

USAGE = "cachedmodel run MODULE:CLASS [FILE.yaml ...] [FIELD=VALUE ...] [--task NAME] [--dry-run]"


class UsageError(CachedModelError):
    """The command cannot be run as it was given: says what to write instead."""


class Given(tp.NamedTuple):
    """What stands on the command line."""

    target: str
    files: list[str]
    values: list[str]
    task: str | None
    is_dry: bool
    is_help: bool


def run_command(arguments: Sequence[str]) -> int:
    """Runs the command, and gives its exit code: 2 for what is wrong with the arguments or the configuration.

    Parameters
    ----------
    arguments
        What follows ``cachedmodel run``.
    """
    try:
        given = parse(arguments)
        if given.is_help and not given.target:
            print(f"{USAGE}\n\nWith a class, --help lists its tasks, and its fields with their types and defaults.")
            return 0
        cls = load(given.target)
        if given.is_help:
            print(help_text(given.target, cls))
            return 0
        task = bound_task(cls, given)
    except UsageError as error:
        print(f"cachedmodel run: {error}", file=sys.stderr)
        return 2
    if given.is_dry:
        print(f"{task.status()}: {task.uid_folder() or task.uid()}")
        return 0
    logging.basicConfig(format="%(message)s")
    logging.getLogger("cachedmodel").setLevel(logging.INFO)
    print(task())
    return 0


def parse(arguments: Sequence[str]) -> Given:
    """Sorts the arguments; they may come in any order but for the class, which is first."""
    files, values, task, waiting = [], [], None, list(arguments)
    flags = {"--help": False, "-h": False, "--dry-run": False}
    while waiting:
        argument = waiting.pop(0)
        if argument in flags:
            flags[argument] = True
        elif argument == "--task" or argument.startswith("--task="):
            task = argument.partition("=")[2] or (waiting.pop(0) if waiting else "")
            if not task:
                raise UsageError(f"--task needs the name of a task; usage: {USAGE}")
        elif "=" in argument:
            values.append(argument)
        elif argument.startswith("-"):
            near = difflib.get_close_matches(argument, [*flags, "--task"], n=1)
            raise UsageError(
                f"there is no option {argument!r}{f', did you mean {near[0]}?' if near else ''}; usage: {USAGE}"
            )
        else:
            files.append(argument)
    is_help = flags["--help"] or flags["-h"]
    if not files and not is_help:
        raise UsageError(f"name a class, as in cachedmodel run train:Training; usage: {USAGE}")
    target, *files = files or [""]
    return Given(target, files, values, task, flags["--dry-run"], is_help)


def load(target: str) -> type[CachedModel]:
    """The class of a target, ``package.module:Class`` or ``path/to/file.py:Class``.

    Raises
    ------
    UsageError
        If there is no such module or class, with the classes that there are.
    """
    module_name, colon, name = target.rpartition(":")
    if not colon or not module_name or not name:
        raise UsageError(f"{target!r} names no class: write module:Class, as in train:Training")
    if module_name.endswith(".py"):
        if not os.path.isfile(module_name):
            raise UsageError(f"there is no file {module_name!r}")
        sys.path.insert(0, os.path.dirname(os.path.abspath(module_name)))
        module_name = os.path.basename(module_name).removesuffix(".py")
    else:
        sys.path.insert(0, os.getcwd())
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise  # of a package that the module needs
        raise UsageError(f"there is no module {error.name!r} here: run the command where it can be imported") from None
    found: object = module
    for part in name.split("."):
        found = getattr(found, part, None)
    if isinstance(found, type) and issubclass(found, CachedModel):
        return found
    models = [key for key, value in vars(module).items() if isinstance(value, type) and issubclass(value, CachedModel)]
    known = ", ".join(key for key in models if key != "CachedModel") or "none"
    raise UsageError(f"{name!r} is no CachedModel of the module {module_name!r}; it has: {known}")


def bound_task(cls: type[CachedModel], given: Given) -> BoundTask[object]:
    """The task to run, of a model that was validated.

    Raises
    ------
    UsageError
        If the configuration is not valid, naming its fields, or if it is not clear which task is meant.
    """
    name = task_name(cls, given.task)
    try:
        conf = ConfDict()
        for path in given.files:
            if not os.path.isfile(path):
                raise UsageError(f"there is no file {path!r} (a value of a field is given as field=value)")
            conf.update(ConfDict.from_yaml(os.path.abspath(path)))
        conf.update(ConfDict.from_args(given.values))
        model = cls.model_validate(conf.to_dict())
        task: BoundTask[object] = getattr(model, name)
        task.uid()
        return task
    except pydantic.ValidationError as error:
        raise UsageError(problems(cls, error)) from None
    except (ValueError, TypeError) as error:
        raise UsageError(str(error)) from None


def task_name(cls: type[CachedModel], asked: str | None) -> str:
    """The task that is asked for, or the only one that there is."""
    methods = cls.__cached_methods__
    tasks = [name for name, method in methods.items() if isinstance(method, Task)]
    known = ", ".join(tasks) or "none"
    if asked is None:
        if len(tasks) != 1:
            raise UsageError(f"{cls.__name__} has {len(tasks)} tasks, choose one with --task; it has: {known}")
        return tasks[0]
    if isinstance(methods.get(asked), Map):
        raise UsageError(f"{cls.__name__}.{asked} is a map, which needs items; of tasks {cls.__name__} has: {known}")
    if asked not in tasks:
        raise UsageError(f"{cls.__name__} has no task {asked!r}; it has: {known}")
    return asked


def problems(cls: type[CachedModel], error: pydantic.ValidationError) -> str:
    """What is wrong with a configuration, a line for each field."""
    from .fields import rows

    names = [row.name for row in rows(cls)]
    lines = [f"the configuration is no {cls.__name__}:"]
    for problem in error.errors(include_url=False):
        name = ".".join(map(str, problem["loc"])) or cls.__name__
        shown = problem["type"] != "missing" and isinstance(problem["input"], (str, int, float))
        given = f" (given: {problem['input']!r})" if shown else ""
        near = difflib.get_close_matches(name, names, n=1) if problem["type"] == "extra_forbidden" else []
        hint = f"; did you mean {near[0]!r}?" if near else ""
        if problem["type"] == "string_type" and shown:  # of the two pairs of quotes, a shell takes one
            hint = f"; a text is written \"{name}='{problem['input']}'\""
        lines.append(f"  {name}: {problem['msg'].removeprefix('Value error, ')}{given}{hint}")
    return "\n".join(lines)


def help_text(target: str, cls: type[CachedModel]) -> str:
    """How to run a class: its tasks, and its fields with their types and defaults."""
    from .fields import table

    text = [USAGE.replace("MODULE:CLASS", target), "", (cls.__doc__ or cls.__name__).strip(), "", "Tasks:"]
    for name, method in cls.__cached_methods__.items():
        if isinstance(method, Task):
            summary = (method.__doc__ or "").strip().partition("\n")[0]
            text.append(f"  {name}  {summary}".rstrip())
    text += ["", "Fields, with their types and defaults:", *(f"  {line}" for line in table(cls).splitlines())]
    return "\n".join(text)
