"""Commands to entities behind PgBouncer: tasks that share an entity, and lost answers."""

from __future__ import annotations

import pytest

from messagedb import AsyncClient, AsyncEntityStore
from messagedb.testing import FaultProxy
from tests._async.accounts import DECIDER, Deposit
from tests._async.entity_crowd import check_commands
from tests.support.background_async import Background, eventually
from tests.support.outcome import is_whole
from tests.support.pgbouncer import PgBouncer


@pytest.mark.parametrize(
    ("pool", "pooler", "group_commit"),
    [
        ("single", True, False),
        ("pair", None, False),
        ("pair", None, True),
        ("session", None, False),
        ("session", None, True),
    ],
)
async def test_commands_of_many_tasks_to_one_entity_have_the_right_outcomes(
    pgbouncer: PgBouncer, category: str, pool: str, pooler: bool | None, group_commit: bool
) -> None:
    url = pgbouncer.url(pool)
    async with (
        AsyncClient(url, max_size=4, pooler=pooler, group_commit=group_commit) as client,
        AsyncClient(url, max_size=4, pooler=pooler, registry=client.registry) as other,
    ):
        # The second client is another process, to the first one.
        await check_commands([client, other], category)
        await eventually(lambda: is_whole(client))


async def test_commands_whose_answers_are_lost_behind_a_pooler_are_stored_once(
    pgbouncer: PgBouncer, category: str
) -> None:
    with FaultProxy(pgbouncer.url("pair")) as proxy:
        async with AsyncClient(proxy.url, max_size=4) as client:
            accounts = AsyncEntityStore(client, category, decider=DECIDER)
            await accounts.transact("1", Deposit(1))
            for turn in range(6):
                proxy.cut_at("before_answer", "COMMIT")
                calls = [Background(accounts.transact, "1", Deposit(1)) for _ in range(5)]
                for call in calls:
                    await call.result()
                assert proxy.injected == turn + 1
            fresh = AsyncEntityStore(client, category, decider=DECIDER)
            loaded = await fresh.load("1")
            assert (loaded.entity.balance, loaded.version) == (31, 30)
            await eventually(lambda: is_whole(client))
