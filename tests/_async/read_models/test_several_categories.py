"""Read models of several categories: one order over them, whatever commits first."""

from __future__ import annotations

import functools
from typing import Any

import pytest

from messagedb import (
    AsyncApp,
    AsyncClient,
    AsyncContext,
    AsyncReadModel,
    IncompatibleServerError,
    Message,
    NewMessage,
    ValidationError,
)
from tests._async.model_schemas import ModelSchema
from tests.support.background_async import Background, eventually

LOG = """
CREATE TABLE {table} (line bigserial, stream text NOT NULL, n int NOT NULL, times int NOT NULL,
                      PRIMARY KEY (stream, n))
"""
ADD = """
INSERT INTO {table} AS t (stream, n, times) VALUES (%s, %s, 1)
ON CONFLICT (stream, n) DO UPDATE SET times = t.times + 1
"""


def log_model(
    client: AsyncClient, categories: list[str], schema: ModelSchema, **options: Any
) -> AsyncReadModel:
    """Make a model that lists the messages of categories in the order in which it gets them."""
    chosen: dict[str, Any] = {
        "name": "log",
        "version": 1,
        "create": LOG,
        "schema": schema.schema,
        "poll_interval": 0.01,
        **options,
    }
    model = AsyncReadModel(client, categories=categories, **chosen)

    @model.handler("Noted")
    async def add(message: Message[Any], context: AsyncContext) -> None:
        values = [message.stream_name, message.data["n"]]
        await context.transaction.connection.execute(model.format_sql(ADD), values)

    return model


async def note(client: Any, stream: str, *numbers: int) -> None:
    """Write numbers to a stream."""
    for n in numbers:
        await client.write_message(stream, NewMessage("Noted", {"n": n}))


def lines(schema: ModelSchema, relation: str = "log") -> list[tuple[Any, ...]]:
    """Return what the model has listed, in its order."""
    return schema.execute(f"SELECT stream, n, times FROM {schema.schema}.{relation} ORDER BY line")


async def test_messages_of_categories_are_applied_in_one_order_whatever_commits_first(
    client: AsyncClient, store_url: str, category: str, model_schema: ModelSchema
) -> None:
    orders, payments = f"{category}-1", f"{category}Payment-1"
    both = [category, f"{category}Payment"]
    await note(client, orders, 1)
    await note(client, payments, 2)
    await note(client, f"{category}Other-1", 100)
    model = log_model(client, both, model_schema)
    assert model.identifier == f"{model_schema.schema}.log_v1"
    assert model.consumer.name == f"all:position-{model.identifier}"
    assert await model.rebuild()
    await client.wait_for_consumer(None, model.identifier, stream_name=payments, position=0)
    expected: list[tuple[Any, ...]] = [(orders, 1, 1), (payments, 2, 1)]
    assert lines(model_schema) == expected
    async with AsyncClient(store_url) as others, model.running():
        await model.consumer.wait_until_caught_up(timeout=20)
        async with others.transaction() as slow:
            await note(slow, orders, 3)
            # It has a later position, and is committed first.
            await note(client, payments, 4)
            await eventually(lambda: bool(model.consumer.status().blocked_by))
            assert lines(model_schema) == expected
        expected += [(orders, 3, 1), (payments, 4, 1)]
        await eventually(lambda: lines(model_schema) == expected)
    infos = {info.name: info for info in await client.list_consumers()}
    info = infos[model.consumer.name]
    assert (info.category, info.identifier) == (None, f"{model_schema.schema}.log_v1")
    # The next version is filled beside it, in whatever order its categories are named.
    second = log_model(client, both[::-1], model_schema, version=2)
    assert await second.rebuild()
    assert lines(model_schema) == lines(model_schema, "log_v1") == expected
    assert [
        (each.version, each.is_current, each.category, each.categories)
        for each in await second.list_versions()
    ] == [(1, False, None, tuple(sorted(both))), (2, True, None, tuple(sorted(both)))]
    assert await log_model(client, both, model_schema, version=2).rebuild()
    assert await second.drop_version(1)
    assert lines(model_schema) == expected


