"""Writes that are in flight simultaneously: one transaction, and the outcome of each."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import psycopg
import pytest
from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

from messagedb import (
    ANY,
    NO_STREAM,
    STREAM_EXISTS,
    AsyncClient,
    DuplicateMessageError,
    NewMessage,
    ValidationError,
    WrongExpectedVersionError,
)
from messagedb.expected_version import ExpectedVersion
from tests.support.background_async import Background, eventually
from tests.support.outcome import is_whole
from tests.support.store import locked, stored, waiting_for_locks


@pytest.fixture
async def grouping(store_url: str) -> AsyncIterator[AsyncClient]:
    """Return a client with group commit."""
    async with AsyncClient(store_url, group_commit=True, max_size=4) as client:
        yield client


@asynccontextmanager
async def writes_waiting(
    client: AsyncClient, url: str, category: str
) -> AsyncGenerator[Callable[..., Background[Any]]]:
    """Let writes wait for one that is in flight; they are sent when the block ends."""
    blocked = f"{category}blocked"
    with locked(url, blocked):
        first = Background(client.write_message, f"{blocked}-1", NewMessage("First"))
        await eventually(lambda: waiting_for_locks(url, blocked) == 1)
        yield Background
    assert await first.result() == 0


def count_transactions(url: str, category: str) -> int:
    """Return the number of transactions that wrote the messages of categories of a prefix."""
    with psycopg.connect(url, autocommit=True) as conn:
        row = conn.execute(
            "select count(distinct xmin::text) from message_store.messages"
            " where stream_name like %s and type <> 'First'",
            [f"{category}%"],
        ).fetchone()
    assert row is not None
    return int(row[0])


async def write(
    client: AsyncClient, stream: str, messages: list[NewMessage], expected: ExpectedVersion
) -> list[int]:
    """Write by the method that is for so many messages."""
    if len(messages) == 1:
        return [await client.write_message(stream, messages[0], expected_version=expected)]
    return await client.write_messages(stream, messages, expected_version=expected)


async def test_writes_in_flight_share_transactions_and_have_their_positions(
    grouping: AsyncClient, store_url: str, category: str
) -> None:
    streams = [f"{category}{number % 3}-{number % 5}" for number in range(30)]
    async with writes_waiting(grouping, store_url, category) as start:
        calls = [start(grouping.write_message, each, NewMessage("Tested")) for each in streams]
        positions = [await call.result() for call in calls]
    stats = grouping.pool_stats()
    assert (stats.group_writes_num, stats.group_messages_num) == (30, 30)
    assert 1 <= stats.groups_num < 30
    by_stream: dict[str, list[int]] = {}
    for stream, position in zip(streams, positions, strict=True):
        by_stream.setdefault(stream, []).append(position)
    for stream, found in by_stream.items():
        assert sorted(found) == list(range(len(found)))
        assert [position for _, position in stored(store_url, stream)] == sorted(found)
    assert count_transactions(store_url, category) < len(streams) / 2


async def test_a_write_that_is_alone_calls_the_function_of_the_server(
    grouping: AsyncClient, category: str
) -> None:
    await grouping.write_message(f"{category}-1", NewMessage("Tested"))
    with pytest.raises(WrongExpectedVersionError) as caught:
        await grouping.write_message(
            f"{category}-1", NewMessage("Tested"), expected_version=NO_STREAM
        )
    assert "Wrong expected version" in str(caught.value.__cause__)
    assert caught.value.actual_version == 0


async def test_each_write_of_a_group_has_the_error_of_a_single_one(
    grouping: AsyncClient, client: AsyncClient, store_url: str, category: str
) -> None:
    elsewhere, here = NewMessage("Tested"), NewMessage("Tested")
    await client.write_message(f"{category}-elsewhere", elsewhere)
    await client.write_messages(f"{category}-1", [here, NewMessage("Tested")])
    cases: list[tuple[str, list[NewMessage], ExpectedVersion]] = [
        (f"{category}-new", [NewMessage("Tested")], 3),
        (f"{category}-1", [NewMessage("Tested")], 0),
        (f"{category}-1", [NewMessage("Tested")], NO_STREAM),
        (f"{category}-new", [NewMessage("Tested"), NewMessage("Tested")], 7),
        (f"{category}-new", [NewMessage("Tested")], STREAM_EXISTS),
        (f"{category}-1", [elsewhere], ANY),
        (f"{category}-1", [elsewhere], 1),
        (f"{category}-1", [elsewhere], 5),
        (f"{category}-1", [NewMessage("Tested"), elsewhere], ANY),
    ]
    wanted: list[Exception] = []
    for stream, messages, expected in cases:
        with pytest.raises((WrongExpectedVersionError, DuplicateMessageError)) as caught:
            await write(client, stream, messages, expected)
        wanted.append(caught.value)
    async with writes_waiting(grouping, store_url, category) as start:
        calls = [start(write, grouping, *case) for case in cases]
        good = start(grouping.write_message, f"{category}-good", NewMessage("Tested"))
        repeated = start(grouping.write_message, f"{category}-1", here, expected_version=NO_STREAM)
        assert (await good.result(), await repeated.result()) == (0, 0)
        errors = [(await call.outcome()).error for call in calls]
    for error, expected_error in zip(errors, wanted, strict=True):
        assert type(error) is type(expected_error)
        assert str(error) == str(expected_error)
        assert vars(error) == vars(expected_error)
    assert len(stored(store_url, f"{category}-1")) == 2
    assert stored(store_url, f"{category}-new") == []


@pytest.mark.parametrize("expected", [1, NO_STREAM, STREAM_EXISTS, ANY])
async def test_of_writes_with_one_expected_version_one_is_stored(
    grouping: AsyncClient, client: AsyncClient, store_url: str, category: str, expected: Any
) -> None:
    if expected != NO_STREAM:
        await client.write_messages(f"{category}-1", [NewMessage("Tested"), NewMessage("Tested")])
    before = len(stored(store_url, f"{category}-1"))
    async with writes_waiting(grouping, store_url, category) as start:
        calls = [
            start(write, grouping, f"{category}-1", [NewMessage("Tested")], expected)
            for _ in range(5)
        ]
        outcomes = [await call.outcome() for call in calls]
    good = sorted(outcome.result()[0] for outcome in outcomes if outcome.error is None)
    errors = [outcome.error for outcome in outcomes if outcome.error is not None]
    count = 5 if expected in (ANY, STREAM_EXISTS) else 1
    assert good == list(range(before, before + count))
    assert all(isinstance(error, WrongExpectedVersionError) for error in errors)
    assert len(stored(store_url, f"{category}-1")) == before + count


async def test_one_message_written_several_times_is_stored_once(
    grouping: AsyncClient, store_url: str, category: str
) -> None:
    message = NewMessage("Tested")
    async with writes_waiting(grouping, store_url, category) as start:
        same = [start(grouping.write_message, f"{category}-1", message) for _ in range(4)]
        assert [await call.result() for call in same] == [0, 0, 0, 0]
        other = start(grouping.write_message, f"{category}other-1", message)
        with pytest.raises(DuplicateMessageError) as caught:
            await other.result()
    assert caught.value.existing_stream_name == f"{category}-1"
    assert stored(store_url, f"{category}-1") == [(str(message.id), 0)]


async def test_small_batches_are_written_all_or_none(
    grouping: AsyncClient, client: AsyncClient, store_url: str, category: str
) -> None:
    known = NewMessage("Tested")
    await client.write_message(f"{category}-1", known)
    async with writes_waiting(grouping, store_url, category) as start:
        new = start(
            grouping.write_messages, f"{category}-2", [NewMessage("Tested") for _ in range(3)]
        )
        partly = start(grouping.write_messages, f"{category}-1", [known, NewMessage("Tested")])
        refused = start(
            grouping.write_messages,
            f"{category}-3",
            [NewMessage("Tested"), NewMessage("Tested")],
            expected_version=4,
        )
        duplicate = start(grouping.write_messages, f"{category}-4", [NewMessage("Tested"), known])
        assert await new.result() == [0, 1, 2]
        assert await partly.result() == [0, 1]
        assert isinstance((await refused.outcome()).error, WrongExpectedVersionError)
        assert isinstance((await duplicate.outcome()).error, DuplicateMessageError)
    assert stored(store_url, f"{category}-3") == stored(store_url, f"{category}-4") == []


async def test_values_are_stored_unchanged(
    grouping: AsyncClient, store_url: str, category: str
) -> None:
    messages = [
        NewMessage("Tested", None),
        NewMessage("Tested", {}),
        NewMessage('Qu"oted\\\n', {"text": 'a"b\\c\n\u2028é', "big": 10**40, "null": None}),
        NewMessage("Tested", {"amount": 1.5}, metadata={"correlationStreamName": "a-1"}),
        NewMessage("Tested", {"text": "x" * 40_000}),
    ]
    streams = [f'{category}-"{{\\, é' for _ in messages]
    async with writes_waiting(grouping, store_url, category) as start:
        calls = [
            start(grouping.write_message, stream, message)
            for stream, message in zip(streams, messages, strict=True)
        ]
        positions: list[int] = [await call.result() for call in calls]
    read = await grouping.get_stream_messages(streams[0])
    for position, message in zip(positions, messages, strict=True):
        assert read[position].id == message.id
        assert read[position].type == message.type
        assert read[position].data == message.data
        assert (read[position].metadata or None) == message.metadata


async def test_an_idle_client_is_whole_afterwards(
    grouping: AsyncClient, store_url: str, category: str
) -> None:
    async with writes_waiting(grouping, store_url, category) as start:
        calls = [
            start(grouping.write_message, f"{category}-{number}", NewMessage("Tested"))
            for number in range(50)
        ]
        for call in calls:
            await call.result()
    await eventually(lambda: is_whole(grouping))


async def test_a_write_that_nothing_of_a_group_may_delay_is_sent_by_itself(
    grouping: AsyncClient, store_url: str, category: str
) -> None:
    long_name = f"{category}-{'n' * 2000}"
    async with writes_waiting(grouping, store_url, category) as start:
        large = start(grouping.write_message, f"{category}-1", NewMessage("T", {"x": "y" * 10**6}))
        many = start(grouping.write_messages, f"{category}-2", [NewMessage("T")] * 0)
        batch = start(
            grouping.write_messages, f"{category}-3", [NewMessage("T") for _ in range(500)]
        )
        named = start(grouping.write_message, long_name, NewMessage("T"))
        assert (await large.result(), await many.result(), await named.result()) == (0, [], 0)
        assert await batch.result() == list(range(500))
    assert len(stored(store_url, long_name)) == 1


async def test_options_that_exclude_groups_are_refused(store_url: str) -> None:
    choices: list[dict[str, Any]] = [{"pooler": True}, {"direct_writes": False}]
    for options in choices:
        with pytest.raises(ValidationError, match="group_commit does not work with"):
            AsyncClient(store_url, group_commit=True, **options)
    with pytest.raises(ValidationError, match="group_commit must be True or False"):
        AsyncClient(store_url, group_commit=2)  # type: ignore[arg-type]
    async with AsyncConnectionPool(store_url, min_size=1, open=False) as pool:
        with pytest.raises(ValidationError, match="borrowed pool"):
            AsyncClient(pool=pool, group_commit=True)


async def test_a_role_that_may_only_call_functions_writes_as_without_groups(
    functions_only_url: str, category: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with AsyncClient(functions_only_url, group_commit=True, max_size=3) as client:
        calls = [
            Background(client.write_message, f"{category}-1", NewMessage("Tested"))
            for _ in range(9)
        ]
        assert sorted([await call.result() for call in calls]) == list(range(9))
    (record,) = [each for each in caplog.records if "group_commit" in each.message]
    assert "may only call the functions" in record.message


async def test_bound_writes_and_transactions_are_their_callers(
    grouping: AsyncClient, conn: AsyncConnection[Any], store_url: str, category: str
) -> None:
    async with conn.transaction(force_rollback=True):
        assert await grouping.bind(conn).write_message(f"{category}-1", NewMessage("Tested")) == 0
    async with grouping.transaction() as tx:
        assert await tx.write_message(f"{category}-1", NewMessage("Tested")) == 0
    assert len(stored(store_url, f"{category}-1")) == 1
