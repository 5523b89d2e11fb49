"""Waiting for a consumer from outside: read your writes, wherever the consumer runs."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest

from messagedb import (
    AsyncAllConsumer,
    AsyncClient,
    AsyncConsumer,
    PositionConflictError,
    StoreUnavailableError,
    StreamPositionStore,
    TablePositionStore,
    ValidationError,
    schema,
    streams,
)
from messagedb.consumers import NO_RETRY
from messagedb.testing import FaultProxy
from tests._async.consuming import Trouble, numbered, record_numbers
from tests._async.load import COMMAND_TIMEOUT, FAST, GOES_ON, status_of
from tests.support.backend import make_url
from tests.support.background_async import Background, eventually
from tests.support.pgbouncer import PgBouncer
from tests.support.store import pids, sessions, terminate

# Nothing but an announcement or a notification does something within a test.
NEVER: dict[str, Any] = {
    "poll_interval": 60.0,
    "idle_poll_interval": 60.0,
    "position_update_interval": 100_000,
    "position_update_seconds": 600.0,
}
LIMIT = 20.0
SHORT = 0.3


@pytest.fixture(scope="module")
def owner_url(new_database: Callable[..., str]) -> str:
    """Return the owner's URL of a database with the trigger that notifies."""
    url = new_database()
    schema.install_notify(url)
    return url


@pytest.fixture
async def notified(owner_url: str) -> AsyncIterator[AsyncClient]:
    """Return a client of a store with notifications."""
    async with AsyncClient(make_url(owner_url, user="message_store")) as client:
        yield client


def options_of(kind: str) -> dict[str, Any]:
    """Return the options of a consumer with a kind of positions."""
    options: dict[str, Any] = {"transactional": kind.startswith("transactional")}
    if kind.endswith("table"):
        options["position_store"] = TablePositionStore()
    return options


KINDS = ("stream", "table", "transactional stream", "transactional table")


async def write(client: AsyncClient, stream: str, n: int) -> int:
    return (await client.write_messages(stream, numbered(n, 1)))[0]


async def wait(client: AsyncClient, stream: str, position: int, **options: Any) -> None:
    """Wait for the consumer "it" of the stream's category."""
    category = stream.partition("-")[0]
    options = {"timeout": LIMIT, **options}
    await client.wait_for_consumer(category, "it", stream_name=stream, position=position, **options)


@pytest.mark.parametrize("kind", KINDS)
async def test_a_write_is_read_after_the_wait_by_polling(
    client: AsyncClient, store_url: str, category: str, kind: str
) -> None:
    consumer = AsyncConsumer(client, category, identifier="it", **FAST, **options_of(kind))
    seen = record_numbers(consumer)
    async with AsyncClient(store_url) as writer, consumer.running():
        for n in range(3):
            position = await write(writer, f"{category}-{n}", n)
            await wait(writer, f"{category}-{n}", position)
            assert seen == list(range(n + 1))


@pytest.mark.parametrize("kind", KINDS)
async def test_with_notifications_the_consumer_stores_its_position_for_those_who_wait(
    notified: AsyncClient, owner_url: str, category: str, kind: str
) -> None:
    """Neither side polls here within the test, and no save is due."""
    options: dict[str, Any] = {**NEVER, **options_of(kind), "notify": True}
    consumer = AsyncConsumer(notified, category, identifier="it", **options)
    seen = record_numbers(consumer)
    async with AsyncClient(owner_url) as writer, consumer.running():
        for n in range(3):
            position = await write(writer, f"{category}-{n}", n)
            await wait(writer, f"{category}-{n}", position)
            assert seen == list(range(n + 1))
        # Who waits may see the stored position before its consumer has the server's answer.
        await eventually(
            lambda: status_of(consumer).stored_next_position == status_of(consumer).next_position,
            LIMIT,
        )
        # A wait for what is stored returns immediately, also by the global position.
        stored = status_of(consumer).stored_next_position
        assert stored is not None
        await writer.wait_for_consumer(category, "it", global_position=stored - 1)
        # There is no wait any more: no save is due, so none is made.
        await write(writer, f"{category}-9", 3)
        await eventually(lambda: seen == [0, 1, 2, 3], LIMIT)
        if not options["transactional"]:
            assert status_of(consumer).stored_next_position == stored


