"""The report and the state of a consumer."""

from __future__ import annotations

from typing import Any

from ..._consumers.consumer_info import ConsumerInfo


def get_report(info: ConsumerInfo) -> Any:
    """Return what a consumer last reported; None if it has not."""
    return getattr(info, "report", None)


def get_state(info: ConsumerInfo) -> str:
    """Return the state of a consumer in a word."""
    return getattr(info, "state", "running" if info.is_running else "stopped")
