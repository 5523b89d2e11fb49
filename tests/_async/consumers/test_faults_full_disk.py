"""A full disk of the tablespace of the messages: no message is at fault."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from faults.server import FaultServer

from messagedb import AsyncClient, AsyncConsumer, AsyncContext, Message, NewMessage, RetryPolicy
from messagedb.errors import EmbeddedServerError
from tests._async.consuming import stream_of, write
from tests.support.background_async import eventually


@pytest.fixture(scope="module")
def server() -> Iterator[FaultServer]:
    """Return a server whose messages are on a separate small disk."""
    try:
        server = FaultServer()
    except EmbeddedServerError as error:
        pytest.skip(f"no programs to run a server of the test's own: {error}")
    if server.no_disk:
        server.close()
        pytest.skip(server.no_disk)
    yield server
    server.close()


@pytest.mark.parametrize("transactional", [False, True])
async def test_a_full_disk_of_the_messages_skips_no_message(
    server: FaultServer, category: str, transactional: bool
) -> None:
    async with AsyncClient(server.url(user="message_store"), max_size=4) as client:
        await write(client, f"{category}-1", 0, 3)
        consumer = AsyncConsumer(
            client,
            category,
            identifier="waiting",
            on_error="skip",
            transactional=transactional,
            retry=RetryPolicy(max_attempts=2, delay=0.001, max_delay=0.002),
        )
        attempts: list[int] = []

        @consumer.handler
        async def copy(message: Message[Any], context: AsyncContext) -> None:
            attempts.append(context.attempt)
            copied = NewMessage("Copied", {"n": message.data["n"], "text": "x" * 1000})
            id = context.derive_id("copy")
            await context.client.write_message(f"{category}Copied-1", copied, id=id)

        server.fill_disk()
        try:
            async with consumer.running():
                await eventually(lambda: len(attempts) >= 5, 20.0)
                server.free_disk()
                await consumer.wait_until_caught_up(timeout=20.0)
        finally:
            server.free_disk()
        assert set(attempts) == {1}
        copies = await stream_of(client, f"{category}Copied-1")
        assert [copied.data["n"] for copied in copies] == [0, 1, 2]
