"""Counters of a consumer, for its status."""

from __future__ import annotations


class Counters:
    """The numbers of messages that a consumer has processed since it was created."""

    def __init__(self) -> None:
        self.handled = 0
        self.parked = 0
        self.skipped = 0
        self.last_error: str | None = None
