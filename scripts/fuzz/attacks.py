"""Every string parameter of the library, to be called with hostile values.

The parameter ``condition`` is not among them: it is SQL by contract, put into the query as it is.
"""

from __future__ import annotations

import dataclasses
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import messagedb
from messagedb import Decider, NewMessage, StreamPositionStore, TablePositionStore, streams

from .hostile import VICTIMS
from .stores import MODELS, Store

CONSUMER: dict[str, Any] = {"poll_interval": 0.01, "lease_timeout": None, "start": "beginning"}


@dataclass(frozen=True)
class Attack:
    """A call with a hostile value.

    Attributes:
        name: the parameter.
        run: makes the call, and checks its result.
        stream: the stream that may then have new messages, by the value; None for no stream.
    """

    name: str
    run: Callable[[Store, str], object]
    stream: Callable[[str], str] | None = None


@dataclasses.dataclass
class Touch:
    """A command."""

    name: str


@dataclasses.dataclass
class Touched:
    """An event."""

    name: str


def _decide(command: Touch, count: int) -> Touched:
    return Touched(command.name)


def _evolve(count: int, event: Touched) -> int:
    return count + 1


DECIDER: Decider[int, Touch, Touched] = Decider(initial=int, decide=_decide, evolve=_evolve)


def attacks() -> Iterator[Attack]:
    """Return all attacks on the library."""
    yield from _writes()
    yield from _reads()
    yield from _consumers()
    yield from _others()


def _writes() -> Iterator[Attack]:
    def write(store: Store, stream: str, message: NewMessage, **options: Any) -> None:
        store.variant.call(store.client.write_message, stream, message, **options)
        last = store.variant.call(store.client.get_last_stream_message, stream)
        assert last is not None
        expected = (stream, message.type, message.data, message.metadata)
        assert (last.stream_name, last.type, last.data, last.metadata) == expected

    def write_in_transaction(store: Store, value: str) -> None:
        block = store.client.transaction()
        transaction = store.variant.enter(block)
        error: BaseException | None = None
        try:
            store.variant.call(transaction.write_message, value, NewMessage("Noted"))
        except messagedb.MessageDBError as raised:
            error = raised
        store.variant.leave(block, error)
        if error is not None:
            raise error

    def write_batch(store: Store, value: str) -> None:
        batch = [NewMessage("Noted") for _ in range(5)]
        store.variant.call(store.client.write_messages, value, batch)

    def same(value: str) -> str:
        return value

    def noted(_: str) -> str:
        return "noted-1"

    def reserve(store: Store, value: str) -> None:
        victims = store.variant.call(store.client.get_stream_messages, VICTIMS[0])
        store.variant.call(store.client.reserve_command, victims[0], value)

    yield Attack("write_message(stream_name)", lambda s, v: write(s, v, NewMessage("Noted")), same)
    yield Attack("write_messages(stream_name)", write_batch, same)
    yield Attack("write_message(stream_name) in a transaction", write_in_transaction, same)
    yield Attack("NewMessage(type)", lambda s, v: write(s, "noted-1", NewMessage(v)), noted)
    yield Attack(
        "a key of data", lambda s, v: write(s, "noted-1", NewMessage("Noted", {v: 1})), noted
    )
    yield Attack(
        "a value of data", lambda s, v: write(s, "noted-1", NewMessage("Noted", {"a": [v]})), noted
    )
    yield Attack(
        "metadata",
        lambda s, v: write(s, "noted-1", NewMessage("Noted", metadata={"a": v, "b" + v: 1})),
        noted,
    )
    yield Attack(
        "write_message(id)", lambda s, v: write(s, "noted-1", NewMessage("Noted"), id=v), noted
    )
    yield Attack(
        "write_message(expected_version)",
        lambda s, v: write(s, "noted-1", NewMessage("Noted"), expected_version=v),
    )
    yield Attack("reserve_command(stream_name)", reserve, same)


