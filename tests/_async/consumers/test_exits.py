"""A handler that ends more than its message: what is no ``Exception`` comes through unchanged."""

from __future__ import annotations

from typing import Any

import pytest

from messagedb import (
    AsyncClient,
    AsyncConsumer,
    AsyncContext,
    Message,
    NewMessage,
    Park,
    ValidationError,
    run_consumers_async,
)
from tests._async.consuming import record_numbers, saved, stream_of, write
from tests.support.background_async import eventually


class Alarm(BaseException):
    """An application's own."""


EXITS = [SystemExit(3), KeyboardInterrupt(), GeneratorExit(), Alarm("now")]
OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "concurrent": {"concurrency": 2},
    "transactional": {"transactional": True},
}


class Exiting:
    """A handler that writes something and then ends all, with the message of number 1."""

    def __init__(self, category: str, error: BaseException) -> None:
        self.category = category
        self.error = error
        self.seen: list[int] = []

    async def handle(self, message: Message[Any], context: AsyncContext) -> None:
        self.seen.append(message.data["n"])
        if message.data["n"] == 1:
            await context.client.write_message(f"{self.category}Copy-1", NewMessage("Copied"))
            raise self.error


def exiting(
    client: AsyncClient, category: str, error: BaseException, **options: Any
) -> tuple[AsyncConsumer, Exiting]:
    """Make a consumer with such a handler, which would pass by any other error."""
    consumer = AsyncConsumer(client, category, identifier="exits", on_error="skip", **options)
    handler = Exiting(category, error)
    consumer.handler(handler.handle)
    return consumer, handler


@pytest.mark.parametrize("kind", OPTIONS)
@pytest.mark.parametrize("error", EXITS, ids=lambda error: type(error).__name__)
async def test_the_run_raises_what_ended_it_and_its_position_is_before_the_message(
    client: AsyncClient, category: str, error: BaseException, kind: str
) -> None:
    consumer, handler = exiting(client, category, error, **OPTIONS[kind])
    positions = await write(client, f"{category}-1", 0, 3)
    with pytest.raises(type(error)) as caught:
        await consumer.run(until="caught_up")
    assert caught.value is error
    assert handler.seen == [0, 1]
    assert await saved(client, consumer) == positions[:1]
    status = consumer.status()
    assert status.state == "failed"
    assert (status.last_error or "").startswith(type(error).__name__)
    copies = await stream_of(client, f"{category}Copy-1")
    assert len(copies) == (0 if kind == "transactional" else 1)
    # Its place is free, and it goes on with the message.
    handler.seen.clear()
    with pytest.raises(type(error)):
        await consumer.run(until="caught_up")
    assert handler.seen == [1]


@pytest.mark.parametrize("kind", OPTIONS)
async def test_beside_other_work_it_is_raised_at_the_end_of_the_block(
    client: AsyncClient, category: str, kind: str
) -> None:
    error = SystemExit(3)
    consumer, handler = exiting(client, category, error, **OPTIONS[kind])
    await write(client, f"{category}-1", 0, 3)
    went_on = False
    with pytest.raises(SystemExit) as caught:
        async with consumer.running():
            await eventually(lambda: consumer.status().state == "failed")
            with pytest.raises(ValidationError, match="stopped before"):
                await consumer.wait_until_processed(f"{category}-1", 2, timeout=10)
            went_on = True
    assert caught.value is error
    assert (went_on, handler.seen) == (True, [0, 1])


async def test_of_several_the_others_are_stopped_first(client: AsyncClient, category: str) -> None:
    error = SystemExit(3)
    consumer, _ = exiting(client, category, error)
    other = AsyncConsumer(client, f"{category}Other")
    seen = record_numbers(other)
    await write(client, f"{category}Other-1", 0, 2)
    await write(client, f"{category}-1", 0, 3)
    with pytest.raises(SystemExit) as caught:
        await run_consumers_async(consumer, other, signals=False)
    assert caught.value is error
    assert (consumer.status().state, other.status().state) == ("failed", "stopped")
    assert seen in ([], [0, 1])


async def test_a_parked_message_whose_replay_ends_all_stays_parked(
    client: AsyncClient, category: str
) -> None:
    consumer = AsyncConsumer(client, category, identifier="exits")
    problems: list[BaseException] = [Park("later"), SystemExit(3)]

    @consumer.handler
    async def handle(message: Message[Any]) -> None:
        raise problems.pop(0)

    await write(client, f"{category}-1", 0, 1)
    await consumer.run(until="caught_up")
    with pytest.raises(SystemExit):
        await consumer.replay_parked()
    assert len(await consumer.list_parked()) == 1
