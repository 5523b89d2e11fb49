"""Transactions whose connection, answer or time is lost are stored whole or not at all."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg_pool import AsyncConnectionPool

from messagedb import (
    NO_STREAM,
    AsyncClient,
    AsyncTransaction,
    NewMessage,
    OutcomeUnknownError,
    RetryableError,
    StoreUnavailableError,
    TransactionTimeoutError,
    ValidationError,
    streams,
)
from messagedb.testing import FaultProxy
from tests._async.client_calls import new_messages
from tests.support.backend import make_url
from tests.support.background_async import Background, eventually
from tests.support.outcome import Outcome, is_whole
from tests.support.pgbouncer import PgBouncer
from tests.support.store import locked, pids, sessions, stored, terminate, waiting_for_locks

COMMAND_TIMEOUT = 1.0
LIMIT = COMMAND_TIMEOUT + 1.5
# Of a transaction, and within what it has ended.
TIMEOUT = 0.5
IN_TIME = TIMEOUT + 1.0
COPIED = 450
# The whole text: BEGIN has a word that begins so, too.
COMMIT = "COMMIT\0"
FOLDER = Path("/proc/self/fd")

KINDS: dict[str, dict[str, Any]] = {
    "own": {},
    "pooler": {"pooler": True},
    "functions": {"direct_writes": False},
    "borrowed": {},
}
# Those that differ in how they come to their connections, and keep the time.
SESSIONS = ["own", "pooler", "borrowed"]
# Where the transaction's id is known when it comes to its end.
KNOWN_BY_ID = ["one", "savepoint", "categories"]
CONTENTS = ["one", "batch", "copied", "sql", "savepoint", "categories"]


@asynccontextmanager
async def open_client(url: str, kind: str, *, recovers: bool = True) -> AsyncGenerator[AsyncClient]:
    """Return a client of a kind, with one connection: what is not given back is missed."""
    if kind == "borrowed":
        pool: AsyncConnectionPool[Any]
        async with AsyncConnectionPool(url, min_size=1, max_size=1, open=False) as pool:
            async with AsyncClient(pool=pool, command_timeout=COMMAND_TIMEOUT) as client:
                yield client
            await eventually(lambda: not recovers or is_whole_pool(pool))
    else:
        async with AsyncClient(
            url, max_size=1, command_timeout=COMMAND_TIMEOUT, **KINDS[kind]
        ) as client:
            yield client
            await eventually(lambda: not recovers or is_whole(client))


def is_whole_pool(pool: AsyncConnectionPool[Any]) -> bool:
    """Return True if each connection that the pool counts lies in it."""
    stats = pool.get_stats()
    return stats["pool_available"] == stats["pool_size"] == 1


async def fill(tx: AsyncTransaction, category: str, content: str) -> list[str]:
    """Write in a transaction, and return the ids of its messages in ``<category>-1``."""
    stream = f"{category}-1"
    messages = new_messages({"batch": 3, "copied": COPIED}.get(content, 1))
    if content == "sql":
        await tx.connection.execute(
            "SELECT message_store.write_message(%s::varchar, %s::varchar, 'Tested', '{}'::jsonb)",
            [str(messages[0].id), stream],
        )
    elif content == "savepoint":
        async with tx.savepoint():
            await tx.write_message(stream, messages[0])
    elif len(messages) > 1:
        assert await tx.write_messages(stream, messages) == list(range(len(messages)))
    else:
        assert await tx.write_message(stream, messages[0]) == 0
    return [str(message.id) for message in messages]


def ids(url: str, category: str) -> list[str]:
    """Return the ids of what is stored in ``<category>-1``."""
    return [id for id, _ in stored(url, f"{category}-1")]


@pytest.mark.parametrize("kind", KINDS)
async def test_the_answer_to_the_commit_is_lost(store_url: str, category: str, kind: str) -> None:
    with FaultProxy(store_url) as proxy:
        async with open_client(proxy.url, kind) as client:
            for number, content in enumerate(CONTENTS):
                if (kind, content) == ("functions", "copied"):
                    continue  # it copies nothing
                place = f"{category}{number}x"
                names = [place] if content == "categories" else []
                before = proxy.injected
                async with client.transaction(categories=names) as tx:
                    written = await fill(tx, place, content)
                    proxy.cut_at("before_answer", COMMIT)
                assert proxy.injected == before + 1
                assert not tx.is_active
                assert "(committed)" in repr(tx)
                assert ids(store_url, place) == written
                # The one connection is there again.
                again = await client.write_message(f"{place}-1", NewMessage("Tested"))
                assert again == len(written)
            # One that has changed nothing may as well be run again.
            with pytest.raises(StoreUnavailableError, match="Run it again"):
                async with client.transaction() as tx:
                    await tx.stream_version(f"{category}-1")
                    proxy.cut_at("before_answer", COMMIT)


def is_ending(tx: AsyncTransaction) -> bool:
    """Return True if the COMMIT was sent, and got no response."""
    return "unknown" in repr(tx)


@pytest.mark.parametrize("kind", SESSIONS)
@pytest.mark.parametrize("how", ["cut", "terminated", "undelivered"])
async def test_the_connection_is_lost_before_the_commit(
    store_url: str, database_url: str, category: str, how: str, kind: str
) -> None:
    with FaultProxy(store_url) as proxy:
        url = make_url(proxy.url, application_name=category)
        async with open_client(url, kind) as client:
            for number, content in enumerate(CONTENTS):
                if how == "undelivered" and content not in KNOWN_BY_ID:
                    # It asks for the transaction's id first, and would never send its COMMIT.
                    continue
                place = f"{category}{number}x"
                names = [place] if content == "categories" else []
                tx = await client.begin(categories=names)
                await fill(tx, place, content)
                if how == "undelivered":
                    proxy.stall()
                    commit = Background(tx.commit)
                    await eventually(partial(is_ending, tx))
                    proxy.cut()
                    proxy.resume()
                else:
                    if how == "cut":
                        proxy.cut()
                    else:
                        assert terminate(database_url, pids(database_url, category)) >= 1
                    commit = Background(tx.commit)
                outcome = await commit.outcome()
                assert isinstance(outcome.error, StoreUnavailableError), (content, outcome)
                assert "is rolled back" in str(outcome.error)
                assert outcome.seconds < LIMIT
                assert not tx.is_active
                assert "(rolled back)" in repr(tx)
                await tx.rollback()
                assert ids(store_url, place) == []
                assert await client.write_message(f"{place}-1", NewMessage("Tested")) == 0
        await eventually(lambda: sessions(database_url, category) == 0)


async def commit_and_lose_the_server(
    store_url: str, category: str, kind: str, how: str
) -> tuple[Outcome[None], list[str]]:
    """Commit with the answer lost and no server after it, and return how that went."""
    with FaultProxy(store_url) as proxy:
        async with open_client(proxy.url, kind, recovers=False) as client:
            tx = await client.begin(timeout=COMMAND_TIMEOUT)
            written = await fill(tx, category, "one")
            proxy.drop_at("before_answer", COMMIT)
            commit = Background(tx.commit)
            await eventually(lambda: proxy.injected == 1)
            if how == "gone":
                proxy.close()
            else:
                proxy.stall()
            outcome = await commit.outcome()
            # No more is reported than is known.
            with pytest.raises(ValidationError, match="of unknown outcome"):
                await tx.stream_version(f"{category}-1")
            with pytest.raises(ValidationError, match="of unknown outcome"):
                await tx.commit()
            await tx.rollback()
            if how == "silent":
                proxy.resume()
            return outcome, written


async def test_no_server_tells_what_became_of_the_commit(store_url: str, category: str) -> None:
    cases = [(kind, how) for kind in KINDS for how in ("gone", "silent")]
    calls = [
        Background(commit_and_lose_the_server, store_url, f"{category}{number}x", kind, how)
        for number, (kind, how) in enumerate(cases)
    ]
    for number, call in enumerate(calls):
        outcome, written = await call.result()
        case, error = cases[number], outcome.error
        assert isinstance(error, OutcomeUnknownError), (case, outcome)
        assert error.messages == ()
        # The answer of a silent server is waited for, and then its word on the transaction.
        assert outcome.seconds < (LIMIT if case[1] == "gone" else COMMAND_TIMEOUT + LIMIT), (
            case,
            outcome,
        )
        assert ids(store_url, f"{category}{number}x") == written
        with psycopg.connect(store_url) as conn:
            status = conn.execute("SELECT txid_status(%s)", [error.transaction_id]).fetchone()
            assert status == ("committed",)
        assert str(error.transaction_id) in str(error)


def has_transaction_timeout(url: str) -> bool:
    """Return True if the server limits a whole transaction by itself: PostgreSQL 17 or later."""
    with psycopg.connect(url) as conn:
        return conn.info.server_version >= 170000


def make_commits_wait(database_url: str, category: str) -> str:
    """Return a table; who commits a row of it waits for the category's lock."""
    name = f'public."{category}"'
    with psycopg.connect(database_url, autocommit=True) as conn:
        for text in (
            f"CREATE TABLE {name} (number int)",
            f"GRANT INSERT ON {name} TO message_store",
            f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS "
            f"'BEGIN PERFORM pg_advisory_xact_lock({streams.hash_64(category)}); RETURN NULL; END'",
            f"CREATE CONSTRAINT TRIGGER waits AFTER INSERT ON {name} "
            f"DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION {name}()",
        ):
            conn.execute(text.encode())
    return name


