"""Positions of consumers in the table, and positions of those that read their own records."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import psycopg
import pytest

from messagedb import (
    AsyncClient,
    AsyncConsumer,
    IncompatibleServerError,
    LostHistoryError,
    Message,
    PositionConflictError,
    TablePositionStore,
)
from tests._async.consuming import record_numbers, stream_of, write
from tests.support.backend import make_url
from tests.support.background_async import Background, eventually

NewDatabase = Callable[..., str]


TABLE = TablePositionStore()


@pytest.fixture(scope="module")
def own_url(new_database: NewDatabase) -> str:
    """Return a superuser's URL of a database with our schema, whichever one the run's has."""
    return new_database()


@pytest.fixture
async def least(own_url: str) -> AsyncIterator[AsyncClient]:
    """Return a client of the role message_store there."""
    async with AsyncClient(make_url(own_url, user="message_store"), max_size=4) as client:
        yield client


def rows(url: str, name: str) -> list[int]:
    with psycopg.connect(url, autocommit=True) as conn:
        cursor = conn.execute(
            "SELECT position FROM messagedb.positions WHERE consumer = %s", [name]
        )
        return [row[0] for row in cursor]


@pytest.mark.parametrize("transactional", [False, True])
async def test_a_row_for_each_consumer_that_the_role_may_write(
    own_url: str, least: AsyncClient, category: str, transactional: bool
) -> None:
    consumer = AsyncConsumer(
        least, category, identifier="a", position_store=TABLE, transactional=transactional
    )
    seen = record_numbers(consumer)
    assert consumer.name == f"{category}:position-a"
    assert rows(own_url, consumer.name) == []
    positions: list[int] = []
    for n in range(0, 6, 2):
        positions = await write(least, f"{category}-1", n, 2)
        await consumer.run(until="caught_up")
        assert rows(own_url, consumer.name) == positions[-1:]
        assert consumer.status().stored_next_position == positions[-1] + 1
    assert seen == list(range(6))
    assert await stream_of(least, consumer.name) == []

    named = AsyncConsumer(least, category, position_store=TablePositionStore(name="my row"))
    record_numbers(named)
    await named.run(until="caught_up")
    assert rows(own_url, "my row") == positions[-1:]


async def test_a_row_is_stored_by_number_and_by_time(
    own_url: str, least: AsyncClient, category: str
) -> None:
    by_number = AsyncConsumer(
        least,
        category,
        identifier="a",
        position_store=TABLE,
        position_update_interval=2,
        position_update_seconds=60,
    )
    positions = await write(least, f"{category}-1", 0, 3)

    @by_number.handler
    async def wait_for_it(message: Message[Any]) -> None:
        if message.data["n"] == 2:
            await eventually(lambda: rows(own_url, by_number.name) == [positions[1]])

    await by_number.run(until="caught_up")
    by_time = AsyncConsumer(
        least, category, identifier="b", position_store=TABLE, position_update_seconds=0.02
    )
    record_numbers(by_time)
    async with by_time.running():
        await eventually(lambda: rows(own_url, by_time.name) == [positions[2]])


@pytest.mark.parametrize("transactional", [False, True])
@pytest.mark.parametrize("begun", [False, True])
async def test_a_row_of_somebody_else_stops_it_and_stays(
    own_url: str, least: AsyncClient, category: str, transactional: bool, begun: bool
) -> None:
    consumer = AsyncConsumer(
        least,
        category,
        identifier="a",
        position_store=TABLE,
        transactional=transactional,
        poll_interval=0.01,
        position_update_seconds=0.02,
        lease_timeout=None,
    )
    record_numbers(consumer)
    if begun:
        await write(least, f"{category}-1", 0, 2)
    run = Background(consumer.run)
    await eventually(lambda: consumer.status().state == "caught up")
    await eventually(lambda: len(rows(own_url, consumer.name)) == int(begun))
    other = AsyncConsumer(least, category, identifier="a", position_store=TABLE, lease_timeout=None)
    with psycopg.connect(own_url, autocommit=True) as owner:
        owner.execute(
            "INSERT INTO messagedb.positions (consumer, position, saved_by)"
            " VALUES (%s, 1, gen_random_uuid())"
            " ON CONFLICT (store, consumer) DO UPDATE"
            " SET position = 1, saved_by = gen_random_uuid()",
            [consumer.name],
        )
    await write(least, f"{category}-1", 2, 1)
    error = (await run.outcome()).error
    assert isinstance(error, PositionConflictError)
    assert "but 1 is stored now" in str(error)
    assert rows(own_url, consumer.name) == [1]
    seen = record_numbers(other)
    await other.run(until="caught_up")
    assert seen == [0, 1, 2][0 if begun else 2 :]


async def test_a_row_beyond_the_head_is_an_error_until_it_is_reset(
    own_url: str, least: AsyncClient, category: str
) -> None:
    consumer = AsyncConsumer(least, category, identifier="a", position_store=TABLE)
    seen = record_numbers(consumer)
    positions = await write(least, f"{category}-1", 0, 2)
    assert await consumer.reset_position(10**15) == 10**15
    with pytest.raises(LostHistoryError, match="reset_position"):
        await consumer.run(until="caught_up")
    assert await consumer.reset_position(positions[1]) == positions[1]
    await consumer.run(until="caught_up")
    assert seen == [1]
    assert rows(own_url, consumer.name) == positions[-1:]


@pytest.mark.parametrize("transactional", [False, True])
async def test_without_the_table_the_error_names_the_cure(
    new_database: NewDatabase, category: str, transactional: bool
) -> None:
    url = new_database()
    async with AsyncClient(make_url(url, user="message_store")) as client:
        await write(client, f"{category}-1", 0, 1)
        install = r"messagedb\.schema\.install\(\)"
        for statement, cure in (
            ("REVOKE SELECT ON messagedb.positions FROM message_store", "GRANT SELECT, INSERT"),
            ("DROP TABLE messagedb.positions", install),
            ("DROP SCHEMA messagedb CASCADE", install),
        ):
            with psycopg.connect(url, autocommit=True) as owner:
                owner.execute(statement.encode())
            consumer = AsyncConsumer(
                client, category, position_store=TABLE, transactional=transactional
            )
            seen = record_numbers(consumer)
            with pytest.raises(IncompatibleServerError, match=cure):
                await consumer.run(until="caught_up")
            with pytest.raises(IncompatibleServerError, match="StreamPositionStore"):
                await consumer.reset_position("beginning")
            assert seen == []
            assert consumer.status().state == "failed"
