"""The thread of a fault proxy: it moves bytes between clients and a server, as its state says."""

from __future__ import annotations

import contextlib
import selectors
import socket
import sys
import threading
from concurrent.futures import Future
from time import monotonic
from typing import TYPE_CHECKING

from .._errors import ValidationError
from .connection import Flow, Link, connect, reset
from .faults import Act, Conversation, Direction, FaultPlan, Send

if TYPE_CHECKING:
    from collections.abc import Callable

    from .pace import Pace
    from .target import Target

__all__ = ["Relay"]

_CHUNK = 65536
_PATIENCE = 5.0


class Relay:
    """The connections, and the thread that serves them. Its state is changed by ``do`` only.

    Attributes:
        port: the port on 127.0.0.1 where it listens.
        plan: the fault that its connections look for.
        stalls: the directions in which nothing moves.
        drops: the directions in which everything is lost.
        pace: the speed of the network; None for as fast as possible.
        links: the open connections.
        orphans: sockets to the server whose clients were cut without notice to it.
    """

    def __init__(self, target: Target) -> None:
        self.plan = FaultPlan()
        self.stalls: set[Direction] = set()
        self.drops: set[Direction] = set()
        self.pace: Pace | None = None
        self.links: set[Link] = set()
        self.orphans: list[socket.socket] = []
        self._target = target
        self._family, self._address = target.address()
        self._refuses = False
        self._listener = _listen()
        self.port: int = self._listener.getsockname()[1]
        self._wake, self._waker = socket.socketpair()
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._wake, selectors.EVENT_READ)
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._commands: list[tuple[Callable[[], None], Future[None]]] = []
        self._lock = threading.Lock()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="fault-proxy", daemon=True)
        self._thread.start()

    def do(self, command: Callable[[], None]) -> None:
        """Run a command in the thread, and return when it is done.

        Raises:
            ValidationError: the proxy is closed.
        """
        done: Future[None] = Future()
        with self._lock:
            if self._closed:
                raise ValidationError("the proxy is closed: start another one. Nothing was done.")
            self._commands.append((command, done))
            self._waker.send(b"!")
        done.result(_PATIENCE)

    def close(self) -> None:
        """End the thread and all connections. May be called twice."""

        def command() -> None:
            with self._lock:
                self._closed = True

        with contextlib.suppress(ValidationError):
            self.do(command)
        self._thread.join(_PATIENCE)

    def refuse(self, value: bool) -> None:
        """Refuse new connections, or accept them again."""
        if value == self._refuses:
            return
        self._refuses = value
        if sys.platform == "linux":
            if value:
                self._selector.unregister(self._listener)
                # It keeps the port, and the kernel refuses connections to it.
                self._listener.shutdown(socket.SHUT_RDWR)
            else:
                self._listener.listen(256)
                self._selector.register(self._listener, selectors.EVENT_READ)

    def end(self, link: Link, *, is_reset: bool) -> None:
        """Close both sides of a connection."""
        self._forget(link)
        for side in (link.client, link.server):
            if is_reset:
                reset(side)
            else:
                side.close()

    def orphan(self, link: Link) -> None:
        """Cut the client, and deliver what it had sent; the server gets no notice."""
        with contextlib.suppress(OSError):
            link.requests.send(float("inf"))
        self._forget(link)
        reset(link.client)
        if link.server_ended:
            link.server.close()
        else:
            self.orphans.append(link.server)

    def _run(self) -> None:
        with contextlib.ExitStack() as stack:
            for closing in (self._listener, self._wake, self._waker, self._selector):
                stack.callback(closing.close)
            while not self._closed:
                for key, events in self._selector.select(self._prepare()):
                    if key.fileobj is self._wake:
                        self._obey()
                        # The rest of the events belongs to the time before the command.
                        break
                    if key.fileobj is self._listener:
                        self._accept()
                    elif key.data in self.links:
                        self._move(key.data, key.fileobj is key.data.client, events)
            for link in list(self.links):
                self.end(link, is_reset=True)
            while self.orphans:
                self.orphans.pop().close()

    def _obey(self) -> None:
        self._wake.recv(4096)
        with self._lock:
            commands, self._commands = self._commands, []
        for command, done in commands:
            try:
                command()
            except Exception as error:
                done.set_exception(error)
            else:
                done.set_result(None)

    def _accept(self) -> None:
        try:
            client, _ = self._listener.accept()
        except OSError:  # it has ended meanwhile
            return
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self._refuses:
            reset(client)
            return
        try:
            server = connect(self._family, self._address)
        except OSError:
            reset(client)
            return
        client.setblocking(False)
        talk = Conversation(self.plan, passes_encryption=self._target.uses_tls)
        self.links.add(Link(client, server, talk))

    def _prepare(self) -> float:
        """Watch what is to be watched, and return the seconds until bytes are due."""
        now, least = monotonic(), _PATIENCE
        for link in list(self.links):
            for flow, direction in _directions(link):
                waits = flow.due_in(now)
                if waits is not None and waits > 0 and direction not in self.stalls:
                    least = min(least, waits)
            if link.is_delivered:
                self.end(link, is_reset=False)
            else:
                self._watch_link(link, now)
        return least

    def _watch_link(self, link: Link, now: float) -> None:
        wanted = {link.client: 0, link.server: 0}
        is_ending = link.closes or link.requests.ended or link.answers.ended
        for flow, direction in _directions(link):
            if direction in self.stalls:
                continue
            if not is_ending and not flow.is_full:
                wanted[flow.source] |= selectors.EVENT_READ
            waits = flow.due_in(now)
            if waits is not None and waits <= 0:
                wanted[flow.target] |= selectors.EVENT_WRITE
        if link.server_ended:
            wanted[link.server] = 0
        for side, events in wanted.items():
            self._watch(side, events, link)

    def _watch(self, side: socket.socket, wanted: int, link: Link) -> None:
        known = self._selector.get_map().get(side)
        if not wanted:
            if known is not None:
                self._selector.unregister(side)
        elif known is None:
            self._selector.register(side, wanted, link)
        elif known.events != wanted:
            self._selector.modify(side, wanted, link)

    def _move(self, link: Link, is_client: bool, events: int) -> None:
        incoming = link.requests if is_client else link.answers
        outgoing = link.answers if is_client else link.requests
        try:
            if events & selectors.EVENT_WRITE:
                outgoing.send(monotonic())
            if events & selectors.EVENT_READ:
                size = _CHUNK if self.pace is None else self.pace.chunk
                data = incoming.source.recv(size)
                if not data:
                    self._end_of(link, incoming)
                elif incoming.drops or ("requests" if is_client else "answers") in self.drops:
                    incoming.drops = True
                else:
                    talk = link.conversation
                    self._take(link, (talk.on_client if is_client else talk.on_server)(data))
        except BlockingIOError:
            pass
        except OSError:
            self._end_of(link, incoming, failed=True)

    def _end_of(self, link: Link, flow: Flow, *, failed: bool = False) -> None:
        """Pass on that one side has ended, unless that is lost, too."""
        direction = "requests" if flow is link.requests else "answers"
        if flow.drops or direction in self.drops:
            flow.drops = True
            if direction == "requests":
                self.orphan(link)
            else:
                link.server_ended = link.requests.drops = True
        elif failed:
            self.end(link, is_reset=True)
        else:
            flow.ended = True

    def _take(self, link: Link, steps: list[Send | Act]) -> None:
        now = monotonic()
        for step in steps:
            if isinstance(step, Send):
                flow = link.requests if step.direction == "requests" else link.answers
                if not flow.drops:
                    flow.put(step.data, now, self.pace)
            elif step.action == "drop":
                (link.requests if step.direction == "requests" else link.answers).drops = True
            elif step.action == "stall":
                for flow, _ in _directions(link):
                    flow.send(now)
                self.stalls |= {"requests", "answers"}
            elif step.delivers:
                link.closes = True
                return
            else:
                self.end(link, is_reset=True)
                return

    def _forget(self, link: Link) -> None:
        self.links.discard(link)
        for side in (link.client, link.server):
            if self._selector.get_map().get(side) is not None:
                self._selector.unregister(side)


def _directions(link: Link) -> tuple[tuple[Flow, Direction], tuple[Flow, Direction]]:
    return (link.requests, "requests"), (link.answers, "answers")


def _listen() -> socket.socket:
    """Return a socket that listens on a free port of 127.0.0.1, which it keeps until its end."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    if sys.platform == "linux":
        # A port that was asked for by its number stays bound while nothing listens on it.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", 0))
            listener.bind(("127.0.0.1", probe.getsockname()[1]))
    else:
        listener.bind(("127.0.0.1", 0))
    listener.listen(256)
    listener.setblocking(False)
    return listener
