"""A stored position says of which store it is: of another one it is refused, of erasures not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from messagedb import (
    AsyncClient,
    AsyncConsumer,
    LostHistoryError,
    Message,
    NewMessage,
    StreamPositionStore,
    TablePositionStore,
)
from tests.support.backend import make_url
from tests.support.background_async import Background, eventually
from tests.support.replication import Cluster

KINDS: dict[str, dict[str, Any]] = {
    "stream": {"position_store": StreamPositionStore()},
    "table": {"position_store": TablePositionStore()},
}


def new_messages(first: int, count: int) -> list[NewMessage]:
    return [NewMessage("Tested", {"n": n}) for n in range(first, first + count)]


def noting(consumer: AsyncConsumer) -> list[int]:
    """Have a consumer note which messages it is given."""
    seen: list[int] = []

    @consumer.handler
    async def note(message: Message[Any]) -> None:
        seen.append(message.data["n"])

    return seen


async def lag_behind(cluster: Cluster, client: AsyncClient, category: str, count: int) -> None:
    """Write messages that the standby does not get."""
    link = cluster.standby.link
    assert link is not None
    link.stall()
    await client.write_messages(f"{category}-1", new_messages(1000, count))


async def test_a_stored_position_of_lost_messages_is_found_at_the_next_start(
    lagging: Cluster, category: str
) -> None:
    """The position reached the other server, the messages did not: as with a separate store."""
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
        lagging.fail_over()
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
