"""A sequence that is behind its table: writes are refused, and say what to do; reads go on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

from messagedb import AsyncClient, AsyncConsumer, IncompatibleServerError, Message, NewMessage
from tests.support import genuine
from tests.support.backend import make_url
from tests.support.background_async import Background

SEQUENCE = "message_store.messages_global_position_seq"


@pytest.fixture
def owner(new_database: Callable[..., str]) -> str:
    """Return the owner's URL of a store whose next positions were passed, as after a restore."""
    return made_behind(new_database())


def made_behind(url: str, last: int = 3) -> str:
    with psycopg.connect(url, autocommit=True) as conn:
        for position in (1, 2, 3, 9, 10, 11):
            conn.execute(
                "insert into message_store.messages (global_position, stream_name, position, type)"
                " values (%s, 'old-1', %s, 'Old')",
                [position, position],
            )
        conn.execute(f"select setval('{SEQUENCE}', {last})".encode())
    return url


def mend(url: str, error: IncompatibleServerError) -> None:
    """Execute the statement in the error."""
    statement = "SELECT setval(" + str(error).partition("SELECT setval(")[2].partition(";")[0]
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute(statement.encode())


def message() -> NewMessage:
    return NewMessage("New")


async def each_write(client: AsyncClient, url: str) -> list[IncompatibleServerError]:
    """Write in each way, and return the errors."""
    found: list[IncompatibleServerError] = []
    with pytest.raises(IncompatibleServerError) as caught:
        await client.write_message("new-1", message())
    found.append(caught.value)
    with pytest.raises(IncompatibleServerError) as caught:
        await client.write_messages("new-1", [message(), message()])
    found.append(caught.value)
    with pytest.raises(IncompatibleServerError) as caught:
        async with client.transaction() as transaction:
            await transaction.write_message("new-1", message())
    found.append(caught.value)
    conn = await AsyncConnection.connect(url)
    try:
        with pytest.raises(IncompatibleServerError) as caught:
            await client.bind(conn).write_message("new-1", message())
        found.append(caught.value)
    finally:
        await conn.close()
    return found


@pytest.mark.parametrize("pooler", [False, True])
async def test_no_write_takes_a_position_that_was_passed(owner: str, pooler: bool) -> None:
    user = make_url(owner, user="message_store")
    async with AsyncClient(user, pooler=pooler) as client:
        errors = await each_write(client, user)
        for error in errors:
            assert "its last value is 3, and the last message is at 11" in str(error)
        assert await client.stream_version("new-1") == -1
        assert len(await client.get_stream_messages("old-1")) == 6
        mend(owner, errors[-1])
        # Without another client.
        assert await client.write_message("new-1", message()) == 0
        (stored,) = await client.get_stream_messages("new-1")
        assert stored.global_position > 11
        async with client.transaction() as transaction:
            assert await transaction.write_message("new-1", message()) == 1


async def test_a_borrowed_pool_is_refused_as_well(owner: str) -> None:
    user = make_url(owner, user="message_store")
    async with AsyncConnectionPool(user, open=False, min_size=1) as pool:
        client = AsyncClient(pool=pool)
        with pytest.raises(IncompatibleServerError, match="SELECT setval"):
            await client.write_message("new-1", message())


async def test_a_consumer_reads_and_says_why_its_position_is_not_stored(owner: str) -> None:
    async with AsyncClient(make_url(owner, user="message_store")) as client:
        consumer = AsyncConsumer(client, "old", identifier="mail")
        seen: list[int] = []

        @consumer.handler
        async def note(message: Message[Any]) -> None:
            seen.append(message.global_position)

        outcome: Any = await Background(consumer.run).outcome(20.0)
        assert "SELECT setval" in str(outcome.error)
        assert seen == [1, 2, 3, 9, 10, 11]


async def test_a_position_that_is_taken_while_the_client_is_open(
    new_database: Callable[..., str],
) -> None:
    owner = new_database()
    user = make_url(owner, user="message_store")
    async with AsyncClient(user) as client:
        await client.message_store_version()
        made_behind(owner, last=8)
        # The first one is refused by the key, the others before they are sent.
        errors = await each_write(client, user)
        assert all("SELECT setval" in str(error) for error in errors)
        assert await client.stream_version("new-1") == -1
        mend(owner, errors[-1])
        assert await client.write_message("new-1", message()) == 0


async def test_a_batch_does_not_try_until_a_position_is_free(
    new_database: Callable[..., str],
) -> None:
    owner = new_database()
    async with AsyncClient(make_url(owner, user="message_store")) as client:
        await client.message_store_version()
        made_behind(owner, last=8)
        for _ in range(3):
            with pytest.raises(IncompatibleServerError, match="SELECT setval"):
                await client.write_messages("new-1", [message() for _ in range(3)])
        assert await client.stream_version("new-1") == -1


async def test_writers_at_work_are_no_false_alarm(new_database: Callable[..., str]) -> None:
    owner = new_database()
    user = make_url(owner, user="message_store")
    async with AsyncClient(user) as writer:

        async def write(number: int) -> None:
            for _ in range(60):
                await writer.write_messages(f"new{number}-1", [message(), message()])

        writing = [Background(write, number) for number in range(4)]
        opened = 0
        while not all(each.ended for each in writing) or opened < 20:
            async with AsyncClient(user) as client:
                await client.write_message("other-1", message())
            opened += 1
        for each in writing:
            await each.result()


async def test_a_store_that_was_never_written_to(new_database: Callable[..., str]) -> None:
    async with AsyncClient(make_url(new_database(), user="message_store")) as client:
        assert await client.write_message("new-1", message()) == 0


async def test_the_genuine_message_db(new_database: Callable[..., str]) -> None:
    owner = new_database(install=False)
    genuine.install(owner)
    made_behind(owner)
    async with AsyncClient(make_url(owner, user="message_store")) as client:
        with pytest.raises(IncompatibleServerError) as caught:
            await client.write_message("new-1", message())
        mend(owner, caught.value)
        assert await client.write_message("new-1", message()) == 0
