"""The memory of this process, as Linux counts it."""

from __future__ import annotations

from pathlib import Path

_STATUS = Path("/proc/self/status")


def reset_peak() -> None:
    """Let the peak of resident memory begin at its present value."""
    Path("/proc/self/clear_refs").write_text("5")


def get_peak() -> int:
    """Return the peak of resident memory since the last reset, in MB."""
    return _read("VmHWM")


def get_resident() -> int:
    """Return the resident memory, in MB."""
    return _read("VmRSS")


def _read(name: str) -> int:
    for line in _STATUS.read_text().splitlines():
        if line.startswith(f"{name}:"):
            return round(int(line.split()[1]) / 1024)
    raise AssertionError(f"{_STATUS} has no {name}")
