"""One connection by a fault proxy: its two sockets, and the bytes that are on their way."""

from __future__ import annotations

import contextlib
import errno
import socket
import struct
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .faults import Conversation
    from .pace import Pace

__all__ = ["Flow", "Link", "connect", "reset"]

_MOST_WAITING = 65536
_IN_PROGRESS = (0, errno.EINPROGRESS, errno.EWOULDBLOCK)


@dataclass(eq=False)
class Flow:
    """One direction of a connection.

    Attributes:
        source: the socket that the bytes come from.
        target: the socket that they go to.
        drops: whether nothing arrives any more that comes from now on, the end included.
        ended: whether the source has ended.
    """

    source: socket.socket
    target: socket.socket
    drops: bool = False
    ended: bool = False
    _waiting: deque[tuple[float, bytearray]] = field(default_factory=deque[tuple[float, bytearray]])
    _size: int = 0
    _free_at: float = 0.0

    @property
    def is_empty(self) -> bool:
        """True if nothing is on its way."""
        return not self._waiting

    @property
    def is_full(self) -> bool:
        """True if so much is on its way that nothing more is to be read."""
        return self._size >= _MOST_WAITING

    def put(self, data: bytes, now: float, pace: Pace | None) -> None:
        """Add bytes that came now, and are due at the pace of the network."""
        due = now
        if pace is not None:
            due, self._free_at = pace.send(now, self._free_at, len(data))
        self._size += len(data)
        if self._waiting and pace is None:
            self._waiting[-1][1].extend(data)
        else:
            self._waiting.append((due, bytearray(data)))

    def due_in(self, now: float) -> float | None:
        """Return the seconds until the next bytes are due, at most 0 if they are; None for none."""
        return self._waiting[0][0] - now if self._waiting else None

    def send(self, now: float) -> None:
        """Send what is due, as far as the target takes it.

        Raises:
            OSError: the target has ended.
        """
        with contextlib.suppress(BlockingIOError):
            while self._waiting and self._waiting[0][0] <= now:
                data = self._waiting[0][1]
                sent = self.target.send(data)
                self._size -= sent
                del data[:sent]
                if data:
                    return
                self._waiting.popleft()


@dataclass(eq=False)
class Link:
    """A client's connection, and that to the server for it.

    Attributes:
        requests: what the client sends.
        answers: what the server sends.
        conversation: decides about faults.
        closes: whether nothing more is read, and both sides end when everything is delivered.
        server_ended: whether the server has ended while its answers are dropped: the client is not
            to notice.
    """

    client: socket.socket
    server: socket.socket
    conversation: Conversation
    requests: Flow = field(init=False)
    answers: Flow = field(init=False)
    closes: bool = False
    server_ended: bool = False

    def __post_init__(self) -> None:
        """Make the two directions."""
        self.requests = Flow(self.client, self.server)
        self.answers = Flow(self.server, self.client)

    @property
    def has_lost(self) -> bool:
        """True if bytes of it may be lost, so that it cannot be used any more."""
        return self.requests.drops or self.answers.drops

    @property
    def is_delivered(self) -> bool:
        """True if it is to end, and everything is delivered that can be."""
        if self.requests.ended:
            return self.requests.is_empty
        if self.answers.ended:
            return self.answers.is_empty
        return self.closes and self.requests.is_empty and self.answers.is_empty


def connect(family: int, address: object) -> socket.socket:
    """Begin to connect to a server, without waiting for it.

    Raises:
        OSError: it is not there.
    """
    server = socket.socket(family, socket.SOCK_STREAM)
    server.setblocking(False)
    # An address is a string or a tuple; socket's own types do not say so.
    code = server.connect_ex(address)  # type: ignore[arg-type]
    if code not in _IN_PROGRESS or (code == errno.EWOULDBLOCK and family == socket.AF_UNIX):
        server.close()
        raise OSError(code, errno.errorcode.get(code, "unknown"))
    if family != socket.AF_UNIX:
        server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return server


def reset(side: socket.socket) -> None:
    """Close a socket with a reset instead of an orderly end."""
    with contextlib.suppress(OSError):
        side.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    side.close()
