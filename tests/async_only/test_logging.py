"""Log records name messages and never show their contents."""

from __future__ import annotations

import logging
import uuid
from typing import Any

import pytest

from messagedb import (
    AsyncClient,
    AsyncConsumer,
    AsyncEntityStore,
    Decider,
    HandlerError,
    Message,
    NewMessage,
    RetryPolicy,
)

SECRET = f"secret-{uuid.uuid4().hex}"


async def test_no_record_holds_data_or_metadata(
    store_url: str, category: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    async with AsyncClient(store_url, max_size=3) as client:
        stream = f"{category}-1"
        await client.write_message(stream, NewMessage("A", {"x": SECRET}, metadata={"y": SECRET}))
        for on_error in ("stop", "park", "skip"):
            consumer = AsyncConsumer(
                client,
                category,
                identifier=on_error,
                retry=RetryPolicy(max_attempts=2, delay=0.001),
                on_error=on_error,
            )

            @consumer.handler
            async def fail(message: Message[Any]) -> None:
                raise ValueError("refused")

            if on_error == "stop":
                with pytest.raises(HandlerError):
                    await consumer.run(until="caught_up")
            else:
                await consumer.run(until="caught_up")
        accounts = AsyncEntityStore(client, category, decider=DECIDER)
        await accounts.load("1")
    ours = [record for record in caplog.records if record.name.startswith("messagedb")]
    assert {record.name for record in ours} == {"messagedb.consumer"}, [str(each) for each in ours]
    assert len(ours) >= 3
    for record in caplog.records:
        text = record.getMessage() + str(record.exc_text or "") + repr(record.args)
        assert SECRET not in text


def _decide(command: int, state: int) -> None:
    return None


def _evolve(state: int, event: Message[Any]) -> int:
    return state + 1


DECIDER: Decider[int, int, Any] = Decider(initial=int, decide=_decide, evolve=_evolve)
