"""A transaction, cancelled at each step, is stored whole or not at all, and holds nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from typing import Any, NamedTuple

import psycopg
import pytest
from psycopg import AsyncConnection

from messagedb import (
    AsyncClient,
    AsyncTransaction,
    NewMessage,
    RetryableError,
    TransactionAbortedError,
    ValidationError,
    streams,
)
from messagedb._operations import batch_plan
from tests._async.client_calls import new_messages
from tests.async_only.test_cancellation import copies, every_connection_works, open_client, works
from tests.support.background_async import eventually
from tests.support.outcome import is_whole
from tests.support.stepping import Stepped, at_each_step, cancelled_at


class Undone(Exception):
    """Raised by a block to be rolled back."""


class Case(NamedTuple):
    """The call that is cancelled, and the messages that it stores in a category otherwise."""

    call: Callable[[AsyncClient, str], Awaitable[object]]
    writes: int
    # What else may be stored of it, because it goes on after its cancellation.
    part: int = 0


async def block(client: AsyncClient, category: str) -> None:
    """Write, and once more behind a savepoint, and execute statements of the user's."""
    async with client.transaction() as tx:
        await tx.write_message(f"{category}-1", NewMessage("Tested"))
        async with tx.savepoint():
            await tx.write_message(f"{category}-2", NewMessage("Tested"))
        await tx.connection.execute("SELECT set_config('application_name', 'mine', false)")


async def with_categories(client: AsyncClient, category: str) -> None:
    """Acquire the lock immediately."""
    async with client.transaction(categories=[category]) as tx:
        await tx.write_message(f"{category}-1", NewMessage("Tested"))
        await tx.get_last_stream_message(f"{category}-1")


async def begin_and_commit(client: AsyncClient, category: str) -> None:
    """End it by hand, in any case."""
    tx = await client.begin()
    try:
        await tx.write_message(f"{category}-1", NewMessage("Tested"))
        await tx.commit()
    except BaseException:
        # It says so where it is committed.
        with suppress(ValidationError):
            await tx.rollback()
        raise


async def begin_and_roll_back(client: AsyncClient, category: str) -> None:
    """Take it back by hand."""
    tx = await client.begin(categories=[category])
    try:
        await tx.write_message(f"{category}-1", NewMessage("Tested"))
    finally:
        await tx.rollback()


async def savepoint_that_is_rolled_back(client: AsyncClient, category: str) -> None:
    """Take a part back, and go on."""
    async with client.transaction() as tx:
        await tx.write_message(f"{category}-1", NewMessage("Tested"))
        with suppress(Undone):
            async with tx.savepoint():
                await tx.write_message(f"{category}-2", NewMessage("Tested"))
                raise Undone
        await tx.write_message(f"{category}-1", NewMessage("Tested"))


async def savepoint_whose_cancellation_is_survived(client: AsyncClient, category: str) -> None:
    """Cancel the work after a savepoint, as asyncio.timeout() does, and keep the rest."""
    with suppress(TransactionAbortedError):
        async with client.transaction() as tx:
            await tx.write_message(f"{category}-1", NewMessage("Tested"))
            with suppress(asyncio.CancelledError):
                async with tx.savepoint():
                    await tx.write_message(f"{category}-2", NewMessage("Tested"))
                    await tx.write_messages(f"{category}-2", new_messages(3))


async def batch(client: AsyncClient, category: str) -> None:
    """Write a batch outside of a transaction."""
    await client.write_messages(f"{category}-1", new_messages(3))


async def batch_in_transaction(client: AsyncClient, category: str) -> None:
    """Write two batches in a transaction."""
    async with client.transaction() as tx:
        await tx.write_messages(f"{category}-1", new_messages(3))
        await tx.write_messages(f"{category}-1", new_messages(3), expected_version=2)


async def run_again(client: AsyncClient, category: str) -> None:
    """Run a function twice."""
    attempts: list[AsyncTransaction] = []

    async def function(tx: AsyncTransaction) -> None:
        attempts.append(tx)
        await tx.write_message(f"{category}-1", NewMessage("Tested"))
        if len(attempts) == 1:
            raise RetryableError("others were first")
        await tx.write_message(f"{category}-2", NewMessage("Tested"))

    await client.run_transaction(function)


CASES = {
    "block": Case(block, 2),
    "categories": Case(with_categories, 1),
    "begin_commit": Case(begin_and_commit, 1),
    "begin_rollback": Case(begin_and_roll_back, 0),
    "savepoint_back": Case(savepoint_that_is_rolled_back, 2),
    "savepoint_survived": Case(savepoint_whose_cancellation_is_survived, 5, 1),
    "batch": Case(batch, 3),
    "batch_in_transaction": Case(batch_in_transaction, 6),
    "run_transaction": Case(run_again, 2),
}
COPIED = ["batch", "batch_in_transaction", "savepoint_survived"]


@pytest.fixture
def look(store_url: str) -> Iterator[psycopg.Connection[Any]]:
    """Return a connection that looks at what the transactions leave."""
    with psycopg.connect(store_url, autocommit=True) as conn:
        yield conn


def is_free(look: psycopg.Connection[Any], category: str) -> bool:
    """Return True if the lock of a category is free."""
    lock = "SELECT pg_try_advisory_xact_lock(%s)"
    return look.execute(lock, [streams.hash_64(category)]).fetchone() == (True,)


