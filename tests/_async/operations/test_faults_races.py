"""Sixteen writers race with one message id."""

from __future__ import annotations

from typing import Any

import pytest
from psycopg import AsyncConnection

from messagedb import ANY, NO_STREAM, AsyncClient, DuplicateMessageError, NewMessage
from messagedb.expected_version import ExpectedVersion
from tests.support.background_async import Background, eventually
from tests.support.outcome import is_whole
from tests.support.store import locked, stored, waiting_for_locks

WRITERS = 16
WAYS: dict[str, dict[str, Any]] = {
    "client": {},
    "pooler": {"pooler": True},
    "functions": {"direct_writes": False},
    "bound": {},
    "bound_functions": {"direct_writes": False},
}


async def write(
    client: AsyncClient,
    bound: str,
    stream: str,
    messages: list[NewMessage],
    expected: ExpectedVersion,
) -> list[int]:
    """Write through the client, or inside a transaction on a connection of the caller's own."""
    if not bound:
        if len(messages) == 1:
            return [await client.write_message(stream, messages[0], expected_version=expected)]
        return await client.write_messages(stream, messages, expected_version=expected)
    async with await AsyncConnection.connect(bound) as conn, conn.transaction():
        store = client.bind(conn)
        if len(messages) == 1:
            return [await store.write_message(stream, messages[0], expected_version=expected)]
        return await store.write_messages(stream, messages, expected_version=expected)


async def race(
    store_url: str,
    way: str,
    streams: list[str],
    messages: list[NewMessage],
    expected: ExpectedVersion,
) -> list[list[int] | DuplicateMessageError]:
    """Start all writers simultaneously, and return the result of each."""
    bound = store_url if way.startswith("bound") else ""
    results: list[list[int] | DuplicateMessageError] = []
    async with AsyncClient(store_url, max_size=WRITERS, **WAYS[way]) as client:
        with locked(store_url, streams[0].partition("-")[0]):
            calls = [
                Background(write, client, bound, stream, messages, expected) for stream in streams
            ]
            category = streams[0].partition("-")[0]
            await eventually(lambda: waiting_for_locks(store_url, category) >= 1)
        for call in calls:
            outcome = await call.outcome()
            if isinstance(outcome.error, DuplicateMessageError):
                results.append(outcome.error)
            else:
                results.append(outcome.result())
        await eventually(lambda: is_whole(client))
    return results


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("expected", [ANY, NO_STREAM], ids=["any", "no_stream"])
@pytest.mark.parametrize("count", [1, 3])
async def test_in_one_stream_all_get_the_same_positions(
    store_url: str, category: str, way: str, expected: ExpectedVersion, count: int
) -> None:
    stream = f"{category}-1"
    messages = [NewMessage("Tested") for _ in range(count)]
    results = await race(store_url, way, [stream] * WRITERS, messages, expected)
    assert results == [list(range(count))] * WRITERS
    assert [id for id, _ in stored(store_url, stream)] == [str(message.id) for message in messages]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("expected", [ANY, NO_STREAM], ids=["any", "no_stream"])
@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("place", ["streams", "categories"])
async def test_in_several_streams_one_wins(
    store_url: str, category: str, way: str, expected: ExpectedVersion, count: int, place: str
) -> None:
    messages = [NewMessage("Tested") for _ in range(count)]
    if place == "streams":
        streams = [f"{category}-{number}" for number in range(WRITERS)]
    else:
        streams = [f"{category}{number}x-1" for number in range(WRITERS)]
    results = await race(store_url, way, streams, messages, expected)
    winners = [n for n, result in enumerate(results) if isinstance(result, list)]
    assert len(winners) == 1
    winner = streams[winners[0]]
    ids = [str(message.id) for message in messages]
    assert results[winners[0]] == list(range(count))
    for stream, result in zip(streams, results, strict=True):
        if isinstance(result, DuplicateMessageError):
            assert result.existing_stream_name == winner
            assert result.stream_name == stream
            assert str(result.id) in ids
            assert result.existing_position == ids.index(str(result.id))
            assert winner in str(result)
            assert stream in str(result)
            assert stored(store_url, stream) == []
    assert [id for id, _ in stored(store_url, winner)] == ids
