"""Functions of the other variant's kind are refused by a Consumer."""

from __future__ import annotations

from typing import Any

import pytest

from messagedb import Client, Consumer, HandlerError, Message, NewMessage, Park, ValidationError
from messagedb.consumers import NO_RETRY

WRONG = "must be a plain function, and .* is not"


def handle(message: Message[Any]) -> None:
    """A handler of this variant."""


async def coroutine_function(message: Message[Any]) -> None:
    """A handler of the other variant."""


class Callable:
    async def __call__(self, message: Message[Any]) -> None:
        """Handle a message."""


def test_a_coroutine_function_is_no_handler_and_no_middleware() -> None:
    consumer = Consumer(Client(), "account")
    wrong: Any
    for wrong in (coroutine_function, Callable()):
        with pytest.raises(ValidationError, match=f"a handler of this consumer {WRONG}"):
            consumer.handler(wrong)
        with pytest.raises(ValidationError, match=WRONG):
            consumer.handler("Deposited")(wrong)
        with pytest.raises(ValidationError, match=f"middleware of this consumer {WRONG}"):
            Consumer(Client(), "account", middleware=[wrong])
    # Nothing of them is left behind.
    assert consumer.handler("Deposited")(handle) is handle


def test_a_wrapper_that_gives_a_coroutine_has_handled_nothing(
    store_url: str, category: str
) -> None:
    with Client(store_url, max_size=4) as client:
        consumer = Consumer(client, category, retry=NO_RETRY)
        made: list[Any] = []

        @consumer.handler
        def wrapper(message: Message[Any]) -> Any:
            made.append(coroutine_function(message))
            return made[-1]

        client.write_message(f"{category}-1", NewMessage("Tested"))
        with pytest.raises(HandlerError, match="coroutine, which was not executed"):
            consumer.run()
        made[0].close()


def test_a_parked_message_whose_replay_nobody_awaited_stays_parked(
    store_url: str, category: str
) -> None:
    with Client(store_url, max_size=4) as client:
        consumer = Consumer(client, category, identifier="parks", retry=NO_RETRY)
        results: list[Any] = [Park("later")]

        @consumer.handler
        def wrapper(message: Message[Any]) -> Any:
            return results.pop() if results else coroutine_function(message)

        client.write_message(f"{category}-1", NewMessage("Tested"))
        consumer.run(until="caught_up")
        with pytest.raises(HandlerError, match="coroutine, which was not executed"):
            consumer.replay_parked()
        assert len(consumer.list_parked()) == 1


def test_a_generator_is_no_handler() -> None:
    consumer = Consumer(Client(), "account")

    def generator(message: Message[Any]) -> Any:
        yield 1

    with pytest.raises(ValidationError, match="is a generator function"):
        consumer.handler(generator)
