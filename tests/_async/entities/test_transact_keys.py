"""Commands with a key: each is answered once, and its first result is given again."""

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
    Metadata,
    NewMessage,
    ValidationError,
    WrongExpectedVersionError,
)
from messagedb._operations.requests import WriteRequest
from messagedb.entities import LoadedEntity, SnapshotPolicy
from messagedb.hooks import Hooks
from tests._async.accounts import (
    DECIDER,
    Account,
    Deposit,
    Deposited,
    Open,
    Opened,
    Refused,
    Withdraw,
    Withdrawn,
    decide,
    evolve,
)
from tests.support.backend import make_url
from tests.support.background_async import Background, eventually
from tests.support.store import count_category, functions_only, locked, waiting_for_locks

CALLERS = 16


@pytest.fixture
async def client(store_url: str) -> AsyncIterator[AsyncClient]:
    """Return a client whose registry has the classes of these cases, and of no others."""
    async with AsyncClient(store_url, max_size=4, registry=events_only()) as client:
        yield client


def events_only() -> MessageRegistry:
    registry = MessageRegistry()
    for cls in (Opened, Deposited, Withdrawn):
        registry.add(cls)
    return registry


class Counting:
    """Decides as the others, and counts how often."""

    def __init__(self) -> None:
        self.calls = 0

    def decide(self, command: Any, account: Account) -> Any:
        self.calls += 1
        return decide(command, account)

    @property
    def decider(self) -> Decider[Account, Any, Any]:
        return Decider(initial=Account, decide=self.decide, evolve=evolve)


@pytest.mark.parametrize("snapshots", [False, True])
@pytest.mark.parametrize("cache_size", [0, 1000])
async def test_a_key_that_comes_again_gets_the_first_result(
    client: AsyncClient, category: str, cache_size: int, snapshots: bool
) -> None:
    counting = Counting()
    accounts = AsyncEntityStore(
        client,
        category,
        decider=counting.decider,
        cache_size=cache_size,
        snapshots=SnapshotPolicy(Account, every_events=2, specifier=category)
        if snapshots
        else None,
    )
    await accounts.transact("1", Deposit(4))
    first = await accounts.transact("1", Withdraw(4), id="k")
    assert (first.entity, first.version) == (Account("", 0, 3), 2)
    assert (first.events, first.positions) == ((Withdrawn(2), Withdrawn(2)), (1, 2))
    assert (first.is_repeated, first.attempts) == (False, 1)
    repeated = msgspec.structs.replace(first, is_repeated=True, attempts=0)
    assert await accounts.transact("1", Withdraw(4), id="k") == repeated
    # Also after other commands, and in a process that has nothing in memory.
    await accounts.transact("1", Deposit(100))
    await accounts.transact("1", Deposit(1), id="another")
    fresh = AsyncEntityStore(client, category, decider=DECIDER)
    for store in (accounts, fresh):
        for _ in range(2):
            assert await store.transact("1", Withdraw(4), id="k") == repeated
        assert await store.load("1") == LoadedEntity(Account("", 101, 5), 4)
    assert counting.calls == 4


async def test_a_key_is_a_text_or_a_uuid(client: AsyncClient, category: str) -> None:
    accounts = AsyncEntityStore(client, category, decider=DECIDER)
    key = uuid4()
    assert not (await accounts.transact("1", Deposit(1), id=key)).is_repeated
    assert (await accounts.transact("1", Deposit(1), id=str(key))).is_repeated
    # A header as it is written by the draft of the IETF, and one of another alphabet.
    for text in ('"8e03978e-40d5-43dd-bc93-6894a57f9324"', "ключ-1", " ", "x" * 10_000):
        assert not (await accounts.transact("1", Deposit(1), id=text)).is_repeated
        assert (await accounts.transact("1", Deposit(1), id=text)).is_repeated
    given: Any
    for given in ("", "a\0b", "\ud800", 5, b"k", uuid4):
        with pytest.raises(ValidationError, match="key of the command"):
            await accounts.transact("1", Deposit(1), id=given)
    # None is no key.
    assert not (await accounts.transact("1", Deposit(1), id=None)).is_repeated
    assert not (await accounts.transact("1", Deposit(1), id=None)).is_repeated
    assert await accounts.get("1") == Account("", 7, 7)


async def test_a_key_is_that_of_one_entity_and_one_decision(
    client: AsyncClient, category: str
) -> None:
    accounts = AsyncEntityStore(client, category, decider=DECIDER)
    for id in ("1", "2"):
        assert not (await accounts.transact(id, Deposit(5), id="k")).is_repeated
    for name in ("points", "stamps"):
        assert not (await accounts.transact("1", Deposit(5), id="k", name=name)).is_repeated
    assert (await accounts.transact("1", Deposit(5), id="k", name="points")).positions == (1,)
    assert await accounts.get("1") == Account("", 15, 3)


