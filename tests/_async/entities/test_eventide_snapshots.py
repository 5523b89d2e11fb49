"""Snapshots as the real Eventide toolkit wrote and read them: what we do with the same events."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from messagedb import (
    AsyncClient,
    AsyncEntityStore,
    Message,
    MessageRegistry,
    NewMessage,
    Projection,
)
from messagedb.entities import SnapshotPolicy

VECTORS: dict[str, Any] = json.loads(
    (Path(__file__).parents[2] / "unit" / "vectors" / "snapshots.json").read_text()
)
OPENED_AT = "2000-01-01T00:00:00.011Z"


class Inner(msgspec.Struct, frozen=True, rename="camel"):
    inner_key: int


class RubyVecAccount(msgspec.Struct, frozen=True, rename="camel"):
    sum: int = 0
    some_map: dict[str, Inner | int] | None = None
    opened_at: str | None = None


class Added(msgspec.Struct, frozen=True):
    number: int


def evolve(account: RubyVecAccount, event: Added) -> RubyVecAccount:
    key = {f"key{event.number}": Inner(event.number)}
    return RubyVecAccount(
        account.sum + event.number, {**(account.some_map or {}), **key}, OPENED_AT
    )


def accounts_of(client: AsyncClient, category: str, interval: int = 99) -> Any:
    # The specifier makes the stream's name this test's own.
    return AsyncEntityStore(
        client,
        category,
        projection=Projection.of(RubyVecAccount, evolve),
        snapshots=SnapshotPolicy(RubyVecAccount, every_events=interval, specifier=category),
    )


@pytest.fixture
async def client(store_url: str) -> AsyncIterator[AsyncClient]:
    """Return a client whose registry has the classes of these cases, and of no others."""
    registry = MessageRegistry()
    for cls in [Added]:
        registry.add(cls)
    async with AsyncClient(store_url, max_size=4, registry=registry) as client:
        yield client


async def test_the_rows_that_are_written(client: AsyncClient, category: str) -> None:
    accounts = accounts_of(client, category, VECTORS["interval"])
    name = f"rubyVecAccount{category}:snapshot-1"
    rows: list[Message[Any]] = []
    for step in VECTORS["steps"]:
        await client.write_messages(f"{category}-1", [Added(number) for number in step["added"]])
        loaded = await accounts.load("1")
        assert (loaded.entity.sum, loaded.version) == (step["sum"], step["version"])
        rows = [message async for message in client.read_stream(name)]
        assert len(rows) == step["snapshot_rows"]
    for written, row in zip(rows, VECTORS["rows"], strict=True):
        assert (written.type, written.position) == (row["type"], row["position"])
        assert written.metadata == row["metadata"]
        time = written.data["time"]
        assert re.sub(r"\d", "9", time) == re.sub(r"\d", "9", row["data"]["time"])
        # Two keys more than Eventide's, which ignores them: they identify the events.
        last_id = written.data["lastEventId"]
        ours = {"time": time, "streamName": f"{category}-1", "lastEventId": last_id}
        assert written.data == row["data"] | ours


def test_the_names_of_their_streams() -> None:
    for entity, specifier, name in VECTORS["names"]:
        snapshots: SnapshotPolicy[Any] = SnapshotPolicy(
            type(entity, (), {}), every_events=1, specifier=specifier
        )
        assert snapshots.stream_name("123") == name


async def test_a_row_that_was_written_by_it(client: AsyncClient, category: str) -> None:
    row = VECTORS["rows"][1]
    accounts = accounts_of(client, category)
    await client.write_messages(f"{category}-1", [Added(number) for number in range(1, 8)])
    await client.write_message(
        f"rubyVecAccount{category}:snapshot-1", NewMessage(row["type"], row["data"])
    )
    loaded = await accounts.load("1")
    assert (loaded.entity.sum, loaded.version) == (28, 6)
    assert list(loaded.entity.some_map) == [f"key{number}" for number in range(1, 8)]
    assert loaded.entity.some_map["key6"] == Inner(6)
    assert loaded.entity.opened_at == OPENED_AT


DIFFERENT = {
    # It believes what is beyond the stream: we look for the event, and read all of them.
    "version beyond the stream",
    # It replays all events on top of the state: we leave the state out.
    "entityVersion missing",
    # It stops: we leave it out. Of the last one the time is not looked at.
    "entityData null",
    "version as string",
    "data NULL",
}


@pytest.mark.parametrize("name", VECTORS["of_others"])
async def test_snapshots_of_other_programs_are_read(
    client: AsyncClient, category: str, name: str
) -> None:
    given = VECTORS["of_others"][name]
    events = VECTORS["events_of_others"]
    accounts = accounts_of(client, category)
    await client.write_messages(f"{category}-1", [Added(number) for number in events])
    await client.write_message(
        f"rubyVecAccount{category}:snapshot-1", NewMessage(given["type"], given["data"])
    )
    loaded = await accounts.load("1")
    if name in DIFFERENT:
        assert (loaded.entity.sum, loaded.version) == (33, 2)
        assert (given.get("sum"), given.get("version")) != (33, 2)
    elif given.get("refused"):
        assert name == "time is a number"
        assert (loaded.entity.sum, loaded.version) == (1012, 2)
    else:
        assert (loaded.entity.sum, loaded.version) == (given["sum"], given["version"])
