"""A wait for a consumer that is cancelled: at any point, beside others that go on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from messagedb import AsyncClient, AsyncConsumer, NewMessage, schema
from tests.support.backend import make_url
from tests.support.background_async import eventually
from tests.support.outcome import is_whole
from tests.support.store import sessions

# Nothing but a notification does something within the test.
OPTIONS: dict[str, Any] = {"poll_interval": 60.0, "position_update_interval": 1}


async def test_the_others_go_on_and_no_connection_is_lost(
    new_database: Callable[..., str], category: str
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

            def wait() -> asyncio.Task[None]:
                return asyncio.create_task(
                    client.wait_for_consumer(
                        category, "it", stream_name=stream, position=0, timeout=30.0
                    )
                )

            stays = wait()
            for turns in range(120):
                # The first of them begin the look and the connection that listens.
                doomed = wait()
                for _ in range(turns):
                    await asyncio.sleep(0)
                doomed.cancel()
                with suppress(asyncio.CancelledError):
                    await doomed
                assert doomed.cancelled()
                assert not stays.done()
            await eventually(lambda: is_whole(client))
            assert handled == []
            async with consumer.running():
                await stays
            assert len(handled) == 1
            await wait()
        await eventually(lambda: sessions(owner_url, category) == 0)


async def test_all_that_are_cancelled_leave_one_task_until_the_client_closes(
    new_database: Callable[..., str], category: str
) -> None:
    owner_url = new_database()
    store = make_url(owner_url, user="message_store", application_name=category)
    outside = asyncio.all_tasks()
    async with AsyncClient(store, min_size=1, max_size=2) as client:
        stream = f"{category}-1"
        await client.write_message(stream, NewMessage("Tested"))
        before = asyncio.all_tasks()
        for turns in range(0, 120, 3):
            wait = asyncio.create_task(
                client.wait_for_consumer(
                    category, "it", stream_name=stream, position=0, timeout=30.0
                )
            )
            for _ in range(turns):
                await asyncio.sleep(0)
            wait.cancel()
            with suppress(asyncio.CancelledError):
                await wait
        # It stays half a minute for the next wait, with its connection that listens.
        await eventually(lambda: len(asyncio.all_tasks() - before) <= 2)
        await eventually(lambda: is_whole(client))
        assert sessions(owner_url, category) <= 3
    await eventually(lambda: asyncio.all_tasks() <= outside)
    await eventually(lambda: sessions(owner_url, category) == 0)
