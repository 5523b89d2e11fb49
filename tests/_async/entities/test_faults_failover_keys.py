"""A command with a key, on a primary whose commits wait for a standby."""

from __future__ import annotations

import psycopg

from messagedb import AsyncClient, AsyncEntityStore
from messagedb.entities import LoadedEntity
from tests._async.accounts import DECIDER, Account, Deposit, Withdraw, Withdrawn
from tests.support.background_async import Background, eventually
from tests.support.replication import Cluster
from tests.support.store import stored, terminate, waiting_for_locks


async def test_a_first_result_is_given_again_only_when_the_standby_has_it(
    replicated: Cluster, category: str
) -> None:
    link = replicated.standby.link
    assert link is not None
    one, two = replicated.url(application_name="one"), replicated.url(application_name="two")
    async with AsyncClient(one, max_size=2) as first, AsyncClient(two, max_size=2) as second:
        accounts = AsyncEntityStore(first, category, decider=DECIDER)
        others = AsyncEntityStore(second, category, decider=DECIDER)
        await accounts.transact("1", Deposit(4))
        await others.get("1")
        link.refuse()
        call = Background(accounts.transact, "1", Withdraw(4), id="k")
        await eventually(lambda: replicated.waiting_commits("one") == 1)
        # Ending the wait leaves events that all sessions see, and that the standby does not have.
        admin = replicated.primary.url("store")
        with psycopg.connect(admin, autocommit=True) as conn:
            cursor = conn.execute("select pid from pg_stat_activity where wait_event = 'SyncRep'")
            waiting = [pid for (pid,) in cursor]
        assert terminate(admin, waiting) == 1
        assert len(stored(admin, f"{category}-1")) == 3
        again = Background(others.transact, "1", Withdraw(4), id="k")

        # For the standby, or for the first call, which is sent again and may wait for it already.
        def waits() -> bool:
            return bool(replicated.waiting_commits("two") or waiting_for_locks(admin, category))

        await eventually(waits)
        assert not again.ended
        link.resume()
        done = await again.result()
        assert (done.is_repeated, done.events) == (True, (Withdrawn(2), Withdrawn(2)))
        await call.outcome()
        new = replicated.fail_over()
        assert len(stored(new.url("store"), f"{category}-1")) == 3
        assert await others.load("1") == LoadedEntity(Account("", 0, 3), 2)
