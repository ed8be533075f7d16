"""Describe an experiment as a pydantic model; each computation is done once: cached, in memory and on disk, here or on Slurm."""

from .cache import CacheDict
from .codecs import register_codec
from .confdict import ConfDict
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
from .identity import NotInUid
from .infra import Infra, InfraDict
from .jobs import Job, MapJob, Plan, find_slurm_job, job_array
from .methods import BoundMap, BoundTask, Map, Task, task
from .methods import map as map  # noqa: A004  # used as cm.map, and left out of __all__: it hides the builtin
from .model import CachedModel
from .resolution import defaults
from .workdir import WorkDir

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
