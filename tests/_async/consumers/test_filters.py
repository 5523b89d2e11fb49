"""Consumers with filters: the messages that they deliver, examine and store."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from messagedb import (
    NO_STREAM,
    AsyncClient,
    AsyncConsumer,
    MessageDBError,
    NewMessage,
    ValidationError,
    streams,
)
from messagedb.consumers import ScannedPage
from tests._async.consuming import numbered, record_numbers, saved
from tests.support.background_async import eventually


class CountingClient(AsyncClient):
    """A client that notes how many messages each of its scans looked at."""

    looked_at: list[int]

    async def scan_category(self, category: str, **options: Any) -> ScannedPage:
        """Look at a page, and take note of its size."""
        scan = await super().scan_category(category, **options)
        self.looked_at.append(scan.count)
        return scan


@pytest.fixture
async def counting_client(store_url: str) -> AsyncIterator[CountingClient]:
    """Return such a client."""
    async with CountingClient(store_url, max_size=4) as client:
        client.looked_at = []
        yield client


async def fill(client: AsyncClient, category: str) -> list[int]:
    """Write 24 messages of three types, two correlations and four streams; give their positions."""
    for n in range(24):
        origin = f"{category}{'XY'[n % 2]}-{n}"
        await client.write_message(
            f"{category}-{n % 4}",
            NewMessage("ABC"[n % 3], {"n": n}, metadata={"correlationStreamName": origin}),
        )
    messages = await client.get_category_messages(category)
    return [message.global_position for message in messages]


@pytest.mark.parametrize("batch_size", [3, 1000])
@pytest.mark.parametrize("concurrency", [1, 2])
async def test_each_filter_and_all_of_them_together(
    client: AsyncClient, category: str, batch_size: int, concurrency: int
) -> None:
    positions = await fill(client, category)
    x: dict[str, Any] = {"correlation": f"{category}X"}
    types: dict[str, Any] = {"types": ["A", "C"]}
    late: dict[str, Any] = {"condition": "(data->>'n')::int >= 12"}
    group: dict[str, Any] = {"group_member": 1, "group_size": 2}
    of_member = {
        n for n in range(24) if streams.group_member(f"{category}-{n % 4}", 2) == 1
    }  # not half of them, by chance of the hash
    tests: dict[str, set[int]] = {
        "correlation": set(range(0, 24, 2)),
        "types": {n for n in range(24) if n % 3 != 1},
        "condition": set(range(12, 24)),
        "group_member": of_member,
    }
    for number, chosen in enumerate(
        (x, types, late, group, x | types, late | types, x | late | group, x | types | late | group)
    ):
        expected = set(range(24))
        for name in chosen:
            expected &= tests.get(name, expected)
        consumer = AsyncConsumer(
            client,
            category,
            identifier=f"c{number}",
            batch_size=batch_size,
            concurrency=concurrency,
            **chosen,
        )
        seen = record_numbers(consumer)
        await consumer.run(until="caught_up")
        assert sorted(seen) == sorted(expected), chosen
        assert concurrency > 1 or seen == sorted(seen)
        assert await saved(client, consumer) == [positions[-1]]


async def test_a_category_with_few_matches_is_bounded_work_and_the_position_moves(
    counting_client: CountingClient, category: str
) -> None:
    await counting_client.write_messages(f"{category}-1", numbered(0, 99))
    await counting_client.write_message(f"{category}-2", NewMessage("Rare", {"n": 99}))
    positions = [m.global_position for m in await counting_client.get_category_messages(category)]
    consumer = AsyncConsumer(
        counting_client, category, batch_size=10, position_update_interval=30, types=["Rare"]
    )
    at_match: list[int | None] = []

    @consumer.handler("Rare")
    async def rare(message: Any) -> None:
        at_match.append(consumer.status().next_position)

    await consumer.run(until="caught_up")
    assert sum(counting_client.looked_at) == 100
    assert max(counting_client.looked_at) == 10
    assert at_match == [positions[89] + 1]
    stored = await saved(counting_client, consumer)
    # At most two pages and the interval would be looked at again after a crash.
    assert stored[-1] == positions[-1]
    gaps = [b - a for a, b in zip([positions[0] - 1, *stored], stored, strict=False)]
    assert len(stored) >= 3
    assert max(gaps) <= 30 + 2 * 10


async def test_no_match_at_all_is_caught_up_and_stored(
    counting_client: CountingClient, category: str
) -> None:
    await counting_client.write_messages(f"{category}-1", numbered(0, 25))
    positions = [m.global_position for m in await counting_client.get_category_messages(category)]
    consumer = AsyncConsumer(counting_client, category, batch_size=10, types=["Other"])
    seen = record_numbers(consumer)
    await consumer.run(until="caught_up")
    assert seen == []
    assert await saved(counting_client, consumer) == [positions[-1]]
    counting_client.looked_at.clear()
    await consumer.run(until="caught_up")
    assert sum(counting_client.looked_at) == 0
    assert await saved(counting_client, consumer) == [positions[-1]]


@pytest.mark.parametrize("types", [None, ["Noted"], ["Other"]])
async def test_a_quiet_category_is_not_stored_again_and_again(
    counting_client: CountingClient, category: str, types: list[str] | None
) -> None:
    await counting_client.write_messages(f"{category}-1", numbered(0, 5))
    consumer = AsyncConsumer(
        counting_client,
        category,
        poll_interval=0.002,
        position_update_interval=1,
        position_update_seconds=0.002,
        types=types,
    )
    record_numbers(consumer)
    async with consumer.running():
        await consumer.wait_until_caught_up(timeout=10)
        await eventually(
            lambda: consumer.status().stored_next_position == consumer.status().next_position
        )
        stored = await counting_client.stream_version(consumer.name)
        looks = len(counting_client.looked_at)
        await eventually(lambda: len(counting_client.looked_at) >= looks + 30)
        assert await counting_client.stream_version(consumer.name) == stored
    assert await counting_client.stream_version(consumer.name) == stored


async def test_positions_of_unmatched_messages_are_not_saved_one_by_one(
    counting_client: CountingClient, category: str
) -> None:
    consumer = AsyncConsumer(
        counting_client,
        category,
        poll_interval=0.002,
        position_update_interval=10,
        position_update_seconds=0.002,
        types=["Other"],
    )
    record_numbers(consumer)
    async with consumer.running():
        for n in range(9):
            written = await counting_client.write_message(
                f"{category}-1", NewMessage("Noted", {"n": n})
            )
            await consumer.wait_until_processed(f"{category}-1", written, timeout=10)
        assert await counting_client.stream_version(consumer.name) == NO_STREAM
        written = await counting_client.write_message(
            f"{category}-1", NewMessage("Noted", {"n": 9})
        )
        await consumer.wait_until_processed(f"{category}-1", written, timeout=10)
        position = consumer.status().next_position
        await eventually(lambda: consumer.status().stored_next_position == position)
    assert position is not None
    assert await saved(counting_client, consumer) == [position - 1]


@pytest.mark.parametrize(
    ("condition", "text"),
    [
        ("nonsense (", "syntax error"),
        ("no_such_column = 1", "no_such_column"),
        ("data->>'n'", "boolean"),
        ("1 / position = 1", "division by zero"),
    ],
)
async def test_a_condition_that_is_wrong_stops_it_and_says_so(
    client: AsyncClient, category: str, condition: str, text: str
) -> None:
    await client.write_messages(f"{category}-1", numbered(0, 3))
    consumer = AsyncConsumer(client, category, condition=condition)
    seen = record_numbers(consumer)
    with pytest.raises(MessageDBError, match=text):
        await consumer.run()
    assert seen == []
    status = consumer.status()
    assert status.state == "failed"
    assert status.last_error is not None
    assert text in status.last_error
    assert await client.stream_version(consumer.name) == NO_STREAM


async def test_filters_that_cannot_be_are_refused(client: AsyncClient, category: str) -> None:
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"correlation": f"{category}-1"}, "correlation"),
        ({"correlation": ""}, "correlation"),
        ({"condition": ""}, "condition"),
        ({"condition": 1}, "condition"),
        ({"types": []}, "types must not be empty"),
        ({"types": "Noted"}, r"give \['Noted'\]"),
        ({"types": [1]}, "type"),
        ({"types": 5}, "types must be an iterable"),
    ]
    for options, text in wrong:
        with pytest.raises(ValidationError, match=text):
            AsyncConsumer(client, category, **options)
