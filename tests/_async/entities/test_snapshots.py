"""Snapshots of entities: stored in Eventide's form, read, and ignored if they are invalid."""

from __future__ import annotations

import logging
import re
from collections import defaultdict
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import psycopg
import pytest
from psycopg import AsyncConnection

from messagedb import (
    NO_STREAM,
    AsyncClient,
    AsyncEntityStore,
    MessageRegistry,
    NewMessage,
    Projection,
)
from messagedb.entities import LoadedEntity, SnapshotPolicy
from tests._async.accounts import (
    DECIDER,
    Account,
    Deposit,
    Deposited,
    Ledger,
    Ledgers,
    Opened,
    Withdrawn,
)


def snapshots_of(category: str, interval: int = 3) -> SnapshotPolicy[Account]:
    # The stream's name is made of the class: the category makes it this test's own.
    return SnapshotPolicy(Account, every_events=interval, specifier=category)


@pytest.fixture
async def client(store_url: str) -> AsyncIterator[AsyncClient]:
    """Return a client whose registry has the classes of these cases, and of no others."""
    registry = MessageRegistry()
    for cls in (Opened, Deposited, Withdrawn):
        registry.add(cls)
    async with AsyncClient(store_url, max_size=4, registry=registry) as client:
        yield client


async def test_they_are_stored_at_the_interval(client: AsyncClient, category: str) -> None:
    snapshots = snapshots_of(category)
    name = snapshots.stream_name("1")
    assert name == f"account{category}:snapshot-1"
    accounts = AsyncEntityStore(client, category, decider=DECIDER, snapshots=snapshots)
    for amount in range(1, 9):
        await client.write_message(f"{category}-1", Deposited(amount))
        assert await accounts.get("1") == Account("", sum(range(amount + 1)), amount)
    stored = [message async for message in client.read_stream(name)]
    # Versions count from 0: three events are version 2.
    assert [message.data["entityVersion"] for message in stored] == [2, 5]
    first = stored[0]
    assert (first.type, first.metadata) == ("Recorded", None)
    assert first.data["entityData"] == {"owner": "", "balance": 6, "events": 3}
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", first.data["time"])
    assert set(first.data) == {"entityData", "entityVersion", "time", "streamName", "lastEventId"}
    assert first.data["streamName"] == f"{category}-1"


async def test_two_round_trips_at_most(
    client: AsyncClient, category: str, store_url: str, tmp_path: Path
) -> None:
    snapshots = snapshots_of(category, 1000)
    accounts = AsyncEntityStore(client, category, decider=DECIDER, snapshots=snapshots)
    await client.write_messages(f"{category}-1", [Deposited(1) for _ in range(2500)])
    assert await accounts.load("1") == LoadedEntity(Account("", 2500, 2500), 2499)
    await client.write_messages(f"{category}-1", [Deposited(1) for _ in range(10)])
    async with await AsyncConnection.connect(store_url, autocommit=True) as conn:
        conn.prepare_threshold = None
        bound = client.bind(conn)
        # What it finds out about a connection at first.
        await AsyncEntityStore(bound, category, decider=DECIDER).load("2")
        fresh = AsyncEntityStore(bound, category, decider=DECIDER, snapshots=snapshots)
        assert await round_trips(conn, tmp_path, fresh) == 2
        assert await round_trips(conn, tmp_path, fresh) == 1


async def round_trips(
    conn: AsyncConnection[Any], folder: Path, accounts: AsyncEntityStore[Account, Any]
) -> int:
    """Return how often the server was ready while an entity was loaded: the round trips."""
    path = folder / "trace"
    with path.open("w+") as file:
        conn.pgconn.trace(file.fileno())
        loaded = await accounts.load("1")
        conn.pgconn.untrace()
    assert loaded == LoadedEntity(Account("", 2510, 2510), 2509)
    return path.read_text().count("ReadyForQuery")


async def test_a_version_that_is_older_than_the_snapshot(
    client: AsyncClient, category: str
) -> None:
    snapshots = snapshots_of(category)
    await client.write_messages(f"{category}-1", [Deposited(1) for _ in range(7)])
    writer = AsyncEntityStore(client, category, decider=DECIDER, snapshots=snapshots)
    await writer.get("1")
    for version in range(7):
        accounts = AsyncEntityStore(
            client, category, decider=DECIDER, snapshots=snapshots, batch_size=2
        )
        loaded = await accounts.load("1", version=version)
        assert loaded == LoadedEntity(Account("", version + 1, version + 1), version)
    assert await client.stream_version(snapshots.stream_name("1")) == 0


