"""Commands to many entities in flight, with group commit and without."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from typing import Any, Final

from messagedb import AsyncClient, AsyncEntityStore

from . import payload
from .accounts import COMMAND, DECIDER, Account
from .measure import Contender, measure, times_as_fast
from .report import COMMANDS, Section
from .servers import with_settings
from .topic import Bench, opened

_GROUPED: Final = "messagedb: transact, group_commit=True"
_PLAIN: Final = "messagedb: transact, as by default"

_ENTITIES: Final = 64
# By the number of categories, for commits that wait for the disk.
_WANTED: Final = {1: 3.0, _ENTITIES: 2.0}


def run(bench: Bench, conninfo: str) -> Iterator[Section]:
    """Measure commands to entities in memory: one in flight to each of them."""
    for commit in bench.pick(("on", "off"), ("off",)):
        for categories in bench.pick((_ENTITIES, 1), (1,)):
            address = with_settings(conninfo, synchronous_commit=commit)
            yield _measure(bench, address, commit, categories)


def _measure(bench: Bench, conninfo: str, commit: str, categories: int) -> Section:
    entities = bench.pick(_ENTITIES, 4)
    each = bench.pick(40, 2)
    with asyncio.Runner() as runner, ExitStack() as stack:
        contenders: list[Contender] = []
        for name, group_commit in ((_GROUPED, True), (_PLAIN, False)):
            client = stack.enter_context(
                opened(runner, AsyncClient(conninfo, group_commit=group_commit))
            )
            stores: list[AsyncEntityStore[Account, Any]] = [
                AsyncEntityStore(client, payload.category("commanded"), decider=DECIDER)
                for _ in range(categories)
            ]
            accounts = [(stores[number % categories], str(number)) for number in range(entities)]
            runner.run(_send(accounts, 1))
            contenders.append(_contend(runner, name, accounts, each))
        grouped, plain = measure(contenders, bench.rounds)
    wanted = _WANTED.get(categories) if commit == "on" else None
    place = "one category" if categories == 1 else f"{categories} categories"
    return Section(
        title=f"async, commands to {entities} entities of {place}, synchronous_commit {commit}",
        unit=COMMANDS,
        measures=[grouped, plain],
        comparisons=[times_as_fast(grouped, plain, wanted)],
        note="The entities are in memory, and each has one command in flight.",
    )


def _contend(
    runner: asyncio.Runner,
    name: str,
    accounts: Sequence[tuple[AsyncEntityStore[Account, Any], str]],
    each: int,
) -> Contender:
    return Contender(name, lambda: runner.run(_send(accounts, each)), len(accounts) * each)


async def _send(accounts: Sequence[tuple[AsyncEntityStore[Account, Any], str]], each: int) -> None:
    """Send commands to all accounts, one after the other to each of them."""

    async def work(store: AsyncEntityStore[Account, Any], id: str) -> None:
        for _ in range(each):
            await store.transact(id, COMMAND)

    await asyncio.gather(*(work(store, id) for store, id in accounts))
