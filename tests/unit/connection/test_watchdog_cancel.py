"""The watchdog's cancellation of a statement: it gets through, and blocks no other thread."""

from __future__ import annotations

import threading
from time import monotonic

import psycopg
import pytest
from psycopg import capabilities, pq

from messagedb._connection import deadline_watchdog
from messagedb._connection.deadline_watchdog import DeadlineWatch, build_cancel
from messagedb.testing import FaultProxy
from tests.support.background_sync import Background, eventually

LIMIT = 5.0
WAYS = ["safe", "python", "none"]


def prefer(way: str, patch: pytest.MonkeyPatch) -> None:
    """Let psycopg be one that can cancel in this way."""
    if way == "safe" and not capabilities.has_cancel_safe():
        pytest.skip("libpq is older than 17")
    if way != "safe":
        patch.setattr(capabilities, "has_cancel_safe", lambda: False)
        patch.setattr(pq, "__impl__", "python" if way == "python" else "c")


def is_asleep(conn: psycopg.Connection, pid: int) -> bool:
    """Return True if a session is in pg_sleep()."""
    query = "select 1 from pg_stat_activity where pid = %s and wait_event = 'PgSleep'"
    return conn.execute(query, [pid]).fetchone() is not None


@pytest.mark.parametrize("way", WAYS)
def test_a_statement_is_cancelled_or_left_to_the_servers_limits(
    server_url: str, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    prefer(way, monkeypatch)
    with psycopg.connect(server_url, autocommit=True) as conn:
        cancel = build_cancel(conn.pgconn)
        call = Background(conn.execute, f"select pg_sleep({0.3 if way == 'none' else 30})".encode())
        with psycopg.connect(server_url, autocommit=True) as other:
            eventually(lambda: is_asleep(other, conn.info.backend_pid))
        cancel()
        outcome = call.outcome(LIMIT)
        assert (outcome.error is None) == (way == "none")
        assert isinstance(outcome.error, psycopg.errors.QueryCanceled | None)


@pytest.mark.parametrize("way", ["safe", "none"])
def test_a_peer_that_says_nothing_holds_up_nobody(
    server_url: str, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    prefer(way, monkeypatch)
    monkeypatch.setattr(deadline_watchdog, "_CANCEL_LIMIT", 0.5)
    with FaultProxy(server_url) as proxy, psycopg.connect(proxy.url, autocommit=True) as conn:
        proxy.stall()
        watch = DeadlineWatch(monotonic())
        watch.start(conn.pgconn.socket, build_cancel(conn.pgconn))
        # The proxy is a thread of this process: psycopg's own cancel() would never come back.
        with pytest.raises(psycopg.OperationalError):
            conn.execute("select 1")
        assert watch.has_expired
        eventually(lambda: "messagedb-cancel" not in {t.name for t in threading.enumerate()})
        proxy.resume()


def test_a_cancellation_that_is_refused_is_no_error(
    server_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    prefer("safe", monkeypatch)
    proxy = FaultProxy(server_url)
    conn = psycopg.connect(proxy.url, autocommit=True)
    watch = DeadlineWatch(monotonic() + 0.05)
    watch.start(conn.pgconn.socket, build_cancel(conn.pgconn))
    proxy.close()
    eventually(lambda: watch.has_expired)
    eventually(lambda: "messagedb-cancel" not in {t.name for t in threading.enumerate()})
    with pytest.raises(psycopg.OperationalError):
        conn.execute("select 1")
    conn.close()
