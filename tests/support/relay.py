"""The thread of the fault proxy: it moves bytes between clients and a server, as its state says."""

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

Mode = Literal["forward", "stall", "drop", "hold", "refuse"]

_CHUNK = 65536
# ReadyForQuery: the server has answered all of it, a commit included.
_READY = b"Z\x00\x00\x00\x05"


def is_whole(answer: bytes | bytearray) -> bool:
    """Return True if an answer was seen to its end."""
    return _READY in answer


@dataclass(eq=False)
class Connection:
    """One client's connection, and that to the server for it.

    Attributes:
        to_server: what the client has said and the server has not got yet.
        to_client: the same the other way.
        lost: the answer that is being swallowed, if one is.
        seen: the end of what the client has said, where the marker of a loss may have begun.
        ended: whether one side has hung up; the rest is delivered.
        silent: whether nothing arrives any more, on either side, not even that one has hung up.
    """

    client: socket.socket
    server: socket.socket
    to_server: bytearray = field(default_factory=bytearray)
    to_client: bytearray = field(default_factory=bytearray)
    lost: bytearray | None = None
    seen: bytes = b""
    ended: bool = False
    silent: bool = False


@dataclass
class Loss:
    """Which answers to lose, how many of them, and whether to reset the connection then."""

    marker: bytes
    times: int
    cut: bool


class Relay:
    """The connections, and the thread that serves them. Its state is changed by `do` only.

    Attributes:
        port: where it listens on 127.0.0.1.
        mode: what happens to bytes.
        answers_left: how many pieces of answers pass before it stalls; None for no end.
        loss: which answers get lost; None for none.
        lost: how many answers have been lost.
        connections: those that there are.
        orphans: the server's sides of connections whose clients were cut off.
    """

    def __init__(self, target: str) -> None:
        self.mode: Mode = "forward"
        self.answers_left: int | None = None
        self.loss: Loss | None = None
        self.lost = 0
        self.connections: set[Connection] = set()
        self.orphans: list[socket.socket] = []
        self._address = _address(target)
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self._listener.setblocking(False)
        self.port: int = self._listener.getsockname()[1]
        self._wake, self._waker = socket.socketpair()
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._wake, selectors.EVENT_READ)
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._commands: list[tuple[Callable[[], None], Future[None]]] = []
        self._lock = threading.Lock()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="proxy", daemon=True)
        self._thread.start()

    def do(self, command: Callable[[], None]) -> None:
        """Run a command in the thread, and return when it is done."""
        done: Future[None] = Future()
        with self._lock:
            self._commands.append((command, done))
        self._waker.send(b"!")
        done.result(5.0)

    def close(self) -> None:
        """End the thread and all connections. May be called twice."""

        def command() -> None:
            self._closed = True

        if not self._closed:
            self.do(command)
        self._thread.join(5.0)
        assert not self._thread.is_alive(), "the proxy's thread did not end"

    def end(self, connection: Connection, *, reset: bool = False) -> None:
        """Close both sides of a connection."""
        self._forget(connection)
        for side in (connection.client, connection.server):
            if reset:
                _reset(side)
            else:
                side.close()

    def orphan(self, connection: Connection) -> None:
        """Cut the client off, and let the server get what it had sent, and nothing more."""
        with contextlib.suppress(OSError):
            connection.server.send(connection.to_server)
        self.orphans.append(connection.server)
        self._forget(connection)
        _reset(connection.client)

    def _run(self) -> None:
        with contextlib.ExitStack() as stack:
            for closing in (self._listener, self._wake, self._waker, self._selector):
                stack.callback(closing.close)
            while not self._closed:
                for connection in list(self.connections):
                    self._register(connection)
                for key, events in self._selector.select(5.0):
                    if key.fileobj is self._wake:
                        self._obey()
                        # The rest of the events belongs to the time before the command.
                        break
                    if key.fileobj is self._listener:
                        self._accept()
                    elif key.data in self.connections:
                        self._move(key.data, key.fileobj is key.data.client, events)
            for connection in list(self.connections):
                self.end(connection, reset=True)
            while self.orphans:
                self.orphans.pop().close()

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
        if self.mode == "refuse":
            _reset(client)
            return
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
        self.connections.add(Connection(client, server))

    def _register(self, connection: Connection) -> None:
        moving = self.mode != "stall"
        sides = (
            (connection.client, connection.to_server, connection.to_client),
            (connection.server, connection.to_client, connection.to_server),
        )
        for side, incoming, outgoing in sides:
            wanted = 0
            if moving and not connection.ended and len(incoming) < _CHUNK:
                wanted |= selectors.EVENT_READ
            held = self.mode == "hold" and side is connection.client
            if moving and outgoing and not held:
                wanted |= selectors.EVENT_WRITE
            self._watch(side, wanted, connection)
        if connection.ended and not connection.to_client and not connection.to_server:
            self.end(connection)

    def _watch(self, side: socket.socket, wanted: int, connection: Connection) -> None:
        known = self._selector.get_map().get(side)
        if not wanted:
            if known is not None:
                self._selector.unregister(side)
        elif known is None:
            self._selector.register(side, wanted, connection)
        elif known.events != wanted:
            self._selector.modify(side, wanted, connection)

    def _move(self, connection: Connection, from_client: bool, events: int) -> None:
        side = connection.client if from_client else connection.server
        outgoing = connection.to_client if from_client else connection.to_server
        try:
            if events & selectors.EVENT_WRITE:
                del outgoing[: side.send(outgoing)]
            if events & selectors.EVENT_READ:
                data = side.recv(_CHUNK)
                if connection.silent:
                    if not data:
                        self.orphan(connection)
                elif not data:
                    connection.ended = True
                elif from_client:
                    self._from_client(connection, data)
                else:
                    self._from_server(connection, data)
        except BlockingIOError:
            pass
        except OSError:
            self.end(connection, reset=True)

    def _from_client(self, connection: Connection, data: bytes) -> None:
        loss = self.loss
        if loss is not None and loss.times and connection.lost is None:
            seen = connection.seen + data
            if loss.marker in seen:
                loss.times -= 1
                connection.lost = bytearray()
                connection.seen = b""
            else:
                connection.seen = seen[-len(loss.marker) :]
        connection.to_server += data

    def _from_server(self, connection: Connection, data: bytes) -> None:
        if connection.lost is not None:
            self._lose(connection, data)
        elif self.mode != "drop":
            connection.to_client += data
            if self.answers_left is not None:
                self.answers_left -= 1
                if self.answers_left <= 0:
                    self._deliver_then_stall(connection)

    def _lose(self, connection: Connection, data: bytes) -> None:
        assert connection.lost is not None
        whole = is_whole(connection.lost)
        connection.lost += data
        if not whole and is_whole(connection.lost):
            self.lost += 1
            if self.loss is not None and self.loss.cut:
                self.end(connection, reset=True)

    def _deliver_then_stall(self, connection: Connection) -> None:
        self.answers_left = None
        self.mode = "stall"
        with contextlib.suppress(BlockingIOError):
            del connection.to_client[: connection.client.send(connection.to_client)]

    def _forget(self, connection: Connection) -> None:
        self.connections.discard(connection)
        for side in (connection.client, connection.server):
            if self._selector.get_map().get(side) is not None:
                self._selector.unregister(side)


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
