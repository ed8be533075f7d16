"""How much memory an operation takes at its peak; known on Linux only."""

from __future__ import annotations


def start_peak() -> float | None:
    """Forgets the peak so far; the resident MB now."""
    try:
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")  # the peak starts again from what is resident now
    except OSError:
        return None
    return _status_mb("VmRSS")


def peak() -> float | None:
    """The most MB that were resident since `start_peak`."""
    return _status_mb("VmHWM")


def _status_mb(field: str) -> float | None:
    try:
        with open("/proc/self/status") as file:
            lines = dict(line.split(":", 1) for line in file)
    except OSError:
        return None
    return int(lines[field].split()[0]) / 1024
