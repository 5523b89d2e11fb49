"""Commands on what is in memory, and commands that wait for one entity and are stored together."""

from __future__ import annotations

import random
from functools import partial
from typing import Any

import psycopg
import pytest

from messagedb import (
    NO_STREAM,
    AsyncClient,
    AsyncEntityStore,
    Decider,
    Message,
    NewMessage,
    OutcomeUnknownError,
    ValidationError,
    WrongExpectedVersionError,
)
from messagedb._operations.requests import WriteRequest
from messagedb.entities import LoadedEntity, SnapshotPolicy
from messagedb.hooks import Hooks
from messagedb.testing import FaultProxy
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
from tests.support.background_async import Background, eventually
from tests.support.entities import count_commands
from tests.support.store import count_category, locked, waiting_for_locks

AMOUNT = 7654321  # found in what is sent


class Counting(AsyncClient):
    """A client that counts its reads of streams, and keeps its batches."""

    def __init__(self, conninfo: str, **options: Any) -> None:
        super().__init__(conninfo, **options)
        self.reads = 0
        self.batches: list[tuple[str, ...]] = []

    async def _read_stream_page(
        self, stream_name: str, position: int, batch_size: int
    ) -> tuple[list[Message[Any]], int]:
        self.reads += 1
        return await super()._read_stream_page(stream_name, position, batch_size)

    async def _write(self, write: WriteRequest) -> list[int]:
        self.batches.append(tuple(message.type for message in write.messages))
        return await super()._write(write)


@pytest.mark.parametrize("direct", [None, False])
async def test_a_command_on_what_is_in_memory_is_one_write_and_no_read(
    store_url: str, category: str, direct: bool | None
) -> None:
    async with Counting(store_url, direct_writes=direct) as client:
        accounts = AsyncEntityStore(client, category, decider=DECIDER)
        await accounts.transact("1", Open("Ada"))
        assert client.reads == 1
        for n in range(1, 4):
            done = await accounts.transact("1", Deposit(5))
            assert (done.entity, done.positions) == (Account("Ada", 5 * n, 1 + n), (n,))
        done = await accounts.transact("1", Withdraw(4))
        assert done.events == (Withdrawn(2), Withdrawn(2))
        async with accounts.edit("1") as account:
            account.append(Deposited(1))
        await accounts.transact("1", Deposit(1))
        # edit() reads what is newer; no command did.
        assert client.reads == 2
        assert len(client.batches) == 7
        fresh = AsyncEntityStore(client, category, decider=DECIDER)
        assert await fresh.load("1") == await accounts.load("1")


async def test_a_refusal_is_returned_only_after_newer_events_were_read(
    store_url: str, category: str
) -> None:
    async with (
        Counting(store_url) as client,
        AsyncClient(store_url, registry=client.registry) as other,
    ):
        accounts = AsyncEntityStore(client, category, decider=DECIDER)
        await accounts.transact("1", Deposit(5))
        await other.write_message(f"{category}-1", Deposited(10))
        # In memory there are 5; the store has 15.
        done = await accounts.transact("1", Withdraw(12))
        assert (done.entity, done.positions) == (Account("", 3, 4), (2, 3))
        assert done.attempts == 1
        await other.write_message(f"{category}-1", Opened("Ada"))
        nothing = await accounts.transact("1", Open("Bob"))
        assert (nothing.entity, nothing.version, nothing.events) == (Account("Ada", 3, 5), 4, ())
        await other.write_message(f"{category}-1", Withdrawn(3))
        with pytest.raises(Refused, match="1 of 0"):
            await accounts.transact("1", Withdraw(1))