async def test_writers_of_two_categories_and_rollbacks_leave_each_message_applied_once(
    client: AsyncClient, store_url: str, category: str, model_schema: ModelSchema
) -> None:
    streams = [f"{category}{kind}-{i}" for kind in ("", "Payment") for i in range(3)]
    model = log_model(client, [category, f"{category}Payment"], model_schema, transaction_size=10)

    async def write(number: int) -> None:
        async with AsyncClient(store_url, max_size=1) as own:
            for n in range(number * 100, number * 100 + 15):
                first, second = streams[n % 3], streams[3 + n % 3]
                try:
                    async with own.transaction(categories=[category, f"{category}Payment"]) as tx:
                        await note(tx, first, n)
                        if n % 5 == 0:
                            raise RuntimeError
                        await note(tx, second, n)
                except RuntimeError:
                    continue
                await note(own, (first, second)[n % 2], n + 50)

    async with model.running():
        writers = [Background(functools.partial(write, number)) for number in range(3)]
        for writer in writers:
            await writer.result()
        await model.consumer.wait_until_caught_up(timeout=30)
        # The first version is shown a moment after it has caught up.
        await eventually(lambda: "log" in model_schema.relations())
    stored = [
        (message.global_position, message.stream_name, message.data["n"])
        for kind in ("", "Payment")
        async for message in client.read_category(f"{category}{kind}")
    ]
    assert lines(model_schema) == [(stream, n, 1) for _, stream, n in sorted(stored)]
    assert len(stored) == 3 * 36


async def test_filters_apply_to_all_categories(
    client: AsyncClient, category: str, model_schema: ModelSchema
) -> None:
    both = [category, f"{category}Payment"]
    for name in both:
        await note(client, f"{name}-1", 1)
        for n, workflow in ((2, "import-7"), (3, "importer-7")):
            await client.write_message(
                f"{name}-1",
                NewMessage("Noted", {"n": n}, metadata={"correlationStreamName": workflow}),
            )
    model = log_model(client, both, model_schema, correlation="import", condition="position > 0")
    assert await model.rebuild()
    assert lines(model_schema) == [(f"{name}-1", 2, 1) for name in both]
    with pytest.raises(ValidationError, match="correlation"):
        log_model(client, both, model_schema, correlation="import-7")


async def test_other_categories_need_another_version(
    client: AsyncClient, category: str, model_schema: ModelSchema
) -> None:
    both = [category, f"{category}Payment"]
    await log_model(client, both, model_schema).rebuild()
    for others in ([category], [*both, f"{category}Third"]):
        with pytest.raises(ValidationError, match="the next version"):
            await log_model(client, others, model_schema).rebuild()
    with pytest.raises(ValidationError, match="twice"):
        log_model(client, [*both, category], model_schema)


async def test_a_role_that_cannot_read_the_table_gets_the_reason_and_no_table(
    functions_only_url: str, category: str, model_schema: ModelSchema
) -> None:
    async with AsyncClient(functions_only_url) as client:
        model = log_model(client, [category, f"{category}Payment"], model_schema)
        with pytest.raises(IncompatibleServerError, match="which the role may not read"):
            await model.rebuild()
    assert model_schema.relations() == set()


async def test_an_app_runs_a_model_of_several_categories(
    client: AsyncClient, store_url: str, category: str, model_schema: ModelSchema
) -> None:
    app = AsyncApp()
    log = app.read_model(
        categories=iter([category, f"{category}Payment"]),
        name="log",
        version=1,
        create=LOG,
        schema=model_schema.schema,
    )

    @log.handler("Noted")
    async def add(message: Message[Any], context: AsyncContext) -> None:
        values = [message.stream_name, message.data["n"]]
        await context.transaction.connection.execute(log.format_sql(ADD), values)

    await note(client, f"{category}Payment-1", 1)
    await note(client, f"{category}-1", 2)
    await app.run(store_url, until="caught_up")
    assert lines(model_schema) == [(f"{category}Payment-1", 1, 1), (f"{category}-1", 2, 1)]
