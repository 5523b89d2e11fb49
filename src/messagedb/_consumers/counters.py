"""What a consumer counts, for its status."""

from __future__ import annotations


class Counters:
    """What a consumer has done since it was made."""

    def __init__(self) -> None:
        self.handled = 0
        self.parked = 0
        self.skipped = 0
        self.last_error: str | None = None
