"""Reading: pages, iterators, groups, correlation, conditions, last messages."""

# pyright: reportPrivateUsage=false

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from psycopg import AsyncConnection

from messagedb import (
    NO_STREAM,
    AsyncClient,
    MessageDecodeError,
    NewMessage,
    ValidationError,
    streams,
)
from tests.support.setup import get_sql_version


async def fill(client: AsyncClient, category: str, streams_: int = 3, each: int = 3) -> None:
    for n in range(each):
        for s in range(streams_):
            await client.write_message(f"{category}-{s}", NewMessage(f"Type{n}", {"n": n, "s": s}))


async def test_a_message_has_what_was_written(client: AsyncClient, category: str) -> None:
    written = NewMessage("Deposited", {"amount": 5, "note": "é"}, metadata={"by": "me"})
    await client.write_message(f"{category}-1", written)
    (message,) = await client.get_stream_messages(f"{category}-1")
    assert message.id == written.id
    assert message.stream_name == f"{category}-1"
    assert message.type == "Deposited"
    assert message.position == 0
    assert message.global_position >= 1
    assert message.data == {"amount": 5, "note": "é"}
    assert message.metadata == {"by": "me"}
    assert message.time.tzinfo is UTC
    assert abs(message.time - datetime.now(UTC)) < timedelta(minutes=1)


async def test_pages_of_a_stream(client: AsyncClient, category: str) -> None:
    await fill(client, category, 1, 5)
    stream = f"{category}-0"

    async def positions(**arguments: Any) -> list[int]:
        return [m.position for m in await client.get_stream_messages(stream, **arguments)]

    assert await positions() == [0, 1, 2, 3, 4]
    assert await positions(position=3) == [3, 4]
    assert await positions(position=1, batch_size=2) == [1, 2]
    assert await positions(batch_size=-1) == [0, 1, 2, 3, 4]
    assert await positions(batch_size=0) == []
    assert await positions(position=-5, batch_size=1) == [0]
    assert await positions(position=5) == []


async def test_pages_of_a_category_are_in_global_order(client: AsyncClient, category: str) -> None:
    await fill(client, category)
    everything = await client.get_category_messages(category)
    assert [(m.data["n"], m.data["s"]) for m in everything] == [
        (n, s) for n in range(3) for s in range(3)
    ]
    later = await client.get_category_messages(
        category, position=everything[4].global_position, batch_size=2
    )
    assert later == everything[4:6]


@pytest.mark.parametrize("batch_size", [1, 2, 3, 9, 100, -1])
async def test_iterators_give_everything_once(
    client: AsyncClient, category: str, batch_size: int
) -> None:
    await fill(client, category)
    whole = await client.get_category_messages(category)
    assert [m async for m in client.read_category(category, batch_size=batch_size)] == whole
    one = await client.get_stream_messages(f"{category}-1")
    assert [m async for m in client.read_stream(f"{category}-1", batch_size=batch_size)] == one
    start = whole[5].global_position
    rest = [m async for m in client.read_category(category, position=start, batch_size=batch_size)]
    assert rest == whole[5:]


async def test_an_iterator_holds_no_connection_between_messages(
    store_url: str, category: str
) -> None:
    async with AsyncClient(store_url, max_size=1, timeout=2) as single:
        await fill(single, category, 1, 4)
        seen = 0
        async for message in single.read_stream(f"{category}-0", batch_size=2):
            await single.write_message(f"{category}-copy", NewMessage("Copied", message.data))
            seen += 1
        assert seen == 4
        assert await single.stream_version(f"{category}-copy") == 3


async def test_group_members_share_the_streams(client: AsyncClient, category: str) -> None:
    await fill(client, category, 11, 2)
    await client.write_message(category, NewMessage("NoId"))
    whole = [m for m in await client.get_category_messages(category) if m.type != "NoId"]
    shares = [
        await client.get_category_messages(category, group_member=member, group_size=3)
        for member in range(3)
    ]
    assert sum(len(share) for share in shares) == 22
    for member, share in enumerate(shares):
        mine = [m for m in whole if streams.group_member(m.stream_name, 3) == member]
        assert share == mine
        paged = client.read_category(category, batch_size=2, group_member=member, group_size=3)
        assert [m async for m in paged] == mine


async def test_correlation_is_a_category(client: AsyncClient, category: str) -> None:
    for origin in ("thisComponent-789", "thisComponent", "thisComponent:command-1", "other-1"):
        message = NewMessage("Replied", {}, metadata={"correlationStreamName": origin})
        await client.write_message(f"{category}-1", message)
    found = await client.get_category_messages(category, correlation="thisComponent")
    assert [m.position for m in found] == [0, 1]
    found = await client.get_category_messages(category, correlation="thisComponent:command")
    assert [m.position for m in found] == [2]


