"""Commands to entities: decided, appended, decided again after a conflict."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import msgspec
import psycopg
import pytest

from messagedb import (
    NO_STREAM,
    AsyncClient,
    AsyncEntityStore,
    Decider,
    Message,
    MessageRegistry,
    NewMessage,
    Projection,
    ValidationError,
    WrongExpectedVersionError,
)
from messagedb._messages.metadata import Metadata
from messagedb.entities import LoadedEntity
from tests._async.accounts import (
    DECIDER,
    Account,
    Deposit,
    Deposited,
    Ledger,
    Ledgers,
    Open,
    Opened,
    Refused,
    Withdraw,
    Withdrawn,
    decide,
    evolve,
)
from tests.support.backend import make_url
from tests.support.background_async import Background


class Watched(AsyncClient):
    """A client that remembers where in streams it began to read."""

    def __init__(self, conninfo: str, **options: Any) -> None:
        super().__init__(conninfo, **options)
        self.reads: list[int] = []

    async def _read_stream_page(
        self, stream_name: str, position: int, batch_size: int
    ) -> tuple[list[Message[Any]], int]:
        self.reads.append(position)
        return await super()._read_stream_page(stream_name, position, batch_size)


class Interfering:
    """Decides as the others, and writes behind their back the first few times."""

    def __init__(self, url: str, stream_name: str, times: int) -> None:
        self._url = url
        self._stream_name = stream_name
        self._times = times
        self.calls = 0

    def decide(self, command: Any, account: Account) -> Any:
        self.calls += 1
        if self.calls <= self._times:
            write_behind(self._url, self._stream_name)
        return decide(command, account)

    @property
    def decider(self) -> Decider[Account, Any, Any]:
        return Decider(initial=Account, decide=self.decide, evolve=evolve)


def write_behind(url: str, stream_name: str) -> None:
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute(
            "SELECT message_store.write_message(%s, %s, 'Deposited', '{\"amount\": 100}')",
            [str(uuid4()), stream_name],
        )


@pytest.fixture
async def client(store_url: str) -> AsyncIterator[AsyncClient]:
    """Return a client whose registry has the classes of these cases, and of no others."""
    registry = MessageRegistry()
    for cls in (Opened, Deposited, Withdrawn):
        registry.add(cls)
    async with AsyncClient(store_url, max_size=4, registry=registry) as client:
        yield client


async def test_decided_events_are_written(client: AsyncClient, category: str) -> None:
    accounts = AsyncEntityStore(client, category, decider=DECIDER)
    opened = await accounts.transact("1", Open("Ada"))
    assert (opened.entity, opened.version) == (Account("Ada", 0, 1), 0)
    assert (opened.events, opened.positions, opened.attempts) == ((Opened("Ada"),), (0,), 1)
    await accounts.transact("1", Deposit(5))
    done = await accounts.transact("1", Withdraw(3))
    assert (done.entity, done.version) == (Account("Ada", 2, 4), 3)
    assert (done.events, done.positions) == ((Withdrawn(1), Withdrawn(2)), (2, 3))
    nothing = await accounts.transact("1", Open("Bob"))
    assert (nothing.entity, nothing.version) == (Account("Ada", 2, 4), 3)
    assert (nothing.events, nothing.positions) == ((), ())
    with pytest.raises(Refused, match="9 of 2"):
        await accounts.transact("1", Withdraw(9))
    types = [message.type async for message in client.read_stream(f"{category}-1")]
    assert types == ["Opened", "Deposited", "Withdrawn", "Withdrawn"]
    fresh = AsyncEntityStore(client, category, decider=DECIDER)
    assert await fresh.load("1") == LoadedEntity(Account("Ada", 2, 4), 3)


async def test_many_at_once_lose_nothing(store_url: str, category: str) -> None:
    async with AsyncClient(store_url, max_size=4) as client:
        accounts = AsyncEntityStore(client, category, decider=DECIDER)
        attempts: list[int] = []

        async def deposit(amount: int) -> None:
            done = await accounts.transact("1", Deposit(amount), max_attempts=64)
            assert done.events == (Deposited(amount),)
            attempts.append(done.attempts)

        running = [Background(deposit, 2**n) for n in range(32)]
        for each in running:
            await each.result()
        most = max(attempts) - 1
        print(f"32 at once on one entity: {sum(attempts) - 32} retries, {most} at most")
        assert len(attempts) == 32
        assert await accounts.load("1") == LoadedEntity(Account("", 2**32 - 1, 32), 31)
        amounts = [message.data["amount"] async for message in client.read_stream(f"{category}-1")]
        assert sorted(amounts) == [2**n for n in range(32)]


async def test_a_conflict_reads_only_what_is_new(store_url: str, category: str) -> None:
    stream_name = f"{category}-1"
    async with Watched(store_url) as client:
        interfering = Interfering(store_url, stream_name, 2)
        accounts = AsyncEntityStore(client, category, decider=interfering.decider)
        await client.write_messages(stream_name, [Deposited(1) for _ in range(5)])
        assert await accounts.get("1") == Account("", 5, 5)
        client.reads.clear()
        done = await accounts.transact("1", Deposit(1))
        assert (done.entity, done.version, done.attempts) == (Account("", 206, 8), 7, 3)
        assert (done.positions, interfering.calls) == ((7,), 3)
        # Each time from after what was known; the first decision was made without a read.
        assert client.reads == [5, 6]
        assert await accounts.get("1") == Account("", 206, 8)
        assert client.reads == [5, 6, 8]


async def test_somebody_else_is_first_each_time(store_url: str, category: str) -> None:
    stream_name = f"{category}-1"
    async with AsyncClient(store_url) as client:
        interfering = Interfering(store_url, stream_name, 99)
        accounts = AsyncEntityStore(client, category, decider=interfering.decider)
        with pytest.raises(WrongExpectedVersionError) as caught:
            await accounts.transact("1", Deposit(1), max_attempts=2)
        assert (caught.value.expected_version, caught.value.actual_version) == (0, 1)
        assert interfering.calls == 2
        with pytest.raises(WrongExpectedVersionError):
            await accounts.transact("1", Deposit(1))
        assert interfering.calls == 6
        assert await accounts.get("1") == Account("", 600, 6)


async def test_the_same_command_again_is_stored_once(client: AsyncClient, category: str) -> None:
    def always(command: Any, account: Account) -> Any:
        return [Deposited(command.amount), Withdrawn(1)]

    accounts = AsyncEntityStore(
        client, category, decider=Decider(initial=Account, decide=always, evolve=evolve)
    )
    await client.write_message(
        f"{category}:command-1",
        NewMessage("Deposit", {"amount": 5}, metadata={"correlationStreamName": "transfer-9"}),
    )
    command = await client.get_last_stream_message(f"{category}:command-1")
    assert command is not None
    first = await accounts.transact("1", Deposit(5), following=command)
    assert (first.entity, first.positions) == (Account("", 4, 2), (0, 1))
    for store in (accounts, AsyncEntityStore(client, category, decider=DECIDER)):
        store.forget()
        await accounts.transact("2", Deposit(5), following=command)
        again = await accounts.transact("1", Deposit(5), following=command)
        assert (again.entity, again.version) == (Account("", 4, 2), 1)
        assert again.positions == (0, 1)
    events = [message async for message in client.read_stream(f"{category}-1")]
    assert [event.type for event in events] == ["Deposited", "Withdrawn"]
    for event in events:
        metadata = Metadata.from_message(event)
        assert metadata.is_following(command)
        assert metadata.correlation_stream_name == "transfer-9"


async def test_metadata_of_ones_own(client: AsyncClient, category: str) -> None:
    accounts = AsyncEntityStore(client, category, decider=DECIDER)
    await accounts.transact("1", Deposit(5), metadata={"properties": {"user": "Ada"}})
    async with accounts.edit("1", metadata={"properties": {"user": "Bob"}}) as account:
        account.append(Deposited(1), Deposited(2))
    read = [message.metadata async for message in client.read_stream(f"{category}-1")]
    users = ["Ada", "Bob", "Bob"]
    assert read == [{"properties": {"user": user}} for user in users]


async def test_events_that_are_no_instances(client: AsyncClient, category: str) -> None:
    def raw(command: Any, account: Account) -> Any:
        return NewMessage("Deposited", {"amount": command.amount})

    accounts = AsyncEntityStore(
        client, category, decider=Decider(initial=Account, decide=raw, evolve=evolve)
    )
    done = await accounts.transact("1", Deposit(5))
    assert (done.entity, done.version, done.positions) == (Account("", 5, 1), 0, (0,))

    def wrong(command: Any, account: Account) -> Any:
        return msgspec.UNSET

    accounts = AsyncEntityStore(
        client, category, decider=Decider(initial=Account, decide=wrong, evolve=evolve)
    )
    with pytest.raises(ValidationError, match="an event must be"):
        await accounts.transact("1", Deposit(5))
    assert await client.stream_version(f"{category}-1") == 0


async def test_a_decision_that_changes_the_state_in_place(
    client: AsyncClient, category: str
) -> None:
    def decide(command: Any, ledger: Ledger) -> Any:
        ledger.lines.append(99)
        return Deposited(command.amount)

    def evolve(ledger: Ledger, event: Deposited) -> None:
        ledger.lines.append(event.amount)

    ledgers = AsyncEntityStore(
        client, category, decider=Decider(initial=Ledger, decide=decide, evolve=evolve)
    )
    for amount in (1, 2):
        done = await ledgers.transact("1", Deposit(amount))
        assert done.entity == Ledger([1, 2][:amount])
        done.entity.lines.append(98)
    assert await ledgers.get("1") == Ledger([1, 2])


async def test_an_evolve_that_fails_writes_nothing(client: AsyncClient, category: str) -> None:
    def decide(command: Any, ledger: Ledger) -> Any:
        return [Deposited(1), Deposited(13)]

    decider = Decider(initial=Ledger, decide=decide, evolve=Ledgers().moved)
    ledgers = AsyncEntityStore(client, category, decider=decider)
    with pytest.raises(ValueError, match="thirteen"):
        await ledgers.transact("1", Deposit(1))
    assert await client.stream_version(f"{category}-1") == NO_STREAM


async def test_messages_that_were_deleted_behind_its_back(
    store_url: str, database_url: str, category: str
) -> None:
    async with AsyncClient(store_url) as client:
        accounts = AsyncEntityStore(client, category, decider=DECIDER)
        for _ in range(3):
            await accounts.transact("1", Deposit(5))
        with psycopg.connect(database_url, autocommit=True) as conn:
            conn.execute(
                "DELETE FROM message_store.messages WHERE stream_name = %s AND position > 0",
                [f"{category}-1"],
            )
        done = await accounts.transact("1", Deposit(7))
        assert (done.entity, done.version, done.attempts) == (Account("", 12, 2), 1, 2)


async def test_in_a_transaction_of_the_caller(client: AsyncClient, category: str) -> None:
    accounts = AsyncEntityStore(client, category, decider=DECIDER)
    await accounts.transact("1", Deposit(5))
    tx = await client.begin()
    bound = accounts.bind(tx)
    assert (await bound.transact("1", Deposit(1))).entity == Account("", 6, 2)
    assert (await bound.transact("1", Deposit(1))).entity == Account("", 7, 3)
    assert await bound.get("1") == Account("", 7, 3)
    # No other session has seen it.
    assert await accounts.get("1") == Account("", 5, 1)
    await tx.rollback()
    assert await accounts.load("1") == LoadedEntity(Account("", 5, 1), 0)
    async with client.transaction() as tx:
        await accounts.bind(tx).transact("1", Deposit(2))
    assert await accounts.load("1") == LoadedEntity(Account("", 7, 2), 1)


async def test_a_conflict_in_a_transaction(store_url: str, category: str) -> None:
    stream_name = f"{category}-1"
    async with AsyncClient(store_url) as client:
        interfering = Interfering(store_url, stream_name, 1)
        accounts = AsyncEntityStore(client, category, decider=interfering.decider)
        async with client.transaction() as tx:
            done = await accounts.bind(tx).transact("1", Deposit(1))
            assert (done.entity, done.attempts) == (Account("", 101, 2), 2)
        assert await accounts.load("1") == LoadedEntity(Account("", 101, 2), 1)


async def test_editing(client: AsyncClient, category: str) -> None:
    accounts = AsyncEntityStore(client, category, decider=DECIDER)
    async with accounts.edit("1") as account:
        assert (account.entity, account.version) == (Account(), NO_STREAM)
        assert account.append(Opened("Ada")) == Account("Ada", 0, 1)
        account.append(Deposited(5), Deposited(6))
        assert account.entity == Account("Ada", 11, 3)
        assert await client.stream_version(f"{category}-1") == NO_STREAM
    assert account.positions == (0, 1, 2)
    assert account.events == (Opened("Ada"), Deposited(5), Deposited(6))
    assert await accounts.load("1") == LoadedEntity(Account("Ada", 11, 3), 2)
    with pytest.raises(ValidationError, match="inside the block"):
        account.append(Deposited(1))
    with pytest.raises(ValidationError, match="inside the block"):
        accounts.edit("1").append(Deposited(1))
    async with accounts.edit("1"):
        pass
    assert await client.stream_version(f"{category}-1") == 2


async def test_an_edit_that_fails_writes_nothing(client: AsyncClient, category: str) -> None:
    ledgers = AsyncEntityStore(client, category, projection=Ledgers())
    with pytest.raises(Refused):
        async with ledgers.edit("1") as ledger:
            ledger.append(Deposited(1))
            raise Refused
    assert await client.stream_version(f"{category}-1") == NO_STREAM
    async with ledgers.edit("1") as ledger:
        ledger.append(Deposited(1))
        for events in ([Deposited(2), Deposited(13)], [Deposited(2), 5]):
            with pytest.raises(ValueError, match=r"thirteen|an event must be"):
                ledger.append(*events)
        ledger.entity.lines.append(99)
        assert ledger.append(Withdrawn(1)) == Ledger([1, -1])
    assert await ledgers.load("1") == LoadedEntity(Ledger([1, -1]), 1)
    assert await client.stream_version(f"{category}-1") == 1


async def test_an_edit_that_somebody_else_came_before(store_url: str, category: str) -> None:
    async with AsyncClient(store_url) as client:
        accounts = AsyncEntityStore(client, category, decider=DECIDER)
        account = accounts.edit("1")
        with pytest.raises(WrongExpectedVersionError):
            async with account:
                account.append(Deposited(1))
                write_behind(store_url, f"{category}-1")
        assert account.positions == ()
        assert await accounts.load("1") == LoadedEntity(Account("", 100, 1), 0)


async def test_a_projection_decides_nothing(client: AsyncClient, category: str) -> None:
    ledgers: AsyncEntityStore[Ledger, Any] = AsyncEntityStore(
        client, category, projection=Projection.of(Ledger, Ledgers().moved)
    )
    with pytest.raises(ValidationError, match="cannot decide"):
        await ledgers.transact("1", Deposit(1))
    accounts = AsyncEntityStore(client, category, decider=DECIDER)
    for attempts in (0, -1, True, 1.5):
        with pytest.raises(ValidationError, match="max_attempts"):
            await accounts.transact("1", Deposit(1), max_attempts=attempts)  # type: ignore[arg-type]


async def command_of(client: AsyncClient, category: str) -> Message[Any]:
    """Return a command as it was read."""
    await client.write_message(f"{category}:command-1", NewMessage("Deposit", {"amount": 5}))
    command = await client.get_last_stream_message(f"{category}:command-1")
    assert command is not None
    return command


async def test_a_command_again_that_would_be_decided_otherwise(
    client: AsyncClient, category: str
) -> None:
    accounts = AsyncEntityStore(client, category, decider=DECIDER)
    command = await command_of(client, category)
    await accounts.transact("1", Deposit(4))
    first = await accounts.transact("1", Withdraw(4), following=command)
    assert (first.entity, first.positions) == (Account("", 0, 3), (1, 2))
    assert not first.is_repeated
    # The account is empty now, and a decision would refuse it.
    again = await accounts.transact("1", Withdraw(4), following=command)
    assert again.is_repeated
    assert (again.entity, again.version) == (Account("", 0, 3), 2)
    assert (again.events, again.positions) == ((Withdrawn(2), Withdrawn(2)), (1, 2))
    with pytest.raises(Refused):
        await accounts.transact("1", Withdraw(4))


async def test_a_command_again_that_would_have_more_events(
    client: AsyncClient, category: str
) -> None:
    def growing(command: Any, account: Account) -> Any:
        return [Deposited(1)] * (account.events + 1)

    accounts = AsyncEntityStore(
        client, category, decider=Decider(initial=Account, decide=growing, evolve=evolve)
    )
    command = await command_of(client, category)
    first = await accounts.transact("1", Deposit(1), following=command)
    assert (first.events, first.positions) == ((Deposited(1),), (0,))
    again = await accounts.transact("1", Deposit(1), following=command)
    assert again.is_repeated
    assert (again.events, again.positions, again.attempts) == ((Deposited(1),), (0,), 1)
    assert await client.stream_version(f"{category}-1") == 0


async def test_two_decisions_because_of_one_message(client: AsyncClient, category: str) -> None:
    accounts = AsyncEntityStore(client, category, decider=DECIDER)
    command = await command_of(client, category)
    for name, amount in (("points", 5), ("stamps", 6)):
        done = await accounts.transact("1", Deposit(amount), following=command, name=name)
        assert not done.is_repeated
    assert await accounts.get("1") == Account("", 11, 2)
    without = await accounts.transact("1", Deposit(7), following=command, name="points")
    assert (without.is_repeated, without.events) == (True, (Deposited(5),))
    async with accounts.edit("1", following=command, name="edit") as account:
        account.append(Deposited(1))
    async with accounts.edit("1", following=command, name="edit") as account:
        account.append(Deposited(100), Deposited(200))
    assert (account.events, account.positions) == ((Deposited(1),), (2,))
    assert await accounts.get("1") == Account("", 12, 3)


async def test_a_block_is_entered_once(client: AsyncClient, category: str) -> None:
    accounts = AsyncEntityStore(client, category, decider=DECIDER)
    account = accounts.edit("1")
    async with account:
        account.append(Deposited(5))
    with pytest.raises(ValidationError, match="entered once"):
        async with account:
            pass
    assert await accounts.get("1") == Account("", 5, 1)


async def test_events_that_are_changed_after_the_decision_are_stored_as_decided(
    client: AsyncClient, category: str
) -> None:
    def decide(command: list[int], state: tuple[int, ...]) -> Listed:
        return Listed(command)

    def collect(state: tuple[int, ...], event: Listed) -> tuple[int, ...]:
        event.numbers.append(99)
        return (*state, *event.numbers)

    lists = AsyncEntityStore(
        client, category, decider=Decider(initial=tuple, decide=decide, evolve=collect)
    )
    given = [1, 2]
    done = await lists.transact("1", given)
    given.append(3)
    assert done.entity == (1, 2, 99)
    assert await lists.get("1") == (1, 2, 99)
    stored = await client.get_last_stream_message(f"{category}-1")
    assert stored is not None
    assert stored.data == {"numbers": [1, 2]}


class Listed(msgspec.Struct):
    numbers: list[int]


async def test_a_strict_store_writes_only_what_it_can_load(
    client: AsyncClient, category: str
) -> None:
    strict = AsyncEntityStore(
        client, category, projection=Projection.of(Ledger, Ledgers().moved, strict=True)
    )
    client.registry.add(Opened)
    with pytest.raises(ValidationError, match="it is strict"):
        async with strict.edit("1") as ledger:
            ledger.append(Opened("Ada"))
    assert await client.stream_version(f"{category}-1") == NO_STREAM


async def test_another_client_has_nothing_of_what_is_in_memory(
    client: AsyncClient, new_database: Any, category: str
) -> None:
    accounts = AsyncEntityStore(client, category, decider=DECIDER)
    await accounts.transact("1", Deposit(5))
    url = make_url(new_database(), user="message_store")
    async with AsyncClient(url, max_size=1) as other:
        assert await accounts.bind(other).get("1") is None
    assert await accounts.get("1") == Account("", 5, 1)


async def test_ids_that_decide_gives_and_that_are_there(client: AsyncClient, category: str) -> None:
    event = NewMessage("Deposited", {"amount": 5})

    def same(command: Any, account: Account) -> Any:
        return event if command == 1 else Deposited(1)

    accounts = AsyncEntityStore(
        client, category, decider=Decider(initial=Account, decide=same, evolve=evolve)
    )
    first = await accounts.transact("1", 1)
    assert (first.entity, first.positions, first.is_repeated) == (Account("", 5, 1), (0,), False)
    await accounts.transact("1", 2)
    again = await accounts.transact("1", 1)
    assert (again.entity, again.version) == (Account("", 6, 2), 1)
    assert (again.events, again.positions, again.is_repeated) == ((Deposited(5),), (0,), True)
    assert await accounts.load("1") == LoadedEntity(Account("", 6, 2), 1)


async def test_an_invalid_name_or_followed_message_is_refused(
    client: AsyncClient, category: str
) -> None:
    accounts = AsyncEntityStore(client, category, decider=DECIDER)
    command = await command_of(client, category)
    name: Any
    for name in (5, None, "a\0b", "\ud800"):
        with pytest.raises(ValidationError, match="name must be a string"):
            await accounts.transact("1", Deposit(1), following=command, name=name)
        with pytest.raises(ValidationError, match="name must be a string"):
            accounts.edit("1", following=command, name=name)
    following: Any
    for following in (5, NewMessage("Deposit"), command.id):
        with pytest.raises(ValidationError, match="following must be the Message"):
            await accounts.transact("1", Deposit(1), following=following, metadata={"a": 1})
    assert await client.stream_version(f"{category}-1") == NO_STREAM
