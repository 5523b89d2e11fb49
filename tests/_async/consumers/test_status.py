"""How a consumer is waited for, and what it tells."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from messagedb import AsyncClient, AsyncConsumer, HandlerError, Message, ValidationError
from messagedb._concurrency.backend_async import Event
from messagedb.consumers import NO_RETRY
from tests._async.consuming import record_numbers, write
from tests.support.backend import make_url
from tests.support.background_async import Background
from tests.support.store import functions_only

if TYPE_CHECKING:
    from collections.abc import Callable


async def test_it_is_waited_for_before_the_message_is_written(
    client: AsyncClient, category: str
) -> None:
    consumer = AsyncConsumer(client, category, poll_interval=0.01)
    seen = record_numbers(consumer)
    async with consumer.running():
        waiting = Background(consumer.wait_until_processed, f"{category}-1", 1, timeout=5)
        await write(client, f"{category}-1", 0, 2)
        await waiting.result()
        assert seen == [0, 1]
        with pytest.raises(TimeoutError, match="was not written within"):
            await consumer.wait_until_processed(f"{category}-1", 2, timeout=0.03)


async def test_waiting_callers_get_the_error_that_ends_the_run(
    client: AsyncClient, category: str
) -> None:
    consumer = AsyncConsumer(client, category, retry=NO_RETRY)
    with pytest.raises(ValidationError, match="it is not running"):
        await consumer.wait_until_caught_up()
    with pytest.raises(ValidationError, match="it is not running"):
        await consumer.wait_until_processed(f"{category}-1", 0)
    began, go_on = Event(), Event()

    @consumer.handler
    async def fail(message: Message[Any]) -> None:
        began.set()
        await go_on.wait(5)
        raise RuntimeError("broken")

    await write(client, f"{category}-1", 0, 1)
    run = Background(consumer.run)
    assert await began.wait(5)
    with pytest.raises(TimeoutError, match="was at position"):
        await consumer.wait_until_caught_up(timeout=0.03)
    waiting = [
        Background(consumer.wait_until_caught_up),
        Background(consumer.wait_until_processed, f"{category}-1", 0),
    ]
    go_on.set()
    for each in (*waiting, run):
        assert isinstance((await each.outcome()).error, HandlerError)
    with pytest.raises(HandlerError):
        await consumer.wait_until_caught_up()
    status = consumer.status()
    assert (status.state, status.current_message, status.handled_count) == ("failed", None, 0)
    assert status.last_error is not None
    assert "RuntimeError: broken" in status.last_error


async def test_waiting_for_a_stopped_run_raises(client: AsyncClient, category: str) -> None:
    consumer = AsyncConsumer(client, category, start="end")
    record_numbers(consumer)
    async with consumer.running():
        await consumer.wait_until_caught_up(timeout=5)
    await write(client, f"{category}-1", 0, 1)
    with pytest.raises(ValidationError, match="it was stopped before"):
        await consumer.wait_until_caught_up(timeout=5)


@pytest.mark.parametrize("options", [{}, {"partitions": 2}], ids=["alone", "partitions"])
@pytest.mark.parametrize("role", [None, "message_store"], ids=["owner", "functions"])
async def test_nothing_is_behind_after_a_run_that_ended_caught_up(
    new_database: Callable[..., str], role: str | None, options: dict[str, Any], category: str
) -> None:
    url = new_database()
    if role is not None:
        functions_only(url)
        url = make_url(url, user=role)
    async with AsyncClient(url) as client:
        consumer = AsyncConsumer(client, category, identifier="ended", **options)
        record_numbers(consumer)
        for _ in range(2):
            for number in range(4):
                await write(client, f"{category}-{number}", 0, 1)
            await consumer.run(until="caught_up")
            status = consumer.status()
            assert (status.lag_messages, status.lag_seconds) == (0, 0.0)
    assert consumer.status().handled_count == 8


async def test_the_status_before_during_and_after_a_run(client: AsyncClient, category: str) -> None:
    consumer = AsyncConsumer(client, category, identifier="told")
    status = consumer.status()
    assert status.name == consumer.name == f"{category}:position-told"
    assert (status.state, status.next_position, status.stored_next_position) == (
        "stopped",
        None,
        None,
    )
    assert (status.head, status.lag_messages, status.lag_seconds) == (None, None, None)
    assert (status.measured_at, status.current_message, status.blocked_by) == (None, None, ())
    began, go_on = Event(), Event()

    @consumer.handler
    async def slow(message: Message[Any]) -> None:
        began.set()
        await go_on.wait(5)

    positions = await write(client, f"{category}-1", 0, 3)
    async with consumer.running():
        assert await began.wait(5)
        status = consumer.status()
        assert status.state == "running"
        assert (status.next_position, status.stored_next_position) == (1, None)
        assert (status.head, status.lag_messages) == (positions[-1], 3)
        assert status.lag_seconds is not None
        assert status.lag_seconds >= 0
        assert status.measured_at is not None
        assert status.current_message == (f"{category}-1", 0, 1)
        go_on.set()
        await consumer.wait_until_caught_up(timeout=5)
        status = consumer.status()
        assert (status.next_position, status.handled_count) == (positions[-1] + 1, 3)
        assert (status.lag_messages, status.lag_seconds) == (0, 0.0)
    status = consumer.status()
    assert (status.state, status.stored_next_position) == ("stopped", positions[-1] + 1)
    assert (status.current_message, status.last_error) == (None, None)
