"""The operations of ``nox -s faults``: one entry each, with what has to be true after it."""

from __future__ import annotations

from typing import Any

from messagedb import (
    AsyncConsumer,
    AsyncContext,
    AsyncEntityStore,
    AsyncReadModel,
    AsyncTransaction,
    Message,
    NewMessage,
)
from messagedb.consumers import AsyncBatchContext
from tests._async import fault_groups
from tests._async.fault_scene import DECIDER, Mark, Operation, Scene
from tests.support.background_async import sleep

TRANSACTION_TIMEOUT = 1.0
COPIED = 450
"""A batch of so many messages is sent by COPY."""

FAST: dict[str, Any] = {
    "poll_interval": 0.02,
    "idle_poll_interval": 0.05,
    "position_update_interval": 2,
    "lease_timeout": 1.0,
}


async def write_message(scene: Scene) -> None:
    await scene.client.write_message(scene.stream, scene.ledger.messages(1)[0])
    scene.ledger.acknowledge()


async def write_messages(scene: Scene) -> None:
    await scene.client.write_messages(scene.stream, scene.ledger.messages(3), expected_version=-1)
    scene.ledger.acknowledge()


async def write_by_copy(scene: Scene) -> None:
    await scene.client.write_messages(scene.stream, scene.ledger.messages(COPIED))
    scene.ledger.acknowledge()


def check_marks(scene: Scene, messages: list[Message[Any]]) -> None:
    """Check that a read has returned the messages that were there before, and no other."""
    assert [message.data["mark"] for message in messages] == scene.ledger.seeds


async def get_stream_messages(scene: Scene) -> None:
    check_marks(scene, await scene.client.get_stream_messages(f"{scene.category}-1"))


async def get_category_messages(scene: Scene) -> None:
    check_marks(scene, await scene.client.get_category_messages(scene.category))


async def get_last_stream_message(scene: Scene) -> None:
    message = await scene.client.get_last_stream_message(f"{scene.category}-1")
    assert message is not None
    assert message.data["mark"] == scene.ledger.seeds[-1]


async def stream_version(scene: Scene) -> None:
    version = await scene.client.stream_version(f"{scene.category}-1")
    assert version == len(scene.ledger.seeds) - 1


async def read_stream(scene: Scene) -> None:
    pages = scene.client.read_stream(f"{scene.category}-1", batch_size=2)
    check_marks(scene, [message async for message in pages])


async def read_category(scene: Scene) -> None:
    pages = scene.client.read_category(scene.category, batch_size=2)
    check_marks(scene, [message async for message in pages])


async def transaction(scene: Scene) -> None:
    async with scene.client.transaction(timeout=TRANSACTION_TIMEOUT) as tx:
        await tx.write_message(scene.stream, scene.ledger.messages(2)[0])
        await sleep(scene.pause)
        await tx.write_message(scene.stream, scene.ledger.messages(2)[1])
    scene.ledger.acknowledge()


async def savepoint(scene: Scene) -> None:
    async with scene.client.transaction(timeout=TRANSACTION_TIMEOUT) as tx:
        await tx.write_message(scene.stream, scene.ledger.messages(2)[0])
        undone = NewMessage("Undone", {"mark": f"{scene.category}-undone"})
        try:
            async with tx.savepoint():
                await tx.write_message(scene.stream, undone)
                await sleep(scene.pause)
                raise ZeroDivisionError
        except ZeroDivisionError:
            pass
        await tx.write_message(scene.stream, scene.ledger.messages(2)[1])
    scene.ledger.acknowledge()


async def run_transaction(scene: Scene) -> None:
    async def write(tx: AsyncTransaction) -> None:
        await tx.write_messages(scene.stream, scene.ledger.messages(2))
        await sleep(scene.pause)

    await scene.client.run_transaction(write, timeout=TRANSACTION_TIMEOUT, max_attempts=3)
    scene.ledger.acknowledge()


async def transact(scene: Scene) -> None:
    entities = AsyncEntityStore(scene.client, scene.category, decider=DECIDER)
    mark = scene.ledger.messages(1)[0].data["mark"]
    await entities.transact("2", Mark(mark))
    scene.ledger.acknowledge()


def make_consumer(scene: Scene) -> AsyncConsumer:
    """Make a consumer that adds to the handled marks."""
    consumer = AsyncConsumer(scene.client, scene.category, identifier="plain", **FAST)

    @consumer.handler
    async def note(message: Message[Any]) -> None:
        scene.handled.append(message.data["mark"])

    return consumer


async def consume(scene: Scene) -> None:
    await make_consumer(scene).run(until="caught_up")


async def verify_consumed(scene: Scene) -> list[str]:
    """Check that nothing was skipped or is handled again from a stored position."""
    await consume(scene)
    first = list(dict.fromkeys(scene.handled))
    count = len(scene.handled)
    await consume(scene)
    problems = [] if first == scene.ledger.seeds else [f"handled {first}"]
    if len(scene.handled) != count:
        problems.append("messages were handled again, although their position is stored")
    return problems