@pytest.mark.parametrize("kind", ["own", "borrowed"])
async def test_the_server_is_not_done_with_the_commit_when_the_connection_is_lost(
    store_url: str, database_url: str, category: str, kind: str
) -> None:
    table = make_commits_wait(database_url, category)
    with FaultProxy(store_url) as proxy:
        async with open_client(proxy.url, kind) as client:
            for end in ("committed in time", "committed late", "out of time"):
                place = f"{category}{end.replace(' ', '')}x"
                tx = await client.begin(timeout=0.5 if end == "out of time" else 30.0)
                written = await fill(tx, place, "one")
                await tx.connection.execute(f"INSERT INTO {table} VALUES (1)".encode())
                may_come = False
                with locked(database_url, category):
                    commit = Background(tx.commit)
                    await eventually(lambda: waiting_for_locks(database_url, category) == 1)
                    if end != "out of time":
                        proxy.cut(notify_server=False)
                    if end == "committed in time":
                        # It is asked for, again and again.
                        await eventually(partial(is_ending, tx))
                        assert not commit.ended
                    else:
                        outcome = await commit.outcome()
                        assert outcome.seconds < LIMIT, (end, outcome)
                        if end == "committed late":
                            assert isinstance(outcome.error, OutcomeUnknownError), outcome
                        elif has_transaction_timeout(database_url):
                            assert isinstance(outcome.error, TransactionTimeoutError), outcome
                            assert waiting_for_locks(database_url, category) == 0
                        else:
                            # The COMMIT was sent in time, and the transaction's limit ends with
                            # that: the server gives it up by the limit of commands, or goes on.
                            unknown = OutcomeUnknownError, StoreUnavailableError
                            assert isinstance(outcome.error, unknown), outcome
                        may_come = isinstance(outcome.error, OutcomeUnknownError)
                if end == "out of time":
                    assert may_come or ids(store_url, place) == []
                else:
                    if end == "committed in time":
                        await commit.result()
                        assert ids(store_url, place) == written
                    # The client's error for the other one: it may still be stored.
                    await eventually(partial(has_come, store_url, place, written))
                proxy.resume()
                assert not tx.is_active
                assert await client.stream_version(f"{place}-2") == NO_STREAM


