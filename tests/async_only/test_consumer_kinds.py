"""Functions of the other variant's kind are refused by an AsyncConsumer."""

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
    ValidationError,
)

WRONG = "must be a coroutine function, and .* is not"


async def handle(message: Message[Any]) -> None:
    """A handler of this variant."""


def plain(message: Message[Any]) -> None:
    """A handler of the other variant."""


class Callable:
    def __call__(self, message: Message[Any]) -> None:
        """Handle a message."""


def test_a_plain_function_is_no_handler_and_no_middleware() -> None:
    consumer = AsyncConsumer(AsyncClient(), "account")
    wrong: Any
    for wrong in (plain, Callable()):
        with pytest.raises(ValidationError, match=f"a handler of this consumer {WRONG}"):
            consumer.handler(wrong)
        with pytest.raises(ValidationError, match=WRONG):
            consumer.handler("Deposited")(wrong)
        with pytest.raises(ValidationError, match=f"middleware of this consumer {WRONG}"):
            AsyncConsumer(AsyncClient(), "account", middleware=[wrong])
    # Nothing of them is left behind.
    assert consumer.handler("Deposited")(handle) is handle


async def test_a_handler_that_gives_what_it_did_not_await_has_handled_nothing(
    store_url: str, category: str
) -> None:
    async with AsyncClient(store_url, max_size=4) as client:
        consumer = AsyncConsumer(client, category, identifier="parks", on_error="skip")
        results: list[Any] = []

        @consumer.handler
        async def forgetful(message: Message[Any]) -> Any:
            return results.pop() if results else handle(message)

        await client.write_message(f"{category}-1", NewMessage("Tested"))
        with pytest.raises(HandlerError, match="coroutine, which was not executed"):
            await consumer.run(until="caught_up")
        assert consumer.status().skipped_count == 0
        results.append(Park("later"))
        await consumer.run(until="caught_up")
        with pytest.raises(HandlerError, match="coroutine, which was not executed"):
            await consumer.replay_parked()
        assert len(await consumer.list_parked()) == 1
