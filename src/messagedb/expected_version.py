"""The versions that a write may expect: a number, no stream, an existing stream, or any."""

from __future__ import annotations

from enum import Enum
from typing import Final, TypeAlias

__all__ = ["ANY", "NO_STREAM", "STREAM_EXISTS", "ExpectedVersion", "StreamState"]


class StreamState(Enum):
    """The expectations that are not a version.

    ``ANY``: no check, write at whatever version the stream has. ``STREAM_EXISTS``: write only if
    the stream has at least one message.

    Example::

        client.write_message("account-1", Deposited(5), expected_version=STREAM_EXISTS)
    """

    ANY = "any"
    STREAM_EXISTS = "stream_exists"

    def __repr__(self) -> str:
        """Return the name of the constant."""
        return self.name


ANY: Final = StreamState.ANY
"""No check: write at whatever version the stream has."""

STREAM_EXISTS: Final = StreamState.STREAM_EXISTS
"""The stream has at least one message."""

NO_STREAM: Final = -1
"""The stream has no message; ``stream_version`` also returns this value for such a stream."""

ExpectedVersion: TypeAlias = int | StreamState
"""A version, which is the position of a stream's last message, or one of the constants."""
