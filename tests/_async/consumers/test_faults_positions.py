"""The answer to what stores a position is lost: no conflict with itself, and no effect twice."""

from __future__ import annotations

from functools import partial
from typing import Any

import psycopg
import pytest

from messagedb import (
    AsyncClient,
    AsyncConsumer,
    AsyncContext,
    Message,
    NewMessage,
    StreamPositionStore,
    TablePositionStore,
)
from messagedb.testing import FaultProxy
from tests._async.consuming import record_numbers, saved, write
from tests._async.load import COMMAND_TIMEOUT, FAST, GOES_ON, copy, status_of
from tests.support.background_async import Background, eventually
from tests.support.store import locked, waiting_for_locks

STORES = [StreamPositionStore(), TablePositionStore()]
IDS = ["stream", "table"]
# The whole text: BEGIN has a word that begins so, too.
COMMIT = "COMMIT\0"
COUNT = 5


def make(client: AsyncClient, category: str, store: Any, **options: Any) -> AsyncConsumer:
    """Make a consumer that sends nothing beside what it does for messages."""
    chosen: dict[str, Any] = {**FAST, "position_update_interval": 1, "lease_timeout": None}
    return AsyncConsumer(
        client, category, identifier="saving", position_store=store, **{**chosen, **options}
    )


def behind(proxy: FaultProxy) -> AsyncClient:
    """Return a client behind a proxy, which soon gives up."""
    return AsyncClient(proxy.url, max_size=4, command_timeout=COMMAND_TIMEOUT, timeout=1.0)


def in_table(url: str, consumer: AsyncConsumer) -> list[int]:
    """Return the positions that the table holds for a consumer."""
    with psycopg.connect(url, autocommit=True) as conn:
        cursor = conn.execute(
            "select position from messagedb.positions where consumer = %s", [consumer.name]
        )
        return [row[0] for row in cursor]


def stall_after(proxy: FaultProxy, answers: int) -> None:
    """Let so many answers pass, all connections together, and stall then."""
    if answers:
        proxy.stall_at("after_answer", skip=answers - 1)
    else:
        proxy.stall()


def has_lost(proxy: FaultProxy, count: int) -> bool:
    """Return True if so many responses have been lost."""
    return proxy.injected >= count


def is_away(consumer: AsyncConsumer) -> bool:
    """Return True if a consumer, which has not failed, waits for the store."""
    return status_of(consumer).state == "reconnecting"


@pytest.mark.parametrize("store", STORES, ids=IDS)
@pytest.mark.parametrize("cut", [True, False], ids=["cut", "silent"])
async def test_the_answers_to_saves_are_lost(
    client: AsyncClient, store_url: str, category: str, store: Any, cut: bool
) -> None:
    with FaultProxy(store_url) as proxy:
        async with behind(proxy) as lossy:
            consumer = make(lossy, category, store)
            seen = record_numbers(consumer)
            async with consumer.running():
                await write(client, f"{category}-1", 0, COUNT)
                await consumer.wait_until_caught_up(timeout=5.0)
                marker = consumer.name if store is STORES[0] else COMMIT
                before = proxy.injected
                # As often as it asks until it gives up: no more than a second, or a few times.
                lose = proxy.cut_at if cut else proxy.drop_at
                lose("before_answer", marker, times=10)
                await write(client, f"{category}-1", COUNT, COUNT)
                await eventually(partial(has_lost, proxy, before + 1))
                await consumer.wait_until_caught_up(timeout=5.0)
                written = 2 * COUNT
                if not cut:
                    # The first save may have been of all that there was: one more is wanted.
                    await write(client, f"{category}-1", written, COUNT)
                    written += COUNT
                    await eventually(partial(has_lost, proxy, before + 2), limit=GOES_ON)
                proxy.resume()
                positions = await write(client, f"{category}-1", written, COUNT)
                written += COUNT
                await consumer.wait_until_caught_up(timeout=GOES_ON)
                await eventually(
                    lambda: status_of(consumer).stored_next_position == positions[-1] + 1,
                    limit=GOES_ON,
                )
            assert seen == list(range(written))
    if store is STORES[0]:
        stored = await saved(client, consumer)
        assert stored == sorted(set(stored))
        assert stored[-1] == positions[-1]
    else:
        assert in_table(store_url, consumer) == [positions[-1]]


