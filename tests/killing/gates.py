"""Messages for a worker, and a gate that blocks one of its handlers."""

from __future__ import annotations

import contextlib
from collections.abc import Generator

import psycopg

from messagedb import Client, NewMessage
from tests.killing.effects import waiting_at
from tests.killing.processes import Forked, Program, until
from tests.killing.worker import GATE


def write(url: str, stream: str, count: int) -> list[int]:
    """Write messages to a stream, and give their global positions."""
    with Client(url, max_size=1) as client:
        client.write_messages(stream, [NewMessage("Noted", {"n": n}) for n in range(count)])
        return [message.global_position for message in client.read_stream(stream)]


class Gate:
    """A lock that handlers wait for."""

    def __init__(self, url: str, conn: psycopg.Connection[object]) -> None:
        self._url = url
        self._conn = conn

    def until_waiting(self, worker: Program | Forked, count: int = 1) -> None:
        """Wait until so many handlers wait at the gate."""
        until(lambda: waiting_at(self._url, GATE) == count, lambda: f"in hand\n{worker.text()}")

    def open(self) -> None:
        """Let them go on."""
        self._conn.execute("select pg_advisory_unlock_all()")


@contextlib.contextmanager
def closed_gate(url: str) -> Generator[Gate]:
    """Return a gate that is closed until it is opened, or the block ends."""
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute("select pg_advisory_lock(%s)", [GATE])
        yield Gate(url, conn)
