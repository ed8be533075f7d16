"""A package of a user, with everything that a stub must be able to say."""

from .configs import Encoder, Kind
from .experiment import Experiment

__all__ = ["Encoder", "Experiment", "Kind"]
__version__ = "1.0"
