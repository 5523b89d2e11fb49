"""Ten thousand writes by sixteen callers over a pool of four."""

from __future__ import annotations

import psycopg

from messagedb import AsyncClient, NewMessage
from tests.support.backend import make_url
from tests.support.background_async import Background, eventually
from tests.support.outcome import is_whole, pool_of
from tests.support.store import pids, sessions

CALLERS = 16
WRITES = 10_000
STREAMS = 100
SIZE = 4


async def write_share(client: AsyncClient, category: str, first: int) -> list[tuple[str, int]]:
    """Write every sixteenth message to its stream."""
    written: list[tuple[str, int]] = []
    for number in range(first, WRITES, CALLERS):
        # Ten categories: callers wait for each other, but not all for one.
        stream = f"{category}{number % 10}x-{number % STREAMS}"
        position = await client.write_message(stream, NewMessage("Tested", {"number": number}))
        written.append((stream, position))
    return written


async def test_every_position_is_given_once(
    store_url: str, database_url: str, category: str
) -> None:
    url = make_url(store_url, application_name=category)
    async with AsyncClient(url, min_size=SIZE, max_size=SIZE) as client:
        await eventually(lambda: is_whole(client))
        before = pids(database_url, category)
        calls = [Background(write_share, client, category, n) for n in range(CALLERS)]
        written: list[tuple[str, int]] = []
        for call in calls:
            written += await call.result(60.0)
        await eventually(lambda: is_whole(client))
        stats = pool_of(client).get_stats()
        assert stats["pool_size"] == SIZE
        assert not stats.get("returns_bad", 0)
        assert pids(database_url, category) == before
    await eventually(lambda: sessions(database_url, category) == 0)
    assert len(written) == WRITES
    with psycopg.connect(database_url) as conn:
        rows = conn.execute(
            "select stream_name, array_agg(position order by global_position),"
            " count(distinct data ->> 'number') from message_store.messages"
            " where type = 'Tested' and starts_with(stream_name, %s) group by stream_name",
            [category],
        ).fetchall()
    assert len(rows) == STREAMS
    acknowledged: dict[str, list[int]] = {}
    for stream, position in written:
        acknowledged.setdefault(stream, []).append(position)
    for stream, positions, numbers in rows:
        assert positions == list(range(WRITES // STREAMS))
        assert numbers == len(positions)
        assert sorted(acknowledged[stream]) == positions
