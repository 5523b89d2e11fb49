"""Entities: their state from events, in memory, at a version and at a time."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import msgspec
import psycopg
import pytest
from psycopg import AsyncConnection, IsolationLevel

import messagedb
from messagedb import (
    NO_STREAM,
    AsyncClient,
    AsyncEntityStore,
    Message,
    MessageDecodeError,
    MessageRegistry,
    NewMessage,
    Projection,
)
from messagedb.entities import LoadedEntity, SnapshotPolicy, apply
from messagedb.errors import ValidationError
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

EVENTS = [Opened("Ada"), Deposited(5), Withdrawn(2)]


@pytest.fixture
async def client(store_url: str) -> AsyncIterator[AsyncClient]:
    """Return a client whose registry has the classes of these cases, and of no others."""
    registry = MessageRegistry()
    for cls in (Opened, Deposited, Withdrawn):
        registry.add(cls)
    async with AsyncClient(store_url, max_size=4, registry=registry) as client:
        yield client


async def test_the_state_is_what_the_events_make(client: AsyncClient, category: str) -> None:
    accounts = AsyncEntityStore(client, category, decider=DECIDER)
    assert await accounts.get("1") is None
    assert await accounts.load("1") == LoadedEntity(Account(), NO_STREAM)
    assert not (await accounts.load("1")).exists
    assert not await accounts.exists("1")
    await client.write_messages(f"{category}-1", EVENTS)
    assert await accounts.get("1") == Account("Ada", 3, 3)
    assert await accounts.load("1") == LoadedEntity(Account("Ada", 3, 3), 2)
    assert await accounts.exists("1")
    # Another entity, by another kind of id.
    id = uuid4()
    await client.write_message(f"{category}-{id}", Deposited(7))
    assert await accounts.load(id) == LoadedEntity(Account("", 7, 1), 0)


async def test_by_the_methods_of_a_class(client: AsyncClient, category: str) -> None:
    ledgers = AsyncEntityStore(client, category, projection=Ledgers())
    client.registry.add(Opened)
    await client.write_messages(f"{category}-1", [Deposited(5), Opened("Ada"), Withdrawn(2)])
    assert await ledgers.load("1") == LoadedEntity(Ledger([5, -2]), 2)


async def test_events_are_read_page_by_page(client: AsyncClient, category: str) -> None:
    await client.write_messages(f"{category}-1", [Deposited(n) for n in range(10)])
    for size in (1, 2, 3, 9, 10, 11):
        accounts = AsyncEntityStore(client, category, decider=DECIDER, batch_size=size)
        assert await accounts.load("1") == LoadedEntity(Account("", 45, 10), 9)
        for version in range(10):
            loaded = await accounts.load("1", version=version)
            assert loaded == LoadedEntity(
                Account("", sum(range(version + 1)), version + 1), version
            )
        assert await accounts.load("1", version=99) == LoadedEntity(Account("", 45, 10), 9)


async def test_only_new_events_are_read_for_a_cached_entity(store_url: str, category: str) -> None:
    async with AsyncClient(store_url, max_size=1) as client:
        accounts = AsyncEntityStore(client, category, decider=DECIDER)
        await client.write_messages(f"{category}-1", [Deposited(1) for _ in range(10_000)])
        assert await accounts.load("1") == LoadedEntity(Account("", 10_000, 10_000), 9_999)
        await client.write_messages(f"{category}-1", [Deposited(1) for _ in range(7)])
        async with client.transaction() as tx:
            bound = accounts.bind(tx)
            before = await rows_fetched(tx)
            assert await bound.load("1") == LoadedEntity(Account("", 10_007, 10_007), 10_006)
            assert await rows_fetched(tx) - before == 7
            assert await bound.load("1") == LoadedEntity(Account("", 10_007, 10_007), 10_006)
            assert await rows_fetched(tx) - before == 7


async def rows_fetched(tx: Any) -> int:
    """Rows of messages that the server has fetched in this transaction, by whatever plan.

    An index scan counts them for the index, a bitmap scan for the table, and a sequential scan
    calls them returned.
    """
    cursor = await tx.connection.execute(
        "SELECT pg_stat_get_xact_tuples_fetched(indrelid)"
        " + pg_stat_get_xact_tuples_returned(indrelid)"
        " + sum(pg_stat_get_xact_tuples_fetched(indexrelid)) FROM pg_index"
        " WHERE indrelid = 'message_store.messages'::regclass GROUP BY indrelid"
    )
    (number,) = await cursor.fetchone()
    return int(number)


async def test_the_least_recently_used_go_first(client: AsyncClient, category: str) -> None:
    await client.write_messages(f"{category}-1", [Deposited(1)])
    accounts = AsyncEntityStore(client, category, decider=DECIDER, cache_size=2)
    assert "0 in memory" in repr(accounts)
    for id in ("1", "2", "1", "3"):
        await accounts.load(id)
    assert "2 in memory" in repr(accounts)
    accounts.forget("2")
    assert "2 in memory" in repr(accounts)
    accounts.forget("1")
    assert "1 in memory" in repr(accounts)
    accounts.forget()
    assert "0 in memory" in repr(accounts)
    without = AsyncEntityStore(client, category, decider=DECIDER, cache_size=0)
    assert await without.get("1") == Account("", 1, 1)
    assert "0 in memory" in repr(without)


async def test_an_error_midway_changes_nothing_in_memory(
    client: AsyncClient, category: str
) -> None:
    ledgers = AsyncEntityStore(client, category, projection=Ledgers())
    await client.write_messages(f"{category}-1", [Deposited(1), Deposited(2)])
    assert await ledgers.get("1") == Ledger([1, 2])
    await client.write_messages(f"{category}-1", [Deposited(3), Deposited(13), Deposited(4)])
    for _ in range(3):
        with pytest.raises(ValueError, match="thirteen") as caught:
            await ledgers.get("1")
        (note,) = caught.value.__notes__
        assert f"'Deposited' at position 3 of stream '{category}-1'" in note
        assert await ledgers.load("1", version=2) == LoadedEntity(Ledger([1, 2, 3]), 2)


async def test_a_state_that_was_given_is_the_callers_own(
    client: AsyncClient, category: str
) -> None:
    ledgers = AsyncEntityStore(client, category, projection=Ledgers())
    await client.write_message(f"{category}-1", Deposited(1))
    for _ in range(2):
        ledger = await ledgers.get("1")
        assert ledger is not None
        assert ledger == Ledger([1])
        ledger.lines.append(99)
        (await ledgers.load("none")).entity.lines.append(98)


async def test_a_copy_of_ones_own(client: AsyncClient, category: str) -> None:
    copied: list[Ledger] = []

    class Copying(Ledgers):
        def copy(self, state: Ledger) -> Ledger:
            copied.append(state)
            return dataclasses.replace(state, lines=list(state.lines))

    ledgers = AsyncEntityStore(client, category, projection=Copying())
    await client.write_message(f"{category}-1", Deposited(1))
    assert await ledgers.get("1") == Ledger([1])
    assert copied
    await client.write_message(f"{category}-1", Deposited(2))
    assert await ledgers.get("1") == Ledger([1, 2])


async def test_as_it_was_at_a_time(client: AsyncClient, category: str) -> None:
    accounts = AsyncEntityStore(client, category, decider=DECIDER)
    for event in EVENTS:
        await client.write_message(f"{category}-1", event)
    times = [message.time async for message in client.read_stream(f"{category}-1")]
    states = [Account("Ada", 0, 1), Account("Ada", 5, 2), Account("Ada", 3, 3)]
    for version, (time, state) in enumerate(zip(times, states, strict=True)):
        assert await accounts.load("1", time=time) == LoadedEntity(state, version)
    early = times[0] - timedelta(microseconds=1)
    assert await accounts.load("1", time=early) == LoadedEntity(Account(), NO_STREAM)
    assert await accounts.load("1", time=early.astimezone(UTC)) == LoadedEntity(
        Account(), NO_STREAM
    )


async def test_types_that_nothing_takes_are_passed_over_unless_strict(
    client: AsyncClient, category: str
) -> None:
    class Strict(Ledgers):
        strict = True

    await client.write_messages(f"{category}-1", [NewMessage("Unheard"), NewMessage("deposited")])
    loose = AsyncEntityStore(client, category, projection=Ledgers())
    assert await loose.load("1") == LoadedEntity(Ledger([]), 1)
    strict = AsyncEntityStore(client, category, projection=Strict())
    with pytest.raises(MessageDecodeError, match="no method of the projection takes 'Unheard'"):
        await strict.load("1")


async def test_a_function_that_takes_everything(client: AsyncClient, category: str) -> None:
    def collect(seen: tuple[Any, ...], event: Any) -> tuple[Any, ...]:
        return (*seen, event.type if isinstance(event, Message) else event)

    client.registry.add(Deposited)
    everything: AsyncEntityStore[tuple[Any, ...], Any] = AsyncEntityStore(
        client, category, projection=Projection.of(tuple, collect)
    )
    await client.write_messages(f"{category}-1", [NewMessage("Unheard"), Deposited(5)])
    assert await everything.get("1") == ("Unheard", Deposited(5))


async def test_an_event_that_does_not_fit(client: AsyncClient, category: str) -> None:
    accounts = AsyncEntityStore(client, category, decider=DECIDER)
    await client.write_message(f"{category}-1", Deposited(5))
    assert await accounts.get("1") == Account("", 5, 1)
    await client.write_message(f"{category}-1", NewMessage("Deposited", {"amount": "x"}))
    for _ in range(2):
        with pytest.raises(MessageDecodeError, match="amount") as caught:
            await accounts.get("1")
        assert (caught.value.stream_name, caught.value.position) == (f"{category}-1", 1)


async def test_a_service_that_only_reads(client: AsyncClient, category: str) -> None:
    snapshots = SnapshotPolicy(Account, every_events=1, specifier=category)
    theirs = AsyncEntityStore(
        client, category, decider=DECIDER, snapshots=snapshots, read_only=True
    )
    await client.write_message(f"{category}-1", Deposited(5))
    assert await theirs.get("1") == Account("", 5, 1)
    assert await client.stream_version(snapshots.stream_name("1")) == NO_STREAM
    with pytest.raises(ValidationError, match="read-only"):
        await theirs.transact("1", Deposit(5))
    with pytest.raises(ValidationError, match="read-only"):
        theirs.edit("1")
    ours = AsyncEntityStore(client, category, decider=DECIDER, snapshots=snapshots)
    assert await ours.get("1") == Account("", 5, 1)
    assert await client.stream_version(snapshots.stream_name("1")) == 0


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({}, "either a decider or a projection"),
        ({"decider": DECIDER, "projection": Ledgers()}, "either a decider or a projection"),
        ({"projection": Ledgers}, "an instance of the class"),
        ({"decider": 5}, "must be a Decider"),
        ({"decider": DECIDER, "cache_size": -1}, "cache_size"),
        ({"decider": DECIDER, "cache_size": True}, "cache_size"),
        ({"decider": DECIDER, "batch_size": 0}, "batch_size"),
        ({"decider": DECIDER, "batch_size": -1}, "batch_size"),
    ],
)
async def test_options_that_are_refused(
    client: AsyncClient, category: str, options: dict[str, Any], text: str
) -> None:
    with pytest.raises(ValidationError, match=text):
        AsyncEntityStore(client, category, **options)


async def test_invalid_categories_clients_and_ids_are_refused(
    client: AsyncClient, category: str
) -> None:
    for given in (f"{category}-1", "", 5):
        with pytest.raises(ValidationError, match="category"):
            AsyncEntityStore(client, given, decider=DECIDER)  # type: ignore[arg-type]
    accounts = AsyncEntityStore(client, category, decider=DECIDER)
    with pytest.raises(ValidationError, match="of its own variant"):
        accounts.bind(5)  # type: ignore[arg-type]
    for id in ("", None, 5, "a\0b"):
        with pytest.raises(ValidationError):
            await accounts.get(id)  # type: ignore[arg-type]
    with pytest.raises(ValidationError, match="after the first '-': '1'"):
        await accounts.get(f"{category}-1")
    with pytest.raises(ValidationError, match="not both"):
        await accounts.load("1", version=1, time=datetime.now(UTC))
    with pytest.raises(ValidationError, match="no time zone"):
        await accounts.load("1", time=datetime(2026, 1, 1))
    with pytest.raises(ValidationError, match="version"):
        await accounts.load("1", version=-1)


async def test_a_state_that_a_method_forgot_to_return(client: AsyncClient, category: str) -> None:
    class Forgetful(Projection[Account]):
        def initial(self) -> Account:
            return Account()

        @apply
        def deposited(self, account: Account, event: Deposited) -> Account:
            msgspec.structs.replace(account, balance=account.balance + event.amount)
            return None  # type: ignore[return-value]

    accounts = AsyncEntityStore(client, category, projection=Forgetful())
    await client.write_message(f"{category}-1", Deposited(5))
    with pytest.raises(ValidationError, match=r"Forgetful\.deposited returned None"):
        await accounts.get("1")


async def test_a_client_of_the_other_kind(store_url: str, category: str) -> None:
    kinds: list[Any] = [getattr(messagedb, f"{prefix}Client") for prefix in ("", "Async")]
    (other,) = [kind for kind in kinds if kind is not AsyncClient]
    with pytest.raises(ValidationError, match="of its own variant"):
        AsyncEntityStore(other(store_url), category, decider=DECIDER)


class Interrupted(AsyncClient):
    """A client whose next answer to a read comes after something else has happened."""

    meanwhile: Any = None

    async def _read_stream_page(
        self, stream_name: str, position: int, batch_size: int
    ) -> tuple[list[Message[Any]], int]:
        page = await super()._read_stream_page(stream_name, position, batch_size)
        meanwhile, self.meanwhile = self.meanwhile, None
        if meanwhile is not None:
            meanwhile()
        return page


async def test_an_entity_that_is_forgotten_while_it_loads_is_not_cached(
    store_url: str, database_url: str, category: str
) -> None:
    async with Interrupted(store_url) as client:
        accounts = AsyncEntityStore(client, category, decider=DECIDER)
        await client.write_messages(f"{category}-1", [Deposited(1) for _ in range(3)])

        def delete() -> None:
            with psycopg.connect(database_url) as conn:
                conn.execute(
                    "DELETE FROM message_store.messages WHERE stream_name = %s", [f"{category}-1"]
                )
            accounts.forget("1")

        client.meanwhile = delete
        assert await accounts.load("1") == LoadedEntity(Account("", 3, 3), 2)
        assert await accounts.load("1") == LoadedEntity(Account(), NO_STREAM)


@pytest.mark.parametrize("level", [IsolationLevel.REPEATABLE_READ, IsolationLevel.SERIALIZABLE])
async def test_a_transaction_that_sees_the_store_as_it_was(
    client: AsyncClient, conn: AsyncConnection[Any], category: str, level: IsolationLevel
) -> None:
    accounts = AsyncEntityStore(client, category, decider=DECIDER)
    await client.write_message(f"{category}-1", Deposited(1))
    await conn.set_isolation_level(level)
    bound = client.bind(conn)
    async with client.transaction(isolation=level, read_only=True) as tx:
        for store in (tx, bound):
            assert await store.stream_version(f"{category}-1") == 0
        await accounts.transact("1", Deposit(1))
        for store in (tx, bound):
            assert await accounts.bind(store).load("1") == LoadedEntity(Account("", 1, 1), 0)
    assert await accounts.load("1") == LoadedEntity(Account("", 2, 2), 1)


async def test_an_event_counts_as_of_the_beginning_of_its_transaction(
    client: AsyncClient, category: str
) -> None:
    accounts = AsyncEntityStore(client, category, decider=DECIDER)
    async with client.transaction() as tx:
        await client.write_message(f"{category}other-1", Deposited(1))
        other = await client.get_last_stream_message(f"{category}other-1")
        assert other is not None
        await tx.write_message(f"{category}-1", Deposited(1))
        assert await accounts.load("1", time=other.time) == LoadedEntity(Account(), NO_STREAM)
    assert await accounts.load("1", time=other.time) == LoadedEntity(Account("", 1, 1), 0)
