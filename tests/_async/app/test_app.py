"""Apps: consumers and read models declared before there is a client, and run together."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import psycopg
import pytest

from messagedb import (
    AsyncApp,
    AsyncClient,
    AsyncConsumer,
    AsyncContext,
    AsyncReadModel,
    HandlerError,
    Message,
    MessageRegistry,
    NewMessage,
    ValidationError,
    run_consumers_async,
)
from messagedb.app import AsyncOpenedApp, ClientOptions
from messagedb.consumers import NO_RETRY
from messagedb.hooks import Hooks
from tests._async.consuming import write
from tests.conftest import NewDatabase
from tests.support.background_async import eventually

FAST: dict[str, Any] = {"poll_interval": 0.01}
COUNTS = "CREATE TABLE {table} (stream text PRIMARY KEY, count bigint NOT NULL)"
COUNT = """
INSERT INTO {table} AS t VALUES (%s, 1) ON CONFLICT (stream) DO UPDATE SET count = t.count + 1
"""


class Ordered(msgspec.Struct, frozen=True):
    """An order was made."""

    item: str


class Shipped(msgspec.Struct, frozen=True):
    """An item was shipped."""

    item: str


class Noting(Hooks):
    """Hooks that note the streams of writes."""

    def __init__(self) -> None:
        self.streams: list[str] = []

    def before_write(self, stream_name: str, messages: Any) -> Any:
        """Note the stream."""
        self.streams.append(stream_name)
        return messages


@pytest.fixture
async def model_schema(database_url: str, category: str) -> AsyncIterator[str]:
    """Return the name of a schema that the role message_store may create tables in."""
    with psycopg.connect(database_url, autocommit=True) as admin:
        admin.execute(f"CREATE SCHEMA {category.lower()}".encode())
        admin.execute(f"GRANT ALL ON SCHEMA {category.lower()} TO message_store".encode())
        yield category.lower()
        admin.execute(f"DROP SCHEMA {category.lower()} CASCADE".encode())


def add_shipping(app: AsyncApp, category: str) -> None:
    """Declare a consumer that ships each order, and one that notes each shipment as billed."""
    shipping = app.consumer(category, identifier="shipping", **FAST)

    @shipping.handler
    async def ship(event: Ordered, context: AsyncContext) -> None:
        stream = context.message.stream_name.partition("-")[2]
        await context.client.write_message(f"{category}Shipment-{stream}", Shipped(event.item))

    billing = app.consumer(f"{category}Shipment", identifier="billing", **FAST)

    @billing.handler
    async def bill(event: Shipped, context: AsyncContext) -> None:
        stream = context.message.stream_name.partition("-")[2]
        await context.client.write_message(f"{category}Bill-{stream}", NewMessage("Billed"))


async def read_types(client: AsyncClient, category: str) -> list[str]:
    """Return the types of a category's messages."""
    return [message.type for message in await client.get_category_messages(category)]


async def test_what_handlers_write_is_handled_until_the_app_is_quiet(
    store_url: str, client: AsyncClient, category: str
) -> None:
    hooks = Noting()
    app = AsyncApp(hooks=[hooks], max_size=4)
    add_shipping(app, category)
    assert app.names == ["shipping", "billing"]
    async with app.open(store_url) as opened:
        await opened.run_until_quiet()
        await opened.client.write_message(f"{category}-1", Ordered("tea"))
        await opened.client.write_message(f"{category}-2", Ordered("milk"))
        await opened.run_until_quiet()
        handled = [each.status().handled_count for each in opened.list_consumers()]
        assert handled == [2, 2]
    assert await read_types(client, f"{category}Bill") == ["Billed", "Billed"]
    assert sorted(hooks.streams) == [
        f"{category}-1",
        f"{category}-2",
        *(f"{category}Bill-{n}" for n in (1, 2)),
        *(f"{category}Shipment-{n}" for n in (1, 2)),
    ]


