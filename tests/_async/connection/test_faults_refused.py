"""Servers that refuse connections: the cause, the advice, and whether a consumer waits."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from messagedb import AsyncClient, AsyncConsumer, Message, StoreUnavailableError, schema
from messagedb.errors import EmbeddedServerError
from tests.support.background_async import Background, eventually
from tests.support.server import OwnServer
from tests.support.tls import Certificates, NoTLSError, TLSServer


@pytest.fixture(scope="module")
def certificates() -> Iterator[Certificates]:
    """Return an authority's certificate and those that it has signed."""
    try:
        made = Certificates()
    except NoTLSError as error:
        pytest.skip(str(error))
    yield made
    made.close()


@pytest.fixture(scope="module")
def tls(certificates: Certificates) -> Iterator[TLSServer]:
    """Return a server with TLS, which asks some roles for certificates."""
    try:
        server = TLSServer(certificates)
    except NoTLSError as error:
        pytest.skip(str(error))
    schema.install(server.url())
    with psycopg.connect(server.url(), autocommit=True) as conn:
        for role in ("tlsonly", "plain", "certified"):
            conn.execute(f"create role {role} login in role message_store".encode())
    server.add_to_hba(
        [
            "hostssl all tlsonly 127.0.0.1/32 trust",
            "hostssl all certified 127.0.0.1/32 trust clientcert=verify-ca",
            "host all plain 127.0.0.1/32 trust",
            "host all all 127.0.0.1/32 reject",
        ]
    )
    yield server
    server.close()


async def why(url: str) -> StoreUnavailableError:
    """Return the error that a client of the server gets."""
    client = AsyncClient(url, timeout=5.0)
    with pytest.raises(StoreUnavailableError) as caught:
        await client.open()
    await client.close()
    return caught.value


@pytest.mark.parametrize(
    ("user", "options", "text", "advice"),
    [
        ("tlsonly", {"sslmode": "disable"}, "no encryption", "sslmode=require"),
        (
            "tlsonly",
            {"sslmode": "verify-full", "sslrootcert": "/nosuch"},
            "does not exist",
            "sslrootcert=system",
        ),
        (
            "tlsonly",
            {"sslmode": "verify-full", "sslrootcert": "other"},
            "verify failed",
            "not signed by an authority in sslrootcert",
        ),
        (
            "tlsonly",
            {"sslmode": "verify-full", "sslrootcert": "ca"},
            "does not match host name",
            "sslmode=verify-ca",
        ),
        ("certified", {"sslmode": "require"}, "valid client certificate", "sslcert and sslkey"),
        (
            "certified",
            {"sslmode": "require", "sslcert": "stranger", "sslkey": "stranger"},
            "unknown ca",
            "a client certificate that it trusts",
        ),
        (
            "certified",
            {"sslmode": "require", "sslcert": "client", "sslkey": "/nosuch"},
            "not private key file",
            "belong together",
        ),
        (
            "certified",
            {"sslmode": "require", "sslcert": "client", "sslkey": "other"},
            "key values mismatch",
            "belong together",
        ),
    ],
)
async def test_certificates_that_are_wrong(
    tls: TLSServer,
    certificates: Certificates,
    user: str,
    options: dict[str, str],
    text: str,
    advice: str,
) -> None:
    def path(name: str, value: str) -> str:
        if name == "sslmode" or value.startswith("/"):
            return value
        return certificates.path(value, "key" if name == "sslkey" else "crt")

    given = {name: path(name, value) for name, value in options.items()}
    error = await why(tls.tcp(user, **given))
    assert text in str(error)
    assert advice in str(error)
    assert not error.is_transient


async def test_certificates_that_are_right(tls: TLSServer, certificates: Certificates) -> None:
    given = {
        "sslmode": "verify-ca",
        "sslrootcert": certificates.path("ca"),
        "sslcert": certificates.path("client"),
        "sslkey": certificates.path("client", "key"),
    }
    async with AsyncClient(tls.tcp("certified", **given)) as client:
        assert await client.message_store_version() == "1.3.0"


