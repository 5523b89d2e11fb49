"""Failovers under writers and consumers, and a standby that is unavailable."""

from __future__ import annotations

import time
from collections import Counter
from functools import partial
from typing import Any

from messagedb import (
    AsyncClient,
    AsyncConsumer,
    AsyncContext,
    Message,
    NewMessage,
    OutcomeUnknownError,
    StoreUnavailableError,
    TablePositionStore,
)
from messagedb._concurrency.backend_async import run_blocking
from tests.support.background_async import Background, eventually, sleep
from tests.support.outcome import is_whole
from tests.support.replication import Cluster, Node
from tests.support.replication.figures import Figures
from tests.support.store import stored

NAME = "load"


class Writer:
    """Writes numbered messages, each until it is known to be stored."""

    def __init__(self, client: AsyncClient, stream: str) -> None:
        self.stream = stream
        self.stop = False
        self.acknowledged: list[str] = []
        self._client = client

    async def run(self) -> None:
        """Write until it is to stop."""
        while not self.stop:
            message = NewMessage("Noted", {"n": len(self.acknowledged)})
            while not await self._write(message):
                await sleep(0.02)
            self.acknowledged.append(str(message.id))
            # Not more, all together, than transactions one after the other can follow.
            await sleep(0.04)

    async def _write(self, message: NewMessage) -> bool:
        try:
            await self._client.write_message(self.stream, message)
        except (OutcomeUnknownError, StoreUnavailableError):
            return False
        return True


async def load(cluster: Cluster, category: str, failovers: int) -> Figures:
    """Let the primary die, or be switched over, under writers and consumers."""
    figures = Figures(failovers=failovers)
    effects = f"{category}Effect"
    is_synchronous = cluster.primary.scalar("show synchronous_standby_names") != ""
    url = cluster.url(application_name=NAME)
    options: dict[str, Any] = {
        "on_lost_history": "continue",
        "poll_interval": 0.02,
        "idle_poll_interval": 0.05,
        "position_update_interval": 50,
        "lease_timeout": 1.0,
    }
    async with (
        AsyncClient(url, max_size=8, command_timeout=2.0, timeout=2.0) as client,
        AsyncClient(url, max_size=16, command_timeout=2.0, timeout=2.0) as reading,
    ):
        noting = AsyncConsumer(reading, category, identifier="noting", **options)
        copying = AsyncConsumer(
            reading,
            category,
            identifier="copying",
            transactional=True,
            position_store=TablePositionStore(),
            **options,
        )
        seen: set[str] = set()

        @noting.handler
        async def note(message: Message[Any]) -> None:
            seen.add(str(message.id))

        @copying.handler
        async def copy(message: Message[Any], context: AsyncContext) -> None:
            stream = f"{effects}-{message.stream_name.partition('-')[2]}"
            await context.client.write_message(
                stream, NewMessage("Copied", {"of": str(message.id)})
            )

        writers = [Writer(client, f"{category}-{n}") for n in range(8)]
        async with noting.running(), copying.running():
            calls = [Background(writer.run) for writer in writers]
            for turn in range(failovers):
                await eventually(partial(have_written, writers, counts(writers), 20), limit=60.0)
                if turn % 2 == 1:
                    await run_blocking(cluster.switch_over)
                else:
                    await run_blocking(die_and_rejoin, cluster, is_synchronous)
            await eventually(partial(have_written, writers, counts(writers), 10), limit=60.0)
            for writer in writers:
                writer.stop = True
            for call in calls:
                await call.result(60.0)
            for consumer in (noting, copying):
                await consumer.wait_until_caught_up(timeout=120.0)
        take_load(figures, cluster.primary, category, writers, seen, is_synchronous)
    return figures


def take_load(
    figures: Figures,
    node: Node,
    category: str,
    writers: list[Writer],
    seen: set[str],
    is_synchronous: bool,
) -> None:
    """Compare what was acknowledged and handled with what the primary has."""
    there: set[str] = set()
    for writer in writers:
        ids = Counter(id for id, _ in stored(node.url("store"), writer.stream))
        there |= ids.keys()
        figures.acknowledged += len(writer.acknowledged)
        figures.doubled += sum(count - 1 for count in ids.values())
        if is_synchronous:
            figures.missing += sum(id not in ids for id in writer.acknowledged)
    figures.handled += len(there & seen)
    figures.unhandled += len(there - seen)
    copies = node.scalar(
        "select coalesce(array_agg(data->>'of'), '{}') from message_store.messages"
        f" where message_store.category(stream_name) = '{category}Effect'"
    )
    count = Counter(list_of_ids(copies))
    figures.effects += count.total()
    figures.effects_missing += len(there - count.keys())
    figures.effects_doubled += len(count.keys() - there) + sum(n - 1 for n in count.values())


def list_of_ids(value: Any) -> list[str]:
    """Return an array that the server has given."""
    return [str(id) for id in value]


def counts(writers: list[Writer]) -> list[int]:
    """Return how much each of them has written."""
    return [len(writer.acknowledged) for writer in writers]


def have_written(writers: list[Writer], before: list[int], more: int) -> bool:
    """Return True if each of them has written so many more than before."""
    return all(now >= was + more for now, was in zip(counts(writers), before, strict=True))


def die_and_rejoin(cluster: Cluster, is_synchronous: bool) -> None:
    """Let the primary die, the standby of an unsynchronous one lag; it rejoins as standby."""
    old, link = cluster.primary, cluster.standby.link
    assert link is not None
    if not is_synchronous:
        link.stall()
        head = old.scalar("select max(global_position) from message_store.messages")
        assert isinstance(head, int)
        until = time.monotonic() + 30.0
        query = "select max(global_position) from message_store.messages"
        while int(str(old.scalar(query))) < head + 60:
            assert time.monotonic() < until, "nobody writes"
            time.sleep(0.02)
    cluster.fail_over()
    cluster.rejoin(old)


async def away(cluster: Cluster, category: str, seconds: float) -> Figures:
    """Stop the standby for that long, under 16 writers on a pool of 4."""
    figures = Figures()
    link = cluster.standby.link
    assert link is not None
    url = cluster.url(application_name=NAME)
    async with AsyncClient(url, max_size=4, command_timeout=2.0, timeout=2.0) as client:
        writers = [Writer(client, f"{category}{n}x-1") for n in range(16)]
        calls = [Background(writer.run) for writer in writers]
        await eventually(partial(have_written, writers, counts(writers), 3), limit=30.0)
        link.refuse()
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            waiting = await run_blocking(cluster.waiting_commits)
            figures.most_waiting = max(figures.most_waiting, waiting)
            await sleep(0.05)
        before = counts(writers)
        link.forward()
        try:
            await eventually(partial(have_written, writers, before, 3), limit=30.0)
        except AssertionError:
            now = counts(writers)
            figures.not_healed += sum(n < was + 3 for n, was in zip(now, before, strict=True))
        for writer in writers:
            writer.stop = True
        for call in calls:
            await call.result(60.0)
        await eventually(partial(is_whole, client), limit=20.0)
        figures.not_healed += cluster.waiting_commits()
        new = await run_blocking(cluster.fail_over)
        figures.failovers += 1
        for writer in writers:
            ids = [id for id, _ in stored(new.url("store"), writer.stream)]
            figures.acknowledged += len(writer.acknowledged)
            figures.missing += sum(id not in ids for id in writer.acknowledged)
            figures.doubled += len(ids) - len(set(ids))
    return figures
