"""A simulated network delay: a relay on 127.0.0.1 that delays each byte."""

from __future__ import annotations

import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from queue import SimpleQueue
from time import perf_counter, sleep

import msgspec

from . import children

_CHUNK = 1 << 16


class Job(msgspec.Struct, frozen=True):
    """Target of the relay.

    Attributes:
        host: of the server, or the folder of its Unix socket.
        port: of the server.
        delay: the added delay of each direction, in seconds.
    """

    host: str
    port: int
    delay: float


@contextmanager
def relayed(host: str, port: int, delay: float) -> Iterator[int]:
    """Relay to a server from a separate process, and return the port on 127.0.0.1."""
    job = msgspec.json.encode(Job(host, port, delay))
    with children.start("relay", job) as child:
        try:
            yield int(children.answer(child))
        finally:
            # The child ends at the end of its input.
            assert child.stdin is not None
            child.stdin.close()


def main() -> None:
    """Relay until the input ends."""
    job = msgspec.json.decode(sys.stdin.buffer.readline(), type=Job)
    listener = socket.create_server(("127.0.0.1", 0))
    print(listener.getsockname()[1], flush=True)
    threading.Thread(target=_accept, args=(listener, job), daemon=True).start()
    sys.stdin.buffer.read()


def _accept(listener: socket.socket, job: Job) -> None:
    while True:
        client, _ = listener.accept()
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        server = _connect(job)
        for source, target in ((client, server), (server, client)):
            waiting: SimpleQueue[tuple[float, bytes]] = SimpleQueue()
            for work in (_receive, _send):
                end = source if work is _receive else target
                arguments = (end, waiting, job.delay)
                threading.Thread(target=work, args=arguments, daemon=True).start()


def _connect(job: Job) -> socket.socket:
    if job.host.startswith("/"):
        server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        server.connect(f"{job.host}/.s.PGSQL.{job.port}")
        return server
    server = socket.create_connection((job.host, job.port))
    server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return server


def _receive(
    source: socket.socket, waiting: SimpleQueue[tuple[float, bytes]], delay: float
) -> None:
    """Record when each chunk is due: one that follows immediately is due immediately after."""
    data = b"-"
    while data:
        try:
            data = source.recv(_CHUNK)
        except OSError:
            data = b""
        waiting.put((perf_counter() + delay, data))


def _send(target: socket.socket, waiting: SimpleQueue[tuple[float, bytes]], _: float) -> None:
    with suppress(OSError):
        while True:
            due, data = waiting.get()
            if not data:
                target.shutdown(socket.SHUT_WR)
                return
            left = due - perf_counter()
            if left > 0:
                sleep(left)
            target.sendall(data)


if __name__ == "__main__":
    main()
