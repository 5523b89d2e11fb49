"""No text of an exception stops a consumer, whatever it holds: it is escaped and shortened."""

from __future__ import annotations

import json
from typing import Any

import pytest

from messagedb import AsyncClient, AsyncConsumer, HandlerError, Message, Park, Skip, Stop
from messagedb.consumers import NO_RETRY
from tests._async.consuming import write


class Hostile(ValueError):
    """An error whose text raises."""

    def __str__(self) -> str:
        raise RuntimeError("no text")

    def __repr__(self) -> str:
        raise RuntimeError("no repr")


ERRORS: dict[str, tuple[Any, str]] = {
    "NUL": (lambda: ValueError("a\x00b"), "ValueError: a\\x00b"),
    "half a surrogate pair": (lambda: ValueError("a\ud800b"), "ValueError: a\\ud800b"),
    "30 MB": (lambda: ValueError("x" * 30_000_000), "ValueError: xxx"),
    "no text": (Hostile, "Hostile (its text is not available: RuntimeError)"),
    "outcome with NUL": (lambda: Park("a\x00b"), "a\\x00b"),
    "outcome of 30 MB": (lambda: Park("x" * 30_000_000), "xxx"),
}


def failing(consumer: AsyncConsumer, make: Any) -> None:
    """Add a handler that fails to a consumer."""

    @consumer.handler
    async def fail(message: Message[Any]) -> None:
        raise make()


@pytest.mark.parametrize("kind", ERRORS)
@pytest.mark.parametrize("transactional", [False, True])
async def test_a_message_is_parked_whatever_its_error_says(
    client: AsyncClient,
    category: str,
    caplog: pytest.LogCaptureFixture,
    kind: str,
    transactional: bool,
) -> None:
    make, reason = ERRORS[kind]
    consumer = AsyncConsumer(
        client,
        category,
        identifier="parks",
        retry=NO_RETRY,
        on_error="park",
        transactional=transactional,
    )
    failing(consumer, make)
    await write(client, f"{category}-1", 0, 2)
    await consumer.run(until="caught_up")
    for parked in await consumer.list_parked():
        assert parked.reason.startswith(reason)
        assert len(parked.reason) < 2100
    status = consumer.status()
    assert status.parked_count == 2
    assert (status.last_error or "").startswith(reason)
    assert caplog.records
    assert all(len(record.getMessage()) < 3000 for record in caplog.records)


@pytest.mark.parametrize("kind", ERRORS)
async def test_the_error_that_stops_it_says_why_in_a_text_that_can_be_sent_on(
    client: AsyncClient, category: str, caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    make, reason = ERRORS[kind]
    consumer = AsyncConsumer(client, category, retry=NO_RETRY)
    problem = make()
    failing(consumer, lambda: Stop(problem.reason) if isinstance(problem, Park) else problem)
    await write(client, f"{category}-1", 0, 1)
    with pytest.raises(HandlerError) as caught:
        await consumer.run(until="caught_up")
    assert caught.value.reason.startswith(reason)
    assert len(str(caught.value)) < 3000
    assert json.dumps(str(caught.value)).encode().find(b"\\u0000") < 0
    assert all(len(record.getMessage()) < 3000 for record in caplog.records)


@pytest.mark.parametrize("kind", ERRORS)
async def test_a_replay_that_fails_says_why_whatever_the_error_says(
    client: AsyncClient, category: str, kind: str
) -> None:
    make, reason = ERRORS[kind]
    consumer = AsyncConsumer(client, category, identifier="parks")
    problems: list[Any] = [lambda: Park("later"), make]
    failing(consumer, lambda: problems.pop(0)())
    await write(client, f"{category}-1", 0, 1)
    await consumer.run(until="caught_up")
    with pytest.raises(HandlerError) as caught:
        await consumer.replay_parked()
    assert caught.value.reason.startswith(reason)
    assert len(str(caught.value)) < 3000


async def test_a_function_for_on_error_may_give_such_a_reason_and_such_an_answer(
    client: AsyncClient, category: str
) -> None:
    answers: list[Any] = [Park("a\x00b"), Skip("x" * 30_000_000), Hostile()]

    def answer(context: Any, error: Exception) -> Any:
        return answers[context.message.data["n"]]

    consumer = AsyncConsumer(client, category, retry=NO_RETRY, on_error=answer)
    failing(consumer, Hostile)
    await write(client, f"{category}-1", 0, 3)
    with pytest.raises(ValueError, match=r"on_error must return .* text is not available"):
        await consumer.run(until="caught_up")
    assert [parked.reason for parked in await consumer.list_parked()] == ["a\\x00b"]
    assert consumer.status().skipped_count == 1
