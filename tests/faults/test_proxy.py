"""The fault proxy itself: what it does is what the other tests rest on."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from messagedb import AsyncClient, Client, NewMessage, OutcomeUnknownError, ValidationError
from messagedb.testing import FaultPoint, FaultProxy
from tests.support.backend import make_url
from tests.support.background_sync import Background, eventually
from tests.support.store import pids, sessions, stored, terminate
from tests.support.tls import Certificates, NoTLSError, TLSServer


@pytest.fixture
def proxy(store_url: str) -> Iterator[FaultProxy]:
    """Return a proxy in front of the run's database."""
    with FaultProxy(store_url) as proxy:
        yield proxy


def connect(proxy: FaultProxy, name: str) -> psycopg.Connection[tuple[Any, ...]]:
    """Connect by way of the proxy."""
    return psycopg.connect(
        make_url(proxy.url, application_name=name), autocommit=True, connect_timeout=5
    )


def test_it_forwards_much(proxy: FaultProxy, category: str) -> None:
    with connect(proxy, category) as conn:
        text = "x" * 3_000_000
        row = conn.execute("select length(%s || 'y')", [text]).fetchone()
        assert row == (3_000_001,)
        rows = conn.execute("select repeat('x', 1000) from generate_series(1, 3000)").fetchall()
        assert len(rows) == 3000


def test_it_holds_answers(proxy: FaultProxy, store_url: str, category: str) -> None:
    message = NewMessage("Tested")
    with Client(proxy.url, max_size=1) as client:
        # The first one asks the server twice: it prepares its statement.
        client.write_message(f"{category}-1", NewMessage("Tested"))
        proxy.stall("answers")
        call = Background(client.write_message, f"{category}-1", message)
        eventually(lambda: len(stored(store_url, f"{category}-1")) == 2)
        assert not call.ended
        proxy.resume()
        assert call.result(5.0) == 1


def test_it_drops_answers(proxy: FaultProxy, store_url: str, category: str) -> None:
    message = NewMessage("Tested")
    with Client(proxy.url, max_size=1, command_timeout=0.2, timeout=0.2) as client:
        # The first one asks the server twice: it prepares its statement.
        client.write_message(f"{category}-1", NewMessage("Tested"))
        proxy.drop("answers")
        call = Background(client.write_message, f"{category}-1", message)
        eventually(lambda: len(stored(store_url, f"{category}-1")) == 2)
        assert call.outcome(5.0).error is not None
        proxy.resume()


def test_it_stalls_and_goes_on(proxy: FaultProxy, category: str) -> None:
    with connect(proxy, category) as conn:
        proxy.stall()
        old = Background(conn.execute, "select 1")
        new = Background(connect, proxy, f"{category}-new")
        # psycopg gives up by itself while nothing moves: that takes longer than all of this.
        with pytest.raises(psycopg.errors.ConnectionTimeout):
            psycopg.connect(proxy.url, connect_timeout=2)
        assert not old.ended
        assert not new.ended
        proxy.resume()
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
        proxy.cut(notify_server=False)
        with pytest.raises(psycopg.OperationalError):
            conn.execute("select 1")
        assert sessions(store_url, category) == 1
        proxy.resume()
    eventually(lambda: sessions(store_url, category) == 0)


def test_it_resets_whoever_comes_when_the_server_is_away(category: str) -> None:
    nowhere = FaultProxy("postgresql://any@/any?host=/nonexistent")
    with nowhere as proxy, pytest.raises(psycopg.OperationalError):
        connect(proxy, category)


POINTS: list[FaultPoint] = [
    "before_request",
    "within_request",
    "after_request",
    "before_answer",
    "within_answer",
    "after_answer",
]


@pytest.mark.parametrize("point", POINTS)
def test_it_cuts_at_a_point(
    proxy: FaultProxy, store_url: str, category: str, point: FaultPoint
) -> None:
    with connect(proxy, category) as conn:
        proxy.cut_at(point, "Tested")
        conn.execute("select pg_backend_pid()")
        assert proxy.injected == 0
        insert = "insert into message_store.messages (stream_name, type, position) values"
        values = f"('{category}-1', 'Tested', 0)"
        if point == "after_answer":
            conn.execute(f"{insert} {values}".encode())
            with pytest.raises(psycopg.OperationalError):
                conn.execute("select 1")
        else:
            with pytest.raises(psycopg.OperationalError):
                conn.execute(f"{insert} {values}".encode())
    assert proxy.injected == 1
    eventually(lambda: sessions(store_url, category) == 0)
    arrived = point not in ("before_request", "within_request")
    assert len(stored(store_url, f"{category}-1")) == arrived
    connect(proxy, category).close()


