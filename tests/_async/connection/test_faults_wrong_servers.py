"""Servers that cannot be used: the right error, soon, with the fix, and never the password."""

from __future__ import annotations

import logging
import socket
import time
import traceback
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote

import psycopg
import pytest

from messagedb import (
    AsyncClient,
    IncompatibleServerError,
    MessageDBError,
    NewMessage,
    StoreUnavailableError,
    schema,
)
from messagedb.errors import EmbeddedServerError, PoolTimeoutError
from tests.support.backend import make_url
from tests.support.background_async import Background, eventually
from tests.support.outcome import is_whole
from tests.support.server import OwnServer
from tests.support.store import pids, terminate

SECRET = "s3cret Pässw/rd%"
SOON = 3.0


@pytest.fixture(scope="module")
def server() -> Iterator[OwnServer]:
    """Return a server of the tests' own, with our schema, and roles that must give passwords."""
    try:
        server = OwnServer()
    except EmbeddedServerError as error:
        pytest.skip(f"no programs to run a server of the test's own: {error}")
    schema.install(server.url())
    with psycopg.connect(server.url(), autocommit=True) as conn:
        conn.execute("set password_encryption = 'scram-sha-256'")
        for role in ("locked", "changing"):
            conn.execute(f"create role {role} login in role message_store".encode())
            conn.execute(f"alter role {role} password '{SECRET}'".encode())
        conn.execute("create role full login in role message_store connection limit 0")
        conn.execute("create role stranger login")
        conn.execute("create database frozen template postgres")
        conn.execute("alter database frozen set default_transaction_read_only = on")
    server.add_to_hba(f"local all {role} scram-sha-256" for role in ("locked", "changing"))
    yield server
    server.close()


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """Return all that is logged anywhere."""
    caplog.set_level(logging.DEBUG)
    return caplog


def says_no_secret(text: str) -> bool:
    """Return True if no form of the password is in a string."""
    forms = (SECRET, quote(SECRET, safe=""), repr(SECRET)[1:-1], "s3cret", "wrong-secret")
    return not any(form in text for form in forms)


def locals_of(error: BaseException | None) -> Iterator[Any]:
    """Return the variables in the library's frames of a traceback, as a report with locals does."""
    while error is not None:
        for frame, _ in traceback.walk_tb(error.__traceback__):
            if "tests" not in frame.f_code.co_filename:
                yield from frame.f_locals.values()
        error = error.__cause__


async def refused(url: str, logged: pytest.LogCaptureFixture, **options: Any) -> MessageDBError:
    """Use a client of the server in each way, and return the one error that all of them get."""
    client = AsyncClient(url, **options)
    errors: list[MessageDBError] = []
    calls: list[Callable[[], Any]] = [
        lambda: client.open(),
        lambda: client.write_message("refused-1", NewMessage("Tested")),
        lambda: client.get_stream_messages("refused-1"),
    ]
    for call in calls:
        outcome: Any = await Background(call).outcome(20.0)
        assert isinstance(outcome.error, MessageDBError), outcome
        assert outcome.seconds < SOON
        errors.append(outcome.error)
    await client.close()
    assert len({(type(error), str(error)) for error in errors}) == 1
    error = errors[0]
    whole = "".join(traceback.format_exception(error))
    shown = "\n".join(map(repr, locals_of(error)))
    for text in (
        str(error),
        repr(error),
        repr(vars(error)),
        whole,
        repr(client),
        shown,
        logged.text,
    ):
        assert says_no_secret(text), text
    return error


async def test_nobody_listens(logged: pytest.LogCaptureFixture) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        port = str(nobody.getsockname()[1])
        url = make_url(host="127.0.0.1", port=port, user="any", dbname="any", password=SECRET)
        error = await refused(url, logged)
    assert type(error) is StoreUnavailableError
    assert port in str(error)
    assert "127.0.0.1" in str(error)
    assert "Check that the server runs" in str(error)
    assert "Nothing was sent" in str(error)


async def test_no_such_socket(logged: pytest.LogCaptureFixture) -> None:
    url = make_url(host="/nonexistent", user="any", dbname="any", password=SECRET)
    error = await refused(url, logged)
    assert type(error) is StoreUnavailableError
    assert "/nonexistent" in str(error)


@pytest.mark.parametrize("password", ["", "wrong-secret", f"{SECRET}x"])
async def test_a_wrong_password(
    server: OwnServer, logged: pytest.LogCaptureFixture, password: str
) -> None:
    error = await refused(server.url(user="locked", password=password), logged)
    assert type(error) is StoreUnavailableError
    assert "'locked'" in str(error)
    assert "Check user and password" in str(error)
    assert "Nothing was sent" in str(error)


async def test_the_right_password(
    server: OwnServer, category: str, logged: pytest.LogCaptureFixture
) -> None:
    async with AsyncClient(server.url(user="locked", password=SECRET)) as client:
        assert await client.write_message(f"{category}-1", NewMessage("Tested")) == 0
        assert says_no_secret(repr(client))
    assert says_no_secret(logged.text)