async def test_a_key_without_stored_events_is_decided_again(
    client: AsyncClient, category: str
) -> None:
    accounts = AsyncEntityStore(client, category, decider=DECIDER)
    for _ in range(2):
        with pytest.raises(Refused):
            await accounts.transact("1", Withdraw(4), id="k")
    assert await client.stream_version(f"{category}-1") == NO_STREAM
    await accounts.transact("1", Open("Ada"))
    nothing = await accounts.transact("1", Open("Ada"), id="open")
    assert (nothing.events, nothing.is_repeated, nothing.attempts) == ((), False, 1)
    await accounts.transact("1", Deposit(4))
    assert not (await accounts.transact("1", Withdraw(4), id="k")).is_repeated
    assert (await accounts.transact("1", Withdraw(4), id="k")).is_repeated


async def test_another_command_under_a_key_is_refused(client: AsyncClient, category: str) -> None:
    accounts = AsyncEntityStore(client, category, decider=DECIDER)
    await accounts.transact("1", Deposit(4), id="k")
    with pytest.raises(
        ValidationError, match=r"'k' was used for a command of class 'Deposit'.*'With"
    ):
        await accounts.transact("1", Withdraw(4), id="k")
    assert await client.stream_version(f"{category}-1") == 0
    # Data are not compared: the first one counts.
    again = await accounts.transact("1", Deposit(5), id="k")
    assert (again.is_repeated, again.events) == (True, (Deposited(4),))


async def test_the_class_of_a_command_is_known_by_its_message_type(
    client: AsyncClient, store_url: str, category: str
) -> None:
    registry = events_only()
    registry.add(Deposit, type="PutIn")
    async with AsyncClient(store_url, registry=registry) as other:
        accounts = AsyncEntityStore(other, category, decider=DECIDER)
        assert not (await accounts.transact("1", Deposit(4), id="k")).is_repeated
        assert (await accounts.transact("1", Deposit(4), id="k")).is_repeated
    renamed = events_only()
    renamed.add(Deposit, aliases=["PutIn"])
    async with AsyncClient(store_url, registry=renamed) as other:
        accounts = AsyncEntityStore(other, category, decider=DECIDER)
        assert (await accounts.transact("1", Deposit(4), id="k")).is_repeated
    accounts = AsyncEntityStore(client, category, decider=DECIDER)
    with pytest.raises(ValidationError, match="class 'PutIn'"):
        await accounts.transact("1", Deposit(4), id="k")

    def raw(command: Any, account: Account) -> Any:
        return Deposited(command.data["amount"])

    raws = AsyncEntityStore(
        client, category, decider=Decider(initial=Account, decide=raw, evolve=evolve)
    )
    command = NewMessage("Deposit", {"amount": 1})
    assert not (await raws.transact("1", command, id="raw")).is_repeated
    assert (await raws.transact("1", command, id="raw")).is_repeated
    with pytest.raises(ValidationError, match="class 'Deposit'"):
        await raws.transact("1", NewMessage("Other", {"amount": 1}), id="raw")


class Note(msgspec.Struct):
    user: str


async def test_the_record_of_a_key_keeps_the_metadata(client: AsyncClient, category: str) -> None:
    accounts = AsyncEntityStore(client, category, decider=DECIDER)
    await accounts.transact("1", Deposit(4))
    given: list[tuple[Any, dict[str, Any]]] = [
        (None, {}),
        (Metadata(properties={"a": 1}, local_properties={"b": 2}), {"properties": {"a": 1}}),
        ({"user": "Ada", "localProperties": {"b": 2}}, {"user": "Ada"}),
        ({"localProperties": None}, {}),
        (Note("Ada"), {"user": "Ada"}),
    ]
    for number, (metadata, rest) in enumerate(given):
        await accounts.transact("1", Deposit(2), id=f"{number}", metadata=metadata)
        done = await accounts.transact("1", Withdraw(2), id=f"{number}w", metadata=metadata)
        page = await client.get_stream_messages(f"{category}-1", position=done.positions[0] - 1)
        for command, message in zip(("Deposit", "Withdraw"), page[:2], strict=True):
            stored: Any = message.metadata
            record = stored["localProperties"].pop("idempotency")
            assert record.pop("command") == command
            assert list(record) == ["call"]
            assert stored.pop("localProperties") in ({}, {"b": 2})
            assert stored == rest
        second: Any = page[2].metadata
        assert "idempotency" not in str(second)
    for wrong in ("text", [1]):
        with pytest.raises(ValidationError, match="localProperties"):
            await accounts.transact(
                "1", Deposit(2), id="wrong", metadata={"localProperties": wrong}
            )


