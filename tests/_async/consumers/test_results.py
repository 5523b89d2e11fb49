"""Invalid results of a handler: no message is handled or skipped."""

from __future__ import annotations

from typing import Any

import pytest

from messagedb import (
    AsyncClient,
    AsyncConsumer,
    HandlerError,
    Message,
    NewMessage,
    Park,
    Retry,
    Skip,
    Stop,
)
from tests._async.consuming import saved, write


class Hostile:
    """A result that cannot be shown."""

    def __repr__(self) -> str:
        raise RuntimeError("no repr")


# Functions, as a generator can be given once.
RESULTS: dict[str, Any] = {
    "park": lambda: "park",
    "stop": lambda: "stop",
    "skip": lambda: "skip",
    "retry": lambda: "retry",
    "parked": lambda: "parked",
    "empty text": lambda: "",
    "class Park": lambda: Park,
    "class Retry": lambda: Retry,
    "class Skip": lambda: Skip,
    "class Stop": lambda: Stop,
    "error": lambda: ValueError("not raised"),
    "class of error": lambda: ValueError,
    "generator": lambda: (n for n in (1, 2)),
    "False": lambda: False,
    "number": lambda: 5,
    "hostile": Hostile,
}


class Giving:
    """A handler that gives something for the message of number 1."""

    def __init__(self, result: Any) -> None:
        self.result = result
        self.seen: list[int] = []

    async def handle(self, message: Message[Any]) -> Any:
        self.seen.append(message.data["n"])
        return self.result() if message.data["n"] == 1 else None


@pytest.mark.parametrize("kind", RESULTS)
@pytest.mark.parametrize("how", ["plain", "concurrent", "transactional"])
async def test_a_result_that_says_nothing_stops_before_the_message(
    client: AsyncClient, category: str, kind: str, how: str
) -> None:
    consumer = AsyncConsumer(
        client,
        category,
        identifier="given",
        on_error="skip",
        concurrency=2 if how == "concurrent" else 1,
        transactional=how == "transactional",
    )
    giving = Giving(RESULTS[kind])
    consumer.handler(giving.handle)
    positions = await write(client, f"{category}-1", 0, 3)
    with pytest.raises(
        HandlerError, match=r"called once, last result: .*handler returned"
    ) as caught:
        await consumer.run(until="caught_up")
    assert caught.value.position == 1
    assert giving.seen == [0, 1]
    assert await saved(client, consumer) == positions[:1]
    assert (consumer.status().skipped_count, consumer.status().parked_count) == (0, 0)


@pytest.mark.parametrize("kind", RESULTS)
@pytest.mark.parametrize("transactional", [False, True])
async def test_a_parked_message_whose_replay_says_nothing_stays_parked(
    client: AsyncClient, category: str, kind: str, transactional: bool
) -> None:
    parking = AsyncConsumer(client, category, identifier="given")
    giving = Giving(lambda: Park("later"))
    parking.handler(giving.handle)
    await write(client, f"{category}-1", 0, 2)
    await parking.run(until="caught_up")
    replaying = AsyncConsumer(client, category, identifier="given", transactional=transactional)
    replaying.handler(Giving(RESULTS[kind]).handle)
    with pytest.raises(HandlerError, match="It stays parked") as caught:
        await replaying.replay_parked()
    assert caught.value.is_replay
    assert [parked.position for parked in await replaying.list_parked()] == [1]


async def test_writes_of_a_transactional_handler_with_a_wrong_result_are_rolled_back(
    client: AsyncClient, category: str
) -> None:
    consumer = AsyncConsumer(client, category, identifier="given", transactional=True)

    @consumer.handler
    async def handle(message: Message[Any], context: Any) -> Any:
        await context.client.write_message(f"{category}Copy-1", NewMessage("Copied"))
        return "park"

    await write(client, f"{category}-1", 0, 1)
    with pytest.raises(HandlerError):
        await consumer.run(until="caught_up")
    assert await client.get_stream_messages(f"{category}Copy-1") == []