def has_come(url: str, category: str, written: list[str]) -> bool:
    """Return True if the messages written to ``<category>-1`` are stored."""
    return ids(url, category) == written


Lose = Callable[[], None]


async def use_the_transaction(client: AsyncClient, category: str, lose: Lose) -> None:
    """Each use raises the error, and so does the end of the block."""
    stream = f"{category}-1"
    with pytest.raises(StoreUnavailableError, match="is rolled back"):
        async with client.transaction() as tx:
            await fill(tx, category, "batch")
            lose()
            with pytest.raises(StoreUnavailableError, match="is rolled back"):
                await tx.write_message(stream, NewMessage("Tested"))
            assert not tx.is_active
            with pytest.raises(StoreUnavailableError, match="is rolled back"):
                await tx.write_messages(stream, new_messages(COPIED))
            with pytest.raises(StoreUnavailableError, match="is rolled back"):
                await tx.stream_version(stream)
            with pytest.raises(StoreUnavailableError, match="is rolled back"):
                async with tx.savepoint():
                    pytest.fail("there is no transaction for it")
            with pytest.raises(StoreUnavailableError, match="is rolled back"):
                await tx.connection.execute("SELECT 1")


async def suppress_the_error_of_a_statement(client: AsyncClient, category: str, lose: Lose) -> None:
    """The application's own statement fails, and the block goes on to its end."""
    with pytest.raises(StoreUnavailableError, match="is rolled back"):
        async with client.transaction(categories=[category]) as tx:
            await fill(tx, category, "copied")
            lose()
            with pytest.raises(psycopg.OperationalError):
                await tx.connection.execute("SELECT 1")


