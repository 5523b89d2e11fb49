"""Read models: rebuilt beside the old version, swapped, and each message counted once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import psycopg
import pytest
from psycopg import AsyncConnection

from messagedb import (
    AsyncClient,
    AsyncContext,
    AsyncReadModel,
    HandlerError,
    IncompatibleServerError,
    Message,
    NewMessage,
    PositionConflictError,
    ServerError,
    StreamPositionStore,
    ValidationError,
    schema,
)
from messagedb.consumers import NO_RETRY, AsyncBatchContext
from tests._async.model_schemas import ModelSchema
from tests.support.backend import make_url
from tests.support.background_async import Background, eventually, sleep

SUMS = "CREATE TABLE {table} (stream text PRIMARY KEY, total bigint NOT NULL)"
COUNTS = "CREATE TABLE {table} (count bigint NOT NULL, stream text PRIMARY KEY, total bigint)"
ADD = """
INSERT INTO {table} AS t (stream, total) VALUES (%s, %s)
ON CONFLICT (stream) DO UPDATE SET total = t.total + excluded.total
"""
ADD_ALL = """
INSERT INTO {table} AS t (stream, total)
SELECT stream, sum(n) FROM unnest(%s::text[], %s::bigint[]) AS new (stream, n) GROUP BY stream
ON CONFLICT (stream) DO UPDATE SET total = t.total + excluded.total
"""
COUNT = """
INSERT INTO {table} AS t (stream, total, count) VALUES (%s, %s, 1)
ON CONFLICT (stream) DO UPDATE SET total = t.total + excluded.total, count = t.count + 1
"""
FAST: dict[str, Any] = {"poll_interval": 0.01}


def sums(client: AsyncClient, category: str, version: int = 1, **options: Any) -> AsyncReadModel:
    """Make a model that adds up the numbers of each stream; the second version counts as well."""
    chosen: dict[str, Any] = {
        "name": "sums",
        "schema": category.lower(),
        "create": SUMS if version == 1 else COUNTS,
        **FAST,
        **options,
    }
    model = AsyncReadModel(client, category, version=version, **chosen)
    text = ADD if version == 1 else COUNT

    @model.handler("Noted")
    async def add(message: Message[Any], context: AsyncContext) -> None:
        values = [message.stream_name.rpartition("-")[2], message.data["n"]]
        await context.transaction.connection.execute(model.format_sql(text), values)

    return model


async def note(client: AsyncClient, category: str, numbers: dict[str, int]) -> None:
    """Write a number to each of some streams."""
    for stream, number in numbers.items():
        await client.write_message(f"{category}-{stream}", NewMessage("Noted", {"n": number}))


async def test_a_model_is_made_and_caught_up(
    client: AsyncClient, category: str, model_schema: ModelSchema
) -> None:
    await note(client, category, {"a": 1, "b": 2})
    model = sums(client, category)
    assert await model.get_current_version() is None
    assert await model.rebuild()
    assert model_schema.rows() == [("a", 1), ("b", 2)]
    assert await model.get_current_version() == 1
    await note(client, category, {"a": 10})
    assert await model.rebuild()
    assert model_schema.rows() == [("a", 11), ("b", 2)]
    assert await sums(client, category).rebuild()
    assert model_schema.rows() == [("a", 11), ("b", 2)]
    assert model.table == f'"{category.lower()}"."sums_v1"'
    assert model.view == f'"{category.lower()}"."sums"'
    assert "sums_v1" in repr(model)


async def test_several_messages_are_applied_in_one_transaction(
    client: AsyncClient, category: str, model_schema: ModelSchema
) -> None:
    for n in range(1, 31):
        await note(client, category, {"a": n})
    model = sums(client, category, transaction_size=20)
    versions: list[str] = []

    @model.handler("Other")
    async def other(message: Message[Any], context: AsyncContext) -> None:
        cursor = await context.transaction.connection.execute(
            "SELECT pg_current_xact_id()::text, current_setting('synchronous_commit')"
        )
        versions.extend(str(row) for row in await cursor.fetchall())

    await client.write_messages(f"{category}-a", [NewMessage("Other"), NewMessage("Other")])
    assert await model.rebuild()
    assert model_schema.rows() == [("a", 465)]
    assert len(versions) == 2
    # Both are in one transaction, which does not wait for the disk.
    assert len(set(versions)) == 1
    assert "off" in versions[0]
    status = model.consumer.status()
    assert status.handled_count == 32
    assert status.stored_next_position == status.next_position


def summed(client: AsyncClient, category: str, version: int = 1, **options: Any) -> AsyncReadModel:
    """Make the same model as ``sums()``, by a batch handler."""
    model = AsyncReadModel(
        client,
        category,
        name="sums",
        schema=category.lower(),
        version=version,
        create=SUMS,
        **FAST,
        **options,
    )
    add = model.format_sql(ADD_ALL)

    @model.batch_handler("Noted")
    async def add_all(messages: list[Message[Any]], context: AsyncBatchContext) -> None:
        streams = [message.stream_name.rpartition("-")[2] for message in messages]
        numbers = [message.data["n"] for message in messages]
        await context.transaction.connection.execute(add, [streams, numbers])

    return model


@pytest.mark.parametrize("size", [None, 7])
async def test_a_model_is_filled_by_lists(
    client: AsyncClient, category: str, model_schema: ModelSchema, size: int | None
) -> None:
    for n in range(1, 31):
        await note(client, category, {"a": n, "b": 2})
    await sums(client, category).rebuild()
    second = summed(client, category, 2, batch_size=20, transaction_size=size)
    assert await second.rebuild()
    assert model_schema.rows() == [("a", 465), ("b", 60)]
    assert second.consumer.status().handled_count == 60
    async with second.running():
        await note(client, category, {"a": 10})
        await eventually(lambda: model_schema.rows() == [("a", 475), ("b", 60)])


async def test_a_model_without_messages_has_an_empty_view(
    client: AsyncClient, category: str, model_schema: ModelSchema
) -> None:
    assert await sums(client, category).rebuild()
    assert model_schema.rows() == []


async def test_it_runs_until_it_is_stopped(
    client: AsyncClient, category: str, model_schema: ModelSchema
) -> None:
    model = sums(client, category)
    run = Background(model.run)
    await eventually(lambda: "sums" in model_schema.relations())
    await note(client, category, {"a": 1})
    await eventually(lambda: model_schema.rows() == [("a", 1)])
    with pytest.raises(ValidationError, match="already running"):
        await model.rebuild()
    await model.stop()
    await run.result()
    async with model.running():
        await note(client, category, {"a": 2})
        await model.consumer.wait_until_caught_up(timeout=5)
        assert model_schema.rows() == [("a", 3)]


@pytest.mark.parametrize("store", [None, StreamPositionStore()])
async def test_the_next_version_is_filled_beside_the_old_one_and_readers_see_no_gap(
    client: AsyncClient, store_url: str, category: str, model_schema: ModelSchema, store: Any
) -> None:
    first = sums(client, category, 1, position_store=store)
    await note(client, category, {f"s{n}": 1 for n in range(50)})
    await first.rebuild()
    seen: list[tuple[int, int]] = []
    is_over: list[bool] = []

    async def write() -> None:
        n = 0
        while not is_over:
            n += 1
            await note(client, category, {f"t{n}": 1})
            # No faster than two models can handle it.
            await sleep(0.02)

    async def read() -> None:
        view = first.view.encode()
        async with await AsyncConnection.connect(store_url, autocommit=True) as conn:
            while not is_over:
                cursor = await conn.execute(b"SELECT count(*), sum(total)::bigint FROM " + view)
                row = await cursor.fetchone()
                assert row is not None
                seen.append((row[0], row[1]))

    async with AsyncClient(store_url, max_size=4) as others, first.running():
        loads = [Background(write), Background(read)]
        try:
            await eventually(lambda: len(seen) > 20)
            second = sums(others, category, 2, position_store=store)
            assert await second.rebuild()
            assert await second.get_current_version() == 2
            count = len(seen)
            async with second.running():
                await eventually(lambda: len(seen) > count + 20)
        finally:
            is_over.append(True)
        for load in loads:
            await load.result()
    assert seen == sorted(seen)
    assert min(count for count, _ in seen) >= 50
    await sums(client, category, 2, position_store=store).rebuild()
    await first.rebuild()
    filled = sorted((row[1], row[2]) for row in model_schema.rows("sums_v2"))
    assert filled == sorted(model_schema.rows("sums_v1"))
    assert all(row[0] == row[2] == 1 for row in model_schema.rows())


async def test_an_old_version_does_not_come_back_by_itself(
    client: AsyncClient, category: str, model_schema: ModelSchema
) -> None:
    await note(client, category, {"a": 1})
    first, second = sums(client, category, 1), sums(client, category, 2)
    await first.rebuild()
    await second.rebuild()
    await note(client, category, {"a": 2})
    assert not await first.rebuild()
    assert model_schema.rows() == [(1, "a", 1)]
    assert model_schema.rows("sums_v1") == [("a", 3)]
    assert await first.rebuild(allow_downgrade=True)
    assert model_schema.rows() == [("a", 3)]
    assert [
        (v.version, v.is_current, v.table, v.category) for v in await first.list_versions()
    ] == [
        (1, True, first.table, category),
        (2, False, second.table, category),
    ]


async def test_a_version_is_dropped_unless_it_is_shown_or_kept_up(
    client: AsyncClient, category: str, model_schema: ModelSchema
) -> None:
    await note(client, category, {"a": 1, "b": 1})
    first, second = sums(client, category, 1), sums(client, category, 2)
    await first.rebuild()
    with pytest.raises(ValidationError, match="the one that readers see"):
        await second.drop_version(1)
    await second.rebuild()
    async with first.running():
        await first.consumer.wait_until_caught_up(timeout=5)
        with pytest.raises(PositionConflictError, match="updated by a running process"):
            await second.drop_version(1)
    model_schema.execute(
        f"CREATE VIEW {model_schema.schema}.mine AS SELECT * FROM {model_schema.schema}.sums_v1"
    )
    with pytest.raises(ServerError, match="depend on it"):
        await second.drop_version(1)
    model_schema.execute(f"DROP VIEW {model_schema.schema}.mine")
    assert await second.drop_version(1)
    assert not await second.drop_version(1)
    assert model_schema.relations() == {"sums", "sums_v2"}
    assert [each.version for each in await second.list_versions()] == [2]
    # It begins from the first message.
    assert await first.rebuild(allow_downgrade=True)
    assert model_schema.rows() == [("a", 1), ("b", 1)]


async def test_a_table_that_was_dropped_by_hand_is_filled_anew(
    client: AsyncClient, category: str, model_schema: ModelSchema
) -> None:
    await note(client, category, {"a": 1})
    model = sums(client, category)
    await model.rebuild()
    model_schema.execute(f"DROP TABLE {model_schema.schema}.sums_v1 CASCADE")
    await note(client, category, {"a": 2})
    assert await model.rebuild()
    assert model_schema.rows() == [("a", 3)]


@pytest.mark.parametrize(
    "made",
    [
        "TABLE {0}.sums (a int)",
        "VIEW {0}.sums AS SELECT 1 a",
        "MATERIALIZED VIEW {0}.sums AS SELECT 1 a",
        "TABLE {0}.sums_v1 (a int)",
    ],
)
async def test_foreign_tables_and_views_are_left_alone(
    client: AsyncClient, category: str, model_schema: ModelSchema, made: str
) -> None:
    model_schema.execute("CREATE " + made.format(model_schema.schema))
    before = model_schema.relations()
    model = sums(client, category)
    with pytest.raises(ValidationError, match="not made by a read model"):
        await model.rebuild()
    assert model_schema.relations() == before
    with pytest.raises(ValidationError, match="not made by a read model"):
        await model.drop_version(1)


async def test_a_name_that_is_taken_meanwhile_is_left_alone(
    client: AsyncClient, category: str, model_schema: ModelSchema
) -> None:
    await note(client, category, {"a": 1})
    model = sums(client, category)

    @model.handler("Taken")
    async def take(_message: Message[Any]) -> None:
        model_schema.execute(f"CREATE TABLE {model_schema.schema}.sums (a int)")

    await client.write_message(f"{category}-x", NewMessage("Taken"))
    with pytest.raises(ValidationError, match="not made by a read model"):
        await model.run()
    assert model_schema.rows() == []
    assert model_schema.rows("sums_v1") == [("a", 1)]
    model_schema.execute(f"DROP TABLE {model_schema.schema}.sums")
    assert await model.rebuild()
    assert model_schema.rows() == [("a", 1)]


async def test_grants_and_owner_of_the_view_stay(
    client: AsyncClient, category: str, model_schema: ModelSchema
) -> None:
    name, reader, owner = (
        model_schema.schema,
        f"r_{model_schema.schema}",
        f"o_{model_schema.schema}",
    )
    for role in (reader, owner):
        model_schema.execute(f"CREATE ROLE {role}")
        model_schema.execute(f"GRANT USAGE, CREATE ON SCHEMA {name} TO {role}")
    try:
        model_schema.execute(
            f"ALTER DEFAULT PRIVILEGES FOR ROLE message_store IN SCHEMA {name}"
            " GRANT UPDATE, SELECT ON TABLES TO PUBLIC"
        )
        model_schema.execute(f"GRANT {owner} TO message_store")
        await note(client, category, {"a": 1})
        await sums(client, category, 1).rebuild()
        model_schema.execute(f"REVOKE UPDATE ON {name}.sums FROM PUBLIC")
        model_schema.execute(f"GRANT SELECT, DELETE ON {name}.sums TO {reader} WITH GRANT OPTION")
        model_schema.execute(f"ALTER VIEW {name}.sums OWNER TO {owner}")
        grants = (
            "SELECT grantee, privilege_type, is_grantable FROM information_schema.table_privileges"
            f" WHERE table_schema = '{name}' AND table_name = 'sums'"
            f" AND grantee IN ('PUBLIC', '{reader}') ORDER BY 1, 2"
        )
        before = model_schema.execute(grants)
        assert len(before) == 3
        model_schema.execute(f"REVOKE ALL ON {name}.sums_v1 FROM PUBLIC")
        await sums(client, category, 2).rebuild()
        assert model_schema.execute(grants) == before
        assert model_schema.execute(
            f"SELECT viewowner FROM pg_views WHERE schemaname = '{name}' AND viewname = 'sums'"
        ) == [(owner,)]
        model_schema.execute(f"REVOKE ALL ON {name}.sums_v2 FROM PUBLIC")
        model_schema.execute(f"SET ROLE {reader}")
        assert model_schema.rows() == [(1, "a", 1)]
    finally:
        model_schema.execute("RESET ROLE")
        for role in (reader, owner):
            model_schema.execute(f"REASSIGN OWNED BY {role} TO message_store")
            model_schema.execute(f"DROP OWNED BY {role}")
            model_schema.execute(f"DROP ROLE {role}")
        model_schema.execute(
            f"ALTER DEFAULT PRIVILEGES FOR ROLE message_store IN SCHEMA {name}"
            " REVOKE UPDATE, SELECT ON TABLES FROM PUBLIC"
        )


async def test_readers_that_are_named_may_read_the_view(
    client: AsyncClient, category: str, model_schema: ModelSchema
) -> None:
    name, reader, other = (
        model_schema.schema,
        f"r_{model_schema.schema}",
        f"s_{model_schema.schema}",
    )
    for role in (reader, other):
        model_schema.execute(f"CREATE ROLE {role}")
        model_schema.execute(f"GRANT USAGE ON SCHEMA {name} TO {role}")
    try:
        await note(client, category, {"a": 1})
        await sums(client, category, 1, readers=reader).rebuild()
        model_schema.execute(f"SET ROLE {reader}")
        assert model_schema.rows() == [("a", 1)]
        model_schema.execute("RESET ROLE")
        # The view is there already, and goes on to the next version.
        await sums(client, category, 1, readers=[reader, other]).rebuild()
        await sums(client, category, 2, readers=[reader, other]).rebuild()
        for role in (reader, other):
            model_schema.execute(f"SET ROLE {role}")
            assert model_schema.rows() == [(1, "a", 1)]
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                model_schema.rows("sums_v2")
            model_schema.execute("RESET ROLE")
        with pytest.raises(IncompatibleServerError, match="is not a role"):
            await sums(client, category, 2, readers="nobody_here").rebuild()
        assert model_schema.rows() == [(1, "a", 1)]
    finally:
        model_schema.execute("RESET ROLE")
        for role in (reader, other):
            model_schema.execute(f"DROP OWNED BY {role}")
            model_schema.execute(f"DROP ROLE {role}")


async def test_two_stores_of_a_database_share_no_model(
    new_database: Callable[..., str], category: str
) -> None:
    owner = new_database(install=False)
    for tenant in ("tenant_a", "tenant_b"):
        schema.install(owner, schema=tenant)
    with psycopg.connect(owner, autocommit=True) as conn:
        conn.execute("create schema models; grant all on schema models to message_store")
        for tenant in ("tenant_a", "tenant_b"):
            conn.execute(f"create schema {tenant}_models".encode())
            conn.execute(f"grant all on schema {tenant}_models to message_store".encode())
    url = make_url(owner, user="message_store")
    async with (
        AsyncClient(url, schema="tenant_a") as first,
        AsyncClient(url, schema="tenant_b") as second,
    ):
        await note(first, category, {"a": 500})
        await note(second, category, {"a": 3})
        assert await sums(first, category, schema="models").rebuild()
        for version in (1, 2):
            model = sums(second, category, version, schema="models")
            with pytest.raises(ValidationError, match="another store of this database"):
                await model.rebuild()
            assert await model.get_current_version() is None
            assert await model.list_versions() == []
            with pytest.raises(ValidationError, match="another store of this database"):
                await model.drop_version(1)
        assert await sums(first, category, schema="tenant_a_models").rebuild()
        assert await sums(second, category, schema="tenant_b_models").rebuild()
    with psycopg.connect(owner, autocommit=True) as conn:
        for view, total in (("models", 500), ("tenant_a_models", 500), ("tenant_b_models", 3)):
            rows = conn.execute(f"select stream, total from {view}.sums".encode()).fetchall()
            assert rows == [("a", total)]


async def test_an_embedded_store_has_models_without_another_role(category: str) -> None:
    async with AsyncClient("embedded:") as embedded:
        await note(embedded, category, {"a": 2})
        model = sums(embedded, category, schema="public")
        assert await model.rebuild()
        async with embedded.transaction(read_only=True) as transaction:
            cursor = await transaction.connection.execute("select total from public.sums")
            assert await cursor.fetchall() == [(2,)]


async def test_a_swap_waits_for_a_reader_in_a_transaction_and_others_read_on(
    client: AsyncClient, store_url: str, category: str, model_schema: ModelSchema
) -> None:
    await note(client, category, {"a": 1})
    await sums(client, category, 1).rebuild()
    second = sums(client, category, 2)
    async with await AsyncConnection.connect(store_url) as reader:
        await reader.execute(f"SELECT * FROM {model_schema.schema}.sums".encode())
        run = Background(second.rebuild)
        await eventually(model_schema.is_waited_for)
        for _ in range(20):
            # Behind the swap, which gives up its place soon.
            assert model_schema.rows() == [("a", 1)]
        assert not run.ended
        await reader.commit()
        assert await run.result()
    assert model_schema.rows() == [(1, "a", 1)]


async def test_it_is_stopped_while_it_waits_to_be_shown(
    client: AsyncClient, store_url: str, category: str, model_schema: ModelSchema
) -> None:
    await sums(client, category, 1).rebuild()
    second = sums(client, category, 2)
    async with await AsyncConnection.connect(store_url) as reader:
        await reader.execute(f"SELECT * FROM {model_schema.schema}.sums".encode())
        run = Background(second.rebuild)
        await eventually(model_schema.is_waited_for)
        await second.stop()
        assert not await run.result()
    assert await second.get_current_version() == 1


async def test_a_view_on_the_view_keeps_it_from_being_swapped(
    client: AsyncClient, category: str, model_schema: ModelSchema
) -> None:
    await sums(client, category, 1).rebuild()
    model_schema.execute(
        f"CREATE VIEW {model_schema.schema}.mine AS SELECT * FROM {model_schema.schema}.sums"
    )
    with pytest.raises(ServerError, match="depend on it"):
        await sums(client, category, 2).run()
    model_schema.execute(f"DROP VIEW {model_schema.schema}.mine")
    assert await sums(client, category, 2).rebuild()


async def test_statements_that_fail_leave_nothing(
    client: AsyncClient, category: str, model_schema: ModelSchema
) -> None:
    for create, error in [
        ([SUMS, "CREATE INDEX ON {table} (nonsense)"], ServerError),
        ("DROP TABLE IF EXISTS {table}", ValidationError),
    ]:
        with pytest.raises(error, match="Nothing was changed"):
            await sums(client, category, create=create).rebuild()
        assert model_schema.relations() == set()
    several = [SUMS, "CREATE INDEX ON {table} (total); CREATE INDEX ON {table} (stream, total)"]
    assert await sums(client, category, create=several).rebuild()


async def test_a_table_that_a_crash_would_empty_is_refused(
    client: AsyncClient, category: str, model_schema: ModelSchema
) -> None:
    unlogged = sums(client, category, create=SUMS.replace("CREATE", "CREATE UNLOGGED"))
    with pytest.raises(ValidationError, match="is an UNLOGGED table"):
        await unlogged.rebuild()
    assert model_schema.relations() == set()
    assert await sums(client, category).rebuild()
    model_schema.execute(f"ALTER TABLE {model_schema.schema}.sums_v1 SET UNLOGGED")
    with pytest.raises(ValidationError, match="SET LOGGED"):
        await sums(client, category).rebuild()


async def test_without_a_right_or_a_schema_the_error_names_the_cure(
    client: AsyncClient, category: str, model_schema: ModelSchema
) -> None:
    model_schema.execute(f"REVOKE CREATE ON SCHEMA {model_schema.schema} FROM message_store")
    for name in (model_schema.schema, "nowhere"):
        with pytest.raises(IncompatibleServerError, match="grant CREATE and USAGE"):
            await sums(client, category, schema=name).rebuild()
    assert model_schema.relations() == set()


async def test_another_category_or_store_needs_another_version(
    client: AsyncClient, category: str, model_schema: ModelSchema
) -> None:
    await sums(client, category).rebuild()
    options: list[Any] = [
        {"position_store": StreamPositionStore()},
        {"schema": model_schema.schema},
    ]
    for other, option in zip((category, f"{category}Other"), options, strict=True):
        with pytest.raises(ValidationError, match="the next version"):
            await sums(client, other, **option).rebuild()
    assert await sums(client, f"{category}Other", 2, schema=model_schema.schema).rebuild()


async def test_a_message_that_fails_counts_once_when_it_is_handled_again(
    client: AsyncClient, category: str, model_schema: ModelSchema
) -> None:
    await note(client, category, {"a": 1, "b": 2, "c": 3})
    troubles = [OSError("after the effect")]

    async def after(context: AsyncContext, call_next: Any) -> Any:
        result = await call_next(context)
        if context.message.data["n"] == 2 and troubles:
            raise troubles[0]
        return result

    model = sums(client, category, middleware=[after], retry=NO_RETRY)
    with pytest.raises(HandlerError, match="after the effect"):
        await model.rebuild()
    assert model_schema.rows("sums_v1") == [("a", 1)]
    assert await model.get_current_version() is None
    troubles.clear()
    assert await model.rebuild()
    assert model_schema.rows() == [("a", 1), ("b", 2), ("c", 3)]


async def test_a_handler_may_name_a_class_of_the_function_around_it(
    client: AsyncClient, category: str, model_schema: ModelSchema
) -> None:
    class Noted(msgspec.Struct):
        n: int

    model = AsyncReadModel(
        client, category, name="sums", version=1, create=SUMS, schema=model_schema.schema
    )

    @model.handler
    async def add(event: Noted, context: AsyncContext) -> None:
        values = [context.message.stream_name.rpartition("-")[2], event.n]
        await context.transaction.connection.execute(model.format_sql(ADD), values)

    await client.write_message(f"{category}-a", NewMessage("Noted", {"n": 3}))
    assert await model.rebuild()
    assert model_schema.rows() == [("a", 3)]


async def test_a_model_needs_two_connections_and_a_handler(
    store_url: str, client: AsyncClient, category: str, model_schema: ModelSchema
) -> None:
    async with AsyncClient(store_url, max_size=1) as small:
        with pytest.raises(ValidationError, match="two connections"):
            sums(small, category)
    model = AsyncReadModel(
        client, category, name="sums", version=1, create=SUMS, schema=model_schema.schema
    )
    with pytest.raises(ValidationError, match="no handler"):
        await model.rebuild()
    assert model_schema.relations() == set()
    async with AsyncClient(store_url, max_size=2) as two:
        assert await sums(two, category).rebuild()
