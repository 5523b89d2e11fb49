"""Sessions that the server has ended are replaced without an error to anybody."""

from __future__ import annotations

import pytest

from messagedb import AsyncClient, NewMessage
from tests._async.client_calls import CASES, seed
from tests.support.backend import make_url
from tests.support.background_async import Background, eventually
from tests.support.outcome import is_whole
from tests.support.store import count_category, locked, pids, stored, terminate, waiting_for_locks

SIZE = 10


async def open_client(store_url: str, category: str, pooler: bool = False) -> AsyncClient:
    """Return a client with all of its connections, by the name of the category."""
    url = make_url(store_url, application_name=category)
    client = AsyncClient(url, min_size=SIZE, max_size=SIZE, pooler=pooler)
    await client.open()
    await eventually(lambda: is_whole(client))
    return client


@pytest.mark.parametrize("pooler", [False, True])
async def test_all_sessions_end_while_idle(
    store_url: str, database_url: str, category: str, pooler: bool
) -> None:
    client = await open_client(store_url, category, pooler=pooler)
    await seed(client, category)
    await eventually(lambda: is_whole(client))
    ended = pids(database_url, category)
    assert terminate(database_url, ended) == SIZE
    calls = [Background(case.call, client, category) for case in CASES.values()]
    for call in calls:
        await call.result()
    await eventually(lambda: is_whole(client))
    again = pids(database_url, category)
    assert len(again) == SIZE
    assert not set(again) & set(ended)
    written = sum(case.writes for case in CASES.values())
    assert count_category(database_url, category) == 2 + written
    await client.close()


async def test_one_caller_meets_every_ended_session(
    store_url: str, database_url: str, category: str
) -> None:
    client = await open_client(store_url, category)
    assert terminate(database_url, pids(database_url, category)) == SIZE
    assert await client.write_message(f"{category}-1", NewMessage("Tested")) == 0
    await eventually(lambda: is_whole(client))
    assert terminate(database_url, pids(database_url, category)) == SIZE
    assert await client.stream_version(f"{category}-1") == 0
    await eventually(lambda: is_whole(client))
    await client.close()


@pytest.mark.parametrize("count", [1, 3])
async def test_all_sessions_end_while_they_write(
    store_url: str, database_url: str, category: str, count: int
) -> None:
    client = await open_client(store_url, category)
    batches = [[NewMessage("Tested") for _ in range(count)] for _ in range(SIZE)]
    with locked(database_url, category):
        calls = [
            Background(client.write_message, f"{category}-{number}", batch[0])
            if count == 1
            else Background(client.write_messages, f"{category}-{number}", batch)
            for number, batch in enumerate(batches)
        ]
        await eventually(lambda: waiting_for_locks(database_url, category) == SIZE)
        assert terminate(database_url, pids(database_url, category)) == SIZE
        await eventually(lambda: waiting_for_locks(database_url, category) == SIZE)
    for call in calls:
        assert await call.result() in (0, [0, 1, 2])
    for number, batch in enumerate(batches):
        ids = [id for id, _ in stored(database_url, f"{category}-{number}")]
        assert ids == [str(message.id) for message in batch]
    await eventually(lambda: is_whole(client))
    await client.close()


async def test_all_sessions_end_while_they_read(
    store_url: str, database_url: str, category: str
) -> None:
    client = await open_client(store_url, category)
    await seed(client, category)
    await eventually(lambda: is_whole(client))
    with locked(database_url, category):
        # A read that waits as long as another session holds the category's lock.
        slow = (
            f"pg_advisory_xact_lock_shared(message_store.hash_64('{category}')) IS NOT NULL"
            " AND messages.position = 0"
        )
        calls = [
            Background(client.get_stream_messages, f"{category}-seed", condition=slow)
            for _ in range(SIZE)
        ]
        await eventually(lambda: waiting_for_locks(database_url, category) == SIZE)
        assert terminate(database_url, pids(database_url, category)) == SIZE
        await eventually(lambda: waiting_for_locks(database_url, category) == SIZE)
    for call in calls:
        assert [message.position for message in await call.result()] == [0]
    await eventually(lambda: is_whole(client))
    await client.close()
