"""Groups whose COMMIT waits for a synchronous standby: no write of them is acknowledged early."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest

from messagedb import AsyncClient, NewMessage, OutcomeUnknownError, StoreUnavailableError
from messagedb._concurrency.backend_async import run_blocking
from messagedb.errors import PoolTimeoutError
from messagedb.testing import FaultProxy
from tests.support.background_async import Background, eventually
from tests.support.outcome import Outcome, is_whole
from tests.support.replication import Cluster, Node
from tests.support.store import stored

NAME = "the client"
COMMAND_TIMEOUT = 1.5
LIMIT = COMMAND_TIMEOUT + 3.0
SIZE = 4
IN_FLIGHT = 8


@asynccontextmanager
async def opened(
    cluster: Cluster, command_timeout: float = COMMAND_TIMEOUT
) -> AsyncGenerator[AsyncClient]:
    """Return a client with group commit that is known by its name."""
    async with AsyncClient(
        cluster.url(application_name=NAME),
        group_commit=True,
        max_size=SIZE,
        timeout=1.0,
        command_timeout=command_timeout,
    ) as client:
        yield client


def link_of(cluster: Cluster) -> FaultProxy:
    """Return the proxy between the primary and its standby."""
    link = cluster.standby.link
    assert link is not None
    return link


def ids_of(node: Node, stream: str) -> list[str]:
    """Return the ids of the messages that a node has in a stream."""
    return [id for id, _ in stored(node.url("store"), stream)]


class Group:
    """A write that is alone, and writes to other categories that form a group behind it.

    Both wait for the standby.

    Attributes:
        streams: the streams, the first of them that of the single write.
        messages: the message of each.
    """

    def __init__(self, category: str) -> None:
        self.streams = [f"{category}{number}x-1" for number in range(IN_FLIGHT)]
        self.messages = [NewMessage("Tested") for _ in self.streams]

    async def begin(self, client: AsyncClient, cluster: Cluster) -> list[Background[int]]:
        """Write all of it, and wait until the single write and a group wait for the standby."""
        await client.write_message(self.streams[0], NewMessage("Earlier"))
        link_of(cluster).refuse()
        calls = [Background(client.write_message, self.streams[0], self.messages[0])]
        await eventually(lambda: cluster.waiting_commits(NAME) == 1)
        calls += [
            Background(client.write_message, stream, message)
            for stream, message in zip(self.streams[1:], self.messages[1:], strict=True)
        ]
        await eventually(lambda: cluster.waiting_commits(NAME) >= 2)
        return calls

    def check_unknown(self, outcomes: list[Outcome[int]]) -> None:
        """See that each outcome is unknown, names its own message, and came in time."""
        for stream, message, outcome in zip(self.streams, self.messages, outcomes, strict=True):
            error = outcome.error
            assert isinstance(error, OutcomeUnknownError), outcome
            assert (error.stream_name, error.messages) == (stream, (message,))
            assert outcome.seconds < LIMIT

    def find(self, node: Node) -> list[str]:
        """Return the ids of the messages that a node has, in the order of the streams."""
        found = [ids_of(node, stream) for stream in self.streams]
        return [id for ids in (found[0][1:], *found[1:]) for id in ids]

    @property
    def ids(self) -> list[str]:
        """The ids of the messages."""
        return [str(message.id) for message in self.messages]

    async def write_again(self, client: AsyncClient) -> list[int]:
        """Write the messages of unknown outcome again, simultaneously."""
        calls = [
            Background(client.write_message, stream, message)
            for stream, message in zip(self.streams, self.messages, strict=True)
        ]
        return [await call.result() for call in calls]


async def test_a_group_that_is_not_replicated_in_time_is_of_unknown_outcome(
    replicated: Cluster, category: str
) -> None:
    group = Group(category)
    async with opened(replicated) as client:
        calls = await group.begin(client, replicated)
        group.check_unknown([await call.outcome() for call in calls])
        # The commits were not cancelled: they wait, and are not to be seen.
        assert replicated.waiting_commits(NAME) >= 2
        assert group.find(replicated.primary) == []
        link_of(replicated).resume()
        await eventually(lambda: replicated.waiting_commits() == 0, limit=10.0)
        await eventually(lambda: group.find(replicated.standby) == group.ids)
        assert await group.write_again(client) == [1] + [0] * (IN_FLIGHT - 1)
        assert group.find(replicated.primary) == group.ids
        await eventually(lambda: is_whole(client))


async def test_a_failover_while_a_group_waits_is_not_reported_as_success(
    replicated: Cluster, category: str
) -> None:
    group = Group(category)
    async with opened(replicated, command_timeout=10.0) as client:
        calls = await group.begin(client, replicated)
        new = await run_blocking(replicated.fail_over)
        # The single write and those of the group are sent again to the new server, which has none
        # of them. Writes that came too late for the group were not sent to any server before.
        outcomes = [await call.outcome() for call in calls]
        sent = [each for each in outcomes if not isinstance(each.error, PoolTimeoutError)]
        assert outcomes[0] in sent
        assert len(sent) >= 2
        for outcome, id, stream in zip(outcomes, group.ids, group.streams, strict=True):
            if outcome.error is None:
                assert id in ids_of(new, stream)
            elif outcome in sent:
                assert isinstance(outcome.error, OutcomeUnknownError), outcome
            else:
                assert id not in ids_of(new, stream)
        await group.write_again(client)
        assert group.find(new) == group.ids
        await eventually(lambda: is_whole(client))


async def test_the_outcome_is_unknown_when_the_failover_comes_later(
    replicated: Cluster, category: str
) -> None:
    group = Group(category)
    async with opened(replicated) as client:
        calls = await group.begin(client, replicated)
        outcomes = [await call.outcome() for call in calls]
        new = await run_blocking(replicated.fail_over)
        group.check_unknown(outcomes)
        assert group.find(new) == []
        await eventually(lambda: is_whole(client))
        await group.write_again(client)
        assert group.find(new) == group.ids


@pytest.mark.parametrize("function", ["pg_cancel_backend", "pg_terminate_backend"])
async def test_a_group_whose_wait_an_administrator_ends_is_of_unknown_outcome(
    replicated: Cluster, category: str, function: str
) -> None:
    group = Group(category)
    async with opened(replicated) as client:
        calls = await group.begin(client, replicated)
        replicated.primary.execute(
            f"select {function}(pid) from pg_stat_activity where wait_event = 'SyncRep'"
        )
        outcomes = [await call.outcome() for call in calls]
        group.check_unknown(outcomes)
        # They are stored on the primary alone, and lost with it; those that were not sent yet wait.
        found = group.find(replicated.primary)
        assert group.ids[0] in found
        assert len(found) > 1
        new = await run_blocking(replicated.fail_over)
        assert group.find(new) == []
        await group.write_again(client)
        assert group.find(new) == group.ids


async def test_a_group_of_stored_messages_waits_for_the_standby_as_their_first_writes_did(
    replicated: Cluster, category: str
) -> None:
    group = Group(category)
    async with opened(replicated) as client:
        await client.write_message(group.streams[0], NewMessage("Earlier"))
        link_of(replicated).refuse()
        first = Background(client.write_message, f"{category}First-1", NewMessage("Tested"))
        await eventually(lambda: replicated.waiting_commits(NAME) == 1)
        # Each commit was cancelled while it waited.
        calls = "".join(
            f"perform message_store.write_message('{id}', '{stream}', 'Tested', '{{}}'); "
            for stream, id in zip(group.streams, group.ids, strict=True)
        )
        replicated.primary.execute(
            f"begin; set local synchronous_commit = local; do $$ begin {calls} end $$; commit"
        )
        again = [
            Background(client.write_message, stream, message)
            for stream, message in zip(group.streams, group.messages, strict=True)
        ]
        await eventually(lambda: replicated.waiting_commits(NAME) >= 2)
        group.check_unknown([await call.outcome() for call in again])
        assert isinstance((await first.outcome()).error, OutcomeUnknownError)
        link_of(replicated).resume()
        await eventually(lambda: replicated.waiting_commits() == 0, limit=10.0)
        assert group.find(replicated.standby) == group.ids
        await group.write_again(client)


class Writer:
    """Writes message after message, each until it is known to be stored."""

    def __init__(self, client: AsyncClient, stream: str) -> None:
        self.stop = False
        self.acknowledged: list[str] = []
        self.stream = stream
        self._client = client

    async def run(self) -> None:
        """Write until it is to stop."""
        while not self.stop:
            message = NewMessage("Tested")
            while not await self._write(message):
                pass
            self.acknowledged.append(str(message.id))

    async def _write(self, message: NewMessage) -> bool:
        try:
            await self._client.write_message(self.stream, message)
        except (OutcomeUnknownError, StoreUnavailableError):
            return False
        return True


async def test_no_acknowledged_write_of_a_group_is_lost_or_doubled_by_failovers(
    replicated: Cluster, category: str
) -> None:
    async with opened(replicated) as client:
        writers = [Writer(client, f"{category}{n % 3}x-{n}") for n in range(16)]
        calls = [Background(writer.run) for writer in writers]

        async def all_write(more: int) -> None:
            before = [len(writer.acknowledged) + more for writer in writers]
            await eventually(
                lambda: all(
                    len(writer.acknowledged) > enough
                    for writer, enough in zip(writers, before, strict=True)
                ),
                limit=30.0,
            )

        try:
            for _ in range(2):
                await all_write(3)
                link_of(replicated).refuse()
                await eventually(lambda: replicated.waiting_commits(NAME) > 0, limit=10.0)
                old = replicated.primary
                await run_blocking(replicated.fail_over)
                await run_blocking(replicated.rejoin, old)
                await all_write(3)
        finally:
            for writer in writers:
                writer.stop = True
        for call in calls:
            await call.result()
        for writer in writers:
            assert ids_of(replicated.primary, writer.stream) == writer.acknowledged
        await eventually(lambda: is_whole(client))
