"""A wait for a consumer that is cancelled: at each of its steps, beside others that go on."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import pytest

from messagedb import AsyncClient, AsyncConsumer, NewMessage, schema
from tests.support.backend import make_url
from tests.support.background_async import eventually
from tests.support.outcome import is_whole
from tests.support.stepping import at_each_step, cancelled_at
from tests.support.store import sessions

# Nothing but a notification does something within the test.
OPTIONS: dict[str, Any] = {"poll_interval": 60.0, "position_update_interval": 1}
LEAST = 4

late_or_not = pytest.mark.parametrize("late", [False, True])


def cancelled_waits(
    client: AsyncClient, category: str, *, late: bool
) -> Callable[[int, str], Awaitable[bool]]:
    """Return a function that cancels a wait in vain at one of its steps."""

    async def wait() -> None:
        stream = f"{category}-1"
        with suppress(TimeoutError):
            await client.wait_for_consumer(
                category, "it", stream_name=stream, position=0, timeout=0.2
            )

    async def once(step: int, _: str) -> bool:
        return await cancelled_at(wait(), step, late=late)

    return once


@late_or_not
async def test_the_others_go_on_and_no_connection_is_lost(
    new_database: Callable[..., str], category: str, late: bool
) -> None:
    owner_url = new_database()
    schema.install_notify(owner_url)
    store = make_url(owner_url, user="message_store")
    async with AsyncClient(store) as own:
        consumer = AsyncConsumer(own, category, identifier="it", notify=True, **OPTIONS)
        handled: list[int] = []

        @consumer.handler
        async def handle(message: Any) -> None:
            handled.append(message.global_position)

        url = make_url(store, application_name=category)
        async with AsyncClient(url, min_size=1, max_size=2) as client:
            stream = f"{category}-1"
            await client.write_message(stream, NewMessage("Tested"))
            stays = asyncio.create_task(
                client.wait_for_consumer(
                    category, "it", stream_name=stream, position=0, timeout=30.0
                )
            )
            await at_each_step(cancelled_waits(client, category, late=late), least=LEAST)
            await eventually(lambda: is_whole(client))
            assert not stays.done()
            assert handled == []
            async with consumer.running():
                await stays
            assert len(handled) == 1
        await eventually(lambda: sessions(owner_url, category) == 0)


@late_or_not
async def test_all_that_are_cancelled_leave_one_task_until_the_client_closes(
    new_database: Callable[..., str], category: str, late: bool
) -> None:
    owner_url = new_database()
    store = make_url(owner_url, user="message_store", application_name=category)
    outside = asyncio.all_tasks()
    async with AsyncClient(store, min_size=1, max_size=2) as client:
        await client.write_message(f"{category}-1", NewMessage("Tested"))
        before = asyncio.all_tasks()
        await at_each_step(cancelled_waits(client, category, late=late), least=LEAST)
        # It stays half a minute for the next wait, with its connection that listens.
        await eventually(lambda: len(asyncio.all_tasks() - before) <= 2)
        await eventually(lambda: is_whole(client))
        assert sessions(owner_url, category) <= 3
    await eventually(lambda: asyncio.all_tasks() <= outside)
    await eventually(lambda: sessions(owner_url, category) == 0)