async def test_a_write_that_another_process_came_before_is_decided_again(
    store_url: str, category: str
) -> None:
    async with (
        AsyncClient(store_url) as client,
        AsyncClient(store_url, registry=client.registry) as other,
    ):
        accounts = AsyncEntityStore(client, category, decider=DECIDER)
        await accounts.transact("1", Deposit(5))
        await other.write_message(f"{category}-1", Withdrawn(4))
        done = await accounts.transact("1", Deposit(1))
        assert (done.entity, done.attempts) == (Account("", 2, 3), 2)
        await other.write_message(f"{category}-1", Withdrawn(2))
        # In memory there are 2: accepted there, and refused by the state in the store.
        with pytest.raises(Refused, match="2 of 0"):
            await accounts.transact("1", Withdraw(2))
        await other.write_message(f"{category}-1", Deposited(2))
        # With a single attempt the newer events are read before.
        done = await accounts.transact("1", Withdraw(2), max_attempts=1)
        assert (done.entity.balance, done.attempts) == (0, 1)


@pytest.mark.parametrize("direct", [None, False])
async def test_commands_that_wait_are_stored_in_one_batch(
    store_url: str, category: str, direct: bool | None
) -> None:
    async with Counting(store_url, max_size=2, direct_writes=direct) as client:
        accounts = AsyncEntityStore(client, category, decider=DECIDER)
        await accounts.transact("1", Deposit(1))
        client.batches.clear()
        with locked(store_url, category):
            first = Background(accounts.transact, "1", Deposit(1))
            await eventually(lambda: waiting_for_locks(store_url, category) == 1)
            calls = await send_in_order(
                accounts, Deposit(5), Withdraw(6), Withdraw(2), Open("Ada"), Open("Bob")
            )
        assert (await first.result()).positions == (1,)
        outcomes = [await call.outcome() for call in calls]
        assert client.batches == [("Deposited",), ("Deposited", "Withdrawn", "Withdrawn", "Opened")]
        deposit, withdrawal, refused, opened, nothing = outcomes
        assert (deposit.result().entity, deposit.result().positions) == (Account("", 7, 3), (2,))
        assert withdrawal.result().entity == Account("", 1, 5)
        assert withdrawal.result().events == (Withdrawn(3), Withdrawn(3))
        assert withdrawal.result().positions == (3, 4)
        with pytest.raises(Refused, match="2 of 1"):
            refused.result()
        assert (opened.result().entity, opened.result().version) == (Account("Ada", 1, 6), 5)
        assert (nothing.result().entity, nothing.result().version) == (Account("Ada", 1, 6), 5)
        assert nothing.result().events == nothing.result().positions == ()
        assert {each.result().attempts for each in (deposit, withdrawal, opened, nothing)} == {1}
        fresh = AsyncEntityStore(client, category, decider=DECIDER)
        assert await fresh.load("1") == LoadedEntity(Account("Ada", 1, 6), 5)


async def send_in_order(accounts: AsyncEntityStore[Any, Any], *commands: Any) -> list[Any]:
    """Send commands to an entity that has one in progress; each waits before the next is sent."""
    calls: list[Background[Any]] = []
    for number, command in enumerate(commands, 2):
        calls.append(Background(accounts.transact, "1", command))
        await eventually(partial(wait_together, accounts, number))
    return calls


def wait_together(accounts: AsyncEntityStore[Any, Any], number: int) -> bool:
    """Return True if so many commands wait."""
    return count_commands(accounts) == number


async def test_a_refusal_goes_out_only_after_the_events_that_it_rests_on(
    store_url: str, category: str
) -> None:
    async with AsyncClient(store_url, max_size=2) as client:
        accounts = AsyncEntityStore(client, category, decider=DECIDER)
        await accounts.transact("1", Deposit(4))
        with locked(store_url, category):
            first = Background(accounts.transact, "1", Deposit(1))
            await eventually(lambda: waiting_for_locks(store_url, category) == 1)
            emptying = Background(accounts.transact, "1", Withdraw(5))
            await eventually(lambda: count_commands(accounts) == 2)
            refused = Background(accounts.transact, "1", Withdraw(1))
            await eventually(lambda: count_commands(accounts) == 3)
            assert not any(call.ended for call in (first, emptying, refused))
        with pytest.raises(Refused, match="1 of 0"):
            await refused.result()
        # When the refusal arrived, the withdrawal that it is the consequence of was stored.
        assert await client.stream_version(f"{category}-1") == 3
        assert (await emptying.result()).entity.balance == 0