def test_it_stalls_one_way(proxy: FaultProxy, store_url: str, category: str) -> None:
    with Client(proxy.url, max_size=1) as client:
        client.write_message(f"{category}-1", NewMessage("Tested"))
        proxy.stall("requests")
        call = Background(client.write_message, f"{category}-1", NewMessage("Tested"))
        proxy.stall("answers")  # what is asked for last is in force: the request arrives
        eventually(lambda: len(stored(store_url, f"{category}-1")) == 2)
        assert not call.ended
        proxy.resume()
        assert call.result(5.0) == 1


def test_it_stalls_at_a_point(proxy: FaultProxy, store_url: str, category: str) -> None:
    stream = f"{category}-1"
    with Client(proxy.url, max_size=1) as client:
        client.write_message(stream, NewMessage("Tested"))
        for number, point in enumerate(POINTS):
            message = NewMessage("Tested")
            proxy.stall_at(point, str(message.id))
            call = Background(client.write_message, stream, message)
            eventually(partial(has_injected, proxy, number + 1))
            if point not in ("before_request", "within_request"):
                eventually(partial(has_stored, store_url, stream, number + 2))
            assert point == "after_answer" or not call.ended
            proxy.resume()
            assert call.result(5.0) == number + 1


def has_injected(proxy: FaultProxy, count: int) -> bool:
    """Return True if so many faults were caused."""
    return proxy.injected == count


def has_stored(url: str, stream: str, count: int) -> bool:
    """Return True if a stream has so many messages."""
    return len(stored(url, stream)) == count


def test_it_loses_what_follows_a_point(proxy: FaultProxy, store_url: str, category: str) -> None:
    message = NewMessage("Tested")
    with Client(proxy.url, max_size=1, command_timeout=0.2, timeout=0.2) as client:
        client.write_message(f"{category}-1", NewMessage("Tested"))
        proxy.drop_at("before_request", str(message.id))
        with pytest.raises(OutcomeUnknownError):
            client.write_message(f"{category}-1", message)
        assert proxy.injected == 1
        assert len(stored(store_url, f"{category}-1")) == 1
        proxy.resume()
        assert client.write_message(f"{category}-1", message) == 1


def test_an_end_is_lost_too(proxy: FaultProxy, store_url: str, category: str) -> None:
    old = connect(proxy, category)
    proxy.drop(new_connections=False)
    old.close()
    connect(proxy, f"{category}-new").close()
    assert sessions(store_url, category) == 1
    proxy.resume()
    eventually(lambda: sessions(store_url, category) == 0)
    with connect(proxy, category) as other:
        proxy.drop("answers")
        terminate(store_url, pids(store_url, category))
        call = Background(other.execute, "select 1")
        proxy.drop("answers")
        assert not call.ended
        assert proxy.connections == 1
        proxy.resume()
        assert isinstance(call.outcome(5.0).error, psycopg.OperationalError)


def test_it_refuses(proxy: FaultProxy, store_url: str, category: str) -> None:
    conn = connect(proxy, category)
    proxy.refuse()
    with pytest.raises(psycopg.OperationalError):
        conn.execute("select 1")
    text = "Connection refused" if sys.platform == "linux" else ""
    for _ in range(3):
        with pytest.raises(psycopg.OperationalError, match=text):
            connect(proxy, category)
    proxy.refuse()
    proxy.resume()
    connect(proxy, category).close()
    conn.close()


def test_it_is_slow(proxy: FaultProxy, category: str) -> None:
    with connect(proxy, category) as conn:
        proxy.slow(latency=0.1)
        begin = time.monotonic()
        conn.execute("select 1")
        assert time.monotonic() - begin >= 0.2
        proxy.slow(bytes_per_second=100_000)
        begin = time.monotonic()
        row = conn.execute("select repeat('x', 50000)").fetchone()
        assert time.monotonic() - begin >= 0.4
        assert row == ("x" * 50_000,)
        proxy.resume()
        assert conn.execute("select 1").fetchone() == (1,)


def test_another_process_uses_it_with_the_defaults_of_its_driver(proxy: FaultProxy) -> None:
    """A driver that offers encryption gets a no, and the proxy reads its requests."""
    program = (
        "import psycopg, sys\n"
        "conn = psycopg.connect(sys.argv[1], autocommit=True)\n"
        "print(conn.execute('select 42').fetchone()[0])\n"
    )
    url = make_url(proxy.url, sslmode="prefer", gssencmode="prefer")
    for conninfo in (url, proxy.conninfo):
        command = [sys.executable, "-c", program, conninfo]
        answer = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert (answer.returncode, answer.stdout) == (0, "42\n"), answer.stderr
    proxy.cut_at("before_request", "select 42")
    answer = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (answer.returncode, proxy.injected) == (1, 1)


async def test_async_code_uses_it(proxy: FaultProxy, category: str) -> None:
    async with AsyncClient(proxy.url) as client:
        message = NewMessage("Tested")
        proxy.cut_at("before_answer", str(message.id))
        assert await client.write_message(f"{category}-1", message) == 0
        assert proxy.injected == 1


