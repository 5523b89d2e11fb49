"""Several messages in one transaction: effects once, the order, and a bad message among them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from itertools import groupby
from typing import Any

import psycopg
import pytest

from messagedb import (
    AsyncAllConsumer,
    AsyncClient,
    AsyncConsumer,
    AsyncContext,
    HandlerError,
    Message,
    NewMessage,
    Park,
    PositionConflictError,
    Retry,
    RetryPolicy,
    Skip,
    Stop,
    StreamPositionStore,
    TablePositionStore,
)
from messagedb.consumers import NO_RETRY, HandlerOutcome
from tests._async.consuming import saved, write
from tests._async.load import copy, numbers_of
from tests.support.background_async import Background, eventually
from tests.support.store import locked, waiting_for_locks

QUICK = RetryPolicy(max_attempts=3, delay=0.001)
SIZE = 10
COUNT = 35


class Copier:
    """A handler that copies each number in its transaction, and has trouble with some.

    Attributes:
        calls: the number and the attempt of each call.
        transactions: the transaction of each call.
        trouble: the problems by number, which are raised so often.
    """

    def __init__(self, category: str) -> None:
        self.copies = f"{category}Copy"
        self.calls: list[tuple[int, int]] = []
        self.transactions: list[str] = []
        self.trouble: Mapping[int, Exception] = {}
        self.times = 1000
        self.seconds = 0.0

    async def handle(self, message: Message[Any], context: AsyncContext) -> HandlerOutcome | None:
        n = message.data["n"]
        self.calls.append((n, context.attempt))
        cursor = await context.transaction.connection.execute(
            "SELECT pg_current_xact_id()::text, pg_sleep(%s)", [self.seconds]
        )
        row = await cursor.fetchone()
        assert row is not None
        self.transactions.append(row[0])
        await context.client.write_message(f"{self.copies}-1", NewMessage("Copied", {"n": n}))
        if n in self.trouble and self.times > 0:
            self.times -= 1
            raise self.trouble[n]
        return None

    @property
    def sizes(self) -> list[int]:
        """The number of calls in each transaction."""
        return [len(list(group)) for _, group in groupby(self.transactions)]


def make(client: AsyncClient, category: str, **options: Any) -> AsyncConsumer:
    """Make a consumer of several messages in a transaction, whose polls are fast."""
    chosen: dict[str, Any] = {
        "identifier": "several",
        "transactional": True,
        "transaction_size": SIZE,
        "poll_interval": 0.01,
        "retry": NO_RETRY,
    }
    return AsyncConsumer(client, category, **{**chosen, **options})


@pytest.mark.parametrize("store", [StreamPositionStore(), TablePositionStore()])
async def test_a_transaction_has_several_messages_and_one_position(
    client: AsyncClient, category: str, store: Any
) -> None:
    positions = await write(client, f"{category}-1", 0, COUNT)
    consumer = make(client, category, position_store=store)
    copier = Copier(category)
    consumer.handler(copier.handle)
    await consumer.run(until="caught_up")
    assert copier.calls == [(n, 1) for n in range(COUNT)]
    assert await numbers_of(client, copier.copies) == {"1": list(range(COUNT))}
    # A transaction may end earlier, after 50 ms, on a busy machine.
    assert max(copier.sizes) in range(2, SIZE + 1)
    assert consumer.status().handled_count == COUNT
    assert consumer.status().stored_next_position == positions[-1] + 1
    if isinstance(store, StreamPositionStore):
        ends = [sum(copier.sizes[: n + 1]) for n in range(len(copier.sizes))]
        assert await saved(client, consumer) == [positions[end - 1] for end in ends]
    await consumer.run(until="caught_up")
    assert len(copier.calls) == COUNT


async def test_ignored_messages_are_in_no_transaction_and_count_as_done(
    client: AsyncClient, category: str
) -> None:
    for n in range(4):
        await client.write_messages(
            f"{category}-1",
            [NewMessage("Noted", {"n": n}), NewMessage("Ignored"), NewMessage("Ignored")],
        )
    last = (await client.get_category_messages(category, batch_size=-1))[-1]
    consumer = make(client, category, transaction_size=2)
    copier = Copier(category)
    consumer.handler("Noted")(copier.handle)
    await consumer.run(until="caught_up")
    assert copier.calls == [(n, 1) for n in range(4)]
    assert max(copier.sizes) <= 2
    assert consumer.status().next_position == last.global_position + 1
    assert consumer.status().stored_next_position == last.global_position + 1


async def test_a_slow_handler_has_the_transaction_for_itself(
    client: AsyncClient, category: str
) -> None:
    await write(client, f"{category}-1", 0, 3)
    consumer = make(client, category)
    copier = Copier(category)
    copier.seconds = 0.06
    consumer.handler(copier.handle)
    await consumer.run(until="caught_up")
    assert copier.sizes == [1, 1, 1]
    assert copier.calls == [(0, 1), (1, 1), (2, 1)]


OUTCOMES: list[Any] = [Park("bad"), Skip("bad"), ValueError("bad")]


@pytest.mark.parametrize("bad", [0, 4, SIZE - 1, SIZE, COUNT - 1])
@pytest.mark.parametrize("problem", OUTCOMES, ids=lambda each: type(each).__name__)
async def test_one_bad_message_is_the_only_one_that_is_parked_or_skipped(
    client: AsyncClient, category: str, bad: int, problem: Exception
) -> None:
    positions = await write(client, f"{category}-1", 0, COUNT)
    consumer = make(client, category, on_error="park")
    copier = Copier(category)
    copier.trouble = {bad: problem}
    consumer.handler(copier.handle)
    await consumer.run(until="caught_up")
    others = [n for n in range(COUNT) if n != bad]
    assert await numbers_of(client, copier.copies) == {"1": others}
    parked = [each.global_position for each in await consumer.list_parked()]
    assert parked == ([] if isinstance(problem, Skip) else [positions[bad]])
    status = consumer.status()
    assert (status.handled_count, status.parked_count + status.skipped_count) == (COUNT - 1, 1)
    assert status.stored_next_position == positions[-1] + 1
    # The transaction that failed, and once more by itself.
    assert copier.calls.count((bad, 1)) in (1, 2)
    stored = await saved(client, consumer)
    assert stored == sorted(set(stored))


async def test_the_only_message_is_bad(client: AsyncClient, category: str) -> None:
    await write(client, f"{category}-1", 0, 1)
    consumer = make(client, category, on_error="skip", retry=QUICK)
    copier = Copier(category)
    copier.trouble = {0: ValueError("bad")}
    consumer.handler(copier.handle)
    await consumer.run(until="caught_up")
    assert copier.calls == [(0, 1), (0, 2), (0, 3)]
    assert consumer.status().skipped_count == 1


@pytest.mark.parametrize("problem", [ValueError("bad"), Stop("bad")], ids=["error", "Stop"])
async def test_what_is_before_the_message_that_stops_it_is_done(
    client: AsyncClient, category: str, problem: Exception
) -> None:
    positions = await write(client, f"{category}-1", 0, COUNT)
    consumer = make(client, category)
    copier = Copier(category)
    copier.trouble = {14: problem}
    consumer.handler(copier.handle)
    with pytest.raises(HandlerError, match="bad") as caught:
        await consumer.run(until="caught_up")
    assert caught.value.global_position == positions[14]
    assert caught.value.attempts == 1
    assert await numbers_of(client, copier.copies) == {"1": list(range(14))}
    assert consumer.status().stored_next_position == positions[14]
    copier.trouble = {}
    await consumer.run(until="caught_up")
    assert await numbers_of(client, copier.copies) == {"1": list(range(COUNT))}


async def test_a_message_that_is_bad_for_a_while_is_retried_in_its_place(
    client: AsyncClient, category: str
) -> None:
    await write(client, f"{category}-1", 0, COUNT)
    consumer = make(client, category, retry=QUICK)
    copier = Copier(category)
    copier.trouble, copier.times = {5: Retry(0.001, "not yet")}, 3
    consumer.handler(copier.handle)
    await consumer.run(until="caught_up")
    assert await numbers_of(client, copier.copies) == {"1": list(range(COUNT))}
    # In the transaction of several, where it does not count, and then by itself.
    attempts = [attempt for n, attempt in copier.calls if n == 5]
    assert attempts in ([1, 1, 2, 3], [1, 2, 3, 4], [1, 2, 3])


async def test_after_the_bad_message_several_are_handled_together_again(
    client: AsyncClient, category: str
) -> None:
    await write(client, f"{category}-1", 0, COUNT)
    consumer = make(client, category, on_error="skip")
    copier = Copier(category)
    copier.trouble = {5: ValueError("bad")}
    consumer.handler(copier.handle)
    await consumer.run(until="caught_up")
    first = copier.calls.index((6, 1))
    assert len(set(copier.transactions[first:])) < len(copier.transactions[first:])


@pytest.fixture
def unique_numbers(database_url: str, category: str) -> Iterator[str]:
    """Return a table whose numbers are only compared by the COMMIT."""
    name = f"public.{category.lower()}"
    with psycopg.connect(database_url, autocommit=True) as admin:
        admin.execute(f"CREATE TABLE {name} (n int UNIQUE DEFERRABLE INITIALLY DEFERRED)".encode())
        admin.execute(f"GRANT ALL ON {name} TO PUBLIC".encode())
        yield name
        admin.execute(f"DROP TABLE {name}".encode())


async def test_a_commit_that_is_refused_concerns_its_message_only(
    client: AsyncClient, category: str, unique_numbers: str
) -> None:
    positions = await write(client, f"{category}-1", 0, COUNT)
    consumer = make(client, category, on_error="park")
    insert = f"INSERT INTO {unique_numbers} VALUES (%s)".encode()

    @consumer.handler
    async def note(message: Message[Any], context: AsyncContext) -> None:
        n = message.data["n"]
        await context.transaction.connection.execute(insert, [n - 1 if n == 7 else n])

    await consumer.run(until="caught_up")
    assert [each.global_position for each in await consumer.list_parked()] == [positions[7]]
    async with client.transaction() as transaction:
        cursor = await transaction.connection.execute(
            f"SELECT n FROM {unique_numbers} ORDER BY n".encode()
        )
        numbers = [row[0] for row in await cursor.fetchall()]
    assert numbers == [n for n in range(COUNT) if n != 7]
    assert consumer.status().handled_count == COUNT - 1


async def test_an_error_that_a_handler_hides_stops_before_its_message(
    client: AsyncClient, category: str
) -> None:
    positions = await write(client, f"{category}-1", 0, COUNT)
    consumer = make(client, category)
    copies = f"{category}Copy"

    @consumer.handler
    async def hide(message: Message[Any], context: AsyncContext) -> None:
        n = message.data["n"]
        await context.client.write_message(f"{copies}-1", NewMessage("Copied", {"n": n}))
        if n == 3:
            with contextlib.suppress(psycopg.Error):
                await context.transaction.connection.execute("SELECT 1 / 0")

    with pytest.raises(HandlerError, match="TransactionAbortedError") as caught:
        await consumer.run(until="caught_up")
    assert caught.value.global_position == positions[3]
    assert await numbers_of(client, copies) == {"1": [0, 1, 2]}
    assert consumer.status().stored_next_position == positions[3]


async def test_a_stop_between_two_messages_keeps_what_is_done(
    client: AsyncClient, category: str
) -> None:
    positions = await write(client, f"{category}-1", 0, COUNT)
    consumer = make(client, category)
    copies = f"{category}Copy"
    stops: list[Background[None]] = []

    @consumer.handler
    async def copy_it(message: Message[Any], context: AsyncContext) -> None:
        n = message.data["n"]
        await context.client.write_message(f"{copies}-1", NewMessage("Copied", {"n": n}))
        if n == 4:
            stops.append(Background(consumer.stop))
            await eventually(lambda: consumer.status().state == "stopping")

    await consumer.run()
    await stops[0].result()
    assert await numbers_of(client, copies) == {"1": list(range(5))}
    assert consumer.status().stored_next_position == positions[5]
    assert consumer.status().handled_count == 5


async def test_the_end_of_the_process_in_a_handler_leaves_nothing_of_its_transaction(
    client: AsyncClient, category: str
) -> None:
    positions = await write(client, f"{category}-1", 0, COUNT)
    consumer = make(client, category)
    copier = Copier(category)

    async def leave(message: Message[Any], context: AsyncContext) -> None:
        await copier.handle(message, context)
        if message.data["n"] == 14:
            raise SystemExit(3)

    consumer.handler(leave)
    with pytest.raises(SystemExit):
        await consumer.run(until="caught_up")
    done = len(copier.calls) - copier.sizes[-1]
    assert await numbers_of(client, copier.copies) == {"1": list(range(done))}
    assert consumer.status().stored_next_position == positions[done]


async def test_members_of_a_group_handle_each_message_once(
    client: AsyncClient, category: str
) -> None:
    for stream in range(8):
        await write(client, f"{category}-{stream}", 0, COUNT)
    consumers = [make(client, category, group_member=n, group_size=2) for n in range(2)]
    for consumer in consumers:
        copy(consumer, f"{category}Copy")
    runs = [Background(consumer.run, until="caught_up") for consumer in consumers]
    for run in runs:
        await run.result()
    copies = await numbers_of(client, f"{category}Copy")
    assert copies == {str(stream): list(range(COUNT)) for stream in range(8)}
    assert all(consumer.status().handled_count > 0 for consumer in consumers)


async def test_a_consumer_of_several_categories(client: AsyncClient, category: str) -> None:
    names = [f"{category}A", f"{category}B"]
    for n in range(0, COUNT, 5):
        await write(client, f"{names[n % 2]}-1", n, 5)
    consumer = AsyncAllConsumer(
        client, names, identifier=category, transactional=True, transaction_size=SIZE
    )
    copier = Copier(category)
    consumer.handler(copier.handle)
    await consumer.run(until="caught_up")
    assert await numbers_of(client, copier.copies) == {"1": list(range(COUNT))}
    assert max(copier.sizes) in range(2, SIZE + 1)


async def test_two_without_a_lease_leave_each_effect_once(
    client: AsyncClient, category: str
) -> None:
    await write(client, f"{category}-1", 0, COUNT)
    consumers = [make(client, category, lease_timeout=None) for _ in range(2)]
    for consumer in consumers:
        copy(consumer, f"{category}Copy")
    runs = [Background(consumer.run, until="caught_up") for consumer in consumers]
    outcomes = [await run.outcome() for run in runs]
    errors = [outcome.error for outcome in outcomes if outcome.error is not None]
    assert len(errors) <= 1
    assert all(isinstance(error, PositionConflictError) for error in errors)
    assert await numbers_of(client, f"{category}Copy") == {"1": list(range(COUNT))}


async def test_the_locks_of_the_named_categories_are_taken_before_a_handler_is_called(
    client: AsyncClient, store_url: str, category: str
) -> None:
    await write(client, f"{category}-1", 0, SIZE)
    names = [f"{category}Copy", f"{category}Other"]
    consumer = make(client, category, write_categories=names)
    copier = Copier(category)
    consumer.handler(copier.handle)
    with locked(store_url, names[1]):
        run = Background(consumer.run, until="caught_up")
        await eventually(lambda: waiting_for_locks(store_url, names[1]) == 1)
        assert copier.calls == []
    await run.result()
    assert copier.calls == [(n, 1) for n in range(SIZE)]


async def test_a_deadlock_of_two_consumers_leaves_each_effect_once(
    client: AsyncClient, category: str
) -> None:
    """Without the locks in one order: each writes to two categories, in another order."""
    names = [f"{category}A", f"{category}B"]
    await write(client, f"{category}-1", 0, COUNT)
    patient = RetryPolicy(max_attempts=100, delay=0.01)
    consumers = [make(client, category, identifier=f"writer{n}", retry=patient) for n in range(2)]
    met = [False, False]

    def add_handler(number: int) -> None:
        @consumers[number].handler
        async def write_both(message: Message[Any], context: AsyncContext) -> None:
            first, second = names if number == 0 else reversed(names)
            await context.client.write_message(
                f"{first}-{number}", NewMessage("Copied", message.data)
            )
            if not met[number]:
                met[number] = True
                # Both hold the lock that the other one waits for.
                await eventually(lambda: all(met))
            await context.client.write_message(
                f"{second}-{number}", NewMessage("Copied", message.data)
            )

    add_handler(0)
    add_handler(1)
    runs = [Background(consumer.run, until="caught_up") for consumer in consumers]
    for run in runs:
        await run.result()
    for name in names:
        copies = await numbers_of(client, name)
        assert copies == {str(n): list(range(COUNT)) for n in range(2)}
