"""A mixed load for minutes, in which nothing of the client may grow: all counts are constant."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import psycopg

from messagedb import (
    AsyncClient,
    AsyncConsumer,
    AsyncContext,
    AsyncEntityStore,
    Message,
    MessageRegistry,
    NewMessage,
    TablePositionStore,
)
from tests._async.accounts import DECIDER, Deposit, Deposited, Opened, Withdrawn
from tests.support.background_async import Background, eventually, sleep

PATIENCE = 60.0
WRITERS = 3
GROUPED = 6
"""Writers of the client whose writes share transactions."""

ENTITIES = 20
PAUSE = 0.15
RESTART_AFTER = 5.0
"""Seconds that a consumer runs before it is stopped and another one takes its place."""

FAST: dict[str, Any] = {"poll_interval": 0.02, "idle_poll_interval": 0.05}


class RolledBackError(Exception):
    """Leaves a transaction or a savepoint so that it is rolled back."""


@dataclass
class Counts:
    """The messages of the streams of one kind: how many there are, by stream.

    They are written to each stream in order, so that a number stands for all messages before it.
    """

    by_stream: dict[str, int] = field(default_factory=dict[str, int])
    repeated: int = 0
    skipped: int = 0

    def note(self, stream: str, position: int) -> None:
        """Count a message, which has to be the next one of its stream."""
        following = self.by_stream.get(stream, 0)
        self.repeated += position < following
        self.skipped += max(0, position - following)
        self.by_stream[stream] = max(following, position + 1)

    @property
    def total(self) -> int:
        """The number of messages."""
        return sum(self.by_stream.values())


@dataclass
class Soak:
    """The load of one variant, while it runs and when it has ended.

    Attributes:
        category: the beginning of the names of all its categories.
        acknowledged: what was written.
        handled: what each consumer has handled, by its identifier.
        consumers: the running consumers, by the same.
        problems: errors, which end the part of the load that they come from.
    """

    category: str
    acknowledged: Counts = field(default_factory=Counts)
    handled: dict[str, Counts] = field(default_factory=dict[str, Counts])
    consumers: dict[str, AsyncConsumer] = field(default_factory=dict[str, AsyncConsumer])
    restarts: int = 0
    rolled_back: int = 0
    copies: int = 0
    doubled: int = 0
    lost: int = 0
    deposited: int = 0

    def get_lag(self) -> int:
        """Return the largest lag of a consumer, as it was last measured."""
        lags = (each.status().lag_messages or 0 for each in list(self.consumers.values()))
        return max(lags, default=0)


def build_registry() -> MessageRegistry:
    """Return the classes of the entities' events."""
    registry = MessageRegistry()
    for cls in (Opened, Deposited, Withdrawn):
        registry.add(cls)
    return registry


async def run_soak(conninfo: str, admin: str, soak: Soak, is_over: Callable[[], bool]) -> None:
    """Write, consume, decide and restart until it is over; then compare.

    Args:
        conninfo: the store.
        admin: a superuser's conninfo of it.
        soak: the counts, which others may read meanwhile.
        is_over: is asked between the steps.
    """
    async with (
        AsyncClient(conninfo, max_size=4, registry=build_registry()) as writing,
        AsyncClient(conninfo, max_size=4, registry=build_registry(), group_commit=True) as grouping,
        AsyncClient(conninfo, max_size=8) as reading,
    ):
        calls = [Background(write, writing, soak, n, is_over) for n in range(WRITERS)]
        calls += [Background(write, grouping, soak, WRITERS + n, is_over) for n in range(GROUPED)]
        calls.append(Background(transact, writing, soak, is_over))
        calls.append(Background(decide, grouping, soak, is_over))
        identifiers = ("one", "two", "copying")
        runs = [Background(consume, reading, soak, name, is_over) for name in identifiers]
        # An error in one of them is raised here, and not at the end.
        await eventually(partial(any_ended, [*calls, *runs], is_over), limit=10.0**6)
        for call in calls:
            await call.result(PATIENCE)
        for run in runs:
            await run.result(2 * PATIENCE)
        entities = AsyncEntityStore(writing, f"{soak.category}Entity", decider=DECIDER)
        balances = [(await entities.load(str(n))).entity.balance for n in range(ENTITIES)]
        soak.lost += max(0, soak.deposited - sum(balances))
        soak.doubled += max(0, sum(balances) - soak.deposited)
    compare(admin, soak)


def any_ended(calls: list[Any], is_over: Callable[[], bool]) -> bool:
    """Return True when the time is over, or one of the calls has ended before."""
    return is_over() or any(call.ended for call in calls)


