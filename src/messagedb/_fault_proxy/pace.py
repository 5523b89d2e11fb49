"""A slow network: the time at which each chunk of a direction is due."""

from __future__ import annotations

from dataclasses import dataclass

_CHUNK = 65536


@dataclass(frozen=True)
class Pace:
    """The speed of a network, each way.

    Attributes:
        bytes_per_second: the bandwidth of each connection and direction; None for no limit.
        latency: seconds that each byte needs.
    """

    bytes_per_second: float | None = None
    latency: float = 0.0

    @property
    def chunk(self) -> int:
        """The bytes that are taken together: those of a twentieth of a second, at least one."""
        if self.bytes_per_second is None:
            return _CHUNK
        return max(1, min(_CHUNK, int(self.bytes_per_second / 20)))

    def send(self, now: float, free_at: float, size: int) -> tuple[float, float]:
        """Return when a chunk is due, and when the direction is free for the next one.

        Args:
            now: the time at which the chunk came.
            free_at: when the direction is free.
            size: the bytes of the chunk.
        """
        seconds = 0.0 if self.bytes_per_second is None else size / self.bytes_per_second
        free_at = max(now, free_at) + seconds
        return free_at + self.latency, free_at
