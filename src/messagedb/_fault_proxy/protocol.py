"""PostgreSQL's protocol, as far as a proxy has to read it: the ends of requests and answers.

A request is everything that a client sends up to a message that the server answers as a whole:
a simple query, a Sync, the end of a COPY, or the packet that begins a session. An answer is
everything up to ReadyForQuery, or to the invitation to send the data of a COPY.
"""

from __future__ import annotations

import enum
import struct
from typing import Final, NamedTuple

__all__ = ["AnswerReader", "Kind", "Piece", "RequestReader"]

_SSL_REQUEST: Final = 80877103
_GSS_REQUEST: Final = 80877104
_CANCEL_REQUEST: Final = 80877102
_TLS_HANDSHAKE: Final = 0x16  # the first byte of TLS without a request for it before
_HEADER: Final = 5  # a type and a length, which counts itself
_STARTUP_HEADER: Final = 8  # a length, which counts itself, and a code


class Kind(enum.Enum):
    """The position of a piece in its request or answer."""

    PART = "part"
    """More of it follows."""
    FLUSH = "flush"
    """More of the request follows, but the client may wait for answers before it sends that."""
    END = "end"
    """It ends with this piece."""
    NEGOTIATION = "negotiation"
    """A client's question whether the connection may be encrypted; no request."""
    OPAQUE = "opaque"
    """No part of a request: encrypted bytes, a request to cancel, or the end of a session."""


class Piece(NamedTuple):
    """Consecutive bytes of one direction, and their position in a request or an answer."""

    data: bytes
    kind: Kind


class RequestReader:
    """Splits what a client sends at the ends of its requests.

    Attributes:
        encrypted: whether nothing can be read any more.
    """

    def __init__(self) -> None:
        self.encrypted = False
        self._header = bytearray()
        self._left = 0  # bytes of the current message that are still to come
        self._type = b""  # of the current message; empty for one that begins a session
        self._started = False
        self._beginning = b""  # of a packet before the session, kept until its code is known
        self._is_simple_query = False

    def feed(self, data: bytes) -> list[Piece]:
        """Return what arrived in pieces, none of which contains bytes of two requests."""
        pieces: list[Piece] = []
        begin = position = 0
        data, self._beginning = self._beginning + data, b""
        while position < len(data) and not self.encrypted:
            if not self._left:
                if not self._started and len(data) - position < _STARTUP_HEADER:
                    self._beginning = data[position:]
                    return pieces
                position = self._read_header(data, position)
                kind = self._take_header()
                if kind is None:
                    continue
            else:
                step = min(self._left, len(data) - position)
                position += step
                self._left -= step
                if self._left:
                    break
                kind = self._end_message()
            if kind is not Kind.PART:
                pieces.append(Piece(data[begin:position], kind))
                begin = position
        if begin < len(data):
            kind = Kind.OPAQUE if self.encrypted else Kind.PART
            pieces.append(Piece(data[begin:], kind))
        return pieces

    def _read_header(self, data: bytes, position: int) -> int:
        wanted = _HEADER if self._started else _STARTUP_HEADER
        step = min(wanted - len(self._header), len(data) - position)
        self._header += data[position : position + step]
        return position + step

    def _take_header(self) -> Kind | None:
        """Begin the message whose header is complete; return its kind if it has no body."""
        if not self._started and self._header and self._header[0] == _TLS_HANDSHAKE:
            self.encrypted = True
            return None
        if self._started:
            if len(self._header) < _HEADER:
                return None
            self._type = bytes(self._header[:1])
            self._left = struct.unpack("!i", self._header[1:])[0] - 4
            self._header.clear()
            return None if self._left else self._end_message()
        if len(self._header) < _STARTUP_HEADER:
            return None
        length, code = struct.unpack("!ii", self._header)
        self._header.clear()
        if code in (_SSL_REQUEST, _GSS_REQUEST):
            return Kind.NEGOTIATION
        if code == _CANCEL_REQUEST:
            self.encrypted = True  # nothing of a session follows
            return Kind.OPAQUE
        self._started = True
        self._type = b""
        self._left = length - _STARTUP_HEADER
        return None if self._left else self._end_message()

    def _end_message(self) -> Kind:
        match self._type:
            case b"Q" | b"S" | b"F" | b"":
                self._is_simple_query = self._type == b"Q"
                return Kind.END
            case b"c" | b"f":
                # A COPY that was begun by an extended query ends with the Sync that follows.
                return Kind.END if self._is_simple_query else Kind.PART
            case b"H":
                return Kind.FLUSH
            case b"X":
                return Kind.OPAQUE
            case _:
                return Kind.PART


class AnswerReader:
    """Splits what a server sends at the ends of its answers."""

    def __init__(self) -> None:
        self._header = bytearray()
        self._left = 0

    def feed(self, data: bytes) -> list[Piece]:
        """Return what arrived in pieces, none of which contains bytes of two answers."""
        pieces: list[Piece] = []
        begin = position = 0
        while position < len(data):
            if not self._left:
                step = min(_HEADER - len(self._header), len(data) - position)
                self._header += data[position : position + step]
                position += step
                if len(self._header) < _HEADER:
                    break
                self._left = struct.unpack("!i", self._header[1:])[0] - 4
            step = min(self._left, len(data) - position)
            position += step
            self._left -= step
            if not self._left:
                if bytes(self._header[:1]) in (b"Z", b"G", b"W"):
                    pieces.append(Piece(data[begin:position], Kind.END))
                    begin = position
                self._header.clear()
        if begin < len(data):
            pieces.append(Piece(data[begin:], Kind.PART))
        return pieces
