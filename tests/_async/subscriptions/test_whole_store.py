"""The whole store: to its end, backwards, since a time, and without end."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from psycopg import AsyncConnection

from messagedb import AsyncClient, IncompatibleServerError, NewMessage, ValidationError
from messagedb.errors import StoreUnavailableError
from tests.conftest import NewDatabase
from tests.support.background_async import Background

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def own_url(new_database: NewDatabase) -> str:
    """Return the URL of a store with six messages, one a minute, and a gap in the middle."""
    url = new_database()
    with psycopg.connect(url, options="-csearch_path=message_store,public") as conn:
        for number in range(6):
            if number == 3:
                conn.execute("SELECT nextval('messages_global_position_seq')")
            conn.execute(
                "INSERT INTO messages (id, stream_name, position, type, data, time) VALUES"
                " (gen_random_uuid(), %s, %s, %s, '{}', %s)",
                [
                    f"category{number % 2}-1",
                    number // 2,
                    f"T{number}",
                    (NOON + timedelta(minutes=number)).replace(tzinfo=None),
                ],
            )
    return url


@pytest.fixture
async def own(own_url: str) -> AsyncIterator[AsyncClient]:
    """Return a client of that store."""
    async with AsyncClient(own_url) as client:
        yield client


@pytest.fixture
async def slow(new_database: NewDatabase) -> AsyncIterator[AsyncConnection[Any]]:
    """Return the connection of a writer to an empty store, who takes time to commit."""
    async with await AsyncConnection.connect(
        new_database(), application_name="slow writer", options="-csearch_path=message_store,public"
    ) as conn:
        yield conn
        await conn.rollback()


def url_of(conn: AsyncConnection[Any]) -> str:
    return f"{conn.info.dsn} user={conn.info.user}"


async def insert(conn: AsyncConnection[Any], stream: str, type_name: str) -> None:
    await conn.execute(
        "SELECT write_message(gen_random_uuid()::varchar, %s, %s, '{}')", [stream, type_name]
    )


async def read(client: AsyncClient, **arguments: Any) -> list[str]:
    return [message.type async for message in client.read_all(**arguments)]


@pytest.mark.parametrize("batch_size", [1, 2, 3, 6, 7, None])
async def test_the_whole_store_is_read_in_both_directions(
    own: AsyncClient, batch_size: int | None
) -> None:
    expected = ["T0", "T1", "T2", "T3", "T4", "T5"]
    assert await read(own, batch_size=batch_size) == expected
    assert await read(own, batch_size=batch_size, direction="backwards") == expected[::-1]
    # Position 4 is the gap.
    assert await read(own, batch_size=batch_size, position=4) == expected[3:]
    assert (
        await read(own, batch_size=batch_size, position=4, direction="backwards")
        == (expected[2::-1])
    )


@pytest.mark.parametrize("batch_size", [1, 4, None])
async def test_filters_apply_in_both_directions(own: AsyncClient, batch_size: int | None) -> None:
    given: tuple[tuple[dict[str, Any], list[str]], ...] = (
        ({"categories": ["category0"]}, ["T0", "T2", "T4"]),
        ({"types": ["T1", "T4"]}, ["T1", "T4"]),
        ({"condition": "messages.position = 1"}, ["T2", "T3"]),
    )
    for arguments, expected in given:
        assert await read(own, batch_size=batch_size, **arguments) == expected
        backwards = await read(own, batch_size=batch_size, direction="backwards", **arguments)
        assert backwards == expected[::-1]


async def test_a_time_is_a_start_and_backwards_an_end(own: AsyncClient) -> None:
    since = NOON + timedelta(minutes=3)
    assert await read(own, since=since) == ["T3", "T4", "T5"]
    assert await read(own, since=since, direction="backwards") == ["T5", "T4", "T3"]
    assert await read(own, since=since, direction="backwards", position=6) == ["T4", "T3"]
    assert await read(own, since=since - timedelta(seconds=1)) == ["T3", "T4", "T5"]
    assert await read(own, since=since + timedelta(seconds=1)) == ["T4", "T5"]
    assert await own.find_global_position(NOON - timedelta(days=1)) == 1
    assert await own.find_global_position(NOON + timedelta(days=1)) == 8
    assert await read(own, since=NOON + timedelta(days=1)) == []


async def test_a_position_and_a_time_without_zone_are_refused(own: AsyncClient) -> None:
    with pytest.raises(ValidationError, match="both say where to start"):
        await read(own, position=1, since=NOON)
    with pytest.raises(ValidationError, match="with a time zone"):
        await read(own, since=NOON.replace(tzinfo=None))
    with pytest.raises(ValidationError, match="direction must be"):
        await read(own, direction="up")


async def test_an_empty_store_is_read_to_its_end(slow: AsyncConnection[Any]) -> None:
    async with AsyncClient(url_of(slow)) as client:
        assert await read(client) == []
        assert await read(client, direction="backwards") == []
        assert await client.find_global_position(NOON) == 1


async def test_a_later_message_waits_for_an_earlier_open_transaction(
    slow: AsyncConnection[Any],
) -> None:
    async with AsyncClient(url_of(slow)) as client:
        await client.write_message("a-1", NewMessage("Before"))
        await insert(slow, "a-1", "Slow")
        await client.write_message("b-1", NewMessage("Fast"))
        assert await read(client, direction="backwards") == ["Fast", "Before"]
        with pytest.raises(StoreUnavailableError, match="slow writer") as caught:
            await read(client, max_wait=0.001)
        assert "before global position 2 was read" in str(caught.value)
        reading = Background(read, client)
        await slow.commit()
        assert await reading.result() == ["Before", "Slow", "Fast"]


async def test_a_subscription_to_the_whole_store_skips_nothing(
    slow: AsyncConnection[Any],
) -> None:
    async with AsyncClient(url_of(slow)) as client:
        await client.write_message("a-1", NewMessage("Before"))
        await insert(slow, "a-1", "Slow")
        await client.write_message("b-1", NewMessage("Fast"))
        found: list[str] = []

        async def follow(count: int, **arguments: Any) -> None:
            async for message in client.subscribe_all(poll_interval=0.01, **arguments):
                found.append(message.type)
                if len(found) == count:
                    return

        following = Background(follow, 4)
        await slow.commit()
        await client.write_message("c-1", NewMessage("New"))
        await following.result()
        assert found == ["Before", "Slow", "Fast", "New"]
        found.clear()
        await follow(2, start=3, categories=["b", "c"])
        assert found == ["Fast", "New"]
        with pytest.raises(ValidationError, match="'beginning', 'end', or the global position"):
            await follow(1, start="stored")


TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"


async def test_messages_are_filtered_by_their_metadata(slow: AsyncConnection[Any]) -> None:
    hostile = "it's \\' OR true --"
    async with AsyncClient(url_of(slow)) as client:
        for type_name, metadata in {
            "None": None,
            "Flow": {"correlationStreamName": "flow-1"},
            "Other": {"correlationStreamName": f"flow-{hostile}"},
            "Effect": {"causationMessageStreamName": "a-1", "causationMessagePosition": 4},
            "Nested": {"properties": {"traceparent": f"00-{TRACE_ID}-00f067aa0ba902b7-01"}},
        }.items():
            await client.write_message("a-1", NewMessage(type_name, None, metadata=metadata))
        given: tuple[tuple[dict[str, Any], list[str]], ...] = (
            ({"correlation": "flow"}, ["Flow", "Other"]),
            ({"correlation": "flow-1"}, ["Flow"]),
            ({"correlation": f"flow-{hostile}"}, ["Other"]),
            ({"correlation": hostile}, []),
            ({"correlation": "flow", "condition": "type = 'Other' OR false"}, ["Other"]),
            ({"causation": "a-1/4"}, ["Effect"]),
            ({"causation": f"a-{hostile}/4"}, []),
            ({"trace_id": TRACE_ID}, ["Nested"]),
        )
        for arguments, expected in given:
            assert await read(client, **arguments) == expected
            assert await read(client, direction="backwards", **arguments) == expected[::-1]
        for wrong in ({"trace_id": "0" * 32}, {"causation": "a-1"}, {"correlation": ""}):
            refused: dict[str, Any] = wrong
            with pytest.raises(ValidationError):
                await read(client, **refused)


async def test_a_role_of_functions_alone_reads_no_whole_store(functions_only_url: str) -> None:
    async with AsyncClient(functions_only_url) as client:
        with pytest.raises(IncompatibleServerError, match="whole store"):
            await read(client)
        with pytest.raises(IncompatibleServerError, match="GRANT SELECT"):
            await read(client, direction="backwards")
        with pytest.raises(IncompatibleServerError, match="position of a time"):
            await client.find_global_position(NOON)
