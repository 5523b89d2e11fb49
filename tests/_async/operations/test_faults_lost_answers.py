"""A write whose answer is lost is stored once, and is never said not to be."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from messagedb import (
    ANY,
    NO_STREAM,
    AsyncClient,
    NewMessage,
    OutcomeUnknownError,
    WrongExpectedVersionError,
)
from messagedb.expected_version import ExpectedVersion
from messagedb.testing import FaultProxy
from tests._async.client_calls import new_messages, seed
from tests.support.backend import make_url
from tests.support.background_async import Background, eventually
from tests.support.outcome import is_whole, pool_of
from tests.support.store import locked, sessions, stored, waiting_for_locks

MODES: dict[str, dict[str, Any]] = {
    "own": {},
    "pooler": {"pooler": True},
    "functions": {"direct_writes": False},
}
COMMAND_TIMEOUT = 1.0
LIMIT = COMMAND_TIMEOUT + 1.5
LOCK = "pg_advisory_xact_lock"


async def write(
    client: AsyncClient, stream: str, messages: list[NewMessage], expected: ExpectedVersion
) -> list[int]:
    """Write by the method that is for so many messages."""
    if len(messages) == 1:
        return [await client.write_message(stream, messages[0], expected_version=expected)]
    return await client.write_messages(stream, messages, expected_version=expected)


async def prepare(
    client: AsyncClient, category: str, expected: ExpectedVersion
) -> tuple[str, list[int]]:
    """Return a stream at the expected version, and the positions of a write of three."""
    if expected == NO_STREAM:
        return f"{category}-new", [0, 1, 2]
    await seed(client, category)
    return f"{category}-seed", [2, 3, 4]


def marker(mode: str, messages: list[NewMessage]) -> str:
    """Return a part of the request that commits the write."""
    if mode == "own" or (mode == "functions" and len(messages) == 1):
        return str(messages[0].id)
    return "COMMIT"


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("expected", [ANY, NO_STREAM, 1], ids=["any", "no_stream", "int"])
@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("times", [1, 2])
async def test_an_answer_lost_and_the_connection_cut(
    store_url: str, category: str, mode: str, expected: ExpectedVersion, count: int, times: int
) -> None:
    messages = new_messages(count)
    with FaultProxy(store_url) as proxy:
        async with AsyncClient(proxy.url, max_size=3, **MODES[mode]) as client:
            stream, positions = await prepare(client, category, expected)
            before = stored(store_url, stream)
            proxy.cut_at("before_answer", marker(mode, messages), times=times)
            assert await write(client, stream, messages, expected) == positions[:count]
            assert proxy.injected == times
            assert await write(client, stream, messages, expected) == positions[:count]
            await eventually(lambda: is_whole(client))
    added = [(str(message.id), positions[n]) for n, message in enumerate(messages)]
    assert stored(store_url, stream) == before + added


@pytest.mark.parametrize("mode", MODES)
async def test_the_answer_to_the_look_before_a_batch_is_lost(
    store_url: str, category: str, mode: str
) -> None:
    messages = new_messages(3)
    look = "acquire_lock" if mode == "functions" else LOCK
    with FaultProxy(store_url) as proxy:
        async with AsyncClient(proxy.url, max_size=2, **MODES[mode]) as client:
            proxy.cut_at("before_answer", look)
            positions = await client.write_messages(
                f"{category}-1", messages, expected_version=NO_STREAM
            )
            assert (positions, proxy.injected) == ([0, 1, 2], 1)
            await eventually(lambda: is_whole(client))
    assert len(stored(store_url, f"{category}-1")) == 3


@pytest.mark.parametrize("count", [1, 3])
async def test_every_answer_is_lost_and_the_connections_cut(
    store_url: str, category: str, count: int
) -> None:
    messages = new_messages(count)
    stream = f"{category}-1"
    with FaultProxy(store_url) as proxy:
        async with AsyncClient(proxy.url, max_size=2, command_timeout=5.0) as client:
            await client.stream_version(stream)
            proxy.cut_at("before_answer", marker("own", messages), times=1000)
            with pytest.raises(OutcomeUnknownError) as caught:
                await write(client, stream, messages, NO_STREAM)
            proxy.resume()
            assert caught.value.messages == tuple(messages)
            assert caught.value.__cause__ is not None
            again = await client.write_messages(
                stream, caught.value.messages, expected_version=NO_STREAM
            )
            assert again == list(range(count))
            await eventually(lambda: is_whole(client))
    assert [id for id, _ in stored(store_url, stream)] == [str(message.id) for message in messages]


async def test_answers_lost_until_the_time_is_up(store_url: str, category: str) -> None:
    variants = [(m, e, n) for m in MODES for e in (ANY, NO_STREAM, 1) for n in (1, 3)]
    proxies = [FaultProxy(store_url) for _ in variants]
    clients = [
        AsyncClient(proxy.url, command_timeout=COMMAND_TIMEOUT, **MODES[variant[0]])
        for proxy, variant in zip(proxies, variants, strict=True)
    ]
    calls: list[tuple[str, list[int], list[NewMessage], Background[list[int]]]] = []
    for number, (mode, expected, count) in enumerate(variants):
        client, messages = clients[number], new_messages(count)
        stream, positions = await prepare(client, f"{category}{number}x", expected)
        await client.stream_version(stream)
        proxies[number].drop_at("before_answer", marker(mode, messages), times=1000)
        call = Background(write, client, stream, messages, expected)
        calls.append((stream, positions[:count], messages, call))
    for number, (stream, positions, messages, call) in enumerate(calls):
        outcome = await call.outcome()
        error = outcome.error
        assert isinstance(error, OutcomeUnknownError), (variants[number], outcome)
        assert outcome.seconds < LIMIT, (variants[number], outcome)
        assert error.messages == tuple(messages)
        assert error.stream_name == stream
        assert error.expected_version == variants[number][1]
        proxies[number].resume()
        client = clients[number]
        again = await client.write_messages(
            stream, error.messages, expected_version=variants[number][1]
        )
        assert again == positions, variants[number]
        await eventually(partial(is_whole, client))
        await client.close()
        proxies[number].close()
        ids = [id for id, _ in stored(store_url, stream)]
        assert ids[-len(messages) :] == [str(message.id) for message in messages]
        assert len(ids) == positions[-1] + 1


async def test_another_write_took_the_version_before_the_answer_was_lost(
    store_url: str, category: str
) -> None:
    stream = f"{category}-1"
    message = NewMessage("Tested")
    with FaultProxy(store_url) as proxy:
        async with AsyncClient(proxy.url, max_size=2) as client:
            await client.write_message(stream, NewMessage("Tested"))
            proxy.cut_at("before_answer", str(message.id))
            with pytest.raises(WrongExpectedVersionError):
                await client.write_message(stream, message, expected_version=NO_STREAM)
            assert proxy.injected == 1
    assert len(stored(store_url, stream)) == 1


@pytest.mark.parametrize("count", [1, 3])
async def test_a_write_that_arrives_after_the_client_gave_up_is_stored_once(
    store_url: str, category: str, count: int
) -> None:
    messages = new_messages(count)
    stream = f"{category}-1"
    with FaultProxy(store_url) as proxy:
        url = make_url(proxy.url, application_name=category)
        async with AsyncClient(url, max_size=2, command_timeout=COMMAND_TIMEOUT) as client:
            await client.stream_version(stream)
            proxy.stall()
            outcome = await Background(write, client, stream, messages, NO_STREAM).outcome()
            assert isinstance(outcome.error, OutcomeUnknownError)
            assert outcome.seconds < LIMIT
            assert stored(store_url, stream) == []
            proxy.resume()
            again = await client.write_messages(
                stream, outcome.error.messages, expected_version=NO_STREAM
            )
            assert again == list(range(count))
        # By the end of the sessions the late write has come, too.
        await eventually(lambda: sessions(store_url, category) == 0)
    assert [id for id, _ in stored(store_url, stream)] == [str(message.id) for message in messages]


async def one_connection_with_a_patient_server(client: AsyncClient) -> None:
    """Let the server wait longer than the client."""
    pool = pool_of(client)
    conn = await pool.getconn(5.0)
    await conn.execute("set statement_timeout = 0")
    await conn.execute("set client_connection_check_interval = 0")
    await pool.putconn(conn)


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_write_that_waits_for_the_lock_when_the_client_gives_up_is_stored_once(
    store_url: str, category: str, count: int, when: str
) -> None:
    """It is written again before or after the first one has the lock."""
    messages = new_messages(count)
    stream = f"{category}-1"
    with FaultProxy(store_url) as proxy:
        url = make_url(proxy.url, application_name=category)
        async with AsyncClient(url, max_size=1, command_timeout=COMMAND_TIMEOUT) as client:
            await client.open()
            await one_connection_with_a_patient_server(client)
            with locked(store_url, category):
                outcome = await Background(write, client, stream, messages, NO_STREAM).outcome()
                assert isinstance(outcome.error, OutcomeUnknownError)
                assert outcome.seconds < LIMIT
                # It still waits, although its client is gone: it was not undone, and may yet be
                # stored.
                assert waiting_for_locks(store_url, category) == 1
                assert stored(store_url, stream) == []
                lost = outcome.error.messages
                again = None
                if when == "before":
                    again = Background(client.write_messages, stream, lost)
                    await eventually(lambda: waiting_for_locks(store_url, category) == 2)
            if again is None:
                if count == 1:
                    await eventually(lambda: len(stored(store_url, stream)) == 1)
                again = Background(client.write_messages, stream, lost)
            assert await again.result() == list(range(count))
            await eventually(lambda: is_whole(client))
        await eventually(lambda: sessions(store_url, category) == 0)
    assert [id for id, _ in stored(store_url, stream)] == [str(message.id) for message in messages]


@pytest.mark.parametrize("count", [1, 3])
async def test_the_connection_is_cut_while_the_server_waits_for_the_lock(
    store_url: str, category: str, count: int
) -> None:
    messages = new_messages(count)
    stream = f"{category}-1"
    with FaultProxy(store_url) as proxy:
        url = make_url(proxy.url, application_name=category)
        async with AsyncClient(url, max_size=2) as client:
            await client.stream_version(stream)
            with locked(store_url, category):
                call = Background(write, client, stream, messages, NO_STREAM)
                await eventually(lambda: waiting_for_locks(store_url, category) == 1)
                proxy.cut(notify_server=False)
                await eventually(lambda: waiting_for_locks(store_url, category) == 2)
            # The first session of a batch has the lock now, and would hold it until it knows.
            if count > 1:
                proxy.resume()
            assert await call.result() == list(range(count))
            await eventually(lambda: is_whole(client))
            proxy.resume()
        await eventually(lambda: sessions(store_url, category) == 0)
    assert [id for id, _ in stored(store_url, stream)] == [str(message.id) for message in messages]