@pytest.mark.parametrize(
    "data",
    [
        None,
        {},
        {"entityData": {"balance": 1000}},
        {"entityData": {"balance": 1000}, "entityVersion": "1"},
        {"entityData": {"balance": 1000}, "entityVersion": 1.5},
        {"entityData": {"balance": 1000}, "entityVersion": True},
        {"entityData": {"balance": 1000}, "entityVersion": -1},
        {"entityData": {"balance": "x"}, "entityVersion": 1},
        {"entityData": [1], "entityVersion": 1},
        {"entityVersion": 1},
        {"entityData": {"balance": 1000}, "entityVersion": 99},
        {"entityData": {"balance": 1000}, "entityVersion": 2**63 - 1},
        {"entityData": {"balance": 1000}, "entityVersion": 2**63},
        {"entityData": {"balance": 1000}, "entityVersion": 1, "lastEventId": str(UUID(int=5))},
        {"entityData": {"balance": 1000}, "entityVersion": 1, "lastEventId": "x"},
        {"entityData": {"balance": 1000}, "entityVersion": 1, "lastEventId": None},
    ],
)
async def test_one_that_cannot_be_used_is_passed_over(
    client: AsyncClient,
    category: str,
    caplog: pytest.LogCaptureFixture,
    data: dict[str, Any] | None,
) -> None:
    snapshots = snapshots_of(category, 99)
    await client.write_messages(f"{category}-1", [Deposited(n) for n in (10, 11, 12)])
    await client.write_message(snapshots.stream_name("1"), NewMessage("Recorded", data))
    accounts = AsyncEntityStore(client, category, decider=DECIDER, snapshots=snapshots)
    with caplog.at_level(logging.WARNING, "messagedb.entities"):
        assert await accounts.load("1") == LoadedEntity(Account("", 33, 3), 2)
    assert "all events are read" in caplog.text


async def test_unknown_parts_of_a_snapshot_are_ignored(client: AsyncClient, category: str) -> None:
    snapshots = snapshots_of(category, 99)
    await client.write_messages(f"{category}-1", [Deposited(n) for n in (10, 11, 12)])
    data = {"entityData": {"balance": 1000, "x": 1}, "entityVersion": 1, "time": None, "y": 2}
    await client.write_message(
        snapshots.stream_name("1"), NewMessage("Other", data, metadata={"z": 3})
    )
    accounts = AsyncEntityStore(client, category, decider=DECIDER, snapshots=snapshots)
    assert await accounts.load("1") == LoadedEntity(Account("", 1012, 1), 2)


async def test_events_that_were_deleted_after_the_snapshot(
    client: AsyncClient, category: str, database_url: str
) -> None:
    snapshots = snapshots_of(category)
    accounts = AsyncEntityStore(client, category, decider=DECIDER, snapshots=snapshots)
    await client.write_messages(f"{category}-1", [Deposited(1) for _ in range(5)])
    assert await accounts.load("1") == LoadedEntity(Account("", 5, 5), 4)
    with psycopg.connect(database_url, autocommit=True) as conn:
        conn.execute(
            "DELETE FROM message_store.messages WHERE stream_name = %s AND position > 1",
            [f"{category}-1"],
        )
    fresh = AsyncEntityStore(client, category, decider=DECIDER, snapshots=snapshots)
    assert await fresh.load("1") == LoadedEntity(Account("", 2, 2), 1)
    # Known in memory it shows at the next write.
    done = await accounts.transact("1", Deposit(7))
    assert (done.entity, done.version) == (Account("", 9, 3), 2)