async def test_an_event_that_cannot_be_written_fails_alone(store_url: str, category: str) -> None:
    def bad(command: Any, account: Account) -> Any:
        if command == "huge":
            return [Deposited(1), Deposited(10**5000)]
        if command == "unknown":
            return object()
        if command == "broken":
            return Deposited(-1)
        return decide(command, account)

    def strict_evolve(account: Account, event: Opened | Deposited | Withdrawn) -> Account:
        if event == Deposited(-1):
            raise ZeroDivisionError("minus one")
        return evolve(account, event)

    decider: Any = Decider(initial=Account, decide=bad, evolve=strict_evolve)
    async with Counting(store_url, max_size=2) as client:
        accounts: AsyncEntityStore[Account, Any] = AsyncEntityStore(
            client, category, decider=decider
        )
        await accounts.transact("1", Deposit(1))
        client.batches.clear()
        with locked(store_url, category):
            first = Background(accounts.transact, "1", Deposit(1))
            await eventually(lambda: waiting_for_locks(store_url, category) == 1)
            calls = await send_in_order(
                accounts, Deposit(2), "huge", "unknown", "broken", Deposit(3)
            )
        await first.result()
        good, huge, unknown, broken, last = [await call.outcome() for call in calls]
        assert good.result().entity == Account("", 4, 3)
        with pytest.raises(ValidationError, match=r"messages\[1\]"):
            huge.result()
        with pytest.raises(ValidationError, match="must be an instance of a registered class"):
            unknown.result()
        with pytest.raises(ZeroDivisionError, match="minus one"):
            broken.result()
        assert (last.result().entity, last.result().version) == (Account("", 7, 4), 3)
        assert client.batches == [("Deposited",), ("Deposited", "Deposited")]


async def test_keys_and_ids_of_ones_own_among_commands_that_wait(
    store_url: str, category: str
) -> None:
    event = NewMessage("Deposited", {"amount": 100})

    def with_own(command: Any, account: Account) -> Any:
        return event if command == "own" else decide(command, account)

    decider: Any = Decider(initial=Account, decide=with_own, evolve=evolve)
    async with AsyncClient(store_url, max_size=4) as client:
        accounts: AsyncEntityStore[Account, Any] = AsyncEntityStore(
            client, category, decider=decider
        )
        calls = [
            Background(accounts.transact, "1", command, id=key)
            for command, key in (
                *((Deposit(1), None), (Deposit(2), "a"), (Deposit(4), None), ("own", None)),
                *((Deposit(8), None), (Deposit(2), "a"), ("own", None), (Deposit(16), None)),
            )
        ]
        results = [await call.result() for call in calls]
        assert [each.is_repeated for each in results].count(True) == 2
        assert await accounts.load("1") == LoadedEntity(Account("", 131, 6), 5)
        repeated = await accounts.transact("1", Deposit(2), id="a")
        assert repeated.is_repeated
        assert repeated.positions in (results[1].positions, results[5].positions)
        assert results[1].positions == results[5].positions


async def test_hooks_see_each_command_in_a_separate_write(store_url: str, category: str) -> None:
    class Seeing(Hooks):
        def __init__(self) -> None:
            self.writes: list[int] = []

        def before_write(self, stream_name: str, messages: Any) -> Any:
            self.writes.append(len(messages))
            return [
                NewMessage(each.type, {"amount": each.data.amount + 1}, id=each.id)
                for each in messages
            ]

    seeing = Seeing()
    async with AsyncClient(store_url, max_size=4, hooks=[seeing]) as client:
        accounts = AsyncEntityStore(client, category, decider=DECIDER)
        for call in [Background(accounts.transact, "1", Deposit(1)) for _ in range(8)]:
            await call.result()
        assert seeing.writes == [1] * 8
        # They changed the events: so the state is that of the events as they are stored.
        assert await accounts.get("1") == Account("", 16, 8)


