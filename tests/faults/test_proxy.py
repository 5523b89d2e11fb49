"""The fault proxy itself: what it does is what the other tests rest on."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from messagedb import Client, NewMessage
from tests.support.background_sync import Background, eventually
from tests.support.proxy import FaultProxy
from tests.support.store import sessions, stored


@pytest.fixture
def proxy(store_url: str) -> Iterator[FaultProxy]:
    """Return a proxy in front of the run's database."""
    with FaultProxy(store_url) as proxy:
        yield proxy


def connect(proxy: FaultProxy, name: str) -> psycopg.Connection[tuple[int]]:
    """Connect by way of the proxy."""
    return psycopg.connect(proxy.url(application_name=name), autocommit=True, connect_timeout=5)


def test_it_forwards_much(proxy: FaultProxy, category: str) -> None:
    with connect(proxy, category) as conn:
        text = "x" * 3_000_000
        row = conn.execute("select length(%s || 'y')", [text]).fetchone()
        assert row == (3_000_001,)
        rows = conn.execute("select repeat('x', 1000) from generate_series(1, 3000)").fetchall()
        assert len(rows) == 3000


def test_it_holds_answers(proxy: FaultProxy, store_url: str, category: str) -> None:
    message = NewMessage("Tested")
    with Client(proxy.url(), max_size=1) as client:
        # The first one asks the server twice: it prepares its statement.
        client.write_message(f"{category}-1", NewMessage("Tested"))
        proxy.hold_answers()
        call = Background(client.write_message, f"{category}-1", message)
        eventually(lambda: len(stored(store_url, f"{category}-1")) == 2)
        assert not call.ended
        proxy.forward()
        assert call.result(5.0) == 1


def test_it_drops_answers(proxy: FaultProxy, store_url: str, category: str) -> None:
    message = NewMessage("Tested")
    with Client(proxy.url(), max_size=1, command_timeout=0.2, timeout=0.2) as client:
        # The first one asks the server twice: it prepares its statement.
        client.write_message(f"{category}-1", NewMessage("Tested"))
        proxy.drop_answers()
        call = Background(client.write_message, f"{category}-1", message)
        eventually(lambda: len(stored(store_url, f"{category}-1")) == 2)
        assert call.outcome(5.0).error is not None
        proxy.forward()


def test_it_stalls_and_goes_on(proxy: FaultProxy, category: str) -> None:
    with connect(proxy, category) as conn:
        proxy.stall()
        old = Background(conn.execute, "select 1")
        new = Background(connect, proxy, f"{category}-new")
        # psycopg gives up by itself while nothing moves: that takes longer than all of this.
        with pytest.raises(psycopg.errors.ConnectionTimeout):
            psycopg.connect(proxy.url(), connect_timeout=2)
        assert not old.ended
        assert not new.ended
        proxy.forward()
        assert old.result(5.0).fetchone() == (1,)
        new.result(5.0).close()


def test_it_cuts(proxy: FaultProxy, store_url: str, category: str) -> None:
    with connect(proxy, category) as conn:
        assert sessions(store_url, category) == 1
        proxy.cut()
        with pytest.raises(psycopg.OperationalError):
            conn.execute("select 1")
    eventually(lambda: sessions(store_url, category) == 0)
    connect(proxy, category).close()


def test_it_cuts_the_client_only(proxy: FaultProxy, store_url: str, category: str) -> None:
    with connect(proxy, category) as conn:
        proxy.cut_clients()
        with pytest.raises(psycopg.OperationalError):
            conn.execute("select 1")
        assert sessions(store_url, category) == 1
        proxy.end_orphans()
    eventually(lambda: sessions(store_url, category) == 0)


def test_it_resets_whoever_comes_when_the_server_is_away(category: str) -> None:
    nowhere = FaultProxy("postgresql://any@/any?host=/nonexistent")
    with nowhere as proxy, pytest.raises(psycopg.OperationalError):
        connect(proxy, category)
