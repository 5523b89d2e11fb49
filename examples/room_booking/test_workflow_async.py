"""The workflow from the command to the last event, with asyncio."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from messagedb import AsyncClient
from messagedb.testing import run_until_quiet_async

from .bank import bank
from .messages import Book, PaidTooLate, booking, door_key, registry
from .service_async import app, payments, time_out

pytestmark = pytest.mark.asyncio
ALL_BUT_PAYMENTS = [name for name in app.names if name != "payments"]


@pytest.fixture
def messagedb_options() -> dict[str, Any]:
    return {"registry": registry}


@pytest.fixture
def id() -> str:
    return uuid4().hex  # the store lasts for all tests, and each has a booking to itself


async def types_of(client: AsyncClient, stream_name: str) -> list[str]:
    return [message.type async for message in client.read_stream(stream_name)]


async def test_a_booking_that_is_paid_gets_a_key(
    messagedb_async_client: AsyncClient, messagedb_url: str, id: str
) -> None:
    client = messagedb_async_client
    await client.write_message(booking.command_stream_name(id), Book("blue", 90))
    await run_until_quiet_async(app, messagedb_url)
    assert await types_of(client, booking.command_stream_name(id)) == ["Book", "Charged"]
    assert await types_of(client, booking.stream_name(id)) == ["Requested", "Confirmed"]
    assert await types_of(client, door_key.stream_name(id)) == ["KeyIssued"]


async def test_a_booking_without_a_payment_expires_after_an_hour(
    messagedb_async_client: AsyncClient, messagedb_url: str, id: str
) -> None:
    client, now = messagedb_async_client, datetime.now(UTC)
    await client.write_message(booking.command_stream_name(id), Book("blue", 90))
    await run_until_quiet_async(app, messagedb_url, only=ALL_BUT_PAYMENTS)
    assert id not in await time_out(client, now + timedelta(minutes=59))
    assert id in await time_out(client, now + timedelta(minutes=61))
    await run_until_quiet_async(app, messagedb_url, only=ALL_BUT_PAYMENTS)
    assert await types_of(client, booking.stream_name(id)) == ["Requested", "Expired"]

    await run_until_quiet_async(app, messagedb_url)  # the payments are back, too late
    last = await client.get_last_stream_message(booking.stream_name(id))
    assert last is not None
    assert last.decode(PaidTooLate).amount == 90
    assert await types_of(client, door_key.stream_name(id)) == []


async def test_a_payment_that_failed_is_parked_and_replayed(
    messagedb_async_client: AsyncClient,
    messagedb_url: str,
    id: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    client = messagedb_async_client
    await client.write_message(booking.command_stream_name(id), Book("red", 70))
    with monkeypatch.context() as patch:
        patch.setattr(bank, "is_available", False)
        await run_until_quiet_async(app, messagedb_url)
    consumer = payments.open_for(client)
    (parked,) = await consumer.list_parked()
    assert parked.reason == "BankUnavailable: the bank does not answer"
    assert await types_of(client, booking.stream_name(id)) == ["Requested"]

    await consumer.replay_parked(parked)
    assert await consumer.list_parked() == []
    await run_until_quiet_async(app, messagedb_url)
    assert await types_of(client, booking.stream_name(id)) == ["Requested", "Confirmed"]
    assert await types_of(client, door_key.stream_name(id)) == ["KeyIssued"]


async def test_a_command_that_comes_twice_is_charged_once(
    messagedb_async_client: AsyncClient, messagedb_url: str, id: str
) -> None:
    client, before = messagedb_async_client, len(bank.charges)
    for _ in range(2):
        await client.write_message(booking.command_stream_name(id), Book("blue", 90))
    await run_until_quiet_async(app, messagedb_url)
    assert len(bank.charges) == before + 1
    assert await types_of(client, booking.stream_name(id)) == ["Requested", "Confirmed"]