async def test_an_app_that_runs_again_goes_on_after_its_positions(
    store_url: str, client: AsyncClient, category: str
) -> None:
    app = AsyncApp(registry=MessageRegistry())
    add_shipping(app, category)
    await client.write_message(f"{category}-1", NewMessage("Ordered", {"item": "tea"}))
    await app.run(store_url, until="caught_up")
    await client.write_message(f"{category}-2", NewMessage("Ordered", {"item": "milk"}))
    await app.run(store_url, until="caught_up", only=["shipping"])
    assert await read_types(client, f"{category}Shipment") == ["Shipped"] * 2
    async with app.running(store_url) as opened:
        assert opened.get_consumer("billing").name == f"{category}Shipment:position-billing"
        await opened.get_consumer("billing").wait_until_caught_up(timeout=20)
    assert opened.get_consumer("billing").status().state == "stopped"
    assert await read_types(client, f"{category}Bill") == ["Billed"] * 2


async def test_a_read_model_and_a_consumer_run_together_and_can_be_waited_for(
    store_url: str, client: AsyncClient, category: str, model_schema: str
) -> None:
    app = AsyncApp()
    add_shipping(app, category)
    counts = app.read_model(
        f"{category}Shipment",
        name="counts",
        version=1,
        create=COUNTS,
        schema=model_schema,
        **FAST,
    )

    @counts.handler
    async def count(event: Shipped, context: AsyncContext) -> None:
        await context.transaction.connection.execute(
            counts.format_sql(COUNT), [context.message.stream_name]
        )

    assert counts.view == f'"{model_schema}"."counts"'
    assert counts.identifier == f"{model_schema}.counts_v1"
    assert app.names == ["shipping", "billing", "counts"]
    for _ in range(2):
        await client.write_message(f"{category}-1", NewMessage("Ordered", {"item": "tea"}))
    async with app.open(store_url) as opened:
        await opened.run_until_quiet()
        await client.wait_for_consumer(
            f"{category}Shipment",
            counts.identifier,
            stream_name=f"{category}Shipment-1",
            position=1,
        )
        async with opened.client.transaction() as tx:
            cursor = await tx.connection.execute(f"SELECT * FROM {counts.view}".encode())
            assert await cursor.fetchall() == [(f"{category}Shipment-1", 2)]


async def test_a_read_model_that_is_run_beside_consumers_stops_with_them(
    client: AsyncClient, category: str, model_schema: str
) -> None:
    model = AsyncReadModel(
        client, category, name="sums", version=1, create=COUNTS, schema=model_schema, **FAST
    )

    @model.handler
    async def count(message: Message[Any], context: AsyncContext) -> None:
        await context.transaction.connection.execute(model.format_sql(COUNT), [message.stream_name])

    consumer = AsyncConsumer(client, category, identifier="failing", retry=NO_RETRY, **FAST)

    @consumer.handler
    async def fail(message: Message[Any]) -> None:
        await eventually(lambda: model.consumer.status().handled_count == 1)
        raise RuntimeError("the handler's own")

    await write(client, f"{category}-1", 0, 1)
    with pytest.raises(HandlerError):
        await run_consumers_async(model, consumer)
    assert model.consumer.status().state == "stopped"
    assert model.consumer.status().handled_count == 1
    assert await model.rebuild()


async def test_the_error_of_one_consumer_ends_the_block_in_which_the_app_runs(
    store_url: str, client: AsyncClient, category: str
) -> None:
    app = AsyncApp()
    failing = app.consumer(category, identifier="failing", retry=NO_RETRY, **FAST)

    @failing.handler
    async def fail(message: Message[Any]) -> None:
        raise SystemExit(7)

    add_shipping(app, f"{category}Other")
    await write(client, f"{category}-1", 0, 1)
    with pytest.raises(SystemExit):
        async with app.running(store_url) as opened:
            await eventually(lambda: opened.get_consumer("failing").status().state == "failed")
            await eventually(lambda: opened.get_consumer("billing").status().state == "stopped")