async def raise_the_error_of_a_statement(client: AsyncClient, category: str, lose: Lose) -> None:
    """The error of the application's own statement comes through unchanged."""
    with pytest.raises(psycopg.OperationalError):
        async with client.transaction() as tx:
            await fill(tx, category, "one")
            lose()
            await tx.connection.execute("SELECT 1")


async def end_a_savepoint(client: AsyncClient, category: str, lose: Lose) -> None:
    """The end of a savepoint without an error raises it."""
    with pytest.raises(StoreUnavailableError, match="is rolled back"):
        async with client.transaction() as tx, tx.savepoint():
            await fill(tx, category, "one")
            lose()


async def roll_back_a_savepoint(client: AsyncClient, category: str, lose: Lose) -> None:
    """The error of a savepoint's block is raised, and then that of the transaction."""
    with pytest.raises(StoreUnavailableError, match="is rolled back"):
        async with client.transaction() as tx:
            with pytest.raises(ZeroDivisionError):
                async with tx.savepoint():
                    await fill(tx, category, "one")
                    lose()
                    raise ZeroDivisionError


async def raise_an_error_of_its_own(client: AsyncClient, category: str, lose: Lose) -> None:
    """The error of the block comes through unchanged."""
    with pytest.raises(ZeroDivisionError):
        async with client.transaction() as tx:
            await fill(tx, category, "one")
            lose()
            raise ZeroDivisionError


@pytest.mark.parametrize("kind", SESSIONS)
@pytest.mark.parametrize("how", ["cut", "terminated"])
@pytest.mark.parametrize(
    "run_block",
    [
        use_the_transaction,
        suppress_the_error_of_a_statement,
        raise_the_error_of_a_statement,
        end_a_savepoint,
        roll_back_a_savepoint,
        raise_an_error_of_its_own,
    ],
)
async def test_a_transaction_whose_connection_is_lost_is_rolled_back_and_says_so(
    store_url: str,
    database_url: str,
    category: str,
    how: str,
    kind: str,
    run_block: Callable[[AsyncClient, str, Lose], Any],
) -> None:
    with FaultProxy(store_url) as proxy:
        async with open_client(make_url(proxy.url, application_name=category), kind) as client:
            await client.open()

            def lose() -> None:
                if how == "cut":
                    proxy.cut()
                else:
                    assert terminate(database_url, pids(database_url, category)) >= 1

            await run_block(client, category, lose)
            assert ids(store_url, category) == []
            assert await client.write_message(f"{category}-1", NewMessage("Tested")) == 0
        await eventually(lambda: sessions(database_url, category) == 0)


@pytest.mark.parametrize("kind", SESSIONS)
async def test_sessions_that_ended_while_idle_are_replaced(
    store_url: str, database_url: str, category: str, kind: str
) -> None:
    url = make_url(store_url, application_name=category)
    async with open_client(url, kind) as client:
        await client.open()
        # The connection of the opening's is gone, and that of the pool is there.
        await eventually(lambda: is_whole(client) and len(pids(database_url, category)) == 1)
        for names in ([], [category]):
            assert terminate(database_url, pids(database_url, category)) == 1
            async with client.transaction(categories=names) as tx:
                await tx.write_message(f"{category}-1", NewMessage("Tested"))
        assert [position for _, position in stored(store_url, f"{category}-1")] == [0, 1]


