"""Locks, order and isolation of writers, on both: who waits, who does not, who fails and how."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import psycopg
import pytest
from psycopg import Connection

from tests.conformance.conftest import connect

LIMIT = 20.0


class Writers:
    """Three sessions on one database, and a thread for each that may have to wait."""

    def __init__(self, connections: list[Connection[Any]], watcher: Connection[Any]) -> None:
        self.first, self.second, self.third = connections
        self._watcher = watcher
        self._threads = ThreadPoolExecutor(len(connections))

    def close(self) -> None:
        """Wait for the threads."""
        self._threads.shutdown()

    def start(self, conn: Connection[Any], name: str, version: int | None = None) -> Future[int]:
        """Begin a write in a thread, and return when it waits for a lock or has ended."""
        future = self._threads.submit(write, conn, name, version)
        self.until(lambda: future.done() or self.waits(conn))
        return future

    def waits(self, conn: Connection[Any]) -> bool:
        """Return True if the session waits for an advisory lock."""
        found = self._watcher.execute(
            "select from pg_locks where pid = %s and locktype = 'advisory' and not granted",
            [conn.info.backend_pid],
        )
        return found.fetchone() is not None

    def until(self, condition: Any) -> None:
        """Poll until the condition holds."""
        deadline = time.monotonic() + LIMIT
        while not condition():
            assert time.monotonic() < deadline, "the condition did not come true"
            time.sleep(0.01)


def write(conn: Connection[Any], name: str, version: int | None = None) -> int:
    row = conn.execute(
        "select write_message(%s, %s, 'T', '{}'::jsonb, null, %s)",
        [str(uuid.uuid4()), name, version],
    ).fetchone()
    assert row is not None
    return int(row[0])


@pytest.fixture
def writers(url: str) -> Iterator[Writers]:
    with ExitStack() as stack:
        connections = [stack.enter_context(connect(url)) for _ in range(3)]
        for conn in connections:
            conn.execute("set deadlock_timeout = '50ms'")
            conn.execute(f"set statement_timeout = '{LIMIT}s'".encode())
        made = Writers(connections, stack.enter_context(connect(url)))
        stack.callback(made.close)
        yield made


def test_writers_of_a_category_wait_and_others_do_not(writers: Writers) -> None:
    writers.first.execute("begin")
    assert write(writers.first, "a-1") == 0
    second = writers.start(writers.second, "a-2")
    assert writers.waits(writers.second)
    assert write(writers.third, "b-1") == 0
    assert write(writers.third, "a:command-1") == 0
    writers.first.execute("commit")
    assert second.result(LIMIT) == 0
    positions = writers.third.execute(
        "select stream_name from messages where category(stream_name) = 'a' order by 1"
    )
    assert positions.fetchall() == [("a-1",), ("a-2",)]


def test_a_waiting_writer_sees_what_it_waited_for(writers: Writers) -> None:
    writers.first.execute("begin")
    assert write(writers.first, "a-1") == 0
    second = writers.start(writers.second, "a-1")
    third = writers.start(writers.third, "a-1", -1)
    assert writers.waits(writers.second)
    assert writers.waits(writers.third)
    writers.first.execute("commit")
    assert second.result(LIMIT) == 1
    with pytest.raises(psycopg.errors.RaiseException, match="Wrong expected version: -1"):
        third.result(LIMIT)


def test_within_a_category_positions_are_in_the_order_of_the_commits(writers: Writers) -> None:
    writers.first.execute("begin")
    write(writers.first, "a-1")
    second = writers.start(writers.second, "a-2")
    writers.first.execute("commit")
    second.result(LIMIT)
    rows = writers.third.execute("select stream_name from messages order by global_position")
    assert rows.fetchall() == [("a-1",), ("a-2",)]


def test_across_categories_a_later_position_may_be_visible_first(writers: Writers) -> None:
    writers.first.execute("begin")
    write(writers.first, "a-1")
    write(writers.second, "b-1")
    rows = writers.third.execute("select stream_name, global_position from messages").fetchall()
    assert rows == [("b-1", 2)]
    writers.first.execute("commit")


def test_acquire_lock_is_the_lock_of_a_write(writers: Writers) -> None:
    writers.first.execute("begin")
    row = writers.first.execute("select acquire_lock('a-7'), hash_64('a')").fetchone()
    assert row is not None
    assert row[0] == row[1]
    second = writers.start(writers.second, "a-1")
    assert writers.waits(writers.second)
    # A plain 64-bit key, so the lock can be taken by hand.
    free = writers.third.execute("select pg_try_advisory_xact_lock(hash_64('a'))").fetchone()
    assert free == (False,)
    writers.first.execute("rollback")
    assert second.result(LIMIT) == 0


def test_two_writes_in_opposite_order_deadlock(writers: Writers) -> None:
    for conn, name in ((writers.first, "a-1"), (writers.second, "b-1")):
        conn.execute("begin")
        write(conn, name)
    futures = [writers.start(writers.first, "b-2"), writers.start(writers.second, "a-2")]
    states = [getattr(future.exception(LIMIT), "sqlstate", None) for future in futures]
    assert sorted(states, key=str) == ["40P01", None]
    for conn in (writers.first, writers.second):
        conn.execute("rollback")


def test_lock_timeout_ends_the_wait(writers: Writers) -> None:
    writers.first.execute("begin")
    write(writers.first, "a-1")
    writers.second.execute("set lock_timeout = '20ms'")
    with pytest.raises(psycopg.errors.LockNotAvailable):
        write(writers.second, "a-2")
    writers.first.execute("rollback")
    assert write(writers.second, "a-2") == 0


@pytest.mark.parametrize("isolation", ["repeatable read", "serializable"])
def test_a_stale_snapshot_fails_on_the_stream(writers: Writers, isolation: str) -> None:
    write(writers.third, "a-1")
    writers.first.execute("begin")
    write(writers.first, "a-1")
    writers.second.execute(f"begin isolation level {isolation}".encode())
    second = writers.start(writers.second, "a-1", 0)
    assert writers.waits(writers.second)
    writers.first.execute("commit")
    error = second.exception(LIMIT)
    assert isinstance(error, psycopg.errors.UniqueViolation)
    assert error.diag.constraint_name == "messages_stream"
    writers.second.execute("rollback")
