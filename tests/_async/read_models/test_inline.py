"""Inline read models: their tables are updated by the transactions that write the messages."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest
from psycopg import AsyncConnection, IsolationLevel

from messagedb import (
    AsyncApp,
    AsyncClient,
    AsyncConsumer,
    AsyncContext,
    AsyncEntityStore,
    AsyncReadModel,
    AsyncTransaction,
    Message,
    NewMessage,
    Skip,
    StreamPositionStore,
    ValidationError,
)
from messagedb.consumers import AsyncBatchContext
from messagedb.errors import ReadModelError
from tests._async.accounts import DECIDER, Deposit
from tests._async.model_schemas import ModelSchema
from tests.support.background_async import eventually

LOG = """
CREATE TABLE {table} (line bigserial, stream text NOT NULL, n int NOT NULL, times int NOT NULL,
                      PRIMARY KEY (stream, n))
"""
ADD = """
INSERT INTO {table} AS t (stream, n, times) VALUES (%s, %s, 1)
ON CONFLICT (stream, n) DO UPDATE SET times = t.times + 1
"""


def log_model(
    client: AsyncClient,
    categories: list[str],
    schema: ModelSchema,
    *,
    inline: bool = True,
    **options: Any,
) -> AsyncReadModel:
    """Make a model that lists messages in the order in which it applies them."""
    chosen: dict[str, Any] = {
        "name": "log",
        "version": 1,
        "create": LOG,
        "schema": schema.schema,
        "poll_interval": 0.01,
        **options,
    }
    model = AsyncReadModel(client, categories=categories, inline=inline, **chosen)

    @model.handler("Noted")
    async def add(message: Message[Any], context: AsyncContext) -> None:
        if message.data["n"] < 0:
            raise RuntimeError("a number below zero")
        values = [message.stream_name, message.data["n"]]
        await context.transaction.connection.execute(model.format_sql(ADD), values)

    return model


async def note(client: Any, stream: str, *numbers: int) -> None:
    """Write numbers to a stream."""
    await client.write_messages(stream, [NewMessage("Noted", {"n": n}) for n in numbers])


async def read_numbers(connection: AsyncConnection[Any], table: str) -> list[int]:
    """Return the numbers in a table, in the order of the messages."""
    cursor = await connection.execute(f"SELECT n FROM {table} ORDER BY line".encode())
    return [row[0] for row in await cursor.fetchall()]


def lines(schema: ModelSchema, relation: str = "log") -> list[tuple[Any, ...]]:
    """Return what the model has listed, in its order."""
    return schema.execute(f"SELECT stream, n, times FROM {schema.schema}.{relation} ORDER BY line")


async def test_the_table_has_what_a_transaction_wrote_when_it_is_committed(
    client: AsyncClient, category: str, model_schema: ModelSchema
) -> None:
    model = log_model(client, [category], model_schema)
    first, second = f"{category}-1", f"{category}-2"
    await note(client, first, 1)
    assert await model.rebuild()
    async with client.transaction(read_models=[model]) as tx:
        await note(tx, first, 2, 3)
        await note(tx, second, 4)
        # It is applied when this is asked for, or before the COMMIT.
        assert await read_numbers(tx.connection, model.table) == [1]
        await model.catch_up(tx)
        assert await read_numbers(tx.connection, model.view) == [1, 2, 3, 4]
        await note(tx, first, 5)
    expected: list[tuple[Any, ...]] = [(first, 1, 1), (first, 2, 1), (first, 3, 1), (second, 4, 1)]
    expected.append((first, 5, 1))
    assert lines(model_schema) == expected
    # What others write without it is applied before the next message.
    await note(client, second, 6)

    async def write(tx: AsyncTransaction) -> None:
        await note(tx, first, 7)

    await client.run_transaction(write, read_models=[model])
    expected += [(second, 6, 1), (first, 7, 1)]
    assert lines(model_schema) == expected
    await note(client, second, 8)
    tx = await client.begin(read_models=[model])
    await tx.write_message(f"{category}Other-1", NewMessage("Noted", {"n": 9}))
    await tx.commit()
    # Nothing was written to its category.
    assert lines(model_schema) == expected
    async with client.transaction(read_models=[model]) as tx:
        await AsyncEntityStore(tx, category, decider=DECIDER).transact("3", Deposit(5))
        await note(tx, first, 10)
    assert lines(model_schema) == [*expected, (second, 8, 1), (first, 10, 1)]
    assert await model.rebuild()
    assert len(lines(model_schema)) == len(expected) + 2


async def test_a_handler_that_fails_rolls_the_write_back_and_the_error_says_so(
    client: AsyncClient, category: str, model_schema: ModelSchema
) -> None:
    model = log_model(client, [category], model_schema)
    await model.rebuild()
    stream = f"{category}-1"
    with pytest.raises(ReadModelError, match="rolled back: nothing of it is stored") as raised:
        async with client.transaction(read_models=[model]) as tx:
            await note(tx, stream, 1, -2)
    assert isinstance(raised.value.__cause__, RuntimeError)
    assert raised.value.read_model == model.table
    assert f"message 1 of stream '{stream}'" in str(raised.value)
    # An error that is caught does not let a part of an update be committed.
    async with client.transaction(read_models=[model]) as tx, tx.savepoint():
        await note(tx, stream, 1, -2)
        with pytest.raises(ReadModelError, match="a number below zero"):
            await model.catch_up(tx)
        with pytest.raises(ValidationError, match="rolled back"):
            await note(tx, stream, 3)
    assert tx.is_active is False
    assert await client.stream_version(stream) == -1
    assert lines(model_schema) == []


@pytest.mark.parametrize(
    ("handler", "reason"),
    [
        ("raises Skip", "Skip"),
        ("returns a string", "which is not an outcome"),
        ("writes a message", "no messages"),
        ("swallows an error", "has failed"),
        ("raises an SQL error", "division by zero"),
    ],
)
async def test_a_handler_can_only_succeed(
    client: AsyncClient, category: str, model_schema: ModelSchema, handler: str, reason: str
) -> None:
    model = log_model(client, [category], model_schema)

    @model.handler("Odd")
    async def odd(message: Message[Any], context: AsyncContext) -> Any:
        if handler == "raises Skip":
            raise Skip("not mine")
        if handler == "writes a message":
            await context.client.write_message(f"{category}Other-1", NewMessage("Noted"))
        if handler == "raises an SQL error":
            await context.transaction.connection.execute("SELECT 1 / 0")
        if handler == "swallows an error":
            with pytest.raises(psycopg.Error):
                await context.transaction.connection.execute("SELECT 1 / 0")
            return None
        return "done"

    await model.rebuild()
    with pytest.raises(Exception, match=reason) as raised:
        async with client.transaction(read_models=[model]) as tx:
            await tx.write_message(f"{category}-1", NewMessage("Odd"))
    if handler != "swallows an error":
        assert isinstance(raised.value, ReadModelError)
    assert await client.stream_version(f"{category}-1") == -1


async def test_savepoints_and_rollbacks_leave_nothing_and_skip_nothing(
    client: AsyncClient, category: str, model_schema: ModelSchema
) -> None:
    model = log_model(client, [category], model_schema)
    await model.rebuild()
    stream = f"{category}-1"
    async with client.transaction(read_models=[model]) as tx:
        await note(tx, stream, 1)
        with pytest.raises(ZeroDivisionError):
            async with tx.savepoint():
                await note(tx, stream, 2)
                await model.catch_up(tx)
                raise ZeroDivisionError
        assert await read_numbers(tx.connection, model.table) == []
        async with tx.savepoint():
            await note(tx, stream, 3)
            await model.catch_up(tx)
    assert lines(model_schema) == [(stream, 1, 1), (stream, 3, 1)]
    with pytest.raises(ZeroDivisionError):
        async with client.transaction(read_models=[model]) as tx:
            await note(tx, stream, 4)
            await model.catch_up(tx)
            raise ZeroDivisionError
    async with client.transaction(read_models=[model]) as tx:
        with pytest.raises(ZeroDivisionError):
            async with tx.savepoint():
                await note(tx, stream, 5)
                raise ZeroDivisionError
    await note(client, stream, 6)
    async with client.transaction(read_models=[model]) as tx:
        await note(tx, stream, 7)
    assert [n for _, n, _ in lines(model_schema)] == [1, 3, 6, 7]
    assert all(times == 1 for _, _, times in lines(model_schema))


async def test_a_model_that_is_not_built_or_lacks_too_much_refuses_the_write(
    client: AsyncClient, category: str, model_schema: ModelSchema
) -> None:
    model = log_model(client, [category], model_schema, batch_size=5)
    stream = f"{category}-1"

    async def write(*numbers: int) -> None:
        async with client.transaction(read_models=[model]) as tx:
            await note(tx, stream, *numbers)

    with pytest.raises(ReadModelError, match=r"rebuild\(\)"):
        await write(1)
    await model.rebuild()
    # Those of the transaction itself do not count.
    await write(*range(20))
    await note(client, stream, *range(20, 25))
    await write(25, 26)
    assert [n for _, n, _ in lines(model_schema)] == list(range(27))
    await note(client, stream, *range(27, 33))
    with pytest.raises(ReadModelError, match="more than 5 messages before this transaction"):
        await write(33)
    assert await client.stream_version(stream) == 32
    await model.rebuild()
    await write(33)
    assert [n for _, n, _ in lines(model_schema)] == list(range(34))
    model_schema.execute(f"DROP TABLE {model_schema.schema}.log_v1 CASCADE")
    with pytest.raises(ReadModelError, match=r"rebuild\(\)"):
        await write(34)


async def test_a_run_beside_it_applies_what_others_write_and_nothing_twice(
    client: AsyncClient, store_url: str, category: str, model_schema: ModelSchema
) -> None:
    stream = f"{category}-1"
    await note(client, stream, *range(30))
    model = log_model(client, [category], model_schema, transaction_size=10)
    async with AsyncClient(store_url) as others:
        writing = log_model(others, [category], model_schema)
        async with model.running():
            await model.consumer.wait_until_caught_up(timeout=20)
            for n in range(30, 60, 2):
                async with others.transaction(read_models=[writing]) as tx:
                    await note(tx, stream, n)
                await note(others, stream, n + 1)
            await model.consumer.wait_until_caught_up(timeout=20)
            expected = [(stream, n, 1) for n in range(60)]
            assert lines(model_schema) == expected
            # It does not begin a transaction for what is applied already.
            count = model.consumer.status().handled_count
            for n in range(60, 70):
                async with others.transaction(read_models=[writing]) as tx:
                    await note(tx, stream, n)
            await model.consumer.wait_until_caught_up(timeout=20)
            assert model.consumer.status().handled_count <= count + 10
        # The next version is built and shown while the first one is written to.
        second = log_model(client, [category], model_schema, version=2)
        async with others.transaction(read_models=[writing]) as tx:
            await note(tx, stream, 70)
        assert await second.rebuild()
        async with others.transaction(read_models=[writing, second]) as tx:
            await note(tx, stream, 71)
    expected = [(stream, n, 1) for n in range(72)]
    assert lines(model_schema) == lines(model_schema, "log_v1") == expected
    assert await second.drop_version(1)
    with pytest.raises(ReadModelError, match=r"rebuild\(\)"):
        async with client.transaction(read_models=[model]) as tx:
            await note(tx, stream, 72)


async def test_a_model_of_several_categories_locks_them_all(
    client: AsyncClient, store_url: str, category: str, model_schema: ModelSchema
) -> None:
    both = [category, f"{category}Payment"]
    order, payment = (f"{name}-1" for name in both)
    model = log_model(client, both, model_schema, batch_size=4)
    await model.rebuild()
    async with AsyncClient(store_url) as others:
        async with client.transaction(read_models=[model]) as tx:
            await note(tx, payment, 1)
            with psycopg.connect(store_url) as probe:
                probe.execute("SET lock_timeout = '200ms'")
                with pytest.raises(psycopg.errors.LockNotAvailable):
                    probe.execute("SELECT message_store.acquire_lock(%s)", [order])
            await note(tx, order, 2)
        await note(others, order, 3)
        await note(others, payment, 4)
        await note(others, order, 5)
        async with client.transaction(read_models=[model]) as tx:
            await note(tx, payment, *range(6, 16))
    expected = [(payment, 1, 1), (order, 2, 1), (order, 3, 1), (payment, 4, 1), (order, 5, 1)]
    expected += [(payment, n, 1) for n in range(6, 16)]
    assert lines(model_schema) == expected
    async with model.running():
        await note(client, order, 16)
        await eventually(lambda: lines(model_schema) == [*expected, (order, 16, 1)])


async def test_batch_handlers_and_filters_are_those_of_a_run(
    client: AsyncClient, category: str, model_schema: ModelSchema
) -> None:
    sizes: list[int] = []
    model = AsyncReadModel(
        client,
        category,
        name="log",
        version=1,
        create=LOG,
        schema=model_schema.schema,
        inline=True,
        types=["Noted"],
        condition="(data->>'n')::int < 100",
    )
    add_all = model.format_sql(
        "INSERT INTO {table} (stream, n, times) SELECT %s, n, 1 FROM unnest(%s::int[]) AS new (n)"
    )

    @model.batch_handler("Noted", "Other")
    async def add(messages: list[Message[Any]], context: AsyncBatchContext) -> None:
        sizes.append(len(messages))
        numbers = [message.data["n"] for message in messages]
        values = [messages[0].stream_name, numbers]
        await context.transaction.connection.execute(add_all, values)

    await model.rebuild()
    async with client.transaction(read_models=[model]) as tx:
        await note(tx, f"{category}-1", 1, 2, 100)
        await tx.write_message(f"{category}-1", NewMessage("Other", {"n": 3}))
        await note(tx, f"{category}-1", 4)
    assert sizes == [3]
    assert [n for _, n, _ in lines(model_schema)] == [1, 2, 4]


async def test_what_cannot_be_right_is_refused_before_anything_is_sent(
    client: AsyncClient, store_url: str, category: str, model_schema: ModelSchema
) -> None:
    model = log_model(client, [category], model_schema)
    await model.rebuild()
    plain = log_model(client, [category], model_schema, inline=False)
    refused: list[tuple[dict[str, Any], str]] = [
        ({"read_models": [plain]}, "inline=True"),
        ({"read_models": [model, model]}, "twice"),
        ({"read_models": model}, "an iterable"),
        ({"read_models": ["log"]}, "read models"),
        ({"read_models": [model], "read_only": True}, "read-only"),
        ({"read_models": [model], "isolation": IsolationLevel.SERIALIZABLE}, "READ COMMITTED"),
    ]
    for options, text in refused:
        with pytest.raises(ValidationError, match=text):
            async with client.transaction(**options):
                pass
        with pytest.raises(ValidationError, match=text):
            await client.begin(**options)
    others: list[tuple[dict[str, Any], str]] = [
        ({"on_error": "park"}, "on_error"),
        ({"position_store": StreamPositionStore()}, "position_store"),
    ]
    for options, text in others:
        with pytest.raises(ValidationError, match=text):
            log_model(client, [category], model_schema, **options)
    async with await AsyncConnection.connect(store_url) as conn:
        with pytest.raises(ValidationError, match="transaction of a client"):
            bound: Any = client.bind(conn)
            await model.catch_up(bound)
    async with client.transaction() as tx:
        with pytest.raises(ValidationError, match="inline=True"):
            await plain.catch_up(tx)
        await note(tx, f"{category}-1", 1)
        # Nothing was sent, and the transaction goes on.
    assert await client.stream_version(f"{category}-1") == 0


async def test_a_model_of_an_app_is_updated_by_a_transactional_handler(
    client: AsyncClient, store_url: str, category: str, model_schema: ModelSchema
) -> None:
    app = AsyncApp()
    log = app.read_model(
        f"{category}Paid",
        name="log",
        version=1,
        create=LOG,
        schema=model_schema.schema,
        inline=True,
    )

    @log.handler("Noted")
    async def add(message: Message[Any], context: AsyncContext) -> None:
        values = [message.stream_name, message.data["n"]]
        await context.transaction.connection.execute(log.format_sql(ADD), values)

    await app.run(store_url, until="caught_up")
    paying = AsyncConsumer(client, category, identifier="paying", transactional=True)

    @paying.handler("Noted")
    async def pay(message: Message[Any], context: AsyncContext) -> None:
        await note(context.client, f"{category}Paid-1", message.data["n"])
        await log.catch_up(context.transaction)

    await note(client, f"{category}-1", 1, 2)
    await paying.run(until="caught_up")
    stream = f"{category}Paid-1"
    assert lines(model_schema) == [(stream, 1, 1), (stream, 2, 1)]
    async with client.transaction(read_models=[log]) as tx:
        await note(tx, stream, 3)
    assert len(lines(model_schema)) == 3