async def write(client: AsyncClient, soak: Soak, number: int, is_over: Callable[[], bool]) -> None:
    """Write single messages, and a batch of ten after each nine of them."""
    stream = f"{soak.category}-{number}"
    turn = 0
    while not is_over():
        turn += 1
        if turn % 10:
            positions = [await client.write_message(stream, NewMessage("Noted", {"n": turn}))]
        else:
            batch = [NewMessage("Noted", {"n": turn, "k": k}) for k in range(10)]
            positions = await client.write_messages(stream, batch)
        for position in positions:
            soak.acknowledged.note(stream, position)
        await sleep(PAUSE)


async def transact(client: AsyncClient, soak: Soak, is_over: Callable[[], bool]) -> None:
    """Write in transactions, of which every third one is rolled back, with savepoints."""
    stream = f"{soak.category}-transaction"
    turn = 0
    while not is_over():
        turn += 1
        positions: list[int] = []
        try:
            async with client.transaction() as transaction:
                positions.append(await transaction.write_message(stream, NewMessage("Noted")))
                try:
                    async with transaction.savepoint():
                        await transaction.write_message(stream, NewMessage("Undone"))
                        raise RolledBackError
                except RolledBackError:
                    pass
                positions.append(await transaction.write_message(stream, NewMessage("Noted")))
                if turn % 3 == 0:
                    raise RolledBackError
        except RolledBackError:
            soak.rolled_back += 1
        else:
            for position in positions:
                soak.acknowledged.note(stream, position)
        await sleep(PAUSE)


async def decide(client: AsyncClient, soak: Soak, is_over: Callable[[], bool]) -> None:
    """Let entities decide on commands."""
    entities = AsyncEntityStore(client, f"{soak.category}Entity", decider=DECIDER)
    turn = 0
    while not is_over():
        turn += 1
        await entities.transact(str(turn % ENTITIES), Deposit(1))
        soak.deposited += 1
        await sleep(PAUSE)


async def consume(
    client: AsyncClient, soak: Soak, identifier: str, is_over: Callable[[], bool]
) -> None:
    """Run a consumer, stop it after some seconds, and let the next one continue."""
    soak.handled[identifier] = Counts()
    while not is_over():
        consumer = build_consumer(client, soak, identifier)
        soak.consumers[identifier] = consumer
        run = Background(consumer.run)
        left = RESTART_AFTER
        while left > 0 and not is_over() and not run.ended:
            await sleep(0.1)
            left -= 0.1
        if not run.ended:
            await consumer.stop()
        await run.result(PATIENCE)
        soak.restarts += 1
    # The writers have ended, or end their last write now.
    await sleep(0.5)
    await build_consumer(client, soak, identifier).run(until="caught_up")


def build_consumer(client: AsyncClient, soak: Soak, identifier: str) -> AsyncConsumer:
    """Return a consumer of one of the kinds."""
    is_copying = identifier == "copying"
    options: dict[str, Any] = {"transactional": True} if is_copying else {}
    if identifier != "one":
        options["position_store"] = TablePositionStore()
    consumer = AsyncConsumer(client, soak.category, identifier=identifier, **FAST, **options)
    counts = soak.handled[identifier]

    @consumer.handler
    async def note(message: Message[Any], context: AsyncContext) -> None:
        if is_copying:
            copied = f"{soak.category}Copy-{message.stream_name.partition('-')[2]}"
            data = {"position": message.position}
            await context.client.write_message(copied, NewMessage("Copied", data))
        counts.note(message.stream_name, message.position)

    return consumer


def compare(admin: str, soak: Soak) -> None:
    """Compare what is stored with what was acknowledged and handled."""
    acknowledged = soak.acknowledged
    there = count_streams(admin, soak.category)
    for stream, (count, ids) in there.items():
        written = acknowledged.by_stream.get(stream, 0)
        soak.lost += max(0, written - count)
        soak.doubled += max(0, count - written) + count - ids
        for handled in soak.handled.values():
            soak.lost += max(0, count - handled.by_stream.get(stream, 0))
    soak.lost += sum(n for s, n in acknowledged.by_stream.items() if s not in there)
    soak.lost += acknowledged.skipped + sum(each.skipped for each in soak.handled.values())
    soak.doubled += acknowledged.repeated + sum(each.repeated for each in soak.handled.values())
    soak.copies = sum(count for count, _ in count_streams(admin, f"{soak.category}Copy").values())
    total = sum(count for count, _ in there.values())
    soak.lost += max(0, total - soak.copies)
    soak.doubled += max(0, soak.copies - total)


def count_streams(admin: str, category: str) -> dict[str, tuple[int, int]]:
    """Return the number of messages, and of different ones, of each stream of a category."""
    with psycopg.connect(admin, autocommit=True) as conn:
        rows = conn.execute(
            "select stream_name, count(*), count(distinct coalesce(data->>'position', id::text))"
            " from message_store.messages where message_store.category(stream_name) = %s"
            " group by stream_name",
            [category],
        )
        return {row[0]: (row[1], row[2]) for row in rows}