async def test_an_app_that_does_not_become_quiet_says_which_consumers_it_waits_for(
    store_url: str, client: AsyncClient, category: str
) -> None:
    app = AsyncApp()
    echo = app.consumer(category, identifier="echo", **FAST)

    @echo.handler
    async def write_another(message: Message[Any], context: AsyncContext) -> None:
        await context.client.write_message(message.stream_name, NewMessage("Noted"))

    await write(client, f"{category}-1", 0, 1)
    async with app.open(store_url) as opened:
        with pytest.raises(TimeoutError, match=f"{category}:position-echo"):
            await opened.run_until_quiet(timeout=0.5)


async def test_the_positions_that_a_consumer_of_the_whole_store_stores_and_reads_are_quiet(
    new_database: NewDatabase, category: str
) -> None:
    app = AsyncApp()
    add_shipping(app, category)
    audit = app.all_consumer(identifier="audit", position_update_interval=1, **FAST)
    seen: list[str] = []

    @audit.handler
    async def note(message: Message[Any]) -> None:
        seen.append(message.type)

    async with app.open(new_database()) as opened:
        await opened.client.write_message(f"{category}-1", Ordered("tea"))
        await opened.run_until_quiet()
    assert [name for name in seen if name != "Recorded"] == ["Ordered", "Shipped", "Billed"]
    assert "Recorded" in seen


async def test_two_consumers_of_one_identity_are_refused_before_anything_starts(
    category: str,
) -> None:
    app = AsyncApp()
    app.consumer(category, identifier="shipping")
    with pytest.raises(ValidationError, match=f"{category}:position-shipping.*share one position"):
        app.consumer(category, identifier="shipping", name="another")
    with pytest.raises(ValidationError, match="name 'shipping'"):
        app.consumer(f"{category}Other", identifier="shipping")
    app.consumer(f"{category}Other", identifier="shipping", name="other")
    app.all_consumer(identifier="audit")
    app.all_consumer([category], identifier="some")
    assert app.names == ["shipping", "other", "audit", "some"]


@pytest.mark.parametrize(
    ("only", "text"),
    [(["billing"], "has no 'billing'. It has: shipping"), ([], "must not be empty")],
)
async def test_a_name_that_the_app_does_not_have_is_refused(only: list[str], text: str) -> None:
    app = AsyncApp()
    shipping = app.consumer("order", identifier="shipping")

    @shipping.handler
    async def ship(message: Message[Any]) -> None: ...

    with pytest.raises(ValidationError, match=text):
        await app.run("host=nowhere.invalid", only=only)


async def test_an_app_without_consumers_or_without_a_handler_is_refused() -> None:
    app = AsyncApp()
    with pytest.raises(ValidationError, match="no consumers and no read models"):
        await app.run("host=nowhere.invalid")
    app.consumer("order", identifier="shipping")
    with pytest.raises(ValidationError, match="it has no handler"):
        await app.run("host=nowhere.invalid")


async def test_options_that_are_invalid_are_refused_where_they_are_written() -> None:
    with pytest.raises(ValidationError, match="max_size"):
        AsyncApp(max_size=0)
    with pytest.raises(TypeError, match="registers"):
        AsyncApp(registers=MessageRegistry())  # type: ignore[call-arg]
    app = AsyncApp()
    with pytest.raises(ValidationError, match="batch_size"):
        app.consumer("order", identifier="shipping", batch_size=0)
    with pytest.raises(TypeError, match="batchsize"):
        app.consumer("order", identifier="shipping", batchsize=1)  # type: ignore[call-arg]
    assert app.names == []


async def test_the_options_of_an_apps_client_are_those_of_a_client() -> None:
    parameters = inspect.signature(AsyncClient.__init__).parameters
    own = {"self", "conninfo", "pool", "registry", "hooks"}
    assert ClientOptions.__optional_keys__ == set(parameters) - own


async def test_an_app_that_is_opened_sends_nothing_by_itself() -> None:
    app = AsyncApp()
    app.consumer("order", identifier="shipping")
    async with app.open("host=nowhere.invalid") as opened:
        assert isinstance(opened, AsyncOpenedApp)
        assert [each.name for each in opened.list_consumers()] == ["order:position-shipping"]
        assert opened.list_members() == opened.list_consumers()