def effect_of(mark: str) -> str:
    return f"effect of {mark}"


async def consume_transactionally(scene: Scene, size: int | None = None) -> None:
    consumer = AsyncConsumer(
        scene.client,
        scene.category,
        identifier="transactional",
        transactional=True,
        transaction_size=size,
        **FAST,
    )

    @consumer.handler
    async def copy(message: Message[Any], context: AsyncContext) -> None:
        effect = NewMessage("Copied", {"mark": effect_of(message.data["mark"])})
        await context.client.write_message(f"{scene.category}Copy-1", effect)

    await consumer.run(until="caught_up")


async def consume_several(scene: Scene) -> None:
    await consume_transactionally(scene, 2)


async def consume_batches(scene: Scene) -> None:
    consumer = AsyncConsumer(
        scene.client, scene.category, identifier="transactional", transactional=True, **FAST
    )

    @consumer.batch_handler
    async def copy(messages: list[Message[Any]], context: AsyncBatchContext) -> None:
        effects = [
            NewMessage("Copied", {"mark": effect_of(message.data["mark"])}) for message in messages
        ]
        await context.client.write_messages(f"{scene.category}Copy-1", effects)

    await consumer.run(until="caught_up")


async def verify_effects(scene: Scene) -> list[str]:
    """Consume the rest, and expect each effect once."""
    await consume_transactionally(scene)
    effects = await scene.client.get_stream_messages(f"{scene.category}Copy-1")
    marks = [message.data["mark"] for message in effects]
    scene.ledger.acknowledged += [effect_of(mark) for mark in scene.ledger.seeds]
    wanted = [effect_of(mark) for mark in scene.ledger.seeds]
    return [] if marks == wanted else [f"effects {marks}"]


def make_model(scene: Scene) -> AsyncReadModel:
    """Make a model that counts how often each mark was applied."""
    model = AsyncReadModel(
        scene.client,
        scene.category,
        name=f"{scene.category.lower()}_marks",
        schema="models",
        version=1,
        create="CREATE TABLE {table} (mark text PRIMARY KEY, times int NOT NULL)",
        poll_interval=0.02,
        lease_timeout=1.0,
    )

    @model.handler("Marked")
    async def add(message: Message[Any], context: AsyncContext) -> None:
        statement = model.format_sql(
            "INSERT INTO {table} AS t VALUES (%s, 1)"
            " ON CONFLICT (mark) DO UPDATE SET times = t.times + 1"
        )
        await context.transaction.connection.execute(statement, [message.data["mark"]])

    return model


async def rebuild(scene: Scene) -> None:
    await make_model(scene).rebuild()


async def verify_model(scene: Scene) -> list[str]:
    """Rebuild the rest, and expect each message applied once."""
    await rebuild(scene)
    async with scene.client.transaction() as tx:
        query = f"SELECT mark, times FROM models.{scene.category.lower()}_marks ORDER BY mark"
        cursor = await tx.connection.execute(query.encode())
        rows = await cursor.fetchall()
    wanted = [(mark, 1) for mark in sorted(scene.ledger.seeds)]
    return [] if rows == wanted else [f"the read model has {rows}"]


async def subscribe(scene: Scene) -> None:
    scene.handled.clear()
    messages = scene.client.subscribe(scene.category, batch_size=2, poll_interval=0.02)
    async for message in messages:
        scene.handled.append(message.data["mark"])
        if len(scene.handled) == len(scene.ledger.seeds):
            break
    assert scene.handled == scene.ledger.seeds


OPERATIONS = {
    "write_message": Operation(write_message),
    "write_messages": Operation(write_messages),
    "write_messages, by COPY": Operation(write_by_copy),
    "get_stream_messages": Operation(get_stream_messages),
    "get_category_messages": Operation(get_category_messages),
    "get_last_stream_message": Operation(get_last_stream_message),
    "stream_version": Operation(stream_version),
    "read_stream": Operation(read_stream, calls=3),
    "read_category": Operation(read_category, calls=3),
    "transaction": Operation(transaction, calls=3),
    "savepoint": Operation(savepoint, calls=3),
    "run_transaction": Operation(run_transaction, calls=9),
    "consumer": Operation(consume, waits=True, verify=verify_consumed),
    "transactional consumer": Operation(consume_transactionally, waits=True, verify=verify_effects),
    "consumer of several in a transaction": Operation(
        consume_several, waits=True, verify=verify_effects
    ),
    "consumer with a batch handler": Operation(consume_batches, waits=True, verify=verify_effects),
    "entity transact": Operation(transact, calls=3),
    "read model": Operation(rebuild, waits=True, verify=verify_model),
    "subscribe": Operation(subscribe, waits=True),
    **fault_groups.OPERATIONS,
}
