"""After a failover to a standby that lagged, nothing is passed over without a word."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from messagedb import (
    AsyncAllConsumer,
    AsyncClient,
    AsyncConsumer,
    LostHistoryError,
    Message,
    NewMessage,
    StreamPositionStore,
    TablePositionStore,
)
from tests.support.background_async import Background, eventually
from tests.support.replication import Cluster, Node

KINDS: dict[str, dict[str, Any]] = {
    "stream": {"position_store": StreamPositionStore()},
    "table": {"position_store": TablePositionStore()},
    "transactional": {"position_store": TablePositionStore(), "transactional": True},
    "concurrent": {"concurrency": 4},
    "member": {"group_member": 0, "group_size": 1},
}


def new_messages(first: int, count: int) -> list[NewMessage]:
    return [NewMessage("Tested", {"n": n}) for n in range(first, first + count)]


def noting(consumer: AsyncConsumer | AsyncAllConsumer) -> list[int]:
    """Have a consumer note which messages it is given."""
    seen: list[int] = []

    @consumer.handler
    async def note(message: Message[Any]) -> None:
        seen.append(message.data["n"])

    return seen


async def lag_behind(cluster: Cluster, client: AsyncClient, category: str, count: int) -> list[int]:
    """Write messages that the standby does not get, and give their global positions."""
    link = cluster.standby.link
    assert link is not None
    link.stall()
    positions = await client.write_messages(f"{category}-1", new_messages(1000, count))
    messages = await client.get_stream_messages(f"{category}-1", position=positions[0])
    return [message.global_position for message in messages]


async def fail_over(cluster: Cluster) -> Node:
    """Lose the primary, and what its standby lacks."""
    return cluster.fail_over()


@pytest.mark.parametrize("kind", KINDS)
async def test_a_consumer_that_handled_what_is_lost_says_so_and_stops(
    lagging: Cluster, category: str, kind: str
) -> None:
    async with AsyncClient(lagging.url(), max_size=4, command_timeout=5.0) as client:
        options: dict[str, Any] = {
            "identifier": "a",
            "position_update_interval": 10_000,
            **KINDS[kind],
        }
        consumer = AsyncConsumer(client, category, **options)
        seen = noting(consumer)
        await client.write_messages(f"{category}-1", new_messages(0, 20))
        run = Background(consumer.run)
        await eventually(lambda: len(seen) == 20)
        lost = await lag_behind(lagging, client, category, 100)
        await eventually(lambda: len(seen) == 120)
        await fail_over(lagging)
        # So many that the lost positions are given again, to others.
        async with AsyncClient(lagging.url()) as other:
            await other.write_messages(f"{category}-1", new_messages(5000, 150))
        error = (await run.outcome()).error
    assert isinstance(error, LostHistoryError), error
    assert error.message_id is not None
    assert error.found_id != error.message_id
    assert error.common is not None
    assert lost[0] > error.common
    assert error.position == lost[-1]
    assert f"from {error.common + 1} to {error.position} is gone" in str(error)
    assert "another consumer" not in str(error)
    assert not any(n >= 5000 for n in seen)


@pytest.mark.parametrize("kind", KINDS)
async def test_a_consumer_that_is_to_continue_handles_all_that_the_store_has(
    lagging: Cluster, category: str, kind: str
) -> None:
    async with AsyncClient(lagging.url(), max_size=4, command_timeout=5.0) as client:
        options: dict[str, Any] = {"identifier": "a", "position_update_interval": 10, **KINDS[kind]}
        consumer = AsyncConsumer(client, category, on_lost_history="continue", **options)
        seen = noting(consumer)
        await client.write_messages(f"{category}-1", new_messages(0, 20))
        run = Background(consumer.run)
        await eventually(lambda: len(seen) == 20)
        await eventually(lambda: (consumer.status().stored_position or 0) >= 20)
        lagging.wait_until_streaming()
        await lag_behind(lagging, client, category, 100)
        await eventually(lambda: len(seen) == 120)
        await fail_over(lagging)
        async with AsyncClient(lagging.url()) as other:
            await other.write_messages(f"{category}-1", new_messages(5000, 150))
        await eventually(lambda: set(range(5000, 5150)) <= set(seen), limit=30.0)
        await consumer.stop()
        await run.result()
    assert [n for n in seen if n >= 5000] == list(range(5000, 5150))


async def test_a_consumer_of_the_whole_store_says_what_was_lost(
    lagging: Cluster, category: str
) -> None:
    async with AsyncClient(lagging.url(), max_size=4, command_timeout=5.0) as client:
        consumer = AsyncAllConsumer(
            client, [category], identifier="a", position_update_interval=10_000
        )
        seen = noting(consumer)
        await client.write_messages(f"{category}-1", new_messages(0, 20))
        run = Background(consumer.run)
        await eventually(lambda: len(seen) == 20)
        await lag_behind(lagging, client, category, 100)
        await eventually(lambda: len(seen) == 120)
        await fail_over(lagging)
        async with AsyncClient(lagging.url()) as other:
            await other.write_messages(f"{category}-1", new_messages(5000, 150))
        error = (await run.outcome()).error
    assert isinstance(error, LostHistoryError), error
    assert not any(n >= 5000 for n in seen)


async def subscribed(
    client: AsyncClient, category: str, seen: list[int], on_lost_history: Any
) -> None:
    async for message in client.subscribe(category, on_lost_history=on_lost_history):
        seen.append(message.data["n"])
        if message.data["n"] == 5149:
            return


@pytest.mark.parametrize("on_lost_history", ["stop", "continue"])
async def test_a_subscription_passes_over_nothing(
    lagging: Cluster, category: str, on_lost_history: str
) -> None:
    seen: list[int] = []
    async with AsyncClient(lagging.url(), max_size=4, command_timeout=5.0) as client:
        await client.write_messages(f"{category}-1", new_messages(0, 20))
        run = Background(subscribed, client, category, seen, on_lost_history)
        await eventually(lambda: len(seen) == 20)
        await lag_behind(lagging, client, category, 100)
        await eventually(lambda: len(seen) == 120)
        await fail_over(lagging)
        async with AsyncClient(lagging.url()) as other:
            await other.write_messages(f"{category}-1", new_messages(5000, 150))
        error = (await run.outcome()).error
    if on_lost_history == "stop":
        assert isinstance(error, LostHistoryError), error
        assert error.common is not None
        assert len(seen) == 120
    else:
        assert error is None
        assert seen[120:] == list(range(5000, 5150))


async def test_a_stored_position_of_lost_messages_is_found_at_the_next_start(
    lagging: Cluster, category: str
) -> None:
    """The position came to the other server, the messages did not: as with a store of its own."""
    async with AsyncClient(lagging.url(), max_size=4, command_timeout=5.0) as client:
        await client.write_messages(f"{category}-1", new_messages(0, 20))
        consumer = AsyncConsumer(client, category, identifier="a")
        seen = noting(consumer)
        await consumer.run(until="caught_up")
        (record,) = await client.get_stream_messages(consumer.name)
        lagging.wait_until_streaming()
        await lag_behind(lagging, client, category, 100)
        await consumer.run(until="caught_up")
        records = await client.get_stream_messages(consumer.name)
        await fail_over(lagging)
    async with AsyncClient(lagging.url()) as client:
        await client.write_messages(f"{category}-1", new_messages(5000, 150))
        lost = records[-1].data
        await client.write_message(consumer.name, NewMessage("Recorded", lost))
        again = AsyncConsumer(client, category, identifier="a")
        noted = noting(again)
        with pytest.raises(LostHistoryError, match="the message there is"):
            await again.run(until="caught_up")
        assert noted == []
        # The record before is one of the store as it is.
        going_on = AsyncConsumer(client, category, identifier="a", on_lost_history="continue")
        noted = noting(going_on)
        await going_on.run(until="caught_up")
    assert record.data["position"] == 20
    assert len(seen) == 120
    assert noted == list(range(5000, 5150))


async def test_erasing_the_newest_messages_is_no_loss(
    new_database: Callable[..., str], category: str
) -> None:
    import psycopg

    from tests.support.backend import make_url

    admin = new_database()
    async with AsyncClient(make_url(admin, user="message_store")) as client:
        for kind in ("stream", "table"):
            consumer = AsyncConsumer(client, category, identifier=kind, **KINDS[kind])
            seen = noting(consumer)
            await client.write_messages(f"{category}-1", new_messages(0, 4))
            await consumer.run(until="caught_up")
            assert seen[-4:] == [0, 1, 2, 3]
            with psycopg.connect(admin, autocommit=True) as conn:
                conn.execute(
                    "delete from message_store.messages where stream_name = %s", [f"{category}-1"]
                )
            await consumer.run(until="caught_up")
            await client.write_messages(f"{category}-1", new_messages(10, 1))
            await consumer.run(until="caught_up")
            assert seen[-1] == 10


async def test_a_clean_switch_over_loses_nothing(replicated: Cluster, category: str) -> None:
    async with AsyncClient(replicated.url(), max_size=4, command_timeout=5.0) as client:
        consumer = AsyncConsumer(client, category, identifier="a")
        seen = noting(consumer)
        await client.write_messages(f"{category}-1", new_messages(0, 20))
        run = Background(consumer.run)
        await eventually(lambda: len(seen) == 20)
        replicated.switch_over()
        async with AsyncClient(replicated.url()) as other:
            await other.write_messages(f"{category}-1", new_messages(20, 20))
        await eventually(lambda: len(seen) == 40, limit=30.0)
        await consumer.stop()
        await run.result()
    assert seen == list(range(40))