async def test_a_key_beside_the_message_that_is_followed(
    client: AsyncClient, category: str
) -> None:
    accounts = AsyncEntityStore(client, category, decider=DECIDER)
    commands: list[Message[Any]] = []
    for _ in range(2):
        await client.write_message(f"{category}:command-1", NewMessage("Deposit", {"amount": 5}))
    commands = await client.get_stream_messages(f"{category}:command-1")
    # Sent twice by the client, under two message ids and with one key.
    first = await accounts.transact("1", Deposit(5), id="k", following=commands[0])
    again = await accounts.transact("1", Deposit(5), id="k", following=commands[1])
    assert (first.is_repeated, again.is_repeated) == (False, True)
    stored = await client.get_last_stream_message(f"{category}-1")
    assert stored is not None
    assert Metadata.from_message(stored).is_following(commands[0])
    assert await accounts.get("1") == Account("", 5, 1)


@pytest.mark.parametrize("batch_size", [1, 2, 1000])
async def test_a_first_result_of_more_events_than_a_page(
    client: AsyncClient, store_url: str, category: str, batch_size: int
) -> None:
    def many(command: Any, account: Account) -> Any:
        return [Deposited(1)] * 5

    accounts = AsyncEntityStore(
        client,
        category,
        decider=Decider(initial=Account, decide=many, evolve=evolve),
        batch_size=batch_size,
    )
    await client.write_message(f"{category}:command-1", NewMessage("Deposit", {"amount": 5}))
    command = await client.get_last_stream_message(f"{category}:command-1")
    await accounts.transact("1", Deposit(1), id="k")
    await accounts.transact("1", Deposit(1), following=command)
    ways: list[dict[str, Any]] = [{"id": "k"}, {"following": command}]
    for options in ways:
        begin = 0 if "id" in options else 5
        again = await accounts.transact("1", Deposit(1), **options)
        assert again.is_repeated
        assert again.positions == tuple(range(begin, begin + 5))
        assert again.events == (Deposited(1),) * 5
    assert count_category(store_url, category) == 10


WAYS: dict[str, dict[str, Any]] = {
    "client": {},
    "pooler": {"pooler": True},
    "functions": {"direct_writes": False},
}


@pytest.mark.parametrize("amounts", ["the same", "others"])
@pytest.mark.parametrize("way", [*WAYS, "transactions", "functions only"])
async def test_many_at_once_with_one_key(
    new_database: Any, store_url: str, category: str, way: str, amounts: str
) -> None:
    url = store_url
    if way == "functions only":
        owner = new_database()
        functions_only(owner)
        url = make_url(owner, user="message_store")
    options = WAYS.get(way, {})

    async def call(number: int) -> Any:
        client, accounts = clients[number % 2], stores[number % 2]
        amount = 100 if amounts == "the same" else 60 + number
        if way != "transactions":
            return await accounts.transact("1", Withdraw(amount), id="k", max_attempts=1)
        async with client.transaction() as tx:
            return await accounts.bind(tx).transact("1", Withdraw(amount), id="k")

    async with (
        AsyncClient(url, max_size=CALLERS, registry=events_only(), **options) as one,
        AsyncClient(url, max_size=CALLERS, registry=events_only(), **options) as two,
    ):
        clients = [one, two]
        stores = [AsyncEntityStore(each, category, decider=DECIDER) for each in clients]
        # Enough for one of them only.
        await stores[0].transact("1", Deposit(100))
        with locked(url, category):
            running = [Background(call, number) for number in range(CALLERS)]
            await eventually(lambda: waiting_for_locks(url, category) >= 1)
        results = [await each.result() for each in running]
        first = [each for each in results if not each.is_repeated]
        assert len(first) == 1
        for each in results:
            assert each.entity == first[0].entity
            assert (each.version, each.positions) == (2, (1, 2))
            assert each.events == first[0].events
        assert await stores[0].load("1") == LoadedEntity(first[0].entity, 2)


class Overtaken(AsyncClient):
    """A client whose first write comes after another session's."""

    first: Any = None

    async def write_message(self, stream_name: str, message: Any, **options: Any) -> int:
        await self._let_pass()
        return await super().write_message(stream_name, message, **options)

    async def _write_prepared(self, write: WriteRequest) -> list[int]:
        await self._let_pass()
        return await super()._write_prepared(write)

    async def _let_pass(self) -> None:
        first, self.first = self.first, None
        if first is not None:
            await first()


