"""The operations on a connection of the user's: in its transaction, and without a trace on it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, cast

import psycopg
import pytest
from psycopg import AsyncClientCursor, AsyncConnection, IsolationLevel
from psycopg.adapt import Loader
from psycopg.rows import dict_row, tuple_row
from psycopg.types.string import TextLoader

from messagedb import (
    NO_STREAM,
    STREAM_EXISTS,
    AsyncBoundClient,
    AsyncClient,
    DuplicateMessageError,
    NewMessage,
    RetryableError,
    StoreUnavailableError,
    TransactionAbortedError,
    ValidationError,
    WrongExpectedVersionError,
)
from tests.support.setup import get_sql_version
from tests.support.store import locked

SETTINGS = (
    "search_path",
    "statement_timeout",
    "default_transaction_isolation",
    "message_store.sql_condition",
    "client_connection_check_interval",
    "application_name",
)


def noted(n: int = 0) -> NewMessage:
    return NewMessage("Noted", {"n": n})


class ShoutingLoader(TextLoader):
    """A loader that would spoil every text that we read."""

    def load(self, data: Any) -> str:
        return f"!{bytes(data).decode()}!"


class WrongIntLoader(Loader):
    """A loader that would spoil every number that we read."""

    def load(self, data: Any) -> int:
        return -42


async def settings_of(conn: AsyncConnection[Any]) -> list[Any]:
    cursor = AsyncClientCursor(conn, row_factory=tuple_row)
    query = "SELECT " + ", ".join(
        f"current_setting('{name}', true) IS NULL, current_setting('{name}', true)"
        for name in SETTINGS
    )
    row = await (await cursor.execute(query)).fetchone()
    assert row is not None
    return list(row)


def plain(conn: AsyncConnection[Any]) -> None:
    """Leave the connection as psycopg makes it."""


def with_dict_row(conn: AsyncConnection[Any]) -> None:
    conn.row_factory = dict_row


def with_client_cursor(conn: AsyncConnection[Any]) -> None:
    conn.cursor_factory = AsyncClientCursor


def with_foreign_loaders(conn: AsyncConnection[Any]) -> None:
    for name in ("text", "varchar"):
        conn.adapters.register_loader(name, ShoutingLoader)
    for name in ("int8", "int4", "timestamp", "bool"):
        conn.adapters.register_loader(name, WrongIntLoader)


def never_preparing(conn: AsyncConnection[Any]) -> None:
    conn.prepare_threshold = None


def always_preparing(conn: AsyncConnection[Any]) -> None:
    conn.prepare_threshold = 0


KINDS = [
    plain,
    with_dict_row,
    with_client_cursor,
    with_foreign_loaders,
    never_preparing,
    always_preparing,
]
FRAMES = ["implicit", "autocommit", "transaction", "savepoint", "pipeline", "autocommit pipeline"]


@pytest.fixture(params=[True, None, False], ids=["direct", "found out", "functions only"])
async def any_client(request: pytest.FixtureRequest, store_url: str) -> AsyncIterator[AsyncClient]:
    """Return clients that write in each of the two ways."""
    async with AsyncClient(store_url, direct_writes=request.param) as client:
        yield client


async def use_everything(bound: AsyncBoundClient, category: str) -> None:
    """Run every operation, with every outcome, and look at all that it gives."""
    stream = f"{category}-1"
    first, second = noted(1), noted(2)
    assert await bound.stream_version(stream) == NO_STREAM
    assert await bound.write_message(stream, first, expected_version=NO_STREAM) == 0
    assert await bound.write_message(stream, first, expected_version=NO_STREAM) == 0
    assert await bound.write_message(stream, second, expected_version=STREAM_EXISTS) == 1
    assert await bound.write_messages(stream, [noted(3), first, noted(4)]) == [2, 0, 3]
    with pytest.raises(WrongExpectedVersionError) as wrong:
        await bound.write_message(stream, noted(), expected_version=7)
    assert wrong.value.actual_version == 3
    with pytest.raises(WrongExpectedVersionError):
        await bound.write_messages(stream, [noted(), noted()], expected_version=NO_STREAM)
    with pytest.raises(DuplicateMessageError) as duplicate:
        await bound.write_message(f"{category}-2", first)
    assert duplicate.value.existing_stream_name == stream
    with pytest.raises(DuplicateMessageError):
        await bound.write_messages(f"{category}-2", [noted(), second])
    assert await bound.stream_version(f"{category}-2") == NO_STREAM
    stored = await bound.get_stream_messages(stream)
    assert [m.data["n"] for m in stored] == [1, 2, 3, 4]
    assert [m.position for m in stored] == [0, 1, 2, 3]
    assert stored[0].id == first.id
    assert {m.stream_name for m in stored} == {stream}
    assert {m.type for m in stored} == {"Noted"}
    assert await bound.get_category_messages(category) == stored
    found = await bound.get_stream_messages(stream, condition="position in (1, 3)")
    assert [m.position for m in found] == [1, 3]
    found = await bound.get_category_messages(
        category, condition="position in (1, 3)", batch_size=1
    )
    assert [m.position for m in found] == [1]
    grouped = [
        m
        for member in range(3)
        for m in await bound.get_category_messages(category, group_member=member, group_size=3)
    ]
    assert grouped == stored
    last = await bound.get_last_stream_message(stream)
    assert last == stored[3]
    assert await bound.get_last_stream_message(stream, type="Noted") == stored[3]
    assert await bound.get_last_stream_message(stream, type="Other") is None
    assert [m async for m in bound.read_stream(stream, batch_size=3)] == stored
    assert [m async for m in bound.read_category(category, batch_size=1)] == stored
    assert await bound.message_store_version() == get_sql_version()


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("frame", FRAMES)
async def test_everything_on_every_kind_of_connection(
    any_client: AsyncClient, store_url: str, category: str, kind: Any, frame: str
) -> None:
    conn = await AsyncConnection.connect(store_url, autocommit=frame != "implicit")
    kind(conn)
    async with conn:
        before = await settings_of(conn)
        async with AsyncExitStack() as stack:
            if "pipeline" in frame:
                await stack.enter_async_context(conn.pipeline())
            if frame in ("transaction", "savepoint", "pipeline"):
                await stack.enter_async_context(conn.transaction())
            if frame == "savepoint":
                await stack.enter_async_context(conn.transaction())
            await use_everything(any_client.bind(conn), category)
            if "autocommit" not in frame:
                assert await any_client.stream_version(f"{category}-1") == NO_STREAM
                assert await settings_of(conn) == before
        if frame == "implicit":
            await conn.commit()
        assert await any_client.stream_version(f"{category}-1") == 3
        assert await settings_of(conn) == before
        assert (cast("Any", conn.row_factory) is dict_row) == (kind is with_dict_row)
        assert conn.autocommit is (frame != "implicit")


async def test_a_write_in_a_pipeline_is_sent_with_the_statements_before_it(
    client: AsyncClient, conn: AsyncConnection[Any], category: str, tmp_path: Path
) -> None:
    await client.bind(conn).stream_version(f"{category}-1")
    bound = client.bind(conn)
    path = tmp_path / "trace"

    async def trace(*, is_read: bool = False) -> tuple[int, bool]:
        """Return the number of Syncs, and whether it was sent behind others: in a savepoint."""
        with path.open("w+") as file:
            conn.pgconn.trace(file.fileno())
            if is_read:
                await bound.stream_version(f"{category}-1")
            else:
                await bound.write_message(f"{category}-1", noted())
            conn.pgconn.untrace()
        text = path.read_text()
        return text.count("ReadyForQuery"), "SAVEPOINT" in text

    async with conn.transaction(), conn.pipeline():
        for _ in range(2):
            await conn.execute("SELECT 1")
            assert await trace() == (2, True)
            # Nothing is queued.
            assert await trace() == (1, False)
        await conn.execute("SELECT 1")
        assert await trace(is_read=True) == (2, False)
    assert await bound.stream_version(f"{category}-1") == 3


@pytest.mark.parametrize("has_queued_begin", [False, True])
async def test_every_outcome_of_a_write_that_is_sent_with_queued_statements(
    client: AsyncClient,
    conn: AsyncConnection[Any],
    category: str,
    has_queued_begin: bool,
) -> None:
    await conn.set_autocommit(True)
    bound = client.bind(conn)
    stored, other = noted(), noted()
    await bound.write_message(f"{category}-1", stored)
    await bound.write_message(f"{category}-2", other)
    async with AsyncExitStack() as stack:
        if not has_queued_begin:
            await stack.enter_async_context(conn.transaction())
        await stack.enter_async_context(conn.pipeline())
        if has_queued_begin:
            await stack.enter_async_context(conn.transaction())
        await conn.execute("CREATE TEMPORARY TABLE queued (n int) ON COMMIT DROP")
        insert = "INSERT INTO queued VALUES (1)"
        await conn.execute(insert)
        assert await bound.write_message(f"{category}-1", stored) == 0
        await conn.execute(insert)
        with pytest.raises(DuplicateMessageError):
            await bound.write_message(f"{category}-1", other)
        await conn.execute(insert)
        with pytest.raises(WrongExpectedVersionError):
            await bound.write_message(f"{category}-1", noted(), expected_version=5)
        await conn.execute(insert)
        assert await bound.write_message(f"{category}-1", noted(), expected_version=0) == 1
        await conn.execute(insert)
        assert await bound.write_messages(f"{category}-1", [noted(), noted()]) == [2, 3]
        cursor = await conn.execute("SELECT count(*) FROM queued")
        assert await cursor.fetchone() == (5,)
    assert await client.stream_version(f"{category}-1") == 3


async def test_a_write_behind_queued_statements_outside_of_a_transaction(
    client: AsyncClient, conn: AsyncConnection[Any], category: str
) -> None:
    await conn.set_autocommit(True)
    bound = client.bind(conn)
    async with conn.pipeline():
        await conn.execute("SELECT 1")
        assert await bound.write_message(f"{category}-1", noted()) == 0
        # A separate transaction: it is stored, and its lock released.
        assert await client.write_message(f"{category}-1", noted()) == 1
        await conn.execute("BEGIN")
        assert await bound.write_message(f"{category}-1", noted()) == 2
        await conn.execute("ROLLBACK")
        assert await bound.write_message(f"{category}-1", noted()) == 2
    assert await client.stream_version(f"{category}-1") == 2


async def test_a_queued_end_of_the_transaction_is_seen_by_the_write_behind_it(
    client: AsyncClient, category: str
) -> None:
    with pytest.raises(ValidationError, match="ended"):
        async with client.transaction() as tx, tx.connection.pipeline():
            await tx.connection.execute("ROLLBACK")
            await tx.write_message(f"{category}-1", noted())
    assert await client.stream_version(f"{category}-1") == NO_STREAM


async def test_a_write_that_is_refused_behind_queued_statements_aborts_the_transaction(
    client: AsyncClient, conn: AsyncConnection[Any], store_url: str, category: str
) -> None:
    bound = client.bind(conn)
    await bound.stream_version(f"{category}-1")
    await conn.execute("SET lock_timeout = 20")
    with locked(store_url, category), pytest.raises(RetryableError, match="lock_timeout"):
        async with conn.transaction(), conn.pipeline():
            await conn.execute("SELECT 1")
            await bound.write_message(f"{category}-1", noted())
    assert await bound.write_message(f"{category}-1", noted()) == 0


async def test_an_error_of_a_queued_statement_is_raised_by_the_operation_after_it(
    client: AsyncClient, conn: AsyncConnection[Any], category: str
) -> None:
    bound = client.bind(conn)
    with pytest.raises(psycopg.errors.DivisionByZero):
        async with conn.transaction(), conn.pipeline():
            await conn.execute("SELECT 1")
            await conn.execute("SELECT 1 / 0")
            await bound.write_message(f"{category}-1", noted())
    assert await client.stream_version(f"{category}-1") == NO_STREAM
    assert await bound.write_message(f"{category}-1", noted()) == 0


async def test_a_bound_connection_prepares_after_its_threshold_and_forgets_with_its_owner(
    client: AsyncClient, conn: AsyncConnection[Any], category: str
) -> None:
    bound = client.bind(conn)
    for number in range(20):
        async with conn.transaction():
            assert await bound.write_message(f"{category}-1", noted()) == 2 * number
            assert await bound.write_message(f"{category}-1", noted()) == 2 * number + 1
            if number == 1:
                assert await count_prepared(conn) == 0
            if number == 10:
                # The lock, and the insert.
                assert await count_prepared(conn) == 2
                await conn.execute("DEALLOCATE ALL")
                assert await count_prepared(conn) == 0
    conn.prepare_threshold = None
    async with conn.transaction():
        await conn.execute("DEALLOCATE ALL")
        assert await bound.write_message(f"{category}-1", noted()) == 40
        assert await bound.write_message(f"{category}-1", noted()) == 41
        assert await count_prepared(conn) == 0


async def count_prepared(conn: AsyncConnection[Any]) -> int:
    """Return the number of our statements that the server keeps for a connection."""
    cursor = await conn.execute(
        "SELECT count(*) FROM pg_prepared_statements"
        " WHERE statement LIKE '%messagedb%' AND statement NOT LIKE '%pg_prepared_statements%'"
    )
    row = await cursor.fetchone()
    assert row is not None
    count: int = row[0]
    return count


async def test_rolled_back_writes_of_a_bound_client_are_gone(
    any_client: AsyncClient, conn: AsyncConnection[Any], category: str
) -> None:
    bound = any_client.bind(conn)
    stream = f"{category}-1"
    await bound.write_message(stream, noted(1))
    async with conn.transaction(force_rollback=True):
        await bound.write_message(stream, noted(2))
        await bound.write_messages(stream, [noted(3), noted(4)])
    assert await bound.write_message(stream, noted(5)) == 1
    await conn.commit()
    assert [m.data["n"] for m in await any_client.get_stream_messages(stream)] == [1, 5]
    await bound.write_message(stream, noted(6))
    await conn.rollback()
    assert await any_client.stream_version(stream) == 1


async def test_writes_commit_with_the_users_own_sql(
    client: AsyncClient, store_url: str, category: str
) -> None:
    async with await AsyncConnection.connect(store_url) as conn:
        await conn.execute("CREATE TEMPORARY TABLE notes (n int) ON COMMIT PRESERVE ROWS")
        await conn.commit()
        async with conn.transaction():
            await conn.execute("INSERT INTO notes VALUES (1)")
            await client.bind(conn).write_message(f"{category}-1", noted())
        rows = await (await conn.execute("SELECT n FROM notes")).fetchall()
        assert rows == [(1,)]
        assert await client.stream_version(f"{category}-1") == 0


@pytest.mark.parametrize("level", [IsolationLevel.REPEATABLE_READ, IsolationLevel.SERIALIZABLE])
async def test_writes_need_read_committed_and_reads_do_not(
    any_client: AsyncClient, conn: AsyncConnection[Any], category: str, level: IsolationLevel
) -> None:
    await any_client.write_message(f"{category}-1", noted(1))
    await conn.set_isolation_level(level)
    bound = any_client.bind(conn)
    assert [m.data["n"] for m in await bound.get_stream_messages(f"{category}-1")] == [1]
    with pytest.raises(ValidationError, match="READ COMMITTED"):
        await bound.write_message(f"{category}-1", noted(2))
    with pytest.raises(ValidationError, match="READ COMMITTED"):
        await bound.write_messages(f"{category}-1", [noted(2), noted(3)])
    assert await bound.stream_version(f"{category}-1") == 0
    await conn.commit()
    assert await any_client.stream_version(f"{category}-1") == 0


async def test_a_failed_transaction_is_named_before_anything_is_sent(
    any_client: AsyncClient, conn: AsyncConnection[Any], category: str
) -> None:
    bound = any_client.bind(conn)
    await bound.write_message(f"{category}-1", noted())
    with pytest.raises(psycopg.errors.UndefinedTable):
        await conn.execute("SELECT * FROM no_such_table")
    with pytest.raises(TransactionAbortedError, match="Roll it back"):
        await bound.write_message(f"{category}-1", noted())
    with pytest.raises(TransactionAbortedError):
        await bound.get_stream_messages(f"{category}-1")
    await conn.rollback()
    assert await bound.write_message(f"{category}-1", noted()) == 0
    await conn.commit()


async def test_the_first_call_in_a_failed_transaction(
    store_url: str, conn: AsyncConnection[Any]
) -> None:
    unopened = AsyncClient(store_url)
    with pytest.raises(psycopg.errors.UndefinedTable):
        await conn.execute("SELECT * FROM no_such_table")
    with pytest.raises(TransactionAbortedError):
        await unopened.bind(conn).stream_version("a-1")
    await unopened.close()


async def test_a_closed_connection_and_a_wrong_one(
    client: AsyncClient, conn: AsyncConnection[Any]
) -> None:
    bound = client.bind(conn)
    await conn.close()
    with pytest.raises(StoreUnavailableError, match="closed"):
        await bound.stream_version("a-1")
    with pytest.raises(ValidationError, match="bind"):
        client.bind("postgresql://")  # type: ignore[arg-type]


async def test_an_error_of_a_read_says_that_the_transaction_is_aborted(
    client: AsyncClient, conn: AsyncConnection[Any], category: str
) -> None:
    with pytest.raises(ValidationError, match=r"42601.*aborted") as caught:
        await client.bind(conn).get_stream_messages(f"{category}-1", condition="no such syntax")
    assert isinstance(caught.value.__cause__, psycopg.Error)
    await conn.rollback()


async def test_waiting_for_ones_own_transaction_is_explained(
    store_url: str, conn: AsyncConnection[Any], category: str
) -> None:
    async with AsyncClient(store_url, command_timeout=0.3) as impatient:
        await impatient.bind(conn).write_message(f"{category}-1", noted())
        with pytest.raises(StoreUnavailableError, match=rf"category '{category}'.*bind") as caught:
            await impatient.write_message(f"{category}-2", noted())
        assert "command_timeout (0.3 s" in str(caught.value)
        assert isinstance(caught.value.__cause__, psycopg.errors.QueryCanceled)
        await conn.rollback()
        assert await impatient.stream_version(f"{category}-2") == NO_STREAM


async def test_a_bound_write_takes_the_lock_of_the_category(
    client: AsyncClient, conn: AsyncConnection[Any], store_url: str, category: str
) -> None:
    await client.bind(conn).write_message(f"{category}-1", noted())
    async with await AsyncConnection.connect(store_url, autocommit=True) as other:
        query = "SELECT pg_try_advisory_xact_lock(message_store.hash_64(%s))"
        assert await (await other.execute(query, (category,))).fetchone() == (False,)
        assert await (await other.execute(query, (f"{category}Other",))).fetchone() == (True,)
        await conn.commit()
        assert await (await other.execute(query, (category,))).fetchone() == (True,)