async def test_the_password_is_changed_under_an_open_client(
    server: OwnServer, category: str, logged: pytest.LogCaptureFixture
) -> None:
    url = make_url(server.url(user="changing", password=SECRET), application_name=category)
    with psycopg.connect(server.url(), autocommit=True) as conn:
        conn.execute(f"alter role changing password '{SECRET}'".encode())
        async with AsyncClient(url, min_size=1, max_size=2, timeout=1.0) as client:
            assert await client.write_message(f"{category}-1", NewMessage("Tested")) == 0
            await eventually(lambda: is_whole(client))
            conn.execute("alter role changing password 'wrong-secret'")
            terminate(server.url(), pids(server.url(), category))
            begin = time.monotonic()
            with pytest.raises(PoolTimeoutError) as caught:
                await client.get_stream_messages(f"{category}-1")
            assert time.monotonic() - begin < SOON
            assert "password authentication failed" in str(caught.value)
            whole = "".join(traceback.format_exception(caught.value))
            assert "password authentication failed" in logged.text
            assert says_no_secret(str(caught.value) + whole + logged.text)
            conn.execute(f"alter role changing password '{SECRET}'".encode())
            again = Background(client.stream_version, f"{category}-1")
            outcome = await again.outcome(5.0)
            if outcome.error is not None:
                await eventually(lambda: is_whole(client))
            assert await client.stream_version(f"{category}-1") == 0


@pytest.mark.parametrize(("role", "database"), [("nobody_here", "postgres"), ("postgres", "gone")])
async def test_no_such_role_or_database(
    server: OwnServer, logged: pytest.LogCaptureFixture, role: str, database: str
) -> None:
    error = await refused(server.url(database, user=role, password=SECRET), logged)
    assert type(error) is StoreUnavailableError
    assert "does not exist" in str(error)
    assert "Check the names of database and role" in str(error)


async def test_the_server_takes_no_more_connections(
    server: OwnServer, logged: pytest.LogCaptureFixture
) -> None:
    error = await refused(server.url(user="full", password=SECRET), logged)
    assert type(error) is StoreUnavailableError
    assert "too many connections" in str(error)


async def test_a_database_without_message_db(
    server: OwnServer, logged: pytest.LogCaptureFixture
) -> None:
    error = await refused(server.url("template1", password=SECRET), logged)
    assert type(error) is IncompatibleServerError
    assert "Message DB is not installed" in str(error)
    assert "messagedb.schema.install()" in str(error)
    assert "'template1'" in str(error)


async def test_a_database_with_another_encoding(
    new_database: Callable[..., str], logged: pytest.LogCaptureFixture
) -> None:
    error = await refused(new_database(encoding="LATIN1", install=False), logged)
    assert type(error) is IncompatibleServerError
    assert "LATIN1" in str(error)
    assert "ENCODING 'UTF8' TEMPLATE template0" in str(error)


async def test_a_role_that_may_do_nothing(
    server: OwnServer, logged: pytest.LogCaptureFixture
) -> None:
    error = await refused(server.url(user="stranger", password=SECRET), logged)
    assert type(error) is IncompatibleServerError
    assert "'stranger'" in str(error)
    assert "GRANT message_store TO" in str(error)


async def refuses_writes(client: AsyncClient) -> None:
    """See that a server serves reads, and says of writes where they are to go."""
    assert await client.get_stream_messages("refused-1") == []
    assert await client.stream_version("refused-1") == -1
    assert await client.get_stream_messages("refused-1", condition="messages.position = 0") == []
    batch = [NewMessage("Tested"), NewMessage("Tested")]
    calls: list[Callable[[], Any]] = [
        lambda: client.write_message("refused-1", batch[0]),
        lambda: client.write_messages("refused-1", batch),
    ]
    for call in calls:
        outcome: Any = await Background(call).outcome(20.0)
        assert type(outcome.error) is StoreUnavailableError, outcome
        assert outcome.error.is_transient
        assert outcome.seconds < SOON
        assert "Connect to the primary" in str(outcome.error)
        assert "Nothing was written" in str(outcome.error)
    await eventually(lambda: is_whole(client))


@pytest.mark.parametrize("pooler", [False, True])
async def test_a_standby(server: OwnServer, category: str, pooler: bool) -> None:
    with psycopg.connect(server.url(), autocommit=True) as conn:
        conn.execute("select pg_switch_wal()")
    standby = OwnServer(standby_of=server)
    try:
        url = standby.url(user="message_store")
        async with AsyncClient(url, pooler=pooler, max_size=2) as client:
            await refuses_writes(client)
    finally:
        standby.close()


@pytest.mark.parametrize("pooler", [False, True])
async def test_a_read_only_database(server: OwnServer, pooler: bool) -> None:
    url = server.url("frozen", user="message_store")
    async with AsyncClient(url, pooler=pooler, max_size=2) as client:
        await refuses_writes(client)