def count(look: psycopg.Connection[Any], category: str) -> int:
    """Count the messages of a category."""
    row = look.execute(
        "SELECT count(*) FROM message_store.messages"
        " WHERE message_store.category(stream_name) = %s",
        [category],
    ).fetchone()
    assert row is not None
    return int(row[0])


async def leaves_nothing(
    client: AsyncClient, look: psycopg.Connection[Any], place: str, allowed: set[int]
) -> None:
    """See that it is whole or not at all, that the lock is free, and each connection works."""
    await eventually(lambda: is_free(look, place))
    assert count(look, place) in allowed
    await eventually(lambda: is_whole(client))
    await every_connection_works(client, f"{place}c", 1)


# Each case on connections of the client's own, and those on which much differs on others, too.
@pytest.mark.parametrize("late", [False, True], ids=["waiting", "answered"])
@pytest.mark.parametrize(
    ("name", "kind", "copied"),
    [
        *((name, "own", False) for name in CASES),
        *((name, "own", True) for name in COPIED),
        *(
            (name, kind, False)
            for name in ("block", "run_transaction")
            for kind in ("pooler", "borrowed")
        ),
        ("batch_in_transaction", "functions", False),
        ("batch_in_transaction", "borrowed", True),
        ("batch", "pooler", True),
    ],
)
async def test_a_transaction(
    store_url: str,
    look: psycopg.Connection[Any],
    category: str,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    kind: str,
    copied: bool,
    late: bool,
) -> None:
    if copied:
        monkeypatch.setattr(batch_plan, "COPY_THRESHOLD", 2)
    case = CASES[name]
    async with open_client(store_url, kind, 1) as client:
        await client.open()

        async def once(step: int, label: str) -> bool:
            # A category for each step: what is in it is of this one.
            place = category + label
            undisturbed = await cancelled_at(run(case, client, place), step, late=late)
            allowed = {case.writes} if undisturbed else {0, case.part, case.writes}
            await leaves_nothing(client, look, place, allowed)
            return undisturbed

        await at_each_step(once)


async def run(case: Case, client: AsyncClient, category: str) -> object:
    """Make a coroutine of a case."""
    return await case.call(client, category)


@pytest.mark.parametrize("kind", ["own", "borrowed"])
async def test_one_that_is_cancelled_again_while_it_is_rolled_back(
    store_url: str, look: psycopg.Connection[Any], category: str, kind: str
) -> None:
    async with open_client(store_url, kind, 1) as client:
        await client.open()

        async def once(step: int, label: str) -> bool:
            place = category + label
            undisturbed = await cancelled_at(
                cancelled_before(client, place, step), step + 1, late=False
            )
            await leaves_nothing(client, look, place, {2} if undisturbed else {0, 2})
            return undisturbed

        await at_each_step(once)


async def cancelled_before(client: AsyncClient, category: str, step: int) -> object:
    """Cancel the whole block at a step, and let the next step be another's to cancel."""
    return await Stepped(run(CASES["block"], client, category), step, late=False)


@pytest.mark.parametrize("late", [False, True], ids=["waiting", "answered"])
@pytest.mark.parametrize("end", ["autocommit", "commit", "rollback"])
async def test_a_copied_batch_on_a_bound_connection(
    store_url: str,
    look: psycopg.Connection[Any],
    category: str,
    monkeypatch: pytest.MonkeyPatch,
    end: str,
    late: bool,
) -> None:
    monkeypatch.setattr(batch_plan, "COPY_THRESHOLD", 2)
    client = AsyncClient(store_url)

    async def once(step: int, label: str) -> bool:
        place = category + label
        conn = await AsyncConnection.connect(store_url, autocommit=end == "autocommit")
        async with conn:
            bound = client.bind(conn)
            await bound.stream_version(f"{place}-1")
            call = bound.write_messages(f"{place}-1", new_messages(3))
            undisturbed = await cancelled_at(call, step, late=late)
            # A caller who takes no notice of the cancellation goes on with the connection.
            if end == "commit":
                await conn.commit()
            elif end == "rollback":
                await conn.rollback()
            writes = 0 if end == "rollback" else 3
            assert count(look, place) in ({writes} if undisturbed else {0, writes})
            await works(bound, f"{place}c")
            if end != "autocommit":
                await conn.commit()
            await copies(conn)
        return undisturbed

    await at_each_step(once)
    await client.close()


async def settings_block(client: AsyncClient, category: str) -> None:
    """Leave a setting of the user's behind that would keep the client from working."""
    async with client.transaction() as tx:
        await tx.write_message(f"{category}-1", NewMessage("Tested"))
        await tx.connection.execute("SET search_path TO pg_catalog")


@pytest.mark.parametrize("late", [False, True], ids=["waiting", "answered"])
async def test_settings_of_the_user_are_reset_at_every_cancellation(
    store_url: str, look: psycopg.Connection[Any], category: str, late: bool
) -> None:
    async with open_client(store_url, "own", 1) as client:
        await client.open()
        case = Case(settings_block, 1)

        async def once(step: int, label: str) -> bool:
            place = category + label
            undisturbed = await cancelled_at(run(case, client, place), step, late=late)
            await leaves_nothing(client, look, place, {1} if undisturbed else {0, 1})
            async with client.transaction() as tx:
                cursor = await tx.connection.execute("SELECT current_setting('search_path')")
                assert await cursor.fetchone() == ('"message_store", public, pg_temp',), step
            return undisturbed

        await at_each_step(once)