async def test_the_last_message_and_the_last_of_a_type(client: AsyncClient, category: str) -> None:
    stream = f"{category}-1"
    assert await client.get_last_stream_message(stream) is None
    for type_name in ("Some", "Some", "Some", "Other", "Other"):
        await client.write_message(stream, NewMessage(type_name))
    last = await client.get_last_stream_message(stream)
    some = await client.get_last_stream_message(stream, type="Some")
    assert last is not None
    assert some is not None
    assert (last.position, some.position) == (4, 2)
    assert await client.get_last_stream_message(stream, type="None") is None


async def test_versions(client: AsyncClient, category: str) -> None:
    assert await client.stream_version(f"{category}-1") == NO_STREAM
    assert await client.message_store_version() == get_sql_version()


async def test_a_condition_filters_and_leaves_the_session_at_off(
    store_url: str, category: str
) -> None:
    async with AsyncClient(store_url, max_size=1) as single:
        await fill(single, category, 1, 3)
        stream = f"{category}-0"
        found = await single.get_stream_messages(stream, condition="position = 0 OR position = 2")
        assert [m.position for m in found] == [0, 2]
        found = await single.get_category_messages(category, condition="messages.data->>'n' = '1'")
        assert [m.position for m in found] == [1]
        paged = single.read_stream(stream, batch_size=1, condition="position <> 1")
        assert [m.position async for m in paged] == [0, 2]

        async def setting() -> str:
            probe = "(SELECT current_setting('message_store.sql_condition', true)) = 'on'"
            found = await single.get_stream_messages(stream, condition=probe)
            assert len(found) == 3
            # Outside of a read with a condition: a type's name is a value that the server compares.
            source = single._lifecycle.provider
            assert source is not None
            conn = await source.pool.getconn()
            try:
                row = await (
                    await conn.execute("SELECT current_setting('message_store.sql_condition')")
                ).fetchone()
            finally:
                await source.pool.putconn(conn)
            assert row is not None
            return str(row[0])

        assert await setting() == "off"
        with pytest.raises(ValidationError) as caught:
            await single.get_stream_messages(stream, condition="no such syntax")
        assert isinstance(caught.value.__cause__, psycopg.Error)
        assert await setting() == "off"


async def test_one_undecodable_message_does_not_hide_its_neighbours(
    client: AsyncClient, database_url: str, category: str
) -> None:
    stream = f"{category}-1"
    await fill(client, category, 2, 1)
    with psycopg.connect(database_url, autocommit=True) as owner:
        owner.execute(
            "INSERT INTO message_store.messages (stream_name, type, position, data, time) VALUES "
            "(%s, 'Poison', 1, ('{\"n\": ' || repeat('9', 400) || '.5}')::jsonb, 'infinity')",
            (stream,),
        )
        owner.execute(
            "INSERT INTO message_store.messages (stream_name, type, position, data) VALUES (%s, "
            "'Null', 2, 'null')",
            (stream,),
        )
    await client.write_message(stream, NewMessage("Good", {"n": 1}))
    first, poison, null, good = await client.get_stream_messages(stream)
    assert first.data == {"n": 0, "s": 1}
    assert good.data == {"n": 1}
    assert null.data is None
    for decode in (lambda: poison.data, lambda: poison.time):
        with pytest.raises(MessageDecodeError) as caught:
            decode()
        assert caught.value.stream_name == stream
        assert caught.value.position == 1
        assert caught.value.global_position == poison.global_position
    assert poison.type == "Poison"


@pytest.mark.parametrize("way", ["pooler", "bound"])
async def test_a_page_behind_a_pooler_does_not_sort_the_whole_category(
    store_url: str, category: str, way: str
) -> None:
    async with (
        AsyncClient(store_url, pooler=True) as pooled,
        await AsyncConnection.connect(store_url, autocommit=True) as conn,
    ):
        store = pooled if way == "pooler" else pooled.bind(conn)
        await store.write_message(f"{category}-1", NewMessage("A"))
        # The server checks this while it reads the page.
        settings = "current_setting('enable_sort') = 'off' AND current_setting('jit') = 'off'"
        assert len(await store.get_category_messages(category, condition=settings)) == 1
        if way == "pooler":
            found = await pooled.scan_category(category, condition=settings)
            assert len(found.messages) == 1
        # Other reads, and later ones, have the settings of the user.
        other = "current_setting('enable_sort') = 'on'"
        assert len(await store.get_stream_messages(f"{category}-1", condition=other)) == 1