@pytest.mark.parametrize("kind", SESSIONS)
@pytest.mark.parametrize("lost", ["lock", "rows", "commit"])
async def test_an_answer_to_a_batch_that_is_copied_is_lost(
    store_url: str, category: str, kind: str, lost: str
) -> None:
    stream, messages = f"{category}-1", new_messages(COPIED)
    answers = {"lock": "lock", "rows": str(messages[-1].id), "commit": COMMIT}
    with FaultProxy(store_url) as proxy:
        async with open_client(proxy.url, kind) as client:
            await client.open()
            proxy.cut_at("before_answer", answers[lost])
            positions = await client.write_messages(stream, messages, expected_version=NO_STREAM)
            assert proxy.injected == 1
            assert positions == list(range(COPIED))
            again = await client.write_messages(stream, messages, expected_version=NO_STREAM)
            assert again == positions
    assert ids(store_url, category) == [str(message.id) for message in messages]


async def write_one(tx: AsyncTransaction, category: str) -> None:
    await tx.write_message(f"{category}-1", NewMessage("Tested"))


async def write_a_batch(tx: AsyncTransaction, category: str) -> None:
    await tx.write_messages(f"{category}-1", new_messages(3))


async def copy_a_batch(tx: AsyncTransaction, category: str) -> None:
    await tx.write_messages(f"{category}-1", new_messages(COPIED))


async def read(tx: AsyncTransaction, category: str) -> None:
    await tx.get_stream_messages(f"{category}-1")


async def begin_a_savepoint(tx: AsyncTransaction, category: str) -> None:
    async with tx.savepoint():
        pytest.fail(f"there is no server for {category}")


async def execute(tx: AsyncTransaction, category: str) -> None:
    await tx.connection.execute("SELECT pg_sleep(60)", prepare=False)


async def execute_in_a_savepoint(tx: AsyncTransaction, category: str) -> None:
    async with tx.savepoint():
        await execute(tx, category)


async def write_where_another_writes(tx: AsyncTransaction, category: str) -> None:
    await tx.write_message(f"{category}held-1", NewMessage("Tested"))


async def copy_where_another_writes(tx: AsyncTransaction, category: str) -> None:
    await tx.write_messages(f"{category}held-1", new_messages(COPIED))


async def do_nothing(tx: AsyncTransaction, category: str) -> None:
    """Come to the end of the block."""


async def be_idle(tx: AsyncTransaction, category: str) -> None:
    await eventually(lambda: not tx.is_active)


async def be_idle_and_then_write(tx: AsyncTransaction, category: str) -> None:
    await be_idle(tx, category)
    for _ in range(2):
        with pytest.raises(TransactionTimeoutError):
            await tx.write_message(f"{category}-1", NewMessage("Tested"))
    with pytest.raises(TransactionTimeoutError):
        await tx.connection.execute("SELECT 1")


async def swallow_what_it_says(tx: AsyncTransaction, category: str) -> None:
    with pytest.raises(psycopg.Error):
        await execute(tx, category)


ON_A_SILENT_PEER: list[Any] = [
    write_one,
    write_a_batch,
    copy_a_batch,
    read,
    begin_a_savepoint,
    execute_in_a_savepoint,
    do_nothing,
]
OUT_OF_TIME: list[Any] = [
    be_idle,
    be_idle_and_then_write,
    execute,
    execute_in_a_savepoint,
    swallow_what_it_says,
    write_where_another_writes,
    copy_where_another_writes,
]


async def in_silence(store_url: str, category: str, kind: str, use: Any) -> Outcome[None]:
    """Use a transaction when the peer has fallen silent, and see that the pool recovers."""
    with FaultProxy(store_url) as proxy:
        async with open_client(proxy.url, kind) as client:
            await client.open()

            async def transact() -> None:
                async with client.transaction(timeout=TIMEOUT) as tx:
                    await tx.write_message(f"{category}-1", NewMessage("Tested"))
                    proxy.stall()
                    await use(tx, category)

            outcome = await Background(transact).outcome()
            proxy.resume()
            assert await client.stream_version(f"{category}-2") == NO_STREAM
            return outcome


