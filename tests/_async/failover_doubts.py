"""The primary dies while COMMITs are in doubt: their reported outcomes, beside the stored ones."""

from __future__ import annotations

import time
from collections import Counter
from functools import partial

from messagedb import AsyncClient, MessageDBError, NewMessage, OutcomeUnknownError
from messagedb._concurrency.backend_async import run_blocking
from tests.support.background_async import Background, eventually, sleep
from tests.support.outcome import is_whole
from tests.support.replication import Cluster, Node
from tests.support.replication.figures import Figures
from tests.support.store import stored

NAME = "load"


class Committer:
    """Writes a message in a transaction, and another, until it is to stop."""

    def __init__(self, client: AsyncClient, stream: str) -> None:
        self.stream = stream
        self.stop = False
        self.committing: str | None = None
        self.in_doubt: str | None = None
        self.committed: list[tuple[str, float]] = []
        self.rolled_back: list[str] = []
        self.unknown: list[str] = []
        self._client = client

    async def run(self) -> None:
        """Write until it is to stop."""
        while not self.stop:
            message = NewMessage("Tested")
            id = str(message.id)
            try:
                async with self._client.transaction() as tx:
                    await tx.write_message(self.stream, message)
                    self.committing = id
            except OutcomeUnknownError:
                self.unknown.append(id)
            except MessageDBError:
                self.rolled_back.append(id)
                self.committing = None
                await sleep(0.02)
            else:
                self.committed.append((id, time.monotonic()))
            self.committing = None


async def doubts(cluster: Cluster, category: str, size: int, rounds: int) -> Figures:
    """Let the primary die while COMMITs are in doubt, and check their reported outcomes."""
    figures = Figures()
    url = cluster.url(application_name=NAME)
    is_synchronous = cluster.primary.scalar("show synchronous_standby_names") != ""
    async with AsyncClient(url, max_size=size, command_timeout=15.0, timeout=5.0) as client:
        for turn in range(rounds):
            old = cluster.primary
            writers = [Committer(client, f"{category}{turn}x{n}x-1") for n in range(size)]
            calls = [Background(writer.run) for writer in writers]
            await eventually(partial(have_committed, writers, 3), limit=30.0)
            # In every other round the standby has what is in doubt.
            arrives = turn % 2 == 1
            await run_blocking(begin_doubts, cluster, arrives)
            await eventually(Standstill(writers).is_there, limit=10.0)
            for writer in writers:
                writer.stop = True
            cut = time.monotonic()
            new = await run_blocking(fail_over_with_ids_used, cluster, writers)
            for call in calls:
                await call.result(60.0)
            figures.failovers += 1
            for writer in writers:
                take_doubt(figures, new, writer, cut, is_synchronous)
            await run_blocking(cluster.rejoin, old)
        await eventually(partial(is_whole, client), limit=20.0)
    return figures


def take_doubt(
    figures: Figures, new: Node, writer: Committer, cut: float, is_synchronous: bool
) -> None:
    """Compare a writer's reported outcomes with the new primary's messages."""
    ids = Counter(id for id, _ in stored(new.url("store"), writer.stream))
    figures.acknowledged += len(writer.committed)
    figures.doubled += sum(count - 1 for count in ids.values())
    late = [id for id, at in writer.committed if at >= cut]
    figures.in_doubt += writer.in_doubt is not None
    figures.told_committed += writer.in_doubt in late
    figures.committed_and_missing += sum(id not in ids for id in late)
    figures.rolled_back_and_stored += sum(id in ids for id in writer.rolled_back)
    if is_synchronous:
        early = [id for id, at in writer.committed if at < cut]
        figures.missing += sum(id not in ids for id in early)


def have_committed(writers: list[Committer], count: int) -> bool:
    """Return True if each of them has committed that often."""
    return all(len(writer.committed) >= count for writer in writers)


class Standstill:
    """Tells when each writer waits for the answer to a COMMIT, and no answer comes any more."""

    def __init__(self, writers: list[Committer]) -> None:
        self._writers = writers
        self._seen: list[str | None] = []
        self._since = 0.0

    def is_there(self) -> bool:
        """Return True if nothing has moved for a moment."""
        now = [writer.committing for writer in self._writers]
        if now != self._seen:
            self._seen, self._since = now, time.monotonic()
        return None not in now and time.monotonic() > self._since + 0.3


def begin_doubts(cluster: Cluster, arrives: bool) -> None:
    """Let no COMMIT be answered any more, be it replicated or not."""
    link = cluster.standby.link
    assert link is not None
    if not arrives:
        link.refuse()
    cluster.primary.clients.drop_at("before_answer", b"COMMIT\x00", times=1_000_000)


def fail_over_with_ids_used(cluster: Cluster, writers: list[Committer]) -> Node:
    """Let the standby take over, and others use the ids that the old primary had given."""
    old, standby = cluster.primary, cluster.standby
    link = standby.link
    assert link is not None
    before = old.scalar("select pg_snapshot_xmax(pg_current_snapshot())::text::bigint")
    assert isinstance(before, int)
    standby.clients.refuse()
    for writer in writers:
        writer.in_doubt = writer.committing
    old.power_cut()
    old.clients.resume()
    cluster.promote(standby)
    standby.execute(
        f"do $$ begin while pg_current_xact_id()::text::bigint < {before + 50} loop commit;"
        " end loop; end $$"
    )
    standby.clients.resume()
    return standby