def _reads() -> Iterator[Attack]:
    def read(name: str, attribute: str, **options: Any) -> Callable[[Store, str], None]:
        def run(store: Store, value: str) -> None:
            found = store.variant.call(getattr(store.client, name), value, **options)
            found = found if isinstance(found, list) else [found] if found else []
            for message in found:
                name_read = message.stream_name
                assert value == (
                    name_read if attribute == "stream" else streams.category(name_read)
                )

        return run

    def iterate(name: str) -> Callable[[Store, str], None]:
        def run(store: Store, value: str) -> None:
            for message in store.variant.collect(getattr(store.client, name)(value)):
                assert value in (message.stream_name, streams.category(message.stream_name))

        return run

    def version(store: Store, value: str) -> None:
        found = store.variant.call(store.client.stream_version, value)
        wanted = store.ask("select max(position) from messages where stream_name = %s", value)
        assert found == (-1 if wanted is None else wanted)

    def correlated(store: Store, value: str) -> None:
        read = store.client.get_category_messages
        assert store.variant.call(read, "victim", correlation=value) == []

    def last_of_type(store: Store, value: str) -> None:
        read = store.client.get_last_stream_message
        assert store.variant.call(read, VICTIMS[0], type=value) is None

    yield Attack("get_stream_messages(stream_name)", read("get_stream_messages", "stream"))
    yield Attack("read_stream(stream_name)", iterate("read_stream"))
    yield Attack("get_category_messages(category)", read("get_category_messages", "category"))
    yield Attack("get_category_messages(correlation)", correlated)
    yield Attack("read_category(category)", iterate("read_category"))
    yield Attack("get_last_stream_message(stream_name)", read("get_last_stream_message", "stream"))
    yield Attack("get_last_stream_message(type)", last_of_type)
    yield Attack("stream_version(stream_name)", version)


def run_consumer(
    store: Store, category: str, derive: Callable[[Any], object] = id, **options: Any
) -> list[Any]:
    """Run a consumer until it has caught up, and return the messages that it handled.

    Args:
        store: the store.
        category: the category.
        derive: is called with the context of each message.
        **options: of the consumer.
    """
    handled: list[Any] = []
    is_async = store.variant.name == "async"
    cls: Any = messagedb.AsyncConsumer if is_async else messagedb.Consumer
    consumer = cls(store.client, category, **CONSUMER | options)

    async def handle_async(message: Any, context: Any) -> None:
        handle(message, context)

    def handle(message: Any, context: Any) -> None:
        derive(context)
        handled.append(message)

    consumer.handler(handle_async if is_async else handle)
    store.variant.call(consumer.run, until="caught_up")
    return handled


def _consumers() -> Iterator[Attack]:
    def consume(
        wanted: int | None, **options: Callable[[str], Any]
    ) -> Callable[[Store, str], None]:
        def run(store: Store, value: str) -> None:
            arguments = {name: get(value) for name, get in options.items()}
            category = arguments.pop("category", "victim")
            handled = run_consumer(store, category, **arguments)
            assert wanted is None or len(handled) == wanted
            assert {streams.category(m.stream_name) for m in handled} <= {category}

        return run

    def position(value: str) -> str:
        return get_position_stream("victim", value)

    def derive(store: Store, value: str) -> None:
        ids: list[uuid.UUID] = []
        run_consumer(
            store,
            "victim",
            derive=lambda context: ids.append(context.derive_id(value)),
            position_store=TablePositionStore(name=f"derive {uuid.uuid4()}"),
        )
        assert len(set(ids)) == len(VICTIMS)

    def resize(store: Store, value: str) -> None:
        store.variant.call(
            store.client.resize_consumer_group,
            "victim",
            identifier=value,
            old_size=1,
            new_size=2,
            dry_run=True,
        )

    def resize_partitions(store: Store, value: str) -> None:
        try:
            store.variant.call(store.client.resize_partitions, "victim", value, 2)
        except messagedb.PositionConflictError:
            # It has no partitions.
            return

    def list_partitions(store: Store, value: str) -> None:
        try:
            store.variant.call(store.client.list_partitions, "victim", value)
        except messagedb.PositionConflictError:
            # It has no partitions.
            return

    def release(store: Store, value: str) -> None:
        try:
            store.variant.call(store.client.release_partition, "victim", value, 0)
        except messagedb.PositionConflictError:
            # It has no partitions.
            return

    def list_sets(store: Store, value: str) -> None:
        assert store.variant.call(store.client.list_partition_sets, value) == []

    yield Attack(
        "Consumer(category)",
        consume(None, category=str),
        get_position_stream,
    )
    yield Attack("Consumer(identifier)", consume(None, identifier=str), position)
    yield Attack("Consumer(types)", consume(0, types=lambda v: [v]), lambda v: "victim:position")
    yield Attack("Consumer(correlation)", consume(0, correlation=str), lambda v: "victim:position")
    yield Attack(
        "StreamPositionStore(stream_name)",
        consume(None, position_store=lambda v: StreamPositionStore(stream_name=v)),
        str,
    )
    yield Attack(
        "TablePositionStore(name)",
        consume(None, position_store=lambda v: TablePositionStore(name=v)),
    )
    yield Attack("resize_consumer_group(identifier)", resize)
    yield Attack("resize_partitions(identifier)", resize_partitions)
    yield Attack("list_partitions(identifier)", list_partitions)
    yield Attack("release_partition(identifier)", release)
    yield Attack("list_partition_sets(category)", list_sets)
    yield Attack("context.derive_id(name)", derive)