async def test_many_who_wait_share_one_look_and_hold_no_connection(
    owner_url: str, notified: AsyncClient, category: str
) -> None:
    consumer = AsyncConsumer(notified, category, identifier="it", **NEVER, notify=True)
    url = make_url(owner_url, application_name=category)
    async with AsyncClient(url, max_size=2) as writer:
        positions = [await write(writer, f"{category}-{n}", n) for n in range(40)]
        waits = [
            Background(wait, writer, f"{category}-{n}", position)
            for n, position in enumerate(positions)
        ]
        await eventually(lambda: len(pids(owner_url, category)) == 3, LIMIT)
        for _ in range(5):
            # Each operation gets a connection, of which there are two and one that listens.
            assert await writer.stream_version(f"{category}-1") == 0
        assert not any(each.ended for each in waits)
        assert sessions(owner_url, category) == 3
        seen = record_numbers(consumer)
        async with consumer.running():
            for each in waits:
                await each.result(LIMIT)
        assert seen == list(range(40))
    # Closed with the client.
    await eventually(lambda: sessions(owner_url, category) == 0)


async def test_a_lost_connection_that_listens_is_replaced_by_polls(
    owner_url: str, notified: AsyncClient, category: str
) -> None:
    consumer = AsyncConsumer(notified, category, identifier="it", **FAST)
    record_numbers(consumer)
    url = make_url(owner_url, application_name=category)
    async with AsyncClient(url, max_size=2) as writer, consumer.running():
        for n in range(3):
            position = await write(writer, f"{category}-1", n)
            await wait(writer, f"{category}-1", position)
            terminate(owner_url, pids(owner_url, category))


async def test_the_member_of_the_group_that_reads_the_stream_is_waited_for(
    client: AsyncClient, category: str
) -> None:
    members = [
        AsyncConsumer(client, category, identifier="it", group_member=n, group_size=2, **FAST)
        for n in range(2)
    ]
    seen = [record_numbers(member) for member in members]
    positions = {f"{category}-{n}": await write(client, f"{category}-{n}", n) for n in range(6)}
    async with members[1].running():
        for stream, position in positions.items():
            if streams.group_member(stream, 2) == 1:
                await wait(client, stream, position, group_size=2)
                assert int(stream[-1]) in seen[1]
            else:
                with pytest.raises(TimeoutError, match=r"it\+0\+2'"):
                    await wait(client, stream, position, group_size=2, timeout=SHORT)
                assert int(stream[-1]) not in seen[1]
        assert 0 < len(seen[1]) < 6
        # Without a stream all members are waited for.
        all_members = Background(
            client.wait_for_consumer,
            category, "it", group_size=2, global_position=1, timeout=LIMIT,
        )  # fmt: skip
        async with members[0].running():
            await all_members.result(LIMIT)
        with pytest.raises(ValidationError, match="has no id"):
            await wait(client, category, 0, group_size=2)


@pytest.mark.parametrize("kind", ["stream", "transactional table"])
async def test_the_partition_that_has_the_stream_is_waited_for(
    notified: AsyncClient, owner_url: str, category: str, kind: str
) -> None:
    """The number of partitions is read from the store, and the run that has the stream responds."""
    options: dict[str, Any] = {**NEVER, **options_of(kind), "notify": True, "partitions": 4}
    consumer = AsyncConsumer(notified, category, identifier="it", **options)
    seen = record_numbers(consumer)
    async with AsyncClient(owner_url) as writer, consumer.running():
        for n in range(6):
            position = await write(writer, f"{category}-{n}", n)
            await wait(writer, f"{category}-{n}", position)
            assert n in seen
        with pytest.raises(TimeoutError, match=r"it\+[0-3]\+4'"):
            await writer.wait_for_consumer(category, "it", global_position=10**15, timeout=SHORT)


