"""Subscriptions: an endless loop over a category."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from messagedb import (
    AsyncClient,
    IncompatibleServerError,
    Message,
    MessageDBError,
    NewMessage,
    StoreUnavailableError,
    ValidationError,
    streams,
)
from messagedb.consumers import ScannedPage
from tests._async.consuming import numbered, write
from tests.support import store
from tests.support.backend import make_url
from tests.support.background_async import Background, eventually

NewDatabase = Callable[..., str]


class CountingClient(AsyncClient):
    """A client that counts its scans."""

    looks = 0

    async def scan_category(self, category: str, **options: Any) -> ScannedPage:
        """Look at a page, and count that."""
        scan = await super().scan_category(category, **options)
        self.looks += 1
        return scan

    async def until_looked(self) -> None:
        """Wait until it has looked again, and once more."""
        looks = self.looks
        await eventually(lambda: self.looks > looks + 1)


@pytest.fixture
async def looking(store_url: str, category: str) -> AsyncIterator[CountingClient]:
    """Return such a client, with one connection and a separate name."""
    url = make_url(store_url, application_name=category)
    async with CountingClient(url, min_size=1, max_size=1) as client:
        yield client


async def take(messages: AsyncIterator[Message[Any]], count: int) -> list[int]:
    """Take so many messages and leave the loop; give their numbers."""
    found: list[int] = []
    async for message in messages:
        found.append(message.data["n"])
        if len(found) == count:
            break
    return found


async def test_over_what_is_there_and_then_what_comes(
    looking: CountingClient, category: str
) -> None:
    await write(looking, f"{category}-1", 0, 3)
    await write(looking, f"{category}x-1", 100, 3)
    loop = Background(take, looking.subscribe(category, batch_size=2, poll_interval=0.01), 6)
    await eventually(lambda: looking.looks >= 4)
    for n in range(3, 6):
        await looking.write_message(f"{category}-{n}", NewMessage("Noted", {"n": n}))
    assert await loop.result(10) == [0, 1, 2, 3, 4, 5]


async def test_from_a_position_on(looking: CountingClient, category: str) -> None:
    positions = await write(looking, f"{category}-1", 0, 5)
    assert await take(looking.subscribe(category), 5) == [0, 1, 2, 3, 4]
    assert await take(looking.subscribe(category, start=0), 1) == [0]
    assert await take(looking.subscribe(category, start=positions[3]), 2) == [3, 4]
    loop = Background(
        take, looking.subscribe(category, start=positions[4] + 1, poll_interval=0.01), 1
    )
    await looking.write_message(f"{category}-1", NewMessage("Noted", {"n": 5}))
    assert await loop.result(10) == [5]


async def test_from_the_end_on(looking: CountingClient, category: str) -> None:
    await write(looking, f"{category}-1", 0, 5)
    loop = Background(take, looking.subscribe(category, start="end", poll_interval=0.01), 2)
    await eventually(lambda: looking.looks >= 1)
    await looking.write_messages(f"{category}-1", numbered(5, 2))
    assert await loop.result(10) == [5, 6]


async def test_the_filters(looking: CountingClient, category: str) -> None:
    for n in range(12):
        await looking.write_message(
            f"{category}-{n % 4}",
            NewMessage(
                "AB"[n % 2], {"n": n}, metadata={"correlationStreamName": f"{category}X-{n}"}
            ),
        )
    await looking.write_message(category, NewMessage("A", {"n": 12}))
    of_member = [n for n in range(12) if streams.group_member(f"{category}-{n % 4}", 2) == 0]
    group: dict[str, Any] = {"group_member": 0, "group_size": 2}
    chosen: list[tuple[dict[str, Any], list[int]]] = [
        ({"types": ["B"]}, list(range(1, 12, 2))),
        ({"condition": "(data->>'n')::int > 9"}, [10, 11, 12]),
        ({"correlation": f"{category}X"}, list(range(12))),
        ({"correlation": f"{category}X", "types": ["A"]}, list(range(0, 12, 2))),
        (group, of_member),
        (group | {"streams_without_id": True}, [*of_member, 12]),
    ]
    for options, expected in chosen:
        found = await take(looking.subscribe(category, batch_size=5, **options), len(expected))
        assert found == expected, options


async def test_pages_without_a_match_are_gone_through_at_once(
    looking: CountingClient, category: str
) -> None:
    await looking.write_messages(f"{category}-1", numbered(0, 40))
    await looking.write_message(f"{category}-1", NewMessage("Rare", {"n": 40}))
    subscription = looking.subscribe(
        category, batch_size=2, types=["Rare"], poll_interval=60, idle_poll_interval=60
    )
    assert await Background(take, subscription, 1).result(10) == [40]
    assert looking.looks == 21


async def test_no_connection_is_held_between_pages(looking: CountingClient, category: str) -> None:
    await write(looking, f"{category}-1", 0, 1)
    found: list[int] = []
    async for message in looking.subscribe(category, poll_interval=0.01):
        found.append(message.data["n"])
        # The pool has one connection.
        await looking.write_message(f"{category}-1", NewMessage("Noted", {"n": len(found)}))
        if len(found) == 4:
            break
    assert found == [0, 1, 2, 3]
    assert await looking.stream_version(f"{category}-1") == 4


async def test_it_survives_the_loss_of_its_connections(
    looking: CountingClient, database_url: str, category: str
) -> None:
    await write(looking, f"{category}-1", 0, 2)
    loop = Background(take, looking.subscribe(category, batch_size=1, poll_interval=0.01), 8)
    written = 2
    for _ in range(3):
        await looking.until_looked()
        assert store.terminate(database_url, store.pids(database_url, category)) >= 1
        await looking.until_looked()
        await looking.write_messages(f"{category}-1", numbered(written, 2))
        written += 2
    assert await loop.result(10) == list(range(8))


async def test_it_ends_when_the_client_is_closed(store_url: str, category: str) -> None:
    client = CountingClient(store_url)
    await write(client, f"{category}-1", 0, 1)
    loop = Background(take, client.subscribe(category, poll_interval=0.01), 2)
    await eventually(lambda: client.looks >= 2)
    await client.close()
    error = (await loop.outcome(5)).error
    assert isinstance(error, StoreUnavailableError)
    assert "closed" in str(error)


async def test_errors_come_from_the_loop(looking: CountingClient, category: str) -> None:
    wrong: list[tuple[dict[str, Any], type[Exception], str]] = [
        ({"start": "stored"}, ValidationError, "start must be 'beginning', 'end'"),
        ({"start": -1}, ValidationError, "start must be"),
        ({"start": True}, ValidationError, "start must be"),
        ({"start": None}, ValidationError, "start must be"),
        ({"batch_size": 0}, ValidationError, "batch_size"),
        ({"poll_interval": 0}, ValidationError, "poll_interval"),
        ({"types": []}, ValidationError, "types"),
        ({"group_member": 1}, ValidationError, "group"),
        ({"condition": "no_such_column"}, MessageDBError, "no_such_column"),
    ]
    for options, kind, text in wrong:
        with pytest.raises(kind, match=text):
            await take(looking.subscribe(category, **options), 1)
    with pytest.raises(ValidationError, match="category"):
        await take(looking.subscribe(f"{category}-1"), 1)


async def test_the_end_is_not_known_to_who_may_call_functions_only(
    new_database: NewDatabase, category: str
) -> None:
    url = new_database()
    store.functions_only(url)
    async with AsyncClient(make_url(url, user="message_store")) as client:
        await client.write_messages(f"{category}-1", numbered(0, 2))
        assert await take(client.subscribe(category), 2) == [0, 1]
        with pytest.raises(IncompatibleServerError, match="Pass a position"):
            await take(client.subscribe(category, start="end"), 1)