async def test_a_silent_peer_in_the_middle(
    client: AsyncClient, store_url: str, category: str
) -> None:
    cases = [(kind, use) for kind in SESSIONS for use in ON_A_SILENT_PEER]
    calls = [
        Background(in_silence, store_url, f"{category}{number}x", kind, use)
        for number, (kind, use) in enumerate(cases)
    ]
    for number, call in enumerate(calls):
        outcome = await call.result()
        if cases[number][1] is do_nothing:
            # The COMMIT was sent, and no server can be asked about it.
            assert isinstance(outcome.error, OutcomeUnknownError), (cases[number], outcome)
            assert outcome.seconds < TIMEOUT + LIMIT, (cases[number], outcome)
        else:
            assert isinstance(outcome.error, TransactionTimeoutError), (cases[number], outcome)
            assert outcome.seconds < IN_TIME, (cases[number], outcome)
        # The server has noticed, too.
        place = f"{category}{number}x"
        async with client.transaction(categories=[place], timeout=5.0):
            assert ids(store_url, place) == []


async def run_out_of_time(
    client: AsyncClient, others: AsyncClient, category: str, use: Any
) -> tuple[Outcome[None], float]:
    """Use a transaction until its time is up; tell how, and the seconds until its lock was free."""
    begun: list[float] = []

    async def transact() -> None:
        async with client.transaction(timeout=TIMEOUT, categories=[category]) as tx:
            await tx.write_message(f"{category}-1", NewMessage("Tested"))
            begun.append(time.monotonic())
            await use(tx, category)

    async def lock() -> float:
        # As another writer does.
        async with others.transaction(categories=[category], timeout=10.0):
            return time.monotonic()

    call = Background(transact)
    await eventually(lambda: begun or call.ended)
    other = Background(lock)
    outcome = await call.outcome()
    return outcome, await other.result() - begun[0]


@pytest.mark.parametrize("kind", SESSIONS)
async def test_a_transaction_runs_out_of_time(
    store_url: str, database_url: str, category: str, kind: str
) -> None:
    size = len(OUT_OF_TIME)
    async with AsyncExitStack() as stack:
        others = await stack.enter_async_context(AsyncClient(store_url, max_size=size))
        await others.open()
        places = [f"{category}{number}x" for number in range(size)]
        for place in places:
            stack.enter_context(locked(database_url, f"{place}held"))
        calls: list[Background[tuple[Outcome[None], float]]] = []
        for place, use in zip(places, OUT_OF_TIME, strict=True):
            client = await stack.enter_async_context(open_client(store_url, kind))
            await client.open()
            calls.append(Background(run_out_of_time, client, others, place, use))
        for place, use, call in zip(places, OUT_OF_TIME, calls, strict=True):
            outcome, seconds = await call.result()
            assert isinstance(outcome.error, TransactionTimeoutError), (use, outcome)
            assert "othing of it is stored" in str(outcome.error)
            assert max(outcome.seconds, seconds) < IN_TIME, (use, outcome, seconds)
            assert ids(store_url, place) == []


async def test_time_runs_out_while_it_begins(
    store_url: str, database_url: str, category: str
) -> None:
    async with open_client(store_url, "own") as client:
        await client.open()
        with locked(database_url, category):
            outcome = await Background(
                client.begin, categories=[category], timeout=TIMEOUT
            ).outcome()
            assert isinstance(outcome.error, TransactionTimeoutError), outcome
            assert outcome.seconds < IN_TIME
            await eventually(lambda: waiting_for_locks(database_url, category) == 0)
            # command_timeout may be shorter.
            outcome = await Background(client.begin, categories=[category]).outcome()
            assert isinstance(outcome.error, StoreUnavailableError), outcome
            assert outcome.seconds < LIMIT
            assert waiting_for_locks(database_url, category) == 0
        async with client.transaction(categories=[category], timeout=TIMEOUT):
            pass


async def test_time_runs_out_while_the_block_keeps_the_thread(
    client: AsyncClient, store_url: str, category: str
) -> None:
    with pytest.raises(TransactionTimeoutError):
        async with client.transaction(categories=[category], timeout=TIMEOUT) as tx:
            await tx.write_message(f"{category}-1", NewMessage("Tested"))
            begun = time.monotonic()
            # Nothing else of the thread runs meanwhile.
            with locked(store_url, category):
                assert time.monotonic() - begun < IN_TIME
                assert ids(store_url, category) == []