def test_it_ends_with_everything_that_it_opened(store_url: str, category: str) -> None:
    def count() -> tuple[int, int]:
        return len(os.listdir("/proc/self/fd")), threading.active_count()

    before = count()
    with FaultProxy(store_url) as proxy:
        conn = connect(proxy, category)
        proxy.cut(notify_server=False)
        others = [connect(proxy, category) for _ in range(3)]
        proxy.stall()
        assert count() != before
    proxy.close()
    for each in (conn, *others):
        each.close()
    assert count() == before
    eventually(lambda: sessions(store_url, category) == 0)
    with pytest.raises(ValidationError, match="is closed"):
        proxy.cut()


WRONG: dict[str, tuple[Callable[[FaultProxy], object], str]] = {
    "point": (lambda proxy: proxy.cut_at("later"), "point must be one of"),  # type: ignore[arg-type]
    "marker": (lambda proxy: proxy.cut_at("before_request", ""), "marker must be a non-empty"),
    "times": (lambda proxy: proxy.cut_at("before_request", times=0), "times must be"),
    "skip": (lambda proxy: proxy.drop_at("before_request", skip=-1), "skip must be"),
    "stall": (lambda proxy: proxy.stall("up"), "direction must be"),  # type: ignore[arg-type]
    "drop": (lambda proxy: proxy.drop("up"), "direction must be"),  # type: ignore[arg-type]
    "slow": (lambda proxy: proxy.slow(), "needs bytes_per_second or latency"),
    "bytes": (lambda proxy: proxy.slow(bytes_per_second=0), "bytes_per_second must be"),
    "latency": (lambda proxy: proxy.slow(latency=-1.0), "latency must be"),
    "nan": (lambda proxy: proxy.slow(latency=float("nan")), "latency must be"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_arguments_change_nothing(proxy: FaultProxy, category: str, name: str) -> None:
    call, text = WRONG[name]
    with pytest.raises(ValidationError, match=text):
        call(proxy)
    with connect(proxy, category) as conn:
        assert conn.execute("select 1").fetchone() == (1,)


@pytest.mark.parametrize(
    ("target", "text"),
    [
        (5, "must be a connection string, not int"),
        ("embedded:", "connection string of a running server"),
        ("postgresql://[", "not a connection string"),
        ("nonsense", "not a connection string"),
        ("dbname=any", "must name the host"),
        ("host=one,two", "must name one server"),
        ("host=one port=x", "a number as its port"),
    ],
)
def test_a_target_that_is_wrong_starts_nothing(target: Any, text: str) -> None:
    threads = threading.active_count()
    with pytest.raises(ValidationError, match=text) as caught:
        FaultProxy(target)
    assert "No proxy was started" in str(caught.value)
    assert threading.active_count() == threads


def test_the_strings_lead_to_it(store_url: str) -> None:
    target = "postgresql://me:p%40ss@127.0.0.1:5/a%20b?options=-csearch_path%3Dx&sslmode=prefer"
    with FaultProxy(target) as proxy:
        values = conninfo_to_dict(proxy.url)
        assert values == conninfo_to_dict(proxy.conninfo)
        assert (values["user"], values["password"], values["dbname"]) == ("me", "p@ss", "a b")
        assert (values["host"], values["port"]) == ("127.0.0.1", str(proxy.port))
        assert values["options"] == "-csearch_path=x"
        assert values["sslmode"] == "disable"
        assert "p@ss" not in repr(proxy)
        assert "127.0.0.1 port 5" in repr(proxy)


def test_through_tls_it_cuts_and_stalls_and_does_not_read(category: str) -> None:
    try:
        certificates = Certificates()
        server = TLSServer(certificates)
    except NoTLSError as error:
        pytest.skip(str(error))
    server.add_to_hba(["hostssl all postgres 127.0.0.1/32 trust"])
    target = server.tcp(sslmode="verify-full", sslrootcert=certificates.path("ca"))
    target = make_url(target, host="db.example", hostaddr="127.0.0.1")
    with FaultProxy(target) as proxy:
        with connect(proxy, category) as conn:
            assert conn.pgconn.ssl_in_use
            assert conn.execute("select repeat('x', 100000)").fetchone() == ("x" * 100_000,)
            with pytest.raises(ValidationError, match="asks for TLS"):
                proxy.cut_at("before_request")
            proxy.stall("answers")
            call = Background(conn.execute, "select 1")
            assert not call.ended
            proxy.resume()
            assert call.result(5.0).fetchone() == (1,)
            proxy.cut()
            with pytest.raises(psycopg.OperationalError):
                conn.execute("select 1")
        proxy.slow(latency=0.01)
        connect(proxy, category).close()
    server.close()
    certificates.close()