async def test_tls_is_asked_for_and_the_server_has_it_off(tls: TLSServer) -> None:
    tls.set_tls(False)
    try:
        error = await why(tls.tcp("plain", sslmode="require"))
    finally:
        tls.set_tls(True)
    assert "does not support SSL" in str(error)
    assert "set ssl = on" in str(error)
    assert not error.is_transient


async def test_the_server_has_no_connection_left(tls: TLSServer) -> None:
    held: list[Any] = []
    try:
        with pytest.raises(psycopg.OperationalError):
            while len(held) < 20:
                held.append(psycopg.connect(tls.tcp("plain")))
        error = await why(tls.tcp("plain"))
    finally:
        for conn in held:
            conn.close()
    assert "raise max_connections" in str(error)
    assert "user and password" not in str(error)
    assert error.is_transient


async def test_each_of_several_hosts_says_what_it_said(tls: TLSServer) -> None:
    url = (
        f"host=127.0.0.1,127.0.0.1 port=1,{tls.port} dbname=postgres user=nobody gssencmode=disable"
    )
    error = await why(url)
    assert "host '127.0.0.1' port 1: Connection refused; host '127.0.0.1' port" in str(error)
    assert "pg_hba.conf rejects" in str(error)
    assert error.is_transient


@pytest.fixture(scope="module")
def server() -> Iterator[OwnServer]:
    """Return a server of the tests' own, with our schema and roles that must give a password."""
    try:
        server = OwnServer()
    except EmbeddedServerError as error:
        pytest.skip(f"no programs to run a server of the test's own: {error}")
    schema.install(server.url())
    with psycopg.connect(server.url(), autocommit=True) as conn:
        for role in ("locked", "changing"):
            conn.execute(f"create role {role} login in role message_store".encode())
            conn.execute(f"alter role {role} password 'right'".encode())
    server.add_to_hba(f"local all {role} scram-sha-256" for role in ("locked", "changing"))
    yield server
    server.close()


def consumer_of(client: AsyncClient, category: str) -> AsyncConsumer:
    consumer = AsyncConsumer(client, category, identifier="mail")

    @consumer.handler
    async def ignore(message: Message[Any]) -> None:
        return None

    return consumer


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"user": "locked", "password": "wrong"}, "password authentication failed"),
        ({"user": "nosuch"}, 'role "nosuch" does not exist'),
        ({"dbname": "nosuch"}, 'database "nosuch" does not exist'),
    ],
)
async def test_a_consumer_that_is_not_let_in_ends_and_says_why(
    server: OwnServer, category: str, changes: dict[str, str], text: str
) -> None:
    client = AsyncClient(server.url(**changes))
    try:
        consumer = consumer_of(client, category)
        outcome: Any = await Background(consumer.run).outcome(20.0)
        assert isinstance(outcome.error, StoreUnavailableError)
        assert text in str(outcome.error)
        assert consumer.status().state == "failed"
    finally:
        await client.close()


async def test_a_consumer_waits_for_a_server_that_is_not_up_yet(
    server: OwnServer, category: str, caplog: pytest.LogCaptureFixture
) -> None:
    server.stop()
    caplog.set_level(logging.WARNING, "messagedb.consumer")
    client = AsyncClient(server.url(user="message_store"))
    try:
        consumer = consumer_of(client, category)
        async with consumer.running():
            await eventually(lambda: consumer.status().state == "reconnecting")
            assert "the store is unavailable" in caplog.text
            server.start()
            await eventually(lambda: consumer.status().state == "caught up", 20.0)
    finally:
        await client.close()


async def test_a_consumer_whose_password_is_changed_ends_when_it_is_asked_again(
    server: OwnServer, category: str
) -> None:
    client = AsyncClient(server.url(user="changing", password="right"), timeout=2.0)
    try:
        consumer = consumer_of(client, category)
        running = Background(consumer.run)
        await eventually(lambda: consumer.status().state == "caught up")
        with psycopg.connect(server.url(), autocommit=True) as conn:
            conn.execute("alter role changing password 'another'")
            conn.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity where usename = 'changing'"
            )
        outcome: Any = await running.outcome(30.0)
        assert isinstance(outcome.error, StoreUnavailableError)
        assert "password authentication failed" in str(outcome.error)
    finally:
        await client.close()