async def test_a_save_that_comes_when_it_was_given_up(
    client: AsyncClient, store_url: str, category: str
) -> None:
    with FaultProxy(store_url) as proxy:
        async with behind(proxy) as late:
            consumer = make(late, category, StreamPositionStore())
            seen = record_numbers(consumer)
            async with consumer.running():
                await consumer.wait_until_caught_up(timeout=5.0)
                with locked(store_url, f"{category}:position"):
                    await write(client, f"{category}-1", 0, COUNT)
                    await eventually(
                        lambda: waiting_for_locks(store_url, f"{category}:position") == 1
                    )
                    # The server goes on waiting for the lock, and stores it in the end.
                    proxy.cut(notify_server=False)
                    await consumer.wait_until_caught_up(timeout=5.0)
                await eventually(lambda: status_of(consumer).stored_next_position, limit=GOES_ON)
                positions = await write(client, f"{category}-1", COUNT, COUNT)
                await consumer.wait_until_caught_up(timeout=GOES_ON)
            proxy.resume()
    assert seen == list(range(2 * COUNT))
    stored = await saved(client, consumer)
    assert stored == sorted(set(stored))
    assert stored[-1] == positions[-1]


@pytest.mark.parametrize("store", STORES, ids=IDS)
@pytest.mark.parametrize("how", ["cut", "silent"])
@pytest.mark.parametrize("size", [None, 3])
async def test_the_answer_to_the_commit_of_a_handler_is_lost(
    client: AsyncClient, store_url: str, category: str, store: Any, how: str, size: int | None
) -> None:
    copies = f"{category}Copy-1"
    with FaultProxy(store_url) as proxy:
        async with behind(proxy) as lossy:
            consumer = make(lossy, category, store, transactional=True, transaction_size=size)
            copy(consumer, f"{category}Copy")
            async with consumer.running():
                await write(client, f"{category}-1", 0, 1)
                await consumer.wait_until_caught_up(timeout=5.0)
                before = proxy.injected
                lose = proxy.cut_at if how == "cut" else proxy.drop_at
                lose("before_answer", COMMIT)
                await write(client, f"{category}-1", 1, COUNT)
                await eventually(partial(has_lost, proxy, before + 1))
                if how == "silent":
                    # Nor can it query the outcome.
                    proxy.stall()
                    await eventually(partial(is_away, consumer))
                proxy.resume()
                await consumer.wait_until_caught_up(timeout=GOES_ON)
            assert consumer.status().handled_count == COUNT + 1
    numbers = [message.data["n"] for message in await client.get_stream_messages(copies)]
    assert numbers == list(range(COUNT + 1))


async def stall_in_a_handler(
    client: AsyncClient, store_url: str, category: str, store: Any, answers: int, size: int | None
) -> None:
    """Let the network stall so many answers after a handler, and see that all is done once."""
    with FaultProxy(store_url) as proxy:
        async with behind(proxy) as late:
            consumer = make(late, category, store, transactional=True, transaction_size=size)
            calls: list[int] = []

            @consumer.handler
            async def copy_it(message: Message[Any], context: AsyncContext) -> None:
                calls.append(message.data["n"])
                # An attempt that finds what an earlier one has done fails.
                await context.client.write_message(
                    f"{category}Copy-1",
                    NewMessage("Copied", message.data),
                    expected_version=message.data["n"] - 1,
                )
                if len(calls) == 2:
                    stall_after(proxy, answers)

            await write(client, f"{category}-1", 0, COUNT)
            async with consumer.running():
                await eventually(partial(is_away, consumer), limit=GOES_ON)
                proxy.resume()
                await consumer.wait_until_caught_up(timeout=GOES_ON)
            assert consumer.status().handled_count == COUNT
    messages = await client.get_stream_messages(f"{category}Copy-1")
    assert [message.data["n"] for message in messages] == list(range(COUNT))


@pytest.mark.parametrize("store", STORES, ids=IDS)
@pytest.mark.parametrize("size", [None, 2, 3])
async def test_the_network_stalls_wherever_a_handler_ends(
    client: AsyncClient, store_url: str, category: str, store: Any, size: int | None
) -> None:
    # A COMMIT that is on its way then comes when it was given up, and another attempt began.
    calls = [
        Background(stall_in_a_handler, client, store_url, f"{category}{n}x", store, n, size)
        for n in range(4)
    ]
    for call in calls:
        await call.result()
