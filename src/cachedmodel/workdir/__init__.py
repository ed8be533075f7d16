"""Jobs that run a copy of the user's code: what is copied, and how a job imports it instead of the original."""

from .activation import InWorkDir, activate
from .settings import WorkDir

__all__ = ["InWorkDir", "WorkDir", "activate"]