async def test_the_states_of_commands_that_wait_are_the_callers_own(
    store_url: str, category: str
) -> None:
    def decide(command: int, ledger: Ledger) -> Any:
        ledger.lines.append(99)
        return Deposited(command)

    decider: Any = Decider(initial=Ledger, decide=decide, evolve=Ledgers().moved)
    async with AsyncClient(store_url, max_size=2) as client:
        ledgers: AsyncEntityStore[Ledger, Any] = AsyncEntityStore(client, category, decider=decider)
        calls = [Background(ledgers.transact, "1", n) for n in range(6)]
        results = [await call.result() for call in calls]
        for done in results:
            assert len(done.entity.lines) == done.version + 1
            done.entity.lines.append(98)
        loaded = await ledgers.load("1")
        assert sorted(loaded.entity.lines) == list(range(6))


@pytest.mark.parametrize("times", [1, 99])
async def test_a_batch_whose_answer_is_lost(store_url: str, category: str, times: int) -> None:
    with FaultProxy(store_url) as proxy:
        async with AsyncClient(proxy.url, max_size=2, command_timeout=1.0) as client:
            accounts = AsyncEntityStore(client, category, decider=DECIDER)
            await accounts.transact("1", Deposit(1))
            with locked(store_url, category):
                first = Background(accounts.transact, "1", Deposit(1))
                await eventually(lambda: waiting_for_locks(store_url, category) == 1)
                calls = await send_in_order(
                    accounts, Deposit(AMOUNT), Withdraw(3 * AMOUNT), Deposit(AMOUNT)
                )
                proxy.cut_at("before_answer", str(AMOUNT), times=times)
            await first.result()
            outcomes = [await call.outcome() for call in calls]
            assert proxy.injected >= 1
            proxy.cut_at("before_answer", "no such thing")
            # The refusal rests on what the store has, in any case.
            with pytest.raises(Refused, match=f"{3 * AMOUNT} of {AMOUNT + 2}|of {2 * AMOUNT + 2}"):
                outcomes[1].result()
            if times == 1:
                assert [outcomes[n].result().positions for n in (0, 2)] == [(2,), (3,)]
            else:
                for n, expected in ((0, 1), (2, 2)):
                    with pytest.raises(OutcomeUnknownError) as caught:
                        outcomes[n].result()
                    error = caught.value
                    assert [message.data for message in error.messages] == [Deposited(AMOUNT)]
                    assert error.expected_version == expected
                    again = await client.write_messages(
                        f"{category}-1", error.messages, expected_version=expected
                    )
                    assert again == [expected + 1]
            assert await accounts.load("1") == LoadedEntity(Account("", 2 * AMOUNT + 2, 4), 3)
    assert count_category(store_url, category) == 4


async def test_a_conflict_is_raised_to_the_callers_whose_attempts_are_used_up(
    store_url: str, category: str
) -> None:
    def interfere(command: Any, account: Account) -> Any:
        if account.events < 12:
            with psycopg.connect(store_url, autocommit=True) as conn:
                conn.execute(
                    "SELECT message_store.write_message(gen_random_uuid()::varchar, %s,"
                    " 'Deposited', '{\"amount\": 100}')",
                    [f"{category}-1"],
                )
        return decide(command, account)

    decider: Any = Decider(initial=Account, decide=interfere, evolve=evolve)
    async with AsyncClient(store_url, max_size=2) as client:
        accounts: AsyncEntityStore[Account, Any] = AsyncEntityStore(
            client, category, decider=decider
        )
        calls = [
            Background(accounts.transact, "1", Deposit(1), max_attempts=attempts)
            for attempts in (2, 99, 3, 99)
        ]
        few, many, three, most = [await call.outcome() for call in calls]
        for outcome in (few, three):
            with pytest.raises(WrongExpectedVersionError):
                outcome.result()
        assert many.result().events == most.result().events == (Deposited(1),)
        loaded = await accounts.load("1")
        assert loaded.entity.balance == 2 + 100 * (loaded.entity.events - 2)


