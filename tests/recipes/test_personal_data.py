"""The recipe for personal data: after forgetting, the whole database is searched for it."""

from __future__ import annotations

import psycopg
import pytest
from typer.testing import CliRunner

from examples.personal_data import __main__ as program
from examples.personal_data import keys_async, service_async, service_sync
from examples.personal_data.customers import Registered
from examples.personal_data.sealing import new_key, seal, unseal
from messagedb import AsyncClient, AsyncConsumer, AsyncContext, Client, RetryPolicy
from messagedb.cli._app import app
from tests.conftest import NewDatabase
from tests.support.dumps import dump_text, find_tables

EMAIL = "ada@example.com"


@pytest.fixture
def url(new_database: NewDatabase) -> str:
    url = new_database()
    with psycopg.connect(url) as connection:
        connection.execute(keys_async.CREATE.encode())
    return url


async def test_a_forgotten_person_is_nowhere_in_the_database(url: str) -> None:
    async with AsyncClient(url) as client:
        listed = service_async.create_list(client)
        await service_async.register(client, "1", EMAIL, "free")
        await service_async.register(client, "2", "bob@example.com", "free")
        assert await service_async.read_email(client, "1") == EMAIL  # and a snapshot
        await park_all(client)
        await listed.rebuild()
        assert tables_with(url, EMAIL) == {"customer_list_v1"}
        async with client.transaction() as tx:
            key = await keys_async.get_key(tx.connection, "1")
        assert tables_with(url, key.hex()) == {"person_keys"}

        await service_async.forget(client, "1")
        async with listed.running():
            await listed.consumer.wait_until_caught_up(timeout=30)
        assert tables_with(url, EMAIL) == set()
        assert tables_with(url, key.hex()) == set()
        assert await service_async.read_email(client, "1") is None
        assert await service_async.read_email(client, "2") == "bob@example.com"
        await service_async.create_list(client, version=2).rebuild()
        assert tables_with(url, EMAIL) == set()
        assert "customer_list_v2" in tables_with(url, "bob@example.com")
        exported = CliRunner().invoke(app, ["--url", url, "export", "-"])
        assert (exported.exit_code, EMAIL in exported.stdout) == (0, False)


def test_a_forgotten_person_is_nowhere_in_the_database_with_threads(url: str) -> None:
    with Client(url) as client:
        listed = service_sync.create_list(client)
        service_sync.register(client, "1", EMAIL, "free")
        assert service_sync.read_email(client, "1") == EMAIL
        listed.rebuild()
        service_sync.forget(client, "1")
        with listed.running():
            listed.consumer.wait_until_caught_up(timeout=30)
        assert service_sync.read_email(client, "1") is None
        assert tables_with(url, EMAIL) == set()


def test_the_program_shows_the_address_before_a_person_is_forgotten(
    capsys: pytest.CaptureFixture[str],
) -> None:
    program.main()
    assert capsys.readouterr().out == f"before: {EMAIL}\nafter: None\n"


def test_a_field_of_one_person_cannot_be_read_as_that_of_another() -> None:
    key = new_key()
    sealed = seal(key, "1", EMAIL)
    assert unseal(key, "1", sealed) == EMAIL
    assert unseal(key, "2", sealed) is None
    assert unseal(new_key(), "1", sealed) is None
    assert unseal(None, "1", sealed) is None
    assert seal(key, "1", EMAIL) != sealed


async def park_all(client: AsyncClient) -> None:
    """Run a consumer that parks each message."""
    consumer = AsyncConsumer(
        client, "customer", identifier="mail", retry=RetryPolicy(max_attempts=1), on_error="park"
    )

    @consumer.handler
    async def send(event: Registered, context: AsyncContext) -> None:
        raise OSError("no mail server")

    await consumer.run(until="caught_up")
    assert len(await consumer.list_parked()) == 2


def tables_with(url: str, wanted: str) -> set[str]:
    """Return the tables that contain a string."""
    return find_tables(dump_text(url), wanted)
