"""The state of the message of a consumer's last failure: open, parked or passed."""

from __future__ import annotations

from typing import Any

import pytest

from messagedb import AsyncClient, AsyncConsumer, HandlerError
from messagedb.consumers import NO_RETRY, ConsumerInfo
from tests._async.consuming import Trouble, write
from tests._async.load import FAST
from tests._async.reporting import see


def has_state(state: str | None) -> Any:
    def is_so(consumer: ConsumerInfo) -> bool:
        return consumer.failure_state == state

    return is_so


async def find_state(client: AsyncClient, category: str) -> str | None:
    (found,) = await client.list_consumers(category)
    return found.failure_state


def make(client: AsyncClient, category: str, **options: Any) -> tuple[AsyncConsumer, Trouble]:
    """Return a consumer that fails at the message of number 1, and its handler."""
    options = {"identifier": "mail", "retry": NO_RETRY, **FAST, **options}
    consumer = AsyncConsumer(client, category, **options)
    trouble = Trouble(ValueError("no such address"))
    consumer.handler(trouble.handle)
    return consumer, trouble


async def test_a_message_is_open_until_a_later_run_has_handled_it(
    client: AsyncClient, category: str
) -> None:
    await write(client, f"{category}-1", 0, 2)
    consumer, trouble = make(client, category)
    with pytest.raises(HandlerError):
        await consumer.run(until="caught_up")
    assert await find_state(client, category) == "open"
    trouble.times = 0
    async with consumer.running():
        await see(client, category, has_state("passed"))
    assert await find_state(client, category) == "passed"


async def test_a_message_is_passed_when_its_consumer_was_set_beyond_it(
    client: AsyncClient, category: str
) -> None:
    positions = await write(client, f"{category}-1", 0, 3)
    consumer, _ = make(client, category)
    with pytest.raises(HandlerError):
        await consumer.run(until="caught_up")
    await consumer.reset_position(positions[2])
    assert await find_state(client, category) == "passed"
    # It is before the message again, and will handle it.
    await consumer.reset_position("beginning")
    assert await find_state(client, category) == "open"


async def test_a_message_that_is_skipped_is_passed(client: AsyncClient, category: str) -> None:
    await write(client, f"{category}-1", 0, 2)
    consumer, _ = make(client, category, on_error="skip")
    await consumer.run(until="caught_up")
    assert await find_state(client, category) == "passed"


@pytest.mark.parametrize("identifier", ["mail", None])
@pytest.mark.parametrize("on_error", ["park", "park_stream"])
async def test_a_parked_message_is_passed_when_it_is_replayed(
    client: AsyncClient, category: str, on_error: Any, identifier: str | None
) -> None:
    await write(client, f"{category}-1", 0, 3)
    consumer, trouble = make(client, category, on_error=on_error, identifier=identifier)
    await consumer.run(until="caught_up")
    assert await find_state(client, category) == "parked"
    trouble.times = 0
    await consumer.replay_parked()
    assert await find_state(client, category) == "passed"


async def test_the_messages_that_stay_parked_do_not_count(
    client: AsyncClient, category: str
) -> None:
    """The last failure is that of the second message, which is discarded; the first stays."""
    await write(client, f"{category}-1", 1, 1)
    await write(client, f"{category}-2", 1, 1)
    consumer, _ = make(client, category, on_error="park")
    await consumer.run(until="caught_up")
    assert await find_state(client, category) == "parked"
    _, second = await consumer.list_parked()
    await consumer.discard_parked([second])
    (found,) = await client.list_consumers(category)
    assert (found.failure_state, found.parked_count) == ("passed", 1)


async def test_a_consumer_that_has_not_failed_has_no_state_of_a_failure(
    client: AsyncClient, category: str
) -> None:
    await write(client, f"{category}-1", 0, 1)
    consumer, _ = make(client, category)
    await consumer.run(until="caught_up")
    assert await find_state(client, category) is None


async def test_a_wait_does_not_name_a_failure_that_is_passed(
    client: AsyncClient, category: str
) -> None:
    positions = await write(client, f"{category}-1", 0, 2)
    consumer, trouble = make(client, category)
    with pytest.raises(HandlerError):
        await consumer.run(until="caught_up")
    with pytest.raises(TimeoutError, match="Its last failure: ValueError: no such address"):
        await client.wait_for_consumer(category, "mail", global_position=positions[1], timeout=0.2)
    trouble.times = 0
    await consumer.run(until="caught_up")
    with pytest.raises(TimeoutError) as raised:
        await client.wait_for_consumer(
            category, "mail", global_position=positions[1] + 1_000_000, timeout=0.2
        )
    assert "failure" not in str(raised.value)
