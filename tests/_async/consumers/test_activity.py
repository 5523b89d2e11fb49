"""A consumer without problems logs that it runs, and no line for a message."""

from __future__ import annotations

import pytest

from messagedb import AsyncClient, AsyncConsumer
from tests._async.consuming import record_numbers, write
from tests.support.background_async import eventually


async def test_a_run_logs_its_start_that_it_has_caught_up_and_its_end(
    client: AsyncClient, category: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "messagedb.consumer")
    positions = await write(client, f"{category}-1", 0, 3)
    consumer = AsyncConsumer(client, category, identifier="mail", poll_interval=0.01)
    seen = record_numbers(consumer)
    async with consumer.running():
        await consumer.wait_until_caught_up(timeout=20)
        await eventually(lambda: "it has caught up" in caplog.text)
    lines = [record.getMessage() for record in caplog.records]
    name = f"{category}:position-mail"
    assert seen == [0, 1, 2]
    started, caught_up, *_, stopped = [line for line in lines if line.startswith(name)]
    wanted = f"{name}: it has started after position 0, 3 messages behind (head {positions[-1]})"
    assert started.startswith(wanted)
    assert caught_up == f"{name}: it has caught up, at position {positions[-1]}"
    wanted = f"it has stopped, after position {positions[-1]}; it has handled 3 messages"
    assert stopped == f"{name}: {wanted}"


async def test_a_run_that_finds_its_stored_position_logs_where_it_goes_on(
    client: AsyncClient, category: str, caplog: pytest.LogCaptureFixture
) -> None:
    positions = await write(client, f"{category}-1", 0, 3)
    consumer = AsyncConsumer(client, category, identifier="mail", poll_interval=0.01)
    record_numbers(consumer)
    await consumer.run(until="caught_up")
    caplog.clear()
    caplog.set_level("INFO", "messagedb.consumer")
    await consumer.run(until="caught_up")
    texts = [record.getMessage() for record in caplog.records]
    assert f"it has started after position {positions[-1]}, no message behind" in texts[0]
    assert texts[-1].endswith("it has handled 0 messages")