def as_many(command: Any, account: Account) -> Any:
    return [Deposited(n) for n in range(command.amount)]


AS_MANY: Decider[Account, Any, Any] = Decider(initial=Account, decide=as_many, evolve=evolve)


@pytest.mark.parametrize("direct", [None, False])
@pytest.mark.parametrize("mine", [1, 2, 3])
@pytest.mark.parametrize("theirs", [1, 2, 3])
async def test_two_decisions_at_once_with_one_key_are_never_mixed(
    store_url: str, category: str, mine: int, theirs: int, direct: bool | None
) -> None:
    async with Overtaken(store_url, registry=events_only(), direct_writes=direct) as client:
        accounts = AsyncEntityStore(client, category, decider=AS_MANY)
        others = AsyncEntityStore(client, category, decider=AS_MANY)
        await accounts.transact("1", Deposit(1))

        async def overtake() -> None:
            assert not (await others.transact("1", Deposit(theirs), id="k")).is_repeated

        client.first = overtake
        done = await accounts.transact("1", Deposit(mine), id="k", max_attempts=1)
        assert done.is_repeated
        assert done.positions == tuple(range(1, 1 + theirs))
        assert done.entity == Account("", sum(range(theirs)), 1 + theirs)
        assert await accounts.load("1") == LoadedEntity(done.entity, theirs)


@pytest.mark.parametrize("direct", [None, False])
@pytest.mark.parametrize("mine", [1, 2, 3])
@pytest.mark.parametrize("theirs", [1, 2, 3])
async def test_two_decisions_at_once_for_one_message_are_never_mixed(
    store_url: str, category: str, mine: int, theirs: int, direct: bool | None
) -> None:
    async with Overtaken(store_url, registry=events_only(), direct_writes=direct) as client:
        accounts = AsyncEntityStore(client, category, decider=AS_MANY)
        others = AsyncEntityStore(client, category, decider=AS_MANY)
        await client.write_message(f"{category}:command-1", NewMessage("Deposit"))
        command = await client.get_last_stream_message(f"{category}:command-1")

        async def overtake() -> None:
            await others.transact("1", Deposit(theirs), following=command)

        client.first = overtake
        done = await accounts.transact("1", Deposit(mine), following=command)
        assert done.events == tuple(Deposited(n) for n in range(theirs))
        assert done.positions == tuple(range(theirs))
        assert await accounts.load("1") == LoadedEntity(
            Account("", sum(range(theirs)), theirs), theirs - 1
        )


async def test_another_command_at_once_under_the_key_is_refused(
    store_url: str, category: str
) -> None:
    async with Overtaken(store_url, registry=events_only()) as client:
        accounts = AsyncEntityStore(client, category, decider=DECIDER)
        others = AsyncEntityStore(client, category, decider=DECIDER)
        await accounts.transact("1", Deposit(4))
        pairs: list[tuple[Any, Any]] = [
            (Deposit(1), Withdraw(1)),
            (Withdraw(1), Deposit(1)),
            (Deposit(1), Open("Ada")),
        ]
        for number, (mine, theirs) in enumerate(pairs):

            async def overtake(theirs: Any = theirs, number: int = number) -> None:
                await others.transact("1", theirs, id=f"{number}")

            client.first = overtake
            with pytest.raises(ValidationError, match="Give each command its own key"):
                await accounts.transact("1", mine, id=f"{number}", max_attempts=1)
        types = [message.type async for message in client.read_stream(f"{category}-1")]
        assert types == ["Deposited", "Withdrawn", "Withdrawn", "Deposited", "Opened"]


async def test_a_conflict_with_others_is_decided_again(store_url: str, category: str) -> None:
    async with Overtaken(store_url, registry=events_only()) as client:
        accounts = AsyncEntityStore(client, category, decider=DECIDER)
        others = AsyncEntityStore(client, category, decider=DECIDER)
        await accounts.transact("1", Deposit(4))

        async def overtake() -> None:
            await others.transact("1", Withdraw(4), id="other")

        client.first = overtake
        with pytest.raises(Refused):
            await accounts.transact("1", Withdraw(4), id="k")
        client.first = overtake_by_deposit(others)
        done = await accounts.transact("1", Deposit(4), id="k")
        assert (done.is_repeated, done.attempts, done.entity) == (False, 2, Account("", 5, 5))
        client.first = overtake_by_deposit(others)
        with pytest.raises(WrongExpectedVersionError):
            await accounts.transact("1", Deposit(4), id="third", max_attempts=1)


