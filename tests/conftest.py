"""Settings of the whole suite: Hypothesis profiles, and an environment without the user's own settings."""

from __future__ import annotations

import os
import signal

from hypothesis import HealthCheck, settings

# No deadlines: the examples touch files and processes on machines that do other things meanwhile.
settings.register_profile("fast", deadline=None, max_examples=50, suppress_health_check=[HealthCheck.too_slow])
# CI judges every submission by the same examples; `thorough` looks for new ones.
settings.register_profile("ci", settings.get_profile("fast"), max_examples=200, derandomize=True, print_blob=True)
settings.register_profile("thorough", settings.get_profile("fast"), max_examples=5000, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE") or ("ci" if os.environ.get("CI") else "fast"))

for name in [name for name in os.environ if name.startswith("CACHEDMODEL_")]:
    del os.environ[name]

# Started in the background, a shell has programs ignore Ctrl-C, and theirs too: tests send it to processes of their own.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