def descriptors() -> int:
    """Return the number of files that are open."""
    return len(list(FOLDER.iterdir()))


@pytest.mark.skipif(not FOLDER.is_dir(), reason="there is no /proc")
@pytest.mark.parametrize("kind", ["own", "borrowed"])
async def test_no_descriptor_is_left_behind(store_url: str, category: str, kind: str) -> None:
    stream = f"{category}-1"
    async with open_client(store_url, kind) as client:
        await client.write_message(stream, NewMessage("Tested"))
        before = descriptors()
        for number in range(200):
            tx = await client.begin(timeout=30.0 + number)
            await tx.write_message(stream, NewMessage("Tested"))
            await (tx.commit() if number % 2 else tx.rollback())
        await eventually(lambda: descriptors() <= before)
        for _ in range(20):
            with pytest.raises(TransactionTimeoutError):
                # On a busy machine it does not even begin.
                tx = await client.begin(timeout=0.02)
                await eventually(partial(is_over, tx))
                await tx.commit()
        await client.write_message(stream, NewMessage("Tested"))
        await eventually(lambda: descriptors() <= before)
    assert [position for _, position in stored(store_url, stream)] == list(range(102))


def is_over(tx: AsyncTransaction) -> bool:
    """Return True if it can no longer be used."""
    return not tx.is_active


async def transfer(
    client: AsyncClient, names: list[str], times: int, categories: list[str]
) -> list[tuple[int, int]]:
    """Write to two streams in one transaction, so many times, and return the positions."""
    positions: list[tuple[int, int]] = []
    for _ in range(times):
        async with client.transaction(categories=categories) as tx:
            first = await tx.write_message(names[0], NewMessage("Tested"))
            positions.append((first, await tx.write_message(names[1], NewMessage("Tested"))))
    return positions


async def test_writers_in_opposite_orders_that_name_their_categories(
    store_url: str, category: str
) -> None:
    categories = [f"{category}a", f"{category}b"]
    names = [f"{name}-1" for name in categories]
    async with AsyncClient(store_url, max_size=2) as client:
        one = Background(transfer, client, names, 500, categories)
        other = Background(transfer, client, names[::-1], 500, categories[::-1])
        pairs = await one.result(60.0)
        pairs += [(first, second) for second, first in await other.result(60.0)]
        await eventually(lambda: is_whole(client))
    # One after the other: each pair was written together.
    assert sorted(pairs) == [(number, number) for number in range(1000)]


class Meeting:
    """Two transactions that wait for each other once both have written to one category."""

    def __init__(self) -> None:
        self.here = 0

    async def wait(self) -> None:
        """Come, and wait for the other one."""
        self.here += 1
        await eventually(lambda: self.here >= 2)


async def write_both(
    tx: AsyncTransaction, names: list[str], meeting: Meeting, content: int
) -> list[int]:
    """Write to the one stream, and to the other when another transaction waits there."""
    positions = await tx.write_messages(names[0], new_messages(content))
    await meeting.wait()
    return positions + await tx.write_messages(names[1], new_messages(content))


async def write_both_once(
    client: AsyncClient, names: list[str], meeting: Meeting, content: int
) -> list[int]:
    async with client.transaction() as tx:
        return await write_both(tx, names, meeting, content)


async def write_both_again(
    client: AsyncClient, names: list[str], meeting: Meeting, content: int
) -> list[int]:
    async def work(tx: AsyncTransaction) -> list[int]:
        return await write_both(tx, names, meeting, content)

    return await client.run_transaction(work)


