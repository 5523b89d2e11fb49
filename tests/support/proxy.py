"""A TCP proxy in front of PostgreSQL that stalls, cuts and loses answers on command."""

from __future__ import annotations

import contextlib
import selectors
import socket
import struct
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Literal

from psycopg.conninfo import conninfo_to_dict

from tests.support.backend import make_url

Mode = Literal["forward", "stall", "drop", "hold"]

_CHUNK = 65536
# ReadyForQuery: the server has answered all of it, a commit included.
_READY = b"Z\x00\x00\x00\x05"


@dataclass(eq=False)
class _Connection:
    client: socket.socket
    server: socket.socket
    to_server: bytearray = field(default_factory=bytearray)
    to_client: bytearray = field(default_factory=bytearray)
    lost: bytearray | None = None
    seen: bytes = b""
    ended: bool = False


@dataclass
class _Loss:
    marker: bytes
    times: int
    cut: bool


class FaultProxy:
    """A proxy on a port of 127.0.0.1, with a thread of its own, in front of a server's URL.

    It begins by forwarding. Each command is in force when its method returns, for connections that
    there are and for new ones.

    Attributes:
        lost: how many answers `lose` has lost so far.
    """

    def __init__(self, target: str) -> None:
        self._target = target
        self._address = _address(target)
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self._listener.setblocking(False)
        self.port: int = self._listener.getsockname()[1]
        self._wake, self._waker = socket.socketpair()
        self._selector = selectors.DefaultSelector()
        self._commands: list[tuple[Callable[[], None], Future[None]]] = []
        self._lock = threading.Lock()
        self._connections: set[_Connection] = set()
        self._mode: Mode = "forward"
        self._answers_left: int | None = None
        self._loss: _Loss | None = None
        self._orphans: list[socket.socket] = []
        self._closed = False
        self.lost = 0
        self._selector.register(self._wake, selectors.EVENT_READ)
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._thread = threading.Thread(target=self._run, name="proxy", daemon=True)
        self._thread.start()

    def url(self, target: str | None = None, **changes: str) -> str:
        """Give the server's URL, or another of the same server, by way of the proxy."""
        # Without hostaddr: it would lead past the proxy. Without TLS: the proxy reads along.
        values = conninfo_to_dict(self._target if target is None else target)
        kept = {name: str(values[name]) for name in ("dbname", "user", "password") if name in values}
        way = {"host": "127.0.0.1", "port": str(self.port), "sslmode": "disable"}
        return make_url(**{**kept, **way, "gssencmode": "disable", **changes})

    def forward(self) -> None:
        """Forward again: what was held, and what piled up meanwhile, arrives; losses end."""

        def command() -> None:
            self._mode = "forward"
            self._answers_left = None
            self._loss = None
            for connection in self._connections:
                connection.lost = None

        self._do(command)

    def stall(self) -> None:
        """Accept connections, and move no byte any more."""
        self._set_mode("stall")

    def stall_after(self, answers: int) -> None:
        """Let so many pieces of answers pass, all connections together, and then stall."""

        def command() -> None:
            self._answers_left = answers
            if answers == 0:
                self._mode = "stall"

        self._do(command)

    def drop_answers(self) -> None:
        """Swallow what the server says; what the clients say arrives."""
        self._set_mode("drop")

    def hold_answers(self) -> None:
        """Keep what the server says until ``forward``; what the clients say arrives."""
        self._set_mode("hold")

    def cut(self) -> None:
        """Reset all connections, on both sides."""

        def command() -> None:
            for connection in list(self._connections):
                self._end(connection, reset=True)

        self._do(command)

    def cut_clients(self) -> None:
        """Reset the clients' connections; the server goes on as if they were still there."""

        def command() -> None:
            for connection in list(self._connections):
                # It still gets what its client has sent.
                with contextlib.suppress(OSError):
                    connection.server.send(connection.to_server)
                self._orphans.append(connection.server)
                self._forget(connection)
                _reset(connection.client)

        self._do(command)

    def end_orphans(self) -> None:
        """Tell the server that the clients are gone that `cut_clients` cut."""

        def command() -> None:
            while self._orphans:
                self._orphans.pop().close()

        self._do(command)

    def lose(self, marker: bytes | str, *, times: int = 1, cut: bool = True) -> None:
        """Lose the answer to the next request that holds the marker.

        The request arrives, its answer is swallowed to its end, and by then the server is done with
        it. Then both sides are reset (*cut*), or the connection stays silent.

        Args:
            marker: bytes of a request: part of a statement, or of a parameter such as an id.
            times: how many answers to lose.
            cut: whether to reset the connection after the answer was swallowed.
        """
        data = marker.encode() if isinstance(marker, str) else marker

        def command() -> None:
            self._loss = _Loss(data, times, cut)

        self._do(command)

    def close(self) -> None:
        """End the proxy and all of its connections."""

        def command() -> None:
            self._closed = True

        if not self._closed:
            self._do(command)
        self._thread.join(5.0)
        assert not self._thread.is_alive(), "the proxy's thread did not end"

    def __enter__(self) -> FaultProxy:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def connections(self) -> int:
        """How many connections there are now."""
        return len(self._connections)

    def _set_mode(self, mode: Mode) -> None:
        def command() -> None:
            self._mode = mode

        self._do(command)

    def _do(self, command: Callable[[], None]) -> None:
        done: Future[None] = Future()
        with self._lock:
            self._commands.append((command, done))
        self._waker.send(b"!")
        done.result(5.0)

    def _run(self) -> None:
        with contextlib.ExitStack() as stack:
            for closing in (self._listener, self._wake, self._waker, self._selector):
                stack.callback(closing.close)
            while not self._closed:
                for connection in list(self._connections):
                    self._register(connection)
                for key, events in self._selector.select(5.0):
                    if key.fileobj is self._wake:
                        self._obey()
                        # The rest of the events belongs to the time before the command.
                        break
                    if key.fileobj is self._listener:
                        self._accept()
                    elif key.data in self._connections:
                        self._move(key.data, key.fileobj is key.data.client, events)
            for connection in list(self._connections):
                self._end(connection, reset=True)
            while self._orphans:
                self._orphans.pop().close()

    def _obey(self) -> None:
        self._wake.recv(4096)
        with self._lock:
            commands, self._commands = self._commands, []
        for command, done in commands:
            command()
            done.set_result(None)

    def _accept(self) -> None:
        client, _ = self._listener.accept()
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        family, address = self._address
        server = socket.socket(family, socket.SOCK_STREAM)
        try:
            server.connect(address)
        except OSError:
            server.close()
            _reset(client)
            return
        client.setblocking(False)
        server.setblocking(False)
        self._connections.add(_Connection(client, server))

    def _register(self, connection: _Connection) -> None:
        moving = self._mode != "stall"
        sides = (
            (connection.client, connection.to_server, connection.to_client),
            (connection.server, connection.to_client, connection.to_server),
        )
        for side, incoming, outgoing in sides:
            wanted = 0
            if moving and not connection.ended and len(incoming) < _CHUNK:
                wanted |= selectors.EVENT_READ
            held = self._mode == "hold" and side is connection.client
            if moving and outgoing and not held:
                wanted |= selectors.EVENT_WRITE
            self._watch(side, wanted, connection)
        if connection.ended and not connection.to_client and not connection.to_server:
            self._end(connection)

    def _watch(self, side: socket.socket, wanted: int, connection: _Connection) -> None:
        known = self._selector.get_map().get(side)
        if not wanted:
            if known is not None:
                self._selector.unregister(side)
        elif known is None:
            self._selector.register(side, wanted, connection)
        elif known.events != wanted:
            self._selector.modify(side, wanted, connection)

    def _move(self, connection: _Connection, from_client: bool, events: int) -> None:
        side = connection.client if from_client else connection.server
        outgoing = connection.to_client if from_client else connection.to_server
        try:
            if events & selectors.EVENT_WRITE:
                del outgoing[: side.send(outgoing)]
            if events & selectors.EVENT_READ:
                data = side.recv(_CHUNK)
                if not data:
                    connection.ended = True
                elif from_client:
                    self._from_client(connection, data)
                else:
                    self._from_server(connection, data)
        except BlockingIOError:
            pass
        except OSError:
            self._end(connection, reset=True)

    def _from_client(self, connection: _Connection, data: bytes) -> None:
        loss = self._loss
        if loss is not None and loss.times and connection.lost is None:
            seen = connection.seen + data
            if loss.marker in seen:
                loss.times -= 1
                connection.lost = bytearray()
                connection.seen = b""
            else:
                connection.seen = seen[-len(loss.marker) :]
        connection.to_server += data

    def _from_server(self, connection: _Connection, data: bytes) -> None:
        if connection.lost is not None:
            self._lose(connection, data)
        elif self._mode != "drop":
            connection.to_client += data
            if self._answers_left is not None:
                self._answers_left -= 1
                if self._answers_left <= 0:
                    self._deliver_then_stall(connection)

    def _lose(self, connection: _Connection, data: bytes) -> None:
        assert connection.lost is not None
        whole = _READY in connection.lost
        connection.lost += data
        if not whole and _READY in connection.lost:
            self.lost += 1
            if self._loss is not None and self._loss.cut:
                self._end(connection, reset=True)

    def _deliver_then_stall(self, connection: _Connection) -> None:
        self._answers_left = None
        self._mode = "stall"
        with contextlib.suppress(BlockingIOError):
            del connection.to_client[: connection.client.send(connection.to_client)]

    def _forget(self, connection: _Connection) -> None:
        self._connections.discard(connection)
        for side in (connection.client, connection.server):
            if self._selector.get_map().get(side) is not None:
                self._selector.unregister(side)

    def _end(self, connection: _Connection, *, reset: bool = False) -> None:
        self._forget(connection)
        for side in (connection.client, connection.server):
            if reset:
                _reset(side)
            else:
                side.close()


def _reset(side: socket.socket) -> None:
    """Close a socket with a reset instead of an orderly end."""
    with contextlib.suppress(OSError):
        side.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    side.close()


def _address(target: str) -> tuple[int, str | tuple[str, int]]:
    values = conninfo_to_dict(target)
    host = str(values.get("host") or "127.0.0.1")
    port = int(values.get("port") or 5432)
    if host.startswith("/"):
        return socket.AF_UNIX, f"{host}/.s.PGSQL.{port}"
    family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    return family, (str(address[0]), int(address[1]))
