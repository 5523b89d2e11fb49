"""Functions of the other half's kind are refused by a Consumer."""

from __future__ import annotations

from typing import Any

import pytest

from messagedb import Client, Consumer, Message, ValidationError

WRONG = "must be a plain function, and .* is of the other kind"


def handle(message: Message[Any]) -> None:
    """A handler of this half."""


async def coroutine_function(message: Message[Any]) -> None:
    """A handler of the other half."""


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