@pytest.mark.parametrize("is_partitioned", [False, True])
async def test_members_without_messages_are_not_waited_for(
    client: AsyncClient, category: str, is_partitioned: bool
) -> None:
    """They have stored no position, and will not soon: there is nothing that they could handle."""
    size = 8
    options: dict[str, Any] = {"identifier": "it", **FAST}
    if is_partitioned:
        consumers = [AsyncConsumer(client, category, partitions=size, **options)]
    else:
        options["group_size"] = size
        consumers = [
            AsyncConsumer(client, category, group_member=n, **options) for n in range(size)
        ]
    group: dict[str, Any] = {} if is_partitioned else {"group_size": size}
    seen = [record_numbers(each) for each in consumers]
    async with AsyncExitStack() as stack:
        for each in consumers:
            await stack.enter_async_context(each.running())
        for n in range(3):
            await write(client, f"{category}-1", n)
        head = (await client.get_category_messages(category))[-1].global_position
        await client.wait_for_consumer(category, "it", global_position=head, timeout=LIMIT, **group)
        assert [n for each in seen for n in each] == [0, 1, 2]
        # The stream without an id is of no member, or of one: that is not known.
        await write(client, category, 3)
        head = (await client.get_category_messages(category))[-1].global_position
        with pytest.raises(TimeoutError, match=r"it\+[0-7]\+8'"):
            await client.wait_for_consumer(
                category, "it", global_position=head, timeout=3.0, **group
            )
    # A member that has a message, and is not running, is waited for.
    await write(client, f"{category}-1", 4)
    head = (await client.get_category_messages(category))[-1].global_position
    with pytest.raises(TimeoutError, match=r"it\+[0-7]\+8'"):
        await client.wait_for_consumer(category, "it", global_position=head, timeout=1.5, **group)


async def test_a_group_that_was_resized_is_refused(client: AsyncClient, category: str) -> None:
    member = AsyncConsumer(client, category, identifier="it", group_member=0, group_size=1, **FAST)
    record_numbers(member)
    position = await write(client, f"{category}-1", 0)
    async with member.running():
        await wait(client, f"{category}-1", position, group_size=1)
    await client.resize_consumer_group(category, identifier="it", old_size=1, new_size=2)
    with pytest.raises(PositionConflictError, match="resized to 2 members"):
        await wait(client, f"{category}-1", position, group_size=1, timeout=SHORT)


async def test_a_consumer_of_several_categories_and_other_names(
    client: AsyncClient, category: str
) -> None:
    all_consumer = AsyncAllConsumer(client, [category, f"{category}B"], identifier=category, **FAST)
    named = AsyncConsumer(
        client, category, position_store=StreamPositionStore(f"{category}Other-1"), **FAST
    )
    seen, seen_by_named = record_numbers(all_consumer), record_numbers(named)
    async with all_consumer.running(), named.running():
        position = await write(client, f"{category}B-1", 0)
        await client.wait_for_consumer(
            None, category, stream_name=f"{category}B-1", position=position
        )
        assert seen == [0]
        position = await write(client, f"{category}-1", 1)
        await client.wait_for_consumer(
            category,
            None,
            stream_name=f"{category}-1",
            position=position,
            position_store=StreamPositionStore(f"{category}Other-1"),
        )
        assert seen_by_named == [1]


async def test_a_parked_message_counts_as_handled(client: AsyncClient, category: str) -> None:
    trouble = Trouble(ValueError("no"))
    consumer = AsyncConsumer(
        client, category, identifier="it", on_error="park", retry=NO_RETRY, **FAST
    )
    consumer.handler(trouble.handle)
    async with consumer.running():
        position = await write(client, f"{category}-1", 1)
        await wait(client, f"{category}-1", position)
    assert [parked.position for parked in await consumer.list_parked()] == [position]


