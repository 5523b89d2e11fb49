"""Transactions of the client: their writes, their ends, and the errors for misuse."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import psycopg
import pytest
from psycopg import AsyncConnection, IsolationLevel
from psycopg.pq import TransactionStatus
from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool

from messagedb import (
    NO_STREAM,
    AsyncClient,
    AsyncTransaction,
    DuplicateMessageError,
    MessageDBError,
    NewMessage,
    RetryableError,
    StoreUnavailableError,
    TransactionAbortedError,
    TransactionTimeoutError,
    ValidationError,
    WrongExpectedVersionError,
    streams,
)
from tests._async.transactions.test_bind import use_everything
from tests.support.background_async import eventually
from tests.support.outcome import is_whole, pool_of
from tests.support.store import locked

KINDS = ["own", "functions", "pooler", "pooler functions", "borrowed"]


def noted(n: int = 0) -> NewMessage:
    return NewMessage("Noted", {"n": n})


@pytest.fixture(params=KINDS)
async def any_client(request: pytest.FixtureRequest, store_url: str) -> AsyncIterator[AsyncClient]:
    """Return clients of each kind, with one connection each: what is not given back is missed."""
    kind: str = request.param
    direct = False if "functions" in kind else None
    async with AsyncExitStack() as stack:
        if kind == "borrowed":
            pool: AsyncConnectionPool[Any] = AsyncConnectionPool(
                store_url, min_size=1, max_size=1, open=False
            )
            await stack.enter_async_context(pool)
            client = AsyncClient(pool=pool)
        else:
            client = AsyncClient(
                store_url,
                max_size=1,
                pooler=True if "pooler" in kind else None,
                direct_writes=direct,
            )
        yield await stack.enter_async_context(client)
        # Its first connection may still be opened, if nothing has used it.
        await eventually(lambda: is_whole(client))


async def is_locked(store_url: str, category: str) -> bool:
    """Return True if any session holds the lock of a category."""
    async with await AsyncConnection.connect(store_url) as conn:
        query = "SELECT pg_try_advisory_xact_lock(%s::bigint)"
        row = await (await conn.execute(query, (streams.hash_64(category),))).fetchone()
        return row == (False,)


async def test_everything_in_a_transaction(
    any_client: AsyncClient, client: AsyncClient, store_url: str, category: str
) -> None:
    async with any_client.transaction() as tx:
        assert "active" in repr(tx)
        async with tx.savepoint():
            await use_everything_but_its_errors(tx, category)
        assert await client.stream_version(f"{category}-1") == NO_STREAM
        assert await is_locked(store_url, category)
    assert not tx.is_active
    assert await client.stream_version(f"{category}-1") == 3
    assert not await is_locked(store_url, category)


async def use_everything_but_its_errors(tx: AsyncTransaction, category: str) -> None:
    """Run every operation with every outcome, as on a bound connection."""
    bound: Any = tx
    await use_everything(bound, category)


@pytest.mark.parametrize("by", ["error", "rollback", "begin"])
async def test_writes_of_a_rolled_back_transaction_are_gone(
    any_client: AsyncClient, category: str, by: str
) -> None:
    stream = f"{category}-1"
    tx: AsyncTransaction | None = None
    if by == "error":
        with pytest.raises(ZeroDivisionError):
            async with any_client.transaction() as tx:
                await tx.write_message(stream, noted())
                raise ZeroDivisionError
    elif by == "rollback":
        async with any_client.transaction() as tx:
            await tx.write_messages(stream, [noted(), noted()])
            await tx.rollback()
            await tx.rollback()
            assert not tx.is_active
    else:
        tx = await any_client.begin()
        await tx.write_message(stream, noted())
        await tx.rollback()
    assert tx is not None
    assert not tx.is_active
    assert await any_client.stream_version(stream) == NO_STREAM


async def test_begin_and_commit(any_client: AsyncClient, category: str) -> None:
    tx = await any_client.begin()
    assert await tx.write_message(f"{category}-1", noted()) == 0
    await tx.commit()
    assert await any_client.stream_version(f"{category}-1") == 0
    for use in (tx.commit, tx.rollback, lambda: tx.stream_version(f"{category}-1")):
        with pytest.raises(ValidationError, match=r"has ended: it is committed\. Nothing was sent"):
            await use()
    with pytest.raises(ValidationError, match="has ended"):
        assert tx.connection
    with pytest.raises(ValidationError, match="has ended"):
        async with tx.savepoint():
            pytest.fail("the block was entered")
    assert "committed" in repr(tx)


async def test_a_transaction_that_was_rolled_back_cannot_be_used(
    client: AsyncClient, category: str
) -> None:
    async with client.transaction() as tx:
        await tx.rollback()
        with pytest.raises(ValidationError, match="it is rolled back"):
            await tx.write_message(f"{category}-1", noted())
        with pytest.raises(ValidationError, match="it is rolled back"):
            await tx.commit()
    assert await client.stream_version(f"{category}-1") == NO_STREAM


async def test_savepoints_take_back_a_part(
    any_client: AsyncClient, store_url: str, category: str
) -> None:
    stream, other = f"{category}-1", f"{category}Other"
    async with any_client.transaction() as tx:
        await tx.write_message(stream, noted(1))
        with pytest.raises(ZeroDivisionError):
            async with tx.savepoint():
                await tx.write_message(stream, noted(2))
                await tx.write_message(f"{other}-1", noted(2))
                assert await is_locked(store_url, other)
                async with tx.savepoint():
                    await tx.write_message(stream, noted(3))
                raise ZeroDivisionError
        assert not await is_locked(store_url, other)
        assert await is_locked(store_url, category)
        async with tx.savepoint():
            with pytest.raises(ZeroDivisionError):
                async with tx.savepoint():
                    await tx.write_messages(f"{other}-1", [noted(4), noted(5)])
                    raise ZeroDivisionError
            # Its lock went with the savepoint: it is taken again.
            assert await tx.write_message(f"{other}-1", noted(6)) == 0
            assert await is_locked(store_url, other)
        assert await tx.write_message(stream, noted(7)) == 1
    assert [m.data["n"] for m in await any_client.get_stream_messages(stream)] == [1, 7]
    assert [m.data["n"] for m in await any_client.get_category_messages(other)] == [6]


async def test_the_users_own_sql_and_savepoints(client: AsyncClient, category: str) -> None:
    stream = f"{category}-1"
    async with client.transaction() as tx:
        conn = tx.connection
        await conn.execute("CREATE TEMPORARY TABLE kept (n int) ON COMMIT DROP")
        async with conn.transaction():
            await tx.write_message(stream, noted(1))
        with pytest.raises(ZeroDivisionError):
            async with conn.transaction():
                await conn.execute("INSERT INTO kept VALUES (%s)", (1,))
                await tx.write_message(stream, noted(2))
                raise ZeroDivisionError
        # The lock was taken before that savepoint, and the mark of it is still there.
        await tx.write_message(stream, noted(3))
        cursor = await conn.execute("SELECT count(*), now(), 1.5 FROM kept")
        row = await cursor.fetchone()
        assert row is not None
        assert (row[0], row[1].tzinfo is not None, str(row[2])) == (0, True, "1.5")
    assert [m.data["n"] for m in await client.get_stream_messages(stream)] == [1, 3]


async def test_a_lock_that_went_with_a_savepoint_of_the_users_is_taken_again(
    client: AsyncClient, store_url: str, category: str
) -> None:
    async with client.transaction() as tx:
        with pytest.raises(ZeroDivisionError):
            async with tx.connection.transaction():
                await tx.write_message(f"{category}-1", noted(1))
                raise ZeroDivisionError
        assert not await is_locked(store_url, category)
        assert await tx.write_message(f"{category}-1", noted(2)) == 0
        assert await is_locked(store_url, category)


async def test_a_bound_connection_whose_transaction_ended_unseen(
    client: AsyncClient, store_url: str, category: str
) -> None:
    async with await AsyncConnection.connect(store_url, autocommit=True) as conn:
        bound = client.bind(conn)
        await conn.execute("BEGIN")
        await bound.write_message(f"{category}-1", noted(1))
        await conn.execute("COMMIT")
        await conn.execute("BEGIN")
        assert not await is_locked(store_url, category)
        assert await bound.write_message(f"{category}-1", noted(2)) == 1
        assert await is_locked(store_url, category)
        await conn.execute("COMMIT")
    assert await client.stream_version(f"{category}-1") == 1


@pytest.mark.parametrize("count", [1, 3])
async def test_statements_are_not_taken_for_prepared_when_the_lock_failed_before_them(
    client: AsyncClient, store_url: str, category: str, count: int
) -> None:
    # psycopg prepares a statement at its sixth use, and in a pipeline takes it for prepared then,
    # also when the statement before it has failed.
    messages = [noted(n) for n in range(count)]
    async with await AsyncConnection.connect(store_url, autocommit=True) as conn:
        bound = client.bind(conn)
        await conn.execute("SET lock_timeout = 20")
        with locked(store_url, category):
            for _ in range(8):
                with pytest.raises(RetryableError, match="lock_timeout"):
                    async with conn.transaction():
                        await bound.write_messages(f"{category}-1", messages)
        for _ in range(8):
            async with conn.transaction():
                await bound.write_messages(f"{category}-1", messages)
                await bound.write_message(f"{category}-1", messages[0])
    assert await client.stream_version(f"{category}-1") == count - 1


async def test_settings_of_the_connection_end_with_the_transaction(
    store_url: str, category: str
) -> None:
    async with AsyncClient(store_url, max_size=1) as single:
        async with single.transaction() as tx:
            conn = tx.connection
            conn.row_factory = dict_row
            await conn.execute("SET search_path = pg_catalog")
            await conn.execute("SET statement_timeout = 1")
            await conn.execute("SET message_store.sql_condition = on")
            await conn.execute("SET default_transaction_isolation = 'serializable'")
        assert await single.write_message(f"{category}-1", noted()) == 0
        assert len(await single.get_category_messages(category, condition="position = 0")) == 1
        async with single.transaction() as tx:
            row = await (
                await tx.connection.execute(
                    "SELECT current_setting('search_path'),"
                    " current_setting('message_store.sql_condition'),"
                    " current_setting('transaction_isolation'), pg_backend_pid()"
                )
            ).fetchone()
            assert row is not None
            assert row[:3] == ('"message_store", public, pg_temp', "off", "read committed")
        assert row[3] == pool_of(single)._pool[0].info.backend_pid


async def test_an_error_that_was_swallowed_is_told_at_the_end(
    any_client: AsyncClient, category: str
) -> None:
    stream = f"{category}-1"
    with pytest.raises(TransactionAbortedError, match="savepoint"):
        async with any_client.transaction() as tx:
            await tx.write_message(stream, noted())
            with pytest.raises(psycopg.errors.UndefinedTable):
                await tx.connection.execute("SELECT * FROM no_such_table")
            assert not tx.is_active
            with pytest.raises(TransactionAbortedError):
                await tx.write_message(stream, noted())
    assert await any_client.stream_version(stream) == NO_STREAM
    tx = await any_client.begin()
    await tx.write_message(stream, noted())
    with pytest.raises(psycopg.errors.UndefinedTable):
        await tx.connection.execute("SELECT * FROM no_such_table")
    with pytest.raises(TransactionAbortedError):
        await tx.commit()
    assert await any_client.stream_version(stream) == NO_STREAM


async def test_an_error_that_was_swallowed_in_a_savepoint(
    any_client: AsyncClient, category: str
) -> None:
    stream = f"{category}-1"
    async with any_client.transaction() as tx:
        await tx.write_message(stream, noted(1))
        with pytest.raises(TransactionAbortedError, match="the transaction goes on"):
            async with tx.savepoint():
                await tx.write_message(stream, noted(2))
                with pytest.raises(psycopg.errors.UndefinedTable):
                    await tx.connection.execute("SELECT * FROM no_such_table")
        assert tx.is_active
        assert await tx.write_message(stream, noted(3)) == 1
    assert [m.data["n"] for m in await any_client.get_stream_messages(stream)] == [1, 3]


async def test_conflicts_and_duplicates_do_not_abort_it(
    any_client: AsyncClient, category: str
) -> None:
    stream, first = f"{category}-1", noted(1)
    await any_client.write_message(f"{category}-2", first)
    async with any_client.transaction() as tx:
        second = noted(2)
        assert await tx.write_message(stream, second, expected_version=NO_STREAM) == 0
        assert await tx.write_message(stream, second, expected_version=NO_STREAM) == 0
        with pytest.raises(WrongExpectedVersionError):
            await tx.write_message(stream, noted(), expected_version=7)
        with pytest.raises(WrongExpectedVersionError):
            await tx.write_messages(stream, [noted(), noted()], expected_version=7)
        with pytest.raises(DuplicateMessageError):
            await tx.write_message(stream, first)
        with pytest.raises(DuplicateMessageError):
            await tx.write_messages(stream, [noted(), first])
        assert tx.is_active
        assert await tx.write_messages(stream, [noted(3), second, noted(4)]) == [1, 0, 2]
    assert await any_client.stream_version(stream) == 2


async def test_ending_it_on_its_connection_is_refused(store_url: str, category: str) -> None:
    async with AsyncClient(store_url) as own:
        async with own.transaction() as tx:
            await tx.write_message(f"{category}-1", noted())
            for end in (tx.connection.commit, tx.connection.rollback):
                with pytest.raises(psycopg.ProgrammingError, match=r"end it with commit\(\)"):
                    await end()
        assert await own.stream_version(f"{category}-1") == 0
        with pytest.raises(ValidationError, match="ended by a statement"):
            async with own.transaction() as tx:
                await tx.write_message(f"{category}-1", noted())
                await tx.connection.execute("COMMIT")
                await tx.write_message(f"{category}-1", noted())
        assert await own.stream_version(f"{category}-1") == 1
        with pytest.raises(ValidationError, match="ended by a statement"):
            async with own.transaction() as tx:
                await tx.connection.execute("ROLLBACK")


@pytest.mark.parametrize("level", list(IsolationLevel))
async def test_isolation_levels(any_client: AsyncClient, category: str, level: Any) -> None:
    stream = f"{category}-1"
    await any_client.write_message(stream, noted(1))
    fit = level in (IsolationLevel.READ_UNCOMMITTED, IsolationLevel.READ_COMMITTED)
    async with any_client.transaction(isolation=level) as tx:
        cursor = await tx.connection.execute("SHOW transaction_isolation")
        assert await cursor.fetchone() == (level.name.lower().replace("_", " "),)
        assert [m.data["n"] for m in await tx.get_stream_messages(stream)] == [1]
        if fit:
            assert await tx.write_message(stream, noted(2)) == 1
        else:
            for write in (
                lambda: tx.write_message(stream, noted(2)),
                lambda: tx.write_messages(stream, [noted(2), noted(3)]),
            ):
                with pytest.raises(ValidationError, match="READ COMMITTED"):
                    await write()
        assert tx.is_active
    assert await any_client.stream_version(stream) == int(fit)


async def test_a_snapshot_is_one_moment(client: AsyncClient, category: str) -> None:
    stream = f"{category}-1"
    async with client.transaction(isolation=IsolationLevel.REPEATABLE_READ) as tx:
        assert await tx.get_category_messages(category) == []
        await client.write_message(stream, noted())
        assert await tx.stream_version(stream) == NO_STREAM
        assert [m async for m in tx.read_category(category)] == []
    assert await client.stream_version(stream) == 0


async def test_read_only(any_client: AsyncClient, category: str) -> None:
    stream = f"{category}-1"
    await any_client.write_message(stream, noted())
    async with any_client.transaction(read_only=True) as tx:
        assert await tx.stream_version(stream) == 0
        with pytest.raises(ValidationError, match="read_only"):
            await tx.write_message(stream, noted())
        assert len(await tx.get_category_messages(category)) == 1
        async with tx.connection.transaction():
            cursor = await tx.connection.execute("SHOW transaction_read_only")
            assert await cursor.fetchone() == ("on",)
    assert await any_client.stream_version(stream) == 0


async def test_categories_are_locked_from_the_beginning(
    any_client: AsyncClient, store_url: str, category: str
) -> None:
    names = [f"{category}{n}" for n in range(3)]
    async with any_client.transaction(categories=(name for name in [*names, names[0]])) as tx:
        for name in names:
            assert await is_locked(store_url, name)
        for name in names:
            assert await tx.write_message(f"{name}-1", noted()) == 0
            assert await tx.write_messages(f"{name}-1", [noted(), noted()]) == [1, 2]
    for name in names:
        assert not await is_locked(store_url, name)
        assert await any_client.stream_version(f"{name}-1") == 2


async def test_a_lock_that_is_not_free_in_time(store_url: str, category: str) -> None:
    async with AsyncClient(store_url, command_timeout=0.3, max_size=1) as impatient:
        with locked(store_url, category):
            with pytest.raises(StoreUnavailableError, match="rolled back"):
                async with impatient.transaction(categories=[category]):
                    pytest.fail("the block was entered")
            async with impatient.transaction() as tx:
                with pytest.raises(StoreUnavailableError, match=f"{category}.*aborted"):
                    await tx.write_message(f"{category}-1", noted())
                await tx.rollback()
            with pytest.raises(TransactionTimeoutError):
                async with impatient.transaction(categories=[category], timeout=0.2):
                    pytest.fail("the block was entered")
        async with impatient.transaction(categories=[category]) as tx:
            await tx.write_message(f"{category}-1", noted())
        assert await impatient.stream_version(f"{category}-1") == 0


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"timeout": 0}, "timeout must be seconds"),
        ({"timeout": -1}, "timeout must be seconds"),
        ({"timeout": None}, "timeout must be seconds"),
        ({"timeout": True}, "timeout must be seconds"),
        ({"isolation": "serializable"}, "isolation must be one of psycopg"),
        ({"read_only": 2}, "read_only must be True or False"),
        ({"categories": "account"}, r"give \['account'\]"),
        ({"categories": 5}, "iterable of categories, not int"),
        ({"categories": ["account-1"]}, "must be a category"),
        ({"categories": [""]}, "must not be empty"),
        ({"categories": [None]}, "must be a str"),
        ({"categories": ["a"], "read_only": True}, "read-only"),
        ({"categories": ["a"], "isolation": IsolationLevel.SERIALIZABLE}, "READ COMMITTED"),
    ],
)
async def test_wrong_arguments(store_url: str, arguments: dict[str, Any], text: str) -> None:
    client = AsyncClient(store_url)
    with pytest.raises(ValidationError, match=text):
        await client.begin(**arguments)
    with pytest.raises(ValidationError, match=text):
        async with client.transaction(**arguments):
            pytest.fail("the block was entered")

    async def nothing(tx: AsyncTransaction) -> None:
        pytest.fail("the function was called")

    with pytest.raises(ValidationError, match=text):
        await client.run_transaction(nothing, **arguments)
    assert "not opened" in repr(client)
    await client.close()


async def test_bad_writes_in_a_transaction_change_nothing(
    any_client: AsyncClient, category: str
) -> None:
    stream, same = f"{category}-1", noted()
    none: Any = None
    async with any_client.transaction() as tx:
        assert await tx.write_messages(stream, []) == []
        with pytest.raises(ValidationError, match="expected_version"):
            await tx.write_message(stream, noted(), expected_version=none)
        with pytest.raises(ValidationError, match="expected_version"):
            await tx.write_messages(stream, [noted()], expected_version=none)
        with pytest.raises(ValidationError, match=r"messages\[1\]"):
            await tx.write_messages(stream, [noted(), NewMessage("Bad", {"n": float("nan")})])
        with pytest.raises(ValidationError, match=r"messages\[0\] and messages\[1\]"):
            await tx.write_messages(stream, [same, same])
        assert tx.is_active
        assert await tx.stream_version(stream) == NO_STREAM
    assert await any_client.stream_version(stream) == NO_STREAM


async def test_a_deferred_constraint_is_told_at_the_commit(
    client: AsyncClient, category: str
) -> None:
    with pytest.raises(MessageDBError, match=r"23505.*rolled back") as caught:
        async with client.transaction() as tx:
            await tx.write_message(f"{category}-1", noted())
            conn = tx.connection
            await conn.execute(
                "CREATE TEMPORARY TABLE one (n int UNIQUE DEFERRABLE INITIALLY DEFERRED)"
                " ON COMMIT DROP"
            )
            await conn.execute("INSERT INTO one VALUES (1), (1)")
    assert isinstance(caught.value.__cause__, psycopg.errors.UniqueViolation)
    assert await client.stream_version(f"{category}-1") == NO_STREAM


async def test_running_a_function_again(any_client: AsyncClient, category: str) -> None:
    stream = f"{category}-1"
    attempts: list[AsyncTransaction] = []

    async def fails_twice(tx: AsyncTransaction) -> int:
        attempts.append(tx)
        position = await tx.write_message(stream, noted(len(attempts)))
        if len(attempts) == 1:
            raise RetryableError("a deadlock, say", "40P01")
        if len(attempts) == 2:
            raise psycopg.errors.SerializationFailure
        return position

    assert await any_client.run_transaction(fails_twice, max_attempts=3) == 0
    assert [m.data["n"] for m in await any_client.get_stream_messages(stream)] == [3]
    assert len(set(map(id, attempts))) == 3
    attempts.clear()
    with pytest.raises(psycopg.errors.SerializationFailure):
        await any_client.run_transaction(fails_twice, max_attempts=2)
    assert len(attempts) == 2
    assert await any_client.stream_version(stream) == 0


async def test_version_conflicts_are_run_again_when_asked(
    client: AsyncClient, category: str
) -> None:
    stream, attempts = f"{category}-1", 0

    async def decide(tx: AsyncTransaction) -> int:
        nonlocal attempts
        attempts += 1
        version = await tx.stream_version(stream)
        if attempts == 1:
            await client.write_message(stream, noted(0))
        return await tx.write_message(stream, noted(attempts), expected_version=version)

    with pytest.raises(WrongExpectedVersionError):
        await client.run_transaction(decide)
    attempts = 0
    assert await client.run_transaction(decide, retry_version_conflicts=True) == 2
    assert attempts == 2


async def test_an_error_of_the_function_is_raised_after_one_attempt(
    client: AsyncClient, category: str
) -> None:
    attempts = 0

    async def fails(tx: AsyncTransaction) -> None:
        nonlocal attempts
        attempts += 1
        await tx.write_message(f"{category}-1", noted())
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await client.run_transaction(fails)
    assert attempts == 1
    assert await client.stream_version(f"{category}-1") == NO_STREAM
    for wrong in ({"function": None}, {"max_attempts": 0}, {"max_attempts": True}):
        arguments: dict[str, Any] = {"function": fails, **wrong}
        with pytest.raises(ValidationError, match="Nothing was sent"):
            await client.run_transaction(**arguments)
    assert attempts == 1


async def test_the_users_pipeline_in_a_transaction(any_client: AsyncClient, category: str) -> None:
    stream = f"{category}-1"
    async with any_client.transaction() as tx:
        conn = tx.connection
        await conn.execute("CREATE TEMPORARY TABLE piped (n int) ON COMMIT DROP")
        async with conn.pipeline():
            for n in range(3):
                await conn.execute("INSERT INTO piped VALUES (%s)", (n,))
            assert await tx.write_message(stream, noted(1)) == 0
            assert await tx.write_messages(stream, [noted(n) for n in range(500)]) == [
                *range(1, 501)
            ]
            async with tx.savepoint():
                await conn.execute("INSERT INTO piped VALUES (3)")
            cursor = await conn.execute("SELECT count(*) FROM piped")
            assert await cursor.fetchone() == (4,)
        assert conn.pgconn.transaction_status == TransactionStatus.INTRANS
    assert await any_client.stream_version(stream) == 500