def overtake_by_deposit(accounts: AsyncEntityStore[Account, Any]) -> Any:
    async def overtake() -> None:
        await accounts.transact("1", Deposit(1))

    return overtake


async def test_a_key_in_a_transaction_has_its_fate(client: AsyncClient, category: str) -> None:
    accounts = AsyncEntityStore(client, category, decider=DECIDER)
    await accounts.transact("1", Deposit(5))
    tx = await client.begin()
    bound = accounts.bind(tx)
    first = await bound.transact("1", Withdraw(4), id="k")
    assert (first.is_repeated, first.entity) == (False, Account("", 1, 3))
    again = await bound.transact("1", Withdraw(4), id="k")
    assert (again.is_repeated, again.entity, again.positions) == (True, first.entity, (1, 2))
    await tx.rollback()
    for repeated in (False, True):
        async with client.transaction() as tx:
            done = await accounts.bind(tx).transact("1", Withdraw(4), id="k")
            assert (done.is_repeated, done.entity) == (repeated, Account("", 1, 3))
    assert (await accounts.transact("1", Withdraw(4), id="k")).is_repeated
    assert await accounts.load("1") == LoadedEntity(Account("", 1, 3), 2)


async def test_a_key_on_a_connection_of_the_callers(
    client: AsyncClient, conn: Any, category: str
) -> None:
    accounts = AsyncEntityStore(client, category, decider=DECIDER)
    bound = accounts.bind(client.bind(conn))
    for repeated in (False, True):
        assert (await bound.transact("1", Deposit(5), id="k")).is_repeated is repeated
    await conn.commit()
    await conn.set_autocommit(True)
    assert (await bound.transact("1", Deposit(5), id="k")).is_repeated
    assert await accounts.get("1") == Account("", 5, 1)


@pytest.mark.parametrize("bound", ["client", "transaction"])
async def test_by_a_role_that_sees_no_table(new_database: Any, category: str, bound: str) -> None:
    owner = new_database()
    functions_only(owner)
    url = make_url(owner, user="message_store")
    async with AsyncClient(url, registry=events_only()) as client:
        accounts = AsyncEntityStore(client, category, decider=DECIDER)
        await client.write_messages(f"{category}-1", [Deposited(1) for _ in range(1100)])
        first = await accounts.transact("1", Withdraw(1100), id="k")
        await client.write_messages(f"{category}-1", [Deposited(1) for _ in range(1100)])
        if bound == "client":
            again = await accounts.transact("1", Withdraw(1100), id="k")
        else:
            async with client.transaction() as tx:
                again = await accounts.bind(tx).transact("1", Withdraw(1100), id="k")
        assert again == msgspec.structs.replace(first, is_repeated=True, attempts=0)
        assert again.positions == (1100, 1101)


async def test_a_key_is_known_for_as_long_as_its_events_are_there(
    client: AsyncClient, database_url: str, category: str
) -> None:
    accounts = AsyncEntityStore(client, category, decider=DECIDER)
    await accounts.transact("1", Deposit(5))
    await accounts.transact("1", Withdraw(4), id="k")
    with psycopg.connect(database_url, autocommit=True) as conn:
        conn.execute(
            "DELETE FROM message_store.messages WHERE stream_name = %s AND position > 0",
            [f"{category}-1"],
        )
    accounts.forget("1")
    done = await accounts.transact("1", Withdraw(4), id="k")
    assert (done.is_repeated, done.entity, done.positions) == (False, Account("", 1, 3), (1, 2))


class Sealing(Hooks):
    """Stores metadata in another form, and remembers what it was shown."""

    def __init__(self) -> None:
        self.written: list[str] = []

    def before_write(self, stream_name: str, messages: Any) -> Any:
        self.written += [message.type for message in messages]
        return [msgspec.structs.replace(message, metadata=None) for message in messages]


async def test_hooks_see_what_is_written_and_nothing_else(store_url: str, category: str) -> None:
    sealing = Sealing()
    async with AsyncClient(store_url, registry=events_only(), hooks=[sealing]) as client:
        accounts = AsyncEntityStore(client, category, decider=DECIDER)
        first = await accounts.transact("1", Deposit(5), id="k")
        again = await accounts.transact("1", Deposit(5), id="k")
        assert (first.is_repeated, again.is_repeated) == (False, True)
        # A value that a hook removes is not known: then the command's class is not compared.
        assert (await accounts.transact("1", Withdraw(5), id="k")).events == (Deposited(5),)
        assert sealing.written == ["Deposited"]
