"""The consumer of several categories, or of the whole store, under one position."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import psycopg
import pytest
from psycopg import AsyncConnection

from messagedb import (
    AsyncAllConsumer,
    AsyncClient,
    AsyncConsumer,
    AsyncContext,
    IncompatibleServerError,
    Message,
    NewMessage,
    TablePositionStore,
    ValidationError,
    schema,
)
from messagedb.consumers import ScannedStorePage
from tests._async.consuming import numbered, record_numbers
from tests.support.backend import make_url
from tests.support.background_async import Background, eventually

NewDatabase = Callable[..., str]


class CountingClient(AsyncClient):
    """A client that counts its looks at the whole store."""

    looks = 0

    async def scan_all(self, **options: Any) -> ScannedStorePage:
        """Look at a page, and count that."""
        scan = await super().scan_all(**options)
        self.looks += 1
        return scan


@pytest.fixture
async def slow(store_url: str) -> AsyncIterator[AsyncConnection[Any]]:
    """Return the connection of a writer that takes its time."""
    async with await AsyncConnection.connect(
        store_url, application_name="slow writer", options="-csearch_path=message_store,public"
    ) as conn:
        yield conn
        await conn.rollback()


async def consumer_of(
    client: AsyncClient, category: str, *letters: str, **options: Any
) -> AsyncAllConsumer:
    """Make a consumer of categories, a letter each, that begins behind all that is there."""
    head = await client.get_store_head()
    assert head is not None
    return AsyncAllConsumer(
        client,
        [f"{category}{letter}" for letter in letters] or None,
        identifier=category,
        start=head + 1,
        poll_interval=0.01,
        **options,
    )


def record_names(consumer: AsyncAllConsumer) -> list[str]:
    """Add a handler to the consumer that adds the stream of each message to the list."""
    seen: list[str] = []

    @consumer.handler
    async def note(message: Message[Any]) -> None:
        seen.append(message.stream_name)

    return seen


async def test_several_categories_in_the_order_of_the_store(
    client: AsyncClient, category: str
) -> None:
    consumer = await consumer_of(client, category, "A", "B", batch_size=4)
    seen = record_names(consumer)
    expected: list[str] = []
    for n in range(30):
        stream = f"{category}{'ABC'[n % 3]}-{n}"
        await client.write_message(stream, NewMessage("Noted", {"n": n}))
        if n % 3 < 2:
            expected.append(stream)
    await client.write_message(f"{category}Ax-1", NewMessage("Noted"))
    head = await client.get_store_head()
    await consumer.run(until="caught_up")
    assert seen == expected
    assert head is not None
    status = consumer.status()
    assert status.next_position == status.stored_next_position == head + 1


async def test_the_whole_store_with_other_consumers_positions(
    client: AsyncClient, category: str
) -> None:
    consumer = await consumer_of(client, category)
    seen = record_names(consumer)
    other = AsyncConsumer(client, f"{category}A")
    record_numbers(other)
    await client.write_messages(f"{category}A-1", numbered(0, 1))
    await client.write_messages(f"{category}B-1", numbered(0, 1))
    await other.run(until="caught_up")
    await client.write_message(f"{category}", NewMessage("Noted"))
    await consumer.run(until="caught_up")
    assert seen == [f"{category}A-1", f"{category}B-1", f"{category}A:position", category]


async def test_it_goes_on_after_its_stored_position(client: AsyncClient, category: str) -> None:
    first = await consumer_of(client, category, "A", "B")
    before = record_names(first)
    await client.write_messages(f"{category}A-1", numbered(0, 2))
    await first.run(until="caught_up")
    second = AsyncAllConsumer(client, [f"{category}A", f"{category}B"], identifier=category)
    after = record_names(second)
    assert second.name == first.name == f"all:position-{category}"
    await client.write_messages(f"{category}B-1", numbered(0, 2))
    await second.run(until="caught_up")
    assert (before, after) == ([f"{category}A-1"] * 2, [f"{category}B-1"] * 2)


async def test_positions_in_the_table(client: AsyncClient, category: str) -> None:
    consumer = await consumer_of(client, category, "A", position_store=TablePositionStore())
    seen = record_names(consumer)
    await client.write_messages(f"{category}A-1", numbered(0, 2))
    await consumer.run(until="caught_up")
    assert await client.stream_version(consumer.name) == -1
    again = AsyncAllConsumer(
        client, [f"{category}A"], identifier=category, position_store=TablePositionStore()
    )
    assert record_names(again) == []
    await again.run(until="caught_up")
    assert len(seen) == again.status().handled_count + 2 == 2


async def test_filters_and_several_handlers_at_once(client: AsyncClient, category: str) -> None:
    consumer = await consumer_of(
        client,
        category,
        "A",
        "B",
        batch_size=5,
        concurrency=3,
        types=["Even"],
        condition="(data->>'n')::int < 40",
    )
    seen: dict[str, list[int]] = {}

    @consumer.handler
    async def note(message: Message[Any]) -> None:
        seen.setdefault(message.stream_name, []).append(message.data["n"])

    for n in range(60):
        stream = f"{category}{'ABC'[n // 2 % 3]}-1"
        await client.write_message(stream, NewMessage(("Even", "Odd")[n % 2], {"n": n}))
    await consumer.run(until="caught_up")
    assert seen == {
        f"{category}{letter}-1": [n for n in range(0, 40, 2) if n // 2 % 3 == number]
        for number, letter in enumerate("AB")
    }


async def test_each_message_in_a_transaction(client: AsyncClient, category: str) -> None:
    consumer = await consumer_of(client, category, "A", "B", transactional=True)

    @consumer.handler
    async def copy(message: Message[Any], context: AsyncContext) -> None:
        await context.client.write_message(f"{category}Copy-1", NewMessage("Copied", message.data))

    for n in range(6):
        await client.write_message(f"{category}{'AB'[n % 2]}-1", NewMessage("Noted", {"n": n}))
    await consumer.run(until="caught_up")
    copies = await client.get_stream_messages(f"{category}Copy-1")
    assert [message.data["n"] for message in copies] == list(range(6))


@pytest.mark.parametrize("concurrency", [1, 2])
async def test_it_is_held_back_by_an_open_transaction_and_names_it(
    client: AsyncClient, slow: AsyncConnection[Any], category: str, concurrency: int
) -> None:
    consumer = await consumer_of(client, category, "A", "B", concurrency=concurrency)
    seen = record_names(consumer)
    await client.write_message(f"{category}B-0", NewMessage("Noted"))
    await slow.execute(
        "SELECT write_message(gen_random_uuid()::varchar, %s, 'Noted', '{}')", [f"{category}A-1"]
    )
    await client.write_message(f"{category}B-2", NewMessage("Noted"))
    run = Background(consumer.run, until="caught_up")
    await eventually(lambda: consumer.status().blocked_by)
    (holder,) = consumer.status().blocked_by
    assert holder.pid == slow.info.backend_pid
    assert (holder.application_name, holder.user) == ("slow writer", "message_store")
    await eventually(lambda: seen == [f"{category}B-0"])
    assert not run.ended
    await slow.commit()
    await run.result()
    assert seen == [f"{category}B-0", f"{category}A-1", f"{category}B-2"]
    assert consumer.status().blocked_by == ()


async def test_messages_behind_a_rolled_back_write_are_delivered(
    client: AsyncClient, slow: AsyncConnection[Any], category: str
) -> None:
    consumer = await consumer_of(client, category, "A")
    seen = record_names(consumer)
    # A category that is not its own blocks it as well: a gap has no category.
    await slow.execute(
        "SELECT write_message(gen_random_uuid()::varchar, %s, 'Noted', '{}')", [f"{category}C-1"]
    )
    await client.write_message(f"{category}A-1", NewMessage("Noted"))
    run = Background(consumer.run, until="caught_up")
    await eventually(lambda: consumer.status().blocked_by)
    assert (run.ended, seen) == (False, [])
    await slow.rollback()
    await run.result()
    assert seen == [f"{category}A-1"]


async def test_a_stop_does_not_wait_for_who_holds_it_back(
    client: AsyncClient, slow: AsyncConnection[Any], category: str
) -> None:
    consumer = await consumer_of(client, category, "A")
    seen = record_names(consumer)
    await client.write_message(f"{category}A-1", NewMessage("Noted"))
    before = await client.get_store_head()
    await slow.execute(
        "SELECT write_message(gen_random_uuid()::varchar, %s, 'Noted', '{}')", [f"{category}A-2"]
    )
    await client.write_message(f"{category}B-1", NewMessage("Noted"))
    async with consumer.running():
        await eventually(lambda: consumer.status().blocked_by)
    assert before is not None
    assert consumer.status().stored_next_position == before + 1
    await slow.commit()
    again = AsyncAllConsumer(client, [f"{category}A"], identifier=category)
    rest = record_names(again)
    await again.run(until="caught_up")
    assert (seen, rest) == ([f"{category}A-1"], [f"{category}A-2"])


async def test_it_is_woken_for_its_own_categories_only(
    new_database: NewDatabase, category: str
) -> None:
    url = new_database()
    schema.install_notify(url)
    async with CountingClient(make_url(url, user="message_store")) as client:
        consumer = AsyncAllConsumer(
            client,
            [f"{category}A"],
            identifier=category,
            poll_interval=60,
            idle_poll_interval=60,
            notify=True,
            position_store=TablePositionStore(),
        )
        seen = record_names(consumer)
        async with consumer.running():
            await eventually(lambda: consumer.status().state == "caught up")
            for _ in range(30):
                await client.write_message(f"{category}B-1", NewMessage("Noted"))
            await client.write_message(f"{category}A-1", NewMessage("Noted"))
            await eventually(lambda: len(seen) == 1)
        # When it begins, when it listens, and for the one message: it, and nothing more behind it.
        assert client.looks <= 5


async def test_it_needs_the_table_of_messages(new_database: NewDatabase, category: str) -> None:
    url = new_database()
    with psycopg.connect(url) as owner:
        owner.execute("REVOKE ALL ON message_store.messages FROM message_store")
    async with AsyncClient(make_url(url, user="message_store")) as client:
        for categories in (None, [f"{category}A"]):
            consumer = AsyncAllConsumer(
                client, categories, identifier="a", position_store=TablePositionStore()
            )
            seen = record_names(consumer)
            for until in (None, "caught_up"):
                chosen: Any = until
                with pytest.raises(IncompatibleServerError, match="table"):
                    await consumer.run(until=chosen)
            assert seen == []


async def test_invalid_categories_and_identifiers_are_refused(
    client: AsyncClient, category: str
) -> None:
    wrong: list[tuple[Any, Any, str]] = [
        ([], category, "categories must not be empty"),
        (category, category, "categories must be an iterable"),
        ([f"{category}-1"], category, "categories"),
        ([category, f"{category}B", category], category, f"categories has '{category}' twice"),
        (None, None, "needs an identifier"),
        (None, "", "identifier must be a string"),
    ]
    for categories, identifier, text in wrong:
        with pytest.raises(ValidationError, match=text):
            AsyncAllConsumer(client, categories, identifier=identifier)
