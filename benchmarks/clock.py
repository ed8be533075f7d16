"""The clock of all measurements but those of several processes: the time that passes, or that of the processor.

The latter, user and system, tells what an operation costs even where other work keeps the machine busy; but it sees no wait.
"""

from __future__ import annotations

import os
import time

#: The variable that chooses processor time, in all children, if it is "cpu".
VARIABLE = "BENCHMARK_CLOCK"

#: Seconds, of which only differences mean something.
now = time.process_time if os.environ.get(VARIABLE) == "cpu" else time.perf_counter
