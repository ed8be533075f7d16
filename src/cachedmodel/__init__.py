"""Describe an experiment as a pydantic model; each computation is done once: cached, in memory and on disk, here or on Slurm."""

import typing as tp

from .errors import (
    CachedModelError,
    CacheError,
    ComputeError,
    DefinitionError,
    InfraError,
    ItemErrors,
    JobLostError,
    MissingError,
    RecursiveComputeError,
    UidError,
)
from .executors import Status
from .functions import to_config, to_config_model, with_infra
from .infra import Infra, InfraDict
from .methods import Map, Task, task
from .methods import map as map  # noqa: A004  # used as cm.map, and left out of __all__: it hides the builtin
from .model import CachedModel
from .resolution import defaults
from .schema import NotInUid
from .workdir import WorkDir

if tp.TYPE_CHECKING:
    from .boundmethods import BoundMap, BoundTask
    from .cache import CacheDict
    from .codecs import register_codec
    from .confdict import ConfDict
    from .jobs import Job, MapJob, Plan, find_slurm_job, job_array

__all__ = [
    "BoundMap",
    "BoundTask",
    "CacheDict",
    "CacheError",
    "CachedModel",
    "CachedModelError",
    "ComputeError",
    "ConfDict",
    "DefinitionError",
    "Infra",
    "InfraDict",
    "InfraError",
    "ItemErrors",
    "Job",
    "JobLostError",
    "Map",
    "MapJob",
    "MissingError",
    "NotInUid",
    "Plan",
    "RecursiveComputeError",
    "Status",
    "Task",
    "UidError",
    "WorkDir",
    "defaults",
    "find_slurm_job",
    "job_array",
    "register_codec",
    "task",
    "to_config",
    "to_config_model",
    "with_infra",
]

# What takes long to import and is not needed to define a model, by the module it comes from when it is first asked for.
_LATER = {
    "BoundMap": "boundmethods",
    "BoundTask": "boundmethods",
    "CacheDict": "cache",
    "ConfDict": "confdict",
    "Job": "jobs",
    "MapJob": "jobs",
    "Plan": "jobs",
    "find_slurm_job": "jobs",
    "job_array": "jobs",
    "register_codec": "codecs",
}


def __getattr__(name: str) -> object:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    value: object = getattr(importlib.import_module(f"{__name__}.{_LATER[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_LATER})
