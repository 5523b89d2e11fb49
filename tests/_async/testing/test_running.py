"""Apps in users' tests: run until nothing is left to handle, by one call."""

from __future__ import annotations

from typing import Any

import pytest

from messagedb import (
    AsyncApp,
    AsyncClient,
    AsyncContext,
    HandlerError,
    Message,
    NewMessage,
    RetryPolicy,
)
from messagedb._concurrency.backend_async import Event
from messagedb.consumers import NO_RETRY
from messagedb.testing import run_until_quiet_async
from tests._async.consuming import write

FAST: dict[str, Any] = {"poll_interval": 0.01}


async def test_what_handlers_write_is_handled_before_it_returns(
    store_url: str, client: AsyncClient, category: str
) -> None:
    app = AsyncApp()
    orders = app.consumer(category, identifier="orders", **FAST)
    bills = app.consumer(f"{category}Bill", identifier="bills", **FAST)

    @orders.handler
    async def bill(message: Message[Any], context: AsyncContext) -> None:
        await context.client.write_message(f"{category}Bill-1", NewMessage("Billed"))

    @bills.handler
    async def thank(message: Message[Any], context: AsyncContext) -> None:
        await context.client.write_message(f"{category}Thanks-1", NewMessage("Thanked"))

    await write(client, f"{category}-1", 0, 3)
    await run_until_quiet_async(app, store_url, only=["orders"])
    assert await client.stream_version(f"{category}Thanks-1") == -1
    await run_until_quiet_async(app, store_url)
    assert await client.stream_version(f"{category}Thanks-1") == 2


async def test_a_handler_that_fails_is_named_with_its_message_and_its_error(
    store_url: str, client: AsyncClient, category: str
) -> None:
    app = AsyncApp()
    failing = app.consumer(category, identifier="failing", retry=NO_RETRY, **FAST)

    @failing.handler
    async def fail(message: Message[Any]) -> None:
        raise ValueError("no address")

    await write(client, f"{category}-7", 0, 1)
    with pytest.raises(HandlerError) as caught:
        await run_until_quiet_async(app, store_url)
    text = str(caught.value)
    assert f"{category}:position-failing" in text
    assert f"message 0 of stream '{category}-7'" in text
    assert "ValueError: no address" in text


async def test_a_consumer_that_still_retries_is_named_with_its_message_and_its_last_error(
    store_url: str, client: AsyncClient, category: str
) -> None:
    app = AsyncApp()
    patient = app.consumer(category, identifier="patient", retry=RetryPolicy(delay=10.0), **FAST)

    @patient.handler
    async def fail(message: Message[Any]) -> None:
        raise ValueError("no address")

    await write(client, f"{category}-7", 0, 1)
    text = (
        f"{category}:position-patient \\(retrying, at message 0 of stream '{category}-7',"
        " attempt 1; last error: ValueError: no address\\)"
    )
    with pytest.raises(TimeoutError, match=text):
        await run_until_quiet_async(app, store_url, timeout=0.5)


async def test_a_handler_that_hangs_is_named_with_its_message(
    store_url: str, client: AsyncClient, category: str
) -> None:
    app = AsyncApp()
    hanging = app.consumer(category, identifier="hanging", **FAST)
    may_end = Event()

    @hanging.handler
    async def hang(message: Message[Any]) -> None:
        await may_end.wait(30)

    await write(client, f"{category}-7", 0, 1)
    with pytest.raises(TimeoutError, match=f"running, at message 0 of stream '{category}-7'"):
        await run_until_quiet_async(app, store_url, timeout=0.5)
    may_end.set()