async def test_who_waits_in_vain_learns_what_is_true(client: AsyncClient, category: str) -> None:
    stream = f"{category}-1"
    position = await write(client, stream, 0)
    with pytest.raises(TimeoutError, match=r"no position is stored under.*No process has reported"):
        await wait(client, stream, position, timeout=SHORT)
    trouble = Trouble(ValueError("no stock"))
    consumer = AsyncConsumer(client, category, identifier="it", retry=NO_RETRY, **FAST)
    consumer.handler(trouble.handle)
    async with consumer.running():
        await wait(client, stream, position)
        with pytest.raises(TimeoutError, match=r"It runs on .*: wait longer"):
            await client.wait_for_consumer(category, "it", global_position=10**15, timeout=SHORT)
    with pytest.raises(TimeoutError, match=r"was not on this server within 0\.3 s"):
        await wait(client, stream, position + 1, timeout=SHORT)
    position = await write(client, stream, 1)
    with pytest.raises(Exception, match="no stock"):
        await consumer.run()
    with pytest.raises(
        TimeoutError,
        match=r"message 1 of stream .* the position stored in .* has ended \(failed\): start it"
        ".*Its last failure: ValueError: no stock",
    ):
        await wait(client, stream, position, timeout=SHORT)


async def test_a_wait_survives_a_store_that_is_away_for_a_moment(
    store_url: str, client: AsyncClient, category: str
) -> None:
    stream = f"{category}-1"
    position = await write(client, stream, 0)
    consumer = AsyncConsumer(client, category, identifier="it", **FAST)
    record_numbers(consumer)
    with FaultProxy(store_url) as proxy:
        async with AsyncClient(proxy.url, command_timeout=COMMAND_TIMEOUT) as writer:
            waiting = Background(wait, writer, stream, position)
            await eventually(lambda: writer.pool_stats().requests_num > 3, LIMIT)
            proxy.refuse()
            with pytest.raises(TimeoutError, match="as far as known: the store is unavailable"):
                await writer.wait_for_consumer(category, "it", global_position=1, timeout=1.5)
            async with consumer.running():
                proxy.resume()
                await waiting.result(LIMIT)


async def test_closing_the_client_ends_its_waits(store_url: str, category: str) -> None:
    client = AsyncClient(store_url)
    position = await write(client, f"{category}-1", 0)
    waiting = Background(wait, client, f"{category}-1", position)
    await eventually(lambda: client.pool_stats().requests_num > 3, LIMIT)
    await client.close()
    with pytest.raises(StoreUnavailableError, match="closed"):
        await waiting.result(GOES_ON)


async def test_it_works_behind_pgbouncer_and_for_a_role_that_sees_no_table(
    pgbouncer: PgBouncer, functions_only_url: str, category: str
) -> None:
    for url in (pgbouncer.url("many"), functions_only_url):
        async with AsyncClient(url) as client:
            options: dict[str, Any] = {**FAST, "lease_timeout": None}
            consumer = AsyncConsumer(client, category, identifier="it", **options)
            seen = record_numbers(consumer)
            async with consumer.running():
                position = await write(client, f"{category}-1", 0)
                await wait(client, f"{category}-1", position)
                assert seen == [0]


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({}, "pass what to wait for"),
        ({"position": 1, "global_position": 2}, "pass what to wait for"),
        ({"position": 1}, "position needs stream_name"),
        ({"position": -1, "stream_name": "order-1"}, "position must be"),
        ({"global_position": 0}, "global_position must be"),
        ({"global_position": True}, "global_position must be"),
        ({"position": 1, "stream_name": "other-1"}, "is of category 'other'"),
        ({"global_position": 1, "group_member": 0}, "group_member needs group_size"),
        ({"global_position": 1, "group_size": 0}, "group_size"),
        ({"global_position": 1, "position_store": "table"}, "position_store must be"),
        ({"global_position": 1, "timeout": 0}, "timeout must be"),
    ],
)
async def test_bad_arguments_are_refused_before_anything_is_sent(
    options: dict[str, Any], reason: str
) -> None:
    client = AsyncClient("host=127.0.0.1 port=1", timeout=0.1)
    with pytest.raises(ValidationError, match=reason):
        await client.wait_for_consumer("order", "it", **options)


async def test_a_message_is_not_waited_for_by_a_transaction(client: AsyncClient) -> None:
    async with client.transaction() as transaction:
        assert not hasattr(transaction, "wait_for_consumer")