def get_position_stream(category: str, identifier: str = "") -> str:
    """Return the stream of a consumer's positions; '' if it can have none."""
    try:
        return streams.position_stream_name(category, identifier or None)
    except ValueError:
        return ""


def _others() -> Iterator[Attack]:
    def lock(store: Store, value: str) -> None:
        block = store.client.transaction(categories=[value, "victim"])
        store.variant.enter(block)
        store.variant.leave(block)

    def open_schema(store: Store, value: str) -> None:
        if value == "message_store":
            return
        client = store.variant.open_client(store.conninfo, schema=value)
        store.variant.call(client.close)
        raise AssertionError("a schema that is not there was accepted")

    def connect(store: Store, value: str) -> None:
        # Only what is checked before a connection is opened: a value may name a server.
        (messagedb.AsyncClient if store.variant.name == "async" else messagedb.Client)(value)

    def transact(category: str | None, id: str | None, option: str | None) -> Any:
        def run(store: Store, value: str) -> None:
            if Touched not in store.client.registry:
                store.client.registry.add(Touched)
            is_async = store.variant.name == "async"
            cls: Any = messagedb.AsyncEntityStore if is_async else messagedb.EntityStore
            entities = cls(store.client, value if category is None else category, decider=DECIDER)
            entity_id = value if id is None else id
            options = {} if option is None else {option: value}
            result = store.variant.call(entities.transact, entity_id, Touch(value), **options)
            assert store.variant.call(entities.get, entity_id) == result.entity

        return run

    def list_consumers(store: Store, value: str) -> None:
        if store.way == "functions-only role":
            return
        for found in store.variant.call(store.client.list_consumers, value):
            assert found.category == value

    def read_model(argument: str) -> Callable[[Store, str], None]:
        def run(store: Store, value: str) -> None:
            is_async = store.variant.name == "async"
            cls: Any = messagedb.AsyncReadModel if is_async else messagedb.ReadModel
            names: dict[str, Any] = {"name": f"m{uuid.uuid4().hex}", "schema": MODELS}
            names[argument] = [value] if argument == "readers" else value
            model = cls(
                store.client, "victim", version=1, create="CREATE TABLE {table} (n int)", **names
            )
            model.handler("None")(ignore_async if is_async else ignore)
            store.variant.call(model.rebuild)
            views = "select count(*) from pg_class where relkind = 'v' and relname = %s"
            assert store.ask(views, names["name"]) == 1

        return run

    async def ignore_async(message: Any) -> None: ...

    def ignore(message: Any) -> None: ...

    yield Attack("transaction(categories)", lock)
    yield Attack("Client(conninfo)", connect)
    yield Attack("Client(schema)", open_schema)
    yield Attack("EntityStore(category)", transact(None, "1", None), lambda v: f"{v}-1")
    yield Attack("transact(entity_id)", transact("entity", None, None), lambda v: f"entity-{v}")
    yield Attack("transact(id)", transact("entity", "1", "id"), lambda _: "entity-1")
    yield Attack("transact(name)", transact("entity", "1", "name"), lambda _: "entity-1")
    yield Attack("list_consumers(category)", list_consumers)
    for argument in ("name", "schema", "readers"):
        yield Attack(f"ReadModel({argument})", read_model(argument))
