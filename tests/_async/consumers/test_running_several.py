"""Several consumers in one process: begun together, stopped together."""

from __future__ import annotations

import logging
import signal
from typing import Any

import pytest

from messagedb import (
    NO_STREAM,
    AsyncAllConsumer,
    AsyncClient,
    AsyncConsumer,
    HandlerError,
    Message,
    ValidationError,
    run_consumers_async,
)
from messagedb._concurrency.backend_async import Event
from messagedb.consumers import NO_RETRY
from tests._async.consuming import record_numbers, saved, write
from tests.support.background_async import Background, eventually


def failing(consumer: AsyncConsumer, *waits: Event) -> None:
    """Add a handler that fails, perhaps after an effect, to the consumer."""

    @consumer.handler
    async def fail(message: Message[Any]) -> None:
        for wait in waits:
            assert await wait.wait(20)
        raise RuntimeError(f"not {message.stream_name}")


async def test_each_handles_what_was_there_and_all_return(
    client: AsyncClient, category: str
) -> None:
    first = AsyncConsumer(client, f"{category}A")
    second = AsyncConsumer(client, f"{category}B", concurrency=2)
    head = await client.get_store_head()
    assert head is not None
    third = AsyncAllConsumer(
        client, [f"{category}A", f"{category}B"], identifier=category, start=head + 1
    )
    seen = record_numbers(first), record_numbers(second)
    of_third: list[str] = []

    @third.handler
    async def note(message: Message[Any]) -> None:
        of_third.append(message.stream_name)

    await write(client, f"{category}A-1", 0, 3)
    await write(client, f"{category}B-1", 10, 2)
    before = signal.getsignal(signal.SIGTERM)
    await run_consumers_async(first, second, third, until="caught_up")
    assert signal.getsignal(signal.SIGTERM) is before
    assert seen == ([0, 1, 2], [10, 11])
    assert of_third == [f"{category}A-1"] * 3 + [f"{category}B-1"] * 2
    assert {consumer.status().state for consumer in (first, second, third)} == {"stopped"}


async def test_one_that_fails_stops_the_others_and_its_error_is_raised(
    client: AsyncClient, category: str
) -> None:
    begun, door = Event(), Event()
    good = AsyncConsumer(client, f"{category}A")
    bad = AsyncConsumer(client, f"{category}B", retry=NO_RETRY)
    failing(bad, begun)

    @good.handler
    async def wait(message: Message[Any]) -> None:
        begun.set()
        assert await door.wait(20)

    (first, _) = await write(client, f"{category}A-1", 0, 2)
    await write(client, f"{category}B-1", 0, 1)
    run = Background(run_consumers_async, good, bad, signals=False)
    await eventually(lambda: bad.status().state == "failed")
    await eventually(lambda: good.status().state == "stopping")
    assert not run.ended
    door.set()
    with pytest.raises(HandlerError, match=f"not {category}B-1") as info:
        await run.result()
    assert info.value.consumer == bad.name
    # The current handler has finished, no other was begun, and the position is stored.
    assert await saved(client, good) == [first]
    assert good.status().state == "stopped"
    assert await client.stream_version(bad.name) == NO_STREAM


async def test_the_first_error_is_raised_and_others_are_logged(
    client: AsyncClient, category: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR, "messagedb.consumer")
    consumers = [
        AsyncConsumer(client, f"{category}{letter}", retry=NO_RETRY, lease_timeout=1.0)
        for letter in "AB"
    ]
    begun, inside = Event(), Event()
    failing(consumers[0], inside)

    @consumers[1].handler
    async def fail(message: Message[Any]) -> None:
        inside.set()
        assert await begun.wait(20)
        raise RuntimeError(f"not {message.stream_name}")

    await write(client, f"{category}A-1", 0, 1)
    await write(client, f"{category}B-1", 0, 1)
    run = Background(run_consumers_async, *consumers, signals=False)
    await eventually(lambda: consumers[0].status().state == "failed")
    await eventually(lambda: consumers[1].status().state == "stopping")
    begun.set()
    with pytest.raises(HandlerError, match=f"not {category}A-1"):
        await run.result()
    assert f"{consumers[1].name}: it has stopped, too: " in caplog.text


async def test_it_returns_when_each_was_stopped(client: AsyncClient, category: str) -> None:
    consumers = [AsyncConsumer(client, f"{category}{letter}") for letter in "AB"]
    seen = [record_numbers(consumer) for consumer in consumers]
    run = Background(run_consumers_async, *consumers, signals=False)
    await eventually(lambda: consumers[1].status().state == "caught up")
    await consumers[0].stop()
    await write(client, f"{category}B-1", 0, 1)
    await consumers[1].wait_until_processed(f"{category}B-1", 0, timeout=10)
    assert not run.ended
    await consumers[1].stop()
    await run.result()
    assert seen == [[], [0]]


async def test_consumers_that_cannot_run_together_are_refused(
    client: AsyncClient, category: str
) -> None:
    good = AsyncConsumer(client, category)
    seen = record_numbers(good)
    without = AsyncConsumer(client, category, identifier="without")
    await write(client, f"{category}-1", 0, 1)
    wrong: list[tuple[tuple[Any, ...], dict[str, Any], str]] = [
        ((), {}, "each of them once"),
        ((good, good), {}, "each of them once"),
        ((without, good), {}, "has no handler"),
        ((good, without), {}, "has no handler"),
        ((good,), {"until": "end"}, "until must be"),
        ((good,), {"stop_timeout": -1}, "stop_timeout"),
    ]
    for consumers, options, text in wrong:
        for signals in (True, False):
            with pytest.raises(ValidationError, match=text):
                await run_consumers_async(*consumers, signals=signals, **options)
            assert good.status().state == "stopped"
    assert seen == []
    assert await client.stream_version(good.name) == NO_STREAM
    await run_consumers_async(good, until="caught_up")
    assert seen == [0]


async def test_one_that_runs_already_is_refused_and_goes_on(
    client: AsyncClient, category: str
) -> None:
    running = AsyncConsumer(client, f"{category}A")
    other = AsyncConsumer(client, f"{category}B")
    seen = record_numbers(running)
    record_numbers(other)
    async with running.running():
        with pytest.raises(ValidationError, match="it is already running"):
            await run_consumers_async(other, running, signals=False)
        await write(client, f"{category}A-1", 0, 1)
        await running.wait_until_processed(f"{category}A-1", 0, timeout=10)
    assert seen == [0]
    assert other.status().state == "stopped"


async def test_one_that_cannot_begin_stops_the_others(client: AsyncClient, category: str) -> None:
    good = AsyncConsumer(client, f"{category}A")
    bad = AsyncConsumer(client, f"{category}B", condition="no_such_column")
    record_numbers(good)
    record_numbers(bad)
    for consumers in ((good, bad), (bad, good)):
        run = Background(run_consumers_async, *consumers, signals=False)
        assert "no_such_column" in str((await run.outcome()).error)
        assert good.status().state == "stopped"
        assert bad.status().state == "failed"


async def test_two_of_one_name_run_one_after_the_other(client: AsyncClient, category: str) -> None:
    rivals = [AsyncConsumer(client, category, lease_timeout=0.3) for _ in range(2)]
    seen = [record_numbers(consumer) for consumer in rivals]
    await write(client, f"{category}-1", 0, 3)
    await run_consumers_async(*rivals, until="caught_up")
    assert sorted(seen) == [[], [0, 1, 2]]
