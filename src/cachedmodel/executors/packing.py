"""What a job needs to be sent: its calls as bytes, the interpreter that runs them, the folders they import from."""

from __future__ import annotations

import os
import shlex
import sys
import typing as tp
from collections.abc import Callable, Mapping, Sequence

from cachedmodel.errors import InfraError
from cachedmodel.executors.calls import dump_call


def pack_calls(calls: Sequence[Callable[[], object]], parameters: Mapping[str, object]) -> list[bytes]:
    """The calls as bytes; refused if one does not pickle, or if they are too large together."""
    try:
        packed = [dump_call(call) for call in calls]
    except Exception as error:  # whatever the user's __reduce__ raises
        raise InfraError(
            f"The call cannot be sent to a job, because it does not pickle: {error!r}.\n"
            "Use cluster=None or 'threadpool', or leave out of the model what cannot be pickled."
        ) from error
    size = sum(map(len, packed)) / 1024**3
    limit = tp.cast(float, parameters.get("max_pickle_size_gb") or 1.0)
    if size > limit:
        raise InfraError(
            f"The {len(packed)} calls pickle to {size:.2g} GB, more than max_pickle_size_gb={limit}: let the jobs load "
            "their data themselves, or raise infra.max_pickle_size_gb."
        )
    return packed


def interpreter_command(parameters: Mapping[str, object]) -> str:
    """The shell command of the interpreter that runs a job: this one, or that of `conda_env` (a folder or a name)."""
    env = parameters.get("conda_env")
    if env is None:
        return shlex.quote(sys.executable)
    name = os.path.expanduser(str(env))
    if os.sep not in name:
        return f"conda run --no-capture-output --name {shlex.quote(name)} python"
    python = name if os.path.isfile(name) else os.path.join(name, "bin", "python")
    if not os.access(python, os.X_OK):
        raise InfraError(f"conda_env={str(env)!r} has no interpreter {python!r}.")
    return shlex.quote(python)


def own_import_path() -> list[str]:
    """Folders to import from that another interpreter of this environment does not have by itself."""
    installed = tuple({os.path.join(prefix, "") for prefix in (sys.prefix, sys.base_prefix, sys.exec_prefix)})
    folders = [os.path.abspath(folder) for folder in sys.path if os.path.isdir(folder or ".")]
    return [folder for folder in folders if not folder.startswith(installed)]
