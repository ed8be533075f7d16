"""What a user may import is decided here, and nowhere else."""

from __future__ import annotations

import builtins
import inspect
import typing as tp
from collections.abc import Iterator

import cachedmodel as cm

ERRORS = {
    "CachedModelError",
    "CacheError",
    "ComputeError",
    "DefinitionError",
    "InfraError",
    "ItemErrors",
    "JobLostError",
    "MissingError",
    "RecursiveComputeError",
    "UidError",
}
PUBLIC = ERRORS | {
    "BoundMap",
    "BoundTask",
    "CacheDict",
    "CachedModel",
    "ConfDict",
    "Infra",
    "InfraDict",
    "Job",
    "Map",
    "MapJob",
    "NotInUid",
    "Plan",
    "Status",
    "Task",
    "WorkDir",
    "defaults",
    "find_slurm_job",
    "job_array",
    "register_codec",
    "task",
    "to_config",
    "to_config_model",
    "with_infra",
}


def test_exported_names() -> None:
    """`__all__` is the list above, sorted, and each name of it is there."""
    assert set(cm.__all__) == PUBLIC
    assert list(cm.__all__) == sorted(cm.__all__)
    assert [name for name in cm.__all__ if not hasattr(cm, name)] == []


def test_map_does_not_shadow_the_builtin() -> None:
    """`cm.map` is there, and `from cachedmodel import *` leaves the builtin `map` alone."""
    namespace: dict[str, object] = {}
    exec("from cachedmodel import *", namespace)

    assert cm.map.__module__ == "cachedmodel.methods"
    assert namespace.get("map", builtins.map) is builtins.map


def test_every_error_is_exported() -> None:
    """An error that can be raised can be caught by name."""
    from cachedmodel import errors

    defined = {name for name, value in vars(errors).items() if inspect.isclass(value) and issubclass(value, Exception)}

    assert defined == ERRORS


def documented() -> Iterator[tuple[str, object]]:
    """Each public name, and each public method of each public class, with its value."""
    for name in [*cm.__all__, "map"]:
        value = getattr(cm, name)
        if tp.get_origin(value) is tp.Literal:
            continue  # a union of strings has no docstring of its own
        yield name, value
        if inspect.isclass(value):
            for attribute, member in vars(value).items():
                if not attribute.startswith("_") and (callable(member) or isinstance(member, property | classmethod)):
                    yield f"{name}.{attribute}", member


def docstring(value: object) -> str | None:
    """A class must have its own, and not be described by the words of a base that is not ours."""
    return value.__dict__.get("__doc__") if inspect.isclass(value) else inspect.getdoc(value)


def test_public_names_have_docstrings() -> None:
    """`help(cm.<name>)` says something about each public name and its methods."""
    assert [name for name, value in documented() if not docstring(value)] == []