async def test_one_that_cannot_be_stored_is_a_warning(
    client: AsyncClient, category: str, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(account: Account) -> dict[str, Any]:
        return {"balance": float("nan")}

    snapshots = SnapshotPolicy(
        Account, every_events=1, specifier=category, encode=refuse, decode=lambda data: Account()
    )
    accounts = AsyncEntityStore(client, category, decider=DECIDER, snapshots=snapshots)
    await client.write_message(f"{category}-1", Deposited(5))
    with caplog.at_level(logging.WARNING, "messagedb.entities"):
        assert await accounts.load("1") == LoadedEntity(Account("", 5, 1), 0)
    assert "could not be stored" in caplog.text
    assert await client.stream_version(snapshots.stream_name("1")) == NO_STREAM


async def test_a_codec_of_ones_own(client: AsyncClient, category: str) -> None:
    snapshots = SnapshotPolicy(
        Account,
        every_events=1,
        specifier=category,
        encode=lambda account: {"total": account.balance, "of": account.events},
        decode=lambda data: Account(balance=data["total"], events=data.get("of", 9)),
    )
    await client.write_message(f"{category}-1", Deposited(5))
    for _ in range(2):
        accounts = AsyncEntityStore(client, category, decider=DECIDER, snapshots=snapshots)
        assert await accounts.get("1") == Account("", 5, 1)
    stored = await client.get_last_stream_message(snapshots.stream_name("1"))
    assert stored is not None
    assert stored.data["entityData"] == {"total": 5, "of": 1}
    data = {"entityData": {"total": 7}, "entityVersion": 0}
    await client.write_message(snapshots.stream_name("1"), NewMessage("Recorded", data))
    fresh = AsyncEntityStore(client, category, decider=DECIDER, snapshots=snapshots)
    assert await fresh.get("1") == Account("", 7, 9)


async def test_none_are_stored_from_within_a_transaction(
    client: AsyncClient, category: str
) -> None:
    snapshots = snapshots_of(category, 1)
    accounts = AsyncEntityStore(client, category, decider=DECIDER, snapshots=snapshots)
    async with client.transaction() as tx:
        bound = accounts.bind(tx)
        await bound.transact("1", Deposit(5))
        assert await bound.get("1") == Account("", 5, 1)
    assert await client.stream_version(snapshots.stream_name("1")) == NO_STREAM
    assert await accounts.get("1") == Account("", 5, 1)
    assert await client.stream_version(snapshots.stream_name("1")) == 0


async def test_after_a_conflict_they_are_stored_as_well(client: AsyncClient, category: str) -> None:
    snapshots = snapshots_of(category, 2)
    accounts = AsyncEntityStore(client, category, decider=DECIDER, snapshots=snapshots)
    for _ in range(6):
        await accounts.transact("1", Deposit(1))
    versions = [
        message.data["entityVersion"]
        async for message in client.read_stream(snapshots.stream_name("1"))
    ]
    assert versions == [1, 3]


class Rich(msgspec.Struct, frozen=True):
    """A state of values that JSON cannot represent directly."""

    by_day: dict[int, Decimal] = {}
    names: frozenset[str] = frozenset()
    pair: tuple[int, str] = (0, "")
    at: datetime | None = None
    free: Any = None


@pytest.mark.parametrize("decimals", [False, True])
async def test_a_state_of_many_kinds(store_url: str, category: str, decimals: bool) -> None:
    rich = Rich({1: Decimal("1.10")}, frozenset(["a"]), (5, "b"), datetime.now(UTC))

    def evolve(state: Rich, event: Deposited) -> Rich:
        return rich

    async with AsyncClient(store_url, max_size=1, decimals=decimals) as client:
        snapshots = SnapshotPolicy(Rich, every_events=1, specifier=category)
        client.registry.add(Deposited)
        await client.write_message(f"{category}-1", Deposited(5))
        for _ in range(2):
            entities = AsyncEntityStore(
                client, category, projection=Projection.of(Rich, evolve), snapshots=snapshots
            )
            assert await entities.load("1") == LoadedEntity(rich, 0)
        assert await client.stream_version(snapshots.stream_name("1")) == 0
        message = await client.get_last_stream_message(snapshots.stream_name("1"))
        assert message is not None
        assert snapshots.parse_message(message, f"{category}-1")[0] == rich


async def test_a_state_that_would_not_be_the_same(
    client: AsyncClient, category: str, caplog: pytest.LogCaptureFixture
) -> None:
    def evolve(state: Rich, event: Deposited) -> Rich:
        return Rich(free=datetime(2026, 1, 1))

    entities = AsyncEntityStore(
        client,
        category,
        projection=Projection.of(Rich, evolve),
        snapshots=SnapshotPolicy(Rich, every_events=1, specifier=category),
    )
    await client.write_message(f"{category}-1", Deposited(5))
    with caplog.at_level(logging.WARNING, "messagedb.entities"):
        assert await entities.load("1") == LoadedEntity(Rich(free=datetime(2026, 1, 1)), 0)
    assert "would not be equal" in caplog.text
    assert await client.stream_version(f"rich{category}:snapshot-1") == NO_STREAM


async def test_entities_of_two_categories_with_one_class(
    client: AsyncClient, category: str, caplog: pytest.LogCaptureFixture
) -> None:
    snapshots = snapshots_of(category, 1)
    for name, amount in (("a", 1000), ("b", 1)):
        await client.write_message(f"{category}{name}-1", Deposited(amount))
        accounts = AsyncEntityStore(
            client, f"{category}{name}", decider=DECIDER, snapshots=snapshots
        )
        with caplog.at_level(logging.WARNING, "messagedb.entities"):
            assert await accounts.load("1") == LoadedEntity(Account("", amount, 1), 0)
    assert f"it is of stream '{category}a-1' and not of '{category}b-1'" in caplog.text
    assert "a specifier" in caplog.text


@pytest.mark.parametrize(
    "free",
    [(1, 2), defaultdict[str, int](int), {1: "a"}, 1.25],
    ids=["tuple", "defaultdict", "key", "float"],
)
async def test_a_snapshot_that_would_not_read_back_equal_is_not_stored(
    store_url: str, category: str, free: Any
) -> None:
    def evolve(state: Rich, event: Deposited) -> Rich:
        return Rich(free=free)

    async with AsyncClient(store_url, max_size=1, decimals=True) as client:
        snapshots = SnapshotPolicy(Rich, every_events=2, specifier=category)
        entities = AsyncEntityStore(
            client, category, projection=Projection.of(Rich, evolve), snapshots=snapshots
        )
        for _ in range(3):
            await client.write_messages(f"{category}-1", [Deposited(5), Deposited(5)])
            await entities.load("1")
        assert await client.stream_version(snapshots.stream_name("1")) == NO_STREAM


async def test_an_encode_that_fails_hinders_nothing(
    client: AsyncClient, category: str, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(account: Account) -> dict[str, Any]:
        raise AttributeError("none of these")

    snapshots = SnapshotPolicy(
        Account, every_events=2, specifier=category, encode=fail, decode=lambda data: Account()
    )
    accounts = AsyncEntityStore(client, category, decider=DECIDER, snapshots=snapshots)
    with caplog.at_level(logging.WARNING, "messagedb.entities"):
        for _ in range(5):
            await accounts.transact("1", Deposit(1))
            assert (await accounts.load("1")).exists
    # Not at each load: after two more events.
    assert caplog.text.count("none of these") == 2


async def test_other_events_in_the_place_of_those_of_the_snapshot(
    client: AsyncClient, category: str, database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    snapshots = snapshots_of(category)
    accounts = AsyncEntityStore(client, category, decider=DECIDER, snapshots=snapshots)
    await client.write_messages(f"{category}-1", [Deposited(100) for _ in range(3)])
    assert await accounts.load("1") == LoadedEntity(Account("", 300, 3), 2)
    with psycopg.connect(database_url, autocommit=True) as conn:
        conn.execute("DELETE FROM message_store.messages WHERE stream_name = %s", [f"{category}-1"])
    await client.write_messages(f"{category}-1", [Deposited(1) for _ in range(4)])
    accounts.forget()
    with caplog.at_level(logging.WARNING, "messagedb.entities"):
        assert await accounts.load("1") == LoadedEntity(Account("", 4, 4), 3)
    assert "its last event is not in" in caplog.text


async def test_an_encode_that_changes_the_state_changes_nothing_in_memory(
    client: AsyncClient, category: str
) -> None:
    def emptying(ledger: Ledger) -> dict[str, Any]:
        return {"lines": [ledger.lines.pop(0) for _ in range(len(ledger.lines))]}

    def ledger_of(data: dict[str, Any]) -> Ledger:
        return Ledger(data["lines"])

    snapshots = SnapshotPolicy(
        Ledger, every_events=2, specifier=category, encode=emptying, decode=ledger_of
    )
    for _ in range(2):
        ledgers = AsyncEntityStore(client, category, projection=Ledgers(), snapshots=snapshots)
        await client.write_messages(f"{category}-1", [Deposited(1), Deposited(2)])
        loaded = await ledgers.load("1")
        assert loaded.entity.lines == [1, 2] * ((loaded.version + 1) // 2)
        assert await ledgers.load("1") == loaded
    assert await client.stream_version(snapshots.stream_name("1")) == 1