async def test_a_store_on_a_connection_of_the_callers_forgets_what_is_rolled_back(
    store_url: str, category: str
) -> None:
    async with (
        AsyncClient(store_url) as client,
        await psycopg.AsyncConnection.connect(store_url) as conn,
    ):
        accounts = AsyncEntityStore(client.bind(conn), category, decider=DECIDER)
        await accounts.transact("1", Deposit(5))
        await conn.rollback()
        assert await accounts.get("1") is None
        with pytest.raises(Refused, match="5 of 0"):
            await accounts.transact("1", Withdraw(5))
        await conn.rollback()
        assert await client.stream_version(f"{category}-1") == NO_STREAM


async def test_snapshots_are_stored_also_if_nothing_is_read(store_url: str, category: str) -> None:
    async with Counting(store_url) as client:
        snapshots = SnapshotPolicy(Account, every_events=5, specifier=category)
        accounts = AsyncEntityStore(client, category, decider=DECIDER, snapshots=snapshots)
        for _ in range(12):
            await accounts.transact("1", Deposit(1))
        stream = snapshots.stream_name("1")
        versions = [each.data["entityVersion"] async for each in client.read_stream(stream)]
        assert versions == [4, 9]
        assert client.reads < 6


@pytest.mark.parametrize("direct", [None, False])
async def test_commands_at_random_of_two_clients_end_as_a_model_says(
    store_url: str, category: str, direct: bool | None
) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    async with (
        AsyncClient(store_url, max_size=3, direct_writes=direct) as one,
        AsyncClient(store_url, max_size=3) as two,
    ):
        stores = [AsyncEntityStore(client, category, decider=DECIDER) for client in (one, two, two)]
        answers: list[Any] = []

        async def send(store: AsyncEntityStore[Account, Any], commands: list[Any]) -> None:
            for command in commands:
                try:
                    answers.append(await store.transact("1", command, max_attempts=999))
                except Refused as error:
                    answers.append(str(error))

        senders = [
            Background(
                send,
                stores[number % 3],
                [
                    chance.choice((Deposit, Withdraw, Withdraw))(chance.randint(1, 9))
                    for _ in range(25)
                ],
            )
            for number in range(12)
        ]
        for sender in senders:
            await sender.result(60.0)
        states, events = [Account()], list[Any]()
        async for message in one.read_stream(f"{category}-1"):
            events.append(one.registry.decode(message))
            states.append(evolve(states[-1], events[-1]))
        assert all(state.balance >= 0 for state in states)
        answered: list[int] = []
        for answer in answers:
            if isinstance(answer, str):
                # It was refused on a state that the entity had at some moment.
                assert answer.partition(" of ")[2] in {str(state.balance) for state in states}
                continue
            assert answer.entity == states[answer.version + 1]
            assert answer.events == tuple(events[position] for position in answer.positions)
            answered += answer.positions
        # Each event is that of one answer: none is lost, and none is doubled.
        assert sorted(answered) == list(range(len(events)))
        assert len(answers) == 300
        print(f"{len(events)} events, {sum(isinstance(each, str) for each in answers)} refused")


async def test_entities_in_memory_are_written_in_groups_without_looking_for_their_last_event(
    store_url: str, category: str
) -> None:
    async with AsyncClient(store_url, group_commit=True, max_size=3) as client:
        accounts = AsyncEntityStore(client, category, decider=DECIDER)
        cache: Any = vars(accounts)["_loader"].cache
        histories: list[set[int]] = []
        for n in range(4):
            calls = [Background(accounts.transact, f"{id}", Deposit(1)) for id in range(24)]
            assert [(await call.result()).version for call in calls] == [n] * 24
            histories.append({cache.get(f"{id}").history for id in range(24)})
        # The history in which they were written is known, so the next write need not look.
        assert 0 not in set().union(*histories)
