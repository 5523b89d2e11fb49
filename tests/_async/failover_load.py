"""Failovers under writers and consumers, and a standby that is unavailable."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
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
from tests.support.replication import Cluster
from tests.support.replication.figures import Figures
from tests.support.replication.steps import Seen, Step
from tests.support.store import copied, stored

NAME = "load"
PATIENCE = 120.0
"""Seconds, longer than any step takes."""


class Writer:
    """Writes numbered messages, each until it is known to be stored."""

    def __init__(self, client: AsyncClient, stream: str) -> None:
        self.stream = stream
        self.stop = False
        self.acknowledged: list[str] = []
        self.errors: Counter[str] = Counter()
        self.interruption = 0.0
        self._client = client
        self._last = time.monotonic()

    async def run(self) -> None:
        """Write until it is to stop."""
        self.begin_step()
        message = NewMessage("Noted", {"n": 0})
        while not self.stop:
            if not await self._write(message):
                await sleep(0.02)
                continue
            self._acknowledge(message)
            message = NewMessage("Noted", {"n": len(self.acknowledged)})
            # Not more, all together, than transactions one after the other can follow.
            await sleep(0.04)

    def begin_step(self) -> None:
        """Forget errors and interruptions; the last acknowledgment is that before the step."""
        self.errors = Counter()
        self.interruption = 0.0
        self._last = time.monotonic()

    def _acknowledge(self, message: NewMessage) -> None:
        now = time.monotonic()
        self.interruption = max(self.interruption, now - self._last)
        self._last = now
        self.acknowledged.append(str(message.id))

    async def _write(self, message: NewMessage) -> bool:
        try:
            await self._client.write_message(self.stream, message)
        except (OutcomeUnknownError, StoreUnavailableError) as error:
            self.errors[type(error).__name__] += 1
            return False
        return True


@dataclass(frozen=True)
class Load:
    """Results of writers and consumers under load.

    Args:
        writers: all of them.
        handled: ids of the messages that the consumer with stored positions has handled.
        seen: what the writers saw of each step.
    """

    writers: list[Writer]
    handled: set[str]
    seen: list[Seen]


async def load(cluster: Cluster, category: str, failovers: int) -> Figures:
    """Let the primary die, or be switched over, under writers and consumers."""
    figures = Figures(failovers=failovers)
    is_synchronous = cluster.primary.scalar("show synchronous_standby_names") != ""
    kinds = [
        Step("failover", partial(die_and_rejoin, cluster, is_synchronous)),
        Step("switch-over", cluster.switch_over),
    ]
    steps = [kinds[turn % 2] for turn in range(failovers)]
    done = await under_load(cluster.url(application_name=NAME), category, steps)
    take_load(figures, cluster.primary.url("store"), category, done, is_synchronous)
    return figures


async def under_load(
    url: str,
    category: str,
    steps: Sequence[Step],
    *,
    command_timeout: float = 2.0,
    timeout: float = 2.0,
) -> Load:
    """Do something to the cluster of a URL, step by step, under writers and consumers."""
    limits: dict[str, Any] = {"command_timeout": command_timeout, "timeout": timeout}
    handled: set[str] = set()
    async with (
        AsyncClient(url, max_size=8, **limits) as client,
        AsyncClient(url, max_size=16, **limits) as reading,
    ):
        noting, copying = consumers(reading, category, handled)
        writers = [Writer(client, f"{category}-{n}") for n in range(8)]
        done = Load(list(writers), handled, [])
        async with noting.running(), copying.running():
            calls = [Background(writer.run) for writer in writers]
            for step in steps:
                await eventually(
                    partial(have_written, writers, counts(writers), 20), limit=PATIENCE
                )
                await take_step(step, writers, done, category)
            for writer in writers:
                writer.stop = True
            for call in calls:
                await call.result(PATIENCE)
            for consumer in (noting, copying):
                await consumer.wait_until_caught_up(timeout=PATIENCE)
    return done


def consumers(
    client: AsyncClient, category: str, handled: set[str]
) -> tuple[AsyncConsumer, AsyncConsumer]:
    """Return one that stores its position, and one that writes together with its position."""
    options: dict[str, Any] = {
        "on_lost_history": "continue",
        "poll_interval": 0.02,
        "idle_poll_interval": 0.05,
        "position_update_interval": 50,
        "lease_timeout": 1.0,
    }
    noting = AsyncConsumer(client, category, identifier="noting", **options)
    copying = AsyncConsumer(
        client,
        category,
        identifier="copying",
        transactional=True,
        position_store=TablePositionStore(),
        **options,
    )

    @noting.handler
    async def note(message: Message[Any]) -> None:
        handled.add(str(message.id))

    @copying.handler
    async def copy(message: Message[Any], context: AsyncContext) -> None:
        stream = f"{category}Effect-{message.stream_name.partition('-')[2]}"
        await context.client.write_message(stream, NewMessage("Copied", {"of": str(message.id)}))

    return noting, copying


async def take_step(step: Step, writers: list[Writer], done: Load, category: str) -> None:
    """Do a step; it is over when each writer has written behind it."""
    for writer in writers:
        writer.begin_step()
    unknown_to_old = 0
    if step.primary is None:
        await run_blocking(step.act)
    else:
        stream = f"{category}-old{len(done.seen)}"
        # Longer than any step: a write that the old primary has not answered is not given up.
        async with AsyncClient(step.primary(), max_size=4, command_timeout=PATIENCE) as client:
            staying = [Writer(client, f"{stream}x{n}") for n in range(4)]
            done.writers.extend(staying)
            calls = [Background(writer.run) for writer in staying]
            await eventually(partial(have_written, staying, counts(staying), 5), limit=PATIENCE)
            await run_blocking(step.act)
            for writer in staying:
                writer.stop = True
            for call in calls:
                await call.result(PATIENCE)
        unknown_to_old = sum(writer.errors["OutcomeUnknownError"] for writer in staying)
    await eventually(partial(have_written, writers, counts(writers), 10), limit=PATIENCE)
    done.seen.append(
        Seen(
            step.name,
            round(max(writer.interruption for writer in writers), 2),
            sum(writer.errors["OutcomeUnknownError"] for writer in writers),
            sum(writer.errors["StoreUnavailableError"] for writer in writers),
            unknown_to_old,
        )
    )


def take_load(figures: Figures, url: str, category: str, done: Load, is_synchronous: bool) -> None:
    """Compare what was acknowledged and handled with what the primary has."""
    there: set[str] = set()
    for writer in done.writers:
        ids = Counter(id for id, _ in stored(url, writer.stream))
        there |= ids.keys()
        figures.acknowledged += len(writer.acknowledged)
        figures.doubled += sum(count - 1 for count in ids.values())
        if is_synchronous:
            figures.missing += sum(id not in ids for id in writer.acknowledged)
    figures.handled += len(there & done.handled)
    figures.unhandled += len(there - done.handled)
    count = Counter(copied(url, f"{category}Effect"))
    figures.effects += count.total()
    figures.effects_missing += len(there - count.keys())
    figures.effects_doubled += len(count.keys() - there) + sum(n - 1 for n in count.values())


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
        link.resume()
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
