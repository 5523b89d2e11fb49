"""Outcomes from a handler or on_error, and their effects on a message."""

from __future__ import annotations

import time
from typing import Any

import pytest

from messagedb import (
    AsyncClient,
    AsyncConsumer,
    AsyncContext,
    HandlerError,
    Message,
    Park,
    Retry,
    RetryPolicy,
    Skip,
    Stop,
    ValidationError,
)
from messagedb.consumers import NO_RETRY
from tests._async.consuming import Trouble, saved, write

QUICK = RetryPolicy(max_attempts=3, delay=0.001)


@pytest.mark.parametrize("by", ["raise", "return"])
@pytest.mark.parametrize("transactional", [False, True])
async def test_outcomes_are_a_handler_s_own_word_and_are_not_tried_again(
    client: AsyncClient, category: str, by: str, transactional: bool
) -> None:
    positions = await write(client, f"{category}-1", 0, 3)
    for outcome, counts, reasons in (
        (Skip("not ours"), (2, 0, 1), []),
        (Park("later"), (2, 1, 0), ["later"]),
    ):
        name = type(outcome).__name__
        consumer = AsyncConsumer(client, category, identifier=name, transactional=transactional)
        trouble = Trouble(outcome, by=by)
        consumer.handler(trouble.handle)
        await consumer.run(until="caught_up")
        assert trouble.calls == [(0, 1), (1, 1), (2, 1)]
        status = consumer.status()
        assert (status.handled_count, status.parked_count, status.skipped_count) == counts
        assert [parked.reason for parked in await consumer.list_parked()] == reasons
        assert (await saved(client, consumer))[-1] == positions[-1]


@pytest.mark.parametrize("by", ["raise", "return"])
async def test_stop_stops_before_the_message(client: AsyncClient, category: str, by: str) -> None:
    consumer = AsyncConsumer(client, category, retry=QUICK, on_error="skip")
    trouble = Trouble(Stop("the printer is on fire"), by=by)
    consumer.handler(trouble.handle)
    positions = await write(client, f"{category}-1", 0, 3)
    with pytest.raises(HandlerError, match="the printer is on fire") as caught:
        await consumer.run(until="caught_up")
    assert caught.value.__cause__ is None
    assert trouble.calls == [(0, 1), (1, 1)]
    assert await saved(client, consumer) == positions[:1]


@pytest.mark.parametrize("by", ["raise", "return"])
async def test_retry_counts_as_an_attempt_and_may_say_when(
    client: AsyncClient, category: str, by: str
) -> None:
    policy = RetryPolicy(max_attempts=3, delay=60)
    consumer = AsyncConsumer(client, category, retry=policy)
    trouble = Trouble(Retry(0.02, "not yet"), by=by)
    consumer.handler(trouble.handle)
    await write(client, f"{category}-1", 0, 2)
    begin = time.monotonic()
    with pytest.raises(HandlerError, match="called 3 times, last result: not yet"):
        await consumer.run(until="caught_up")
    assert 0.04 <= time.monotonic() - begin < 10
    assert trouble.calls == [(0, 1), (1, 1), (1, 2), (1, 3)]


@pytest.mark.parametrize("on_error", ["park", "skip"])
@pytest.mark.parametrize("concurrency", [1, 3])
async def test_on_error_parks_or_skips_after_the_last_attempt(
    client: AsyncClient, category: str, on_error: Any, concurrency: int
) -> None:
    consumer = AsyncConsumer(
        client, category, retry=QUICK, on_error=on_error, concurrency=concurrency
    )
    trouble = Trouble(RuntimeError("broken"))
    consumer.handler(trouble.handle)
    positions = await write(client, f"{category}-1", 0, 3)
    await consumer.run(until="caught_up")
    assert trouble.calls == [(0, 1), (1, 1), (1, 2), (1, 3), (2, 1)]
    status = consumer.status()
    assert (status.handled_count, status.parked_count + status.skipped_count) == (2, 1)
    assert status.last_error == "RuntimeError: broken"
    assert (await saved(client, consumer))[-1] == positions[-1]
    parked = [(each.position, each.attempts) for each in await consumer.list_parked()]
    assert parked == ([(1, 3)] if on_error == "park" else [])


async def test_on_error_may_be_a_function_that_decides(client: AsyncClient, category: str) -> None:
    answers: list[Any] = ["park", "skip", Skip("s"), Park("p"), Retry(0.001), "stop"]
    asked: list[tuple[int, int, str]] = []

    async def decide(context: AsyncContext, error: Exception) -> Any:
        asked.append((context.message.data["n"], context.attempt, str(error)))
        return answers[len(asked) - 1]

    def decide_at_once(context: AsyncContext, error: Exception) -> Any:
        return answers[context.message.data["n"]]

    consumer = AsyncConsumer(client, category, retry=NO_RETRY, on_error=decide)
    plain = AsyncConsumer(
        client, category, identifier="plain", retry=NO_RETRY, on_error=decide_at_once
    )

    async def fail(message: Message[Any]) -> None:
        raise RuntimeError(f"broken {message.data['n']}")

    consumer.handler(fail)
    plain.handler(fail)
    await write(client, f"{category}-1", 0, 5)
    with pytest.raises(HandlerError, match="broken 4") as caught:
        await consumer.run(until="caught_up")
    assert caught.value.attempts == 2
    attempts = [1, 1, 1, 1, 1, 2]
    assert [attempt for _, attempt, _ in asked] == attempts
    assert asked[-1] == (4, 2, "broken 4")
    reasons = [each.reason for each in await consumer.list_parked()]
    assert reasons == ["RuntimeError: broken 0", "p"]
    assert (consumer.status().parked_count, consumer.status().skipped_count) == (2, 2)
    answers[4] = "stop"
    with pytest.raises(HandlerError, match="broken 4"):
        await plain.run(until="caught_up")
    assert (plain.status().parked_count, plain.status().skipped_count) == (2, 2)


async def test_an_on_error_that_fails_or_answers_nothing_stops_it(
    client: AsyncClient, category: str
) -> None:
    positions = await write(client, f"{category}-1", 0, 2)

    async def nothing(context: AsyncContext, error: Exception) -> None:
        """Forget to answer."""

    async def fail(context: AsyncContext, error: Exception) -> str:
        raise ZeroDivisionError("in on_error")

    for function, expected in ((nothing, ValidationError), (fail, ZeroDivisionError)):
        name = function.__name__
        consumer = AsyncConsumer(
            client, category, identifier=name, retry=NO_RETRY, on_error=function
        )
        consumer.handler(Trouble(RuntimeError("broken")).handle)
        with pytest.raises(expected, match="on_error"):
            await consumer.run(until="caught_up")
        assert consumer.status().state == "failed"
        assert await saved(client, consumer) == positions[:1]