async def test_writers_in_opposite_orders_deadlock_and_are_run_again(
    database_url: str, category: str
) -> None:
    # The owner of the server may configure an immediate search for deadlocks.
    url = make_url(database_url, options="-c deadlock_timeout=5ms")
    names = [f"{category}a-1", f"{category}b-1"]
    orders = [names, names[::-1]]
    count = 0
    async with AsyncClient(url, max_size=2) as client:
        for content in (1, 3, COPIED, 1, 1, 1):
            meeting = Meeting()
            calls = [Background(write_both_once, client, o, meeting, content) for o in orders]
            outcomes = [await call.outcome() for call in calls]
            (error,) = [outcome.error for outcome in outcomes if outcome.error is not None]
            assert isinstance(error, RetryableError), error
            assert error.sqlstate == "40P01"
            count += content
            assert [len(stored(database_url, name)) for name in names] == [count, count]
        for content in [1] * 20 + [3, COPIED]:
            meeting = Meeting()
            calls = [Background(write_both_again, client, o, meeting, content) for o in orders]
            for call in calls:
                assert len(await call.result()) == 2 * content
            count += 2 * content
            assert [len(stored(database_url, name)) for name in names] == [count, count]
        await eventually(lambda: is_whole(client))


@pytest.mark.parametrize("pool", ["single", "session"])
async def test_behind_a_pooler(
    pgbouncer: PgBouncer, store_url: str, category: str, pool: str
) -> None:
    stream, size = f"{category}-1", COPIED + 1
    async with AsyncClient(pgbouncer.url(pool), max_size=2) as client:
        for number in range(3):
            async with client.transaction(categories=[category, f"{category}o"][:number]) as tx:
                await tx.write_message(stream, NewMessage("Tested"))
                with pytest.raises(ZeroDivisionError):
                    async with tx.savepoint():
                        await tx.write_message(stream, NewMessage("Tested"))
                        raise ZeroDivisionError
                async with tx.savepoint():
                    await tx.write_messages(stream, new_messages(COPIED))
                assert await tx.stream_version(stream) == size * (number + 1) - 1
            with pytest.raises(ZeroDivisionError):
                async with client.transaction() as tx:
                    await tx.write_messages(stream, new_messages(COPIED))
                    raise ZeroDivisionError
            # On the same connection of the server's, when it has but one.
            assert await client.stream_version(stream) == size * (number + 1) - 1
        await eventually(lambda: is_whole(client))
    assert [position for _, position in stored(store_url, stream)] == list(range(3 * size))


async def execute_without_a_limit(tx: AsyncTransaction, category: str) -> None:
    await tx.connection.execute("SET LOCAL statement_timeout = 0")
    if tx.connection.info.server_version >= 170000:
        await tx.connection.execute("SET LOCAL transaction_timeout = 0")
    await execute(tx, category)


async def test_out_of_time_behind_a_pooler(
    pgbouncer: PgBouncer, client: AsyncClient, store_url: str, category: str
) -> None:
    uses: list[Any] = [be_idle_and_then_write, execute, execute_without_a_limit]
    async with AsyncClient(pgbouncer.url("pair"), max_size=2) as pooled:
        for number, use in enumerate(uses):
            place = f"{category}{number}x"
            outcome, seconds = await run_out_of_time(pooled, client, place, use)
            assert isinstance(outcome.error, TransactionTimeoutError), (use, outcome)
            assert max(outcome.seconds, seconds) < IN_TIME, (use, outcome, seconds)
            assert await pooled.write_message(f"{place}-1", NewMessage("Tested")) == 0
        await eventually(lambda: is_whole(pooled))


@pytest.mark.parametrize("pool", ["single", "session"])
async def test_the_answer_to_the_commit_is_lost_behind_a_pooler(
    pgbouncer: PgBouncer, store_url: str, category: str, pool: str
) -> None:
    with FaultProxy(pgbouncer.url(pool)) as proxy:
        async with AsyncClient(proxy.url, max_size=1) as client:
            for number, content in enumerate(CONTENTS):
                place = f"{category}{number}x"
                async with client.transaction() as tx:
                    written = await fill(tx, place, content)
                    proxy.cut_at("before_answer", COMMIT)
                assert proxy.injected == number + 1
                assert ids(store_url, place) == written
                # Before the COMMIT has come.
                with pytest.raises(StoreUnavailableError, match="is rolled back"):
                    async with client.transaction() as tx:
                        await tx.write_message(f"{place}-1", NewMessage("Tested"))
                        proxy.cut()
                assert ids(store_url, place) == written
            await eventually(lambda: is_whole(client))
