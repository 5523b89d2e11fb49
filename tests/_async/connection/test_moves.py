"""A category is moved to another node: its messages, positions and consumers go with it."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

import psycopg
import pytest

from messagedb import (
    AsyncClient,
    AsyncConsumer,
    AsyncContext,
    Message,
    NewMessage,
    StreamPositionStore,
    TablePositionStore,
)
from messagedb.errors import (
    IncompatibleServerError,
    PositionConflictError,
    RetryableError,
    StoreUnavailableError,
    ValidationError,
)
from messagedb.schema import abort_proxy_move_async, move_proxy_category_async
from messagedb.streams import hash_64
from tests.support.background_async import Background, eventually
from tests.support.partition_owner import PartitionOwner
from tests.support.plproxy import open_proxied
from tests.support.several_nodes import PROXY, SeveralNodes

END_SESSIONS = "select pg_terminate_backend(pid) from pg_stat_activity where datname = %s"


@pytest.fixture(scope="module")
def nodes() -> Generator[SeveralNodes]:
    """Return two nodes, between which the tests move their categories."""
    with open_proxied(SeveralNodes) as nodes:
        yield nodes


def noted(n: int) -> NewMessage:
    return NewMessage("Noted", {"n": n, "price": 1.50, "none": None})


async def consume(client: AsyncClient, category: str, **options: Any) -> list[int]:
    """Handle what a consumer has not handled yet, and return it."""
    consumer = AsyncConsumer(client, category, identifier="seen", **options)
    handled: list[int] = []

    @consumer.handler
    async def handle(message: Message[Any], context: AsyncContext) -> None:
        handled.append(message.data["n"])

    await consumer.run(until="caught_up")
    return handled


def rows(nodes: SeveralNodes, node: str, category: str) -> list[tuple[Any, ...]]:
    """Return what a move keeps of each message, in the order of the category."""
    return nodes.ask(
        node,
        "select id, stream_name, position, type, time, data::text, metadata::text "
        "from message_store.messages where split_part(split_part(stream_name, '-', 1), ':', 1) = %s"
        " order by global_position",
        category,
    )


@pytest.mark.parametrize("store", [StreamPositionStore(), TablePositionStore()])
async def test_consumers_go_on_after_the_same_message_on_another_node(
    nodes: SeveralNodes, store: StreamPositionStore | TablePositionStore
) -> None:
    category = nodes.name_category(f"went{type(store).__name__}", "a")
    other = nodes.name_category("inTheWay", "b")
    async with AsyncClient(nodes.url()) as client:
        for n in range(30):
            await client.write_message(f"{category}-{n % 3}", noted(n))
            await client.write_message(f"{category}:command-{n % 2}", NewMessage("Do", {"n": n}))
            await client.write_message(f"{other}-1", noted(n))
        assert await consume(client, category, position_store=store) == list(range(30))
        assert len(await consume(client, f"{category}:command", position_store=store)) == 30
        await client.write_message(f"{category}-9", noted(30))
        before = rows(nodes, "a", category)
        steps: list[str] = []
        moved = await move_proxy_category_async(
            nodes.admin_url(), category=category, target="b", progress=steps.append
        )
        assert moved is not None
        assert (moved.source, moved.target, moved.copied) == ("a", "b", len(before))
        assert (moved.positions, moved.stopped) == (2, 0)
        assert steps[0] == "preparing"
        assert steps[-1] == "ended"
        assert nodes.find_node(category) == "b"
        assert rows(nodes, "b", category)[: len(before)] == before
        assert rows(nodes, "a", category) == before
        await client.write_message(f"{category}-9", noted(31), expected_version=0)
        await client.write_message(f"{category}:command-0", NewMessage("Do", {"n": 31}))
        assert await consume(client, category, position_store=store) == [30, 31]
        assert await consume(client, f"{category}:command", position_store=store) == [31]
        names = [each.name for each in await client.list_categories(limit=1000)]
        assert names.count(category) == 1
        assert await client.get_stream_messages(f"{category}-9", position=1)
        assert (
            await move_proxy_category_async(nodes.admin_url(), category=category, target="b")
            is None
        )
        # The copy that stayed is the beginning of the way back.
        back = await move_proxy_category_async(nodes.admin_url(), category=category, target="a")
        assert back is not None
        assert back.copied < 10
        await client.write_message(f"{category}-9", noted(32), expected_version=1)
        assert await consume(client, category, position_store=store) == [32]
    query = "select state from messagedb.node_categories where category = %s"
    assert nodes.ask("b", query, category) == [("retired",)]
    assert nodes.ask("a", query, category) == []


async def test_a_write_by_a_map_that_lacks_the_move_is_refused(nodes: SeveralNodes) -> None:
    category = nodes.name_category("outdated", "a")
    async with AsyncClient(nodes.url()) as client:
        await client.write_message(f"{category}-1", noted(0))
        await move_proxy_category_async(nodes.admin_url(), category=category, target="b")
        remove = "delete from messagedb.proxy_categories where category = %s"
        nodes.ask(PROXY, remove, category)
        for count in (1, 2):
            with pytest.raises(IncompatibleServerError, match="messagedb proxy check") as refused:
                await client.write_messages(f"{category}-1", [noted(1) for _ in range(count)])
            assert f"category {category} was moved to another node" in str(refused.value)
        nodes.ask(PROXY, "insert into messagedb.proxy_categories values (%s, 1)", category)
        assert await client.write_message(f"{category}-1", noted(1), expected_version=0) == 1
    assert nodes.count(f"{category}-1") == {"a": 1, "b": 2}


async def test_reads_by_a_map_that_lacks_the_move_are_refused(nodes: SeveralNodes) -> None:
    category = nodes.name_category("outdated", "a")
    stream = f"{category}-1"
    async with AsyncClient(nodes.url()) as client:
        await client.write_message(stream, noted(0))
        await move_proxy_category_async(nodes.admin_url(), category=category, target="b")
        await client.write_message(stream, noted(1))
        reads: list[Callable[[], Any]] = [
            lambda: client.get_stream_messages(stream),
            lambda: client.get_stream_messages(stream, direction="backwards"),
            lambda: client.get_category_messages(category),
            lambda: client.get_category_messages(category, direction="backwards"),
            lambda: client.get_last_stream_message(stream),
            lambda: client.stream_version(stream),
            lambda: client.list_streams(category),
            lambda: client.get_category_head(category),
        ]
        nodes.ask(PROXY, "delete from messagedb.proxy_categories where category = %s", category)
        # Those that were sent before the map changed still find the original, for a minute.
        assert await client.stream_version(stream) == 0
        past = "update messagedb.node_categories set since = now() - interval '61 s'"
        nodes.ask("a", f"{past} where category = %s", category)
        for read in reads:
            with pytest.raises(IncompatibleServerError, match="messagedb proxy check") as refused:
                await read()
            assert f"category {category} was moved to another node" in str(refused.value)
        nodes.ask(PROXY, "insert into messagedb.proxy_categories values (%s, 1)", category)
        for read in reads:
            assert await read()
        assert await client.stream_version(stream) == 1


async def test_a_move_that_cannot_be_is_refused_and_changes_nothing(nodes: SeveralNodes) -> None:
    url = nodes.admin_url()
    category = nodes.name_category("refused", "a")
    async with AsyncClient(nodes.url()) as client:
        await client.write_message(f"{category}-1", noted(0))
        before = nodes.ask(PROXY, "select * from messagedb.proxy_categories order by 1")
        with pytest.raises(ValidationError, match="there is no node 'c': the map has a, b"):
            await move_proxy_category_async(url, category=category, target="c")
        for wrong in (f"{category}-1", f"{category}:command", "", None):
            with pytest.raises(ValidationError, match="category"):
                await move_proxy_category_async(url, category=wrong, target="b")  # type: ignore[arg-type]
        with pytest.raises(ValidationError, match="positions_without_id"):
            await move_proxy_category_async(
                url,
                category=category,
                target="b",
                positions_without_id="no",  # type: ignore[arg-type]
            )
        with pytest.raises(ValidationError, match="lease_timeout"):
            await move_proxy_category_async(url, category=category, target="b", lease_timeout=0)
        with pytest.raises(IncompatibleServerError, match="does not pass calls on"):
            await move_proxy_category_async(nodes.admin_url("a"), category=category, target="b")
        with pytest.raises(IncompatibleServerError, match="is not being moved"):
            await abort_proxy_move_async(url, category=category)
        # Written past the proxying database: no move has brought it there.
        async with AsyncClient(nodes.server.url("b", "message_store")) as direct:
            await direct.write_message(f"{category}-7", noted(0))
        with pytest.raises(IncompatibleServerError, match="that no move has copied there"):
            await move_proxy_category_async(url, category=category, target="b")
        nodes.ask("b", "delete from message_store.messages where stream_name = %s", f"{category}-7")
        key = hash_64(category) >> 32
        with psycopg.connect(url) as conn:
            conn.execute("select pg_advisory_lock(1835295860, %s)", [key])
            with pytest.raises(RetryableError, match="another process is moving category"):
                await move_proxy_category_async(url, category=category, target="b")
        nodes.ask("postgres", "alter database b allow_connections false")
        nodes.ask("postgres", END_SESSIONS, "b")
        try:
            with pytest.raises(StoreUnavailableError, match="is stored where it was"):
                await move_proxy_category_async(url, category=category, target="b")
            await client.write_message(f"{category}-1", noted(1), expected_version=0)
        finally:
            nodes.ask("postgres", "alter database b allow_connections true")
        nodes.ask("b", "alter function messagedb.mark_node_category(varchar) rename to gone")
        try:
            with pytest.raises(IncompatibleServerError, match="messagedb proxy init"):
                await move_proxy_category_async(url, category=category, target="b")
        finally:
            nodes.ask("b", "alter function messagedb.gone(varchar) rename to mark_node_category")
    assert nodes.ask(PROXY, "select * from messagedb.proxy_categories order by 1") == before
    assert nodes.count(f"{category}-1") == {"a": 2}


async def test_positions_without_an_id_refuse_the_move_unless_it_is_said_what_they_are(
    nodes: SeveralNodes,
) -> None:
    url = nodes.admin_url()
    category = nodes.name_category("ruby", "a")
    other = nodes.name_category("shift", "b")
    async with AsyncClient(nodes.url()) as client:
        for n in range(10):
            await client.write_message(f"{category}-1", noted(n))
            await client.write_message(f"{other}-1", noted(n))
        stream = f"{category}:position-seen"
        page = await client.get_category_messages(category)
        position = page[5].global_position
        await client.write_message(stream, NewMessage("Recorded", {"position": position, "x": 1}))
        with pytest.raises(IncompatibleServerError, match=stream):
            await move_proxy_category_async(url, category=category, target="b")
        moved = await move_proxy_category_async(
            url, category=category, target="b", positions_without_id="source"
        )
        assert moved is not None
        record = await client.get_last_stream_message(stream)
        assert record is not None
        assert record.data["x"] == 1
        assert "messageId" not in record.data
        assert await consume(client, category) == [6, 7, 8, 9]
        moved = await move_proxy_category_async(
            url, category=category, target="a", positions_without_id="beginning"
        )
        assert moved is not None
        # The position has an id now.
        assert await consume(client, category) == []
        wrong = {"position": 3, "messageId": str(page[0].id), "messagePosition": 10**9}
        await client.write_message(stream, NewMessage("Recorded", wrong))
        with pytest.raises(IncompatibleServerError, match="that is not at its place"):
            await move_proxy_category_async(url, category=category, target="b")
        await move_proxy_category_async(
            url, category=category, target="b", positions_without_id="beginning"
        )
        assert await consume(client, category) == list(range(10))


def stored(nodes: SeveralNodes, node: str, category: str, identifier: str) -> list[int]:
    """Return the positions that a consumer, or the members of its group, stored last."""
    found = nodes.ask(
        node,
        "select distinct on (stream_name) (data ->> 'position')::bigint"
        " from message_store.messages where starts_with(stream_name, %s)"
        " order by stream_name, position desc",
        f"{category}:position-{identifier}",
    )
    return [row[0] for row in found]


async def test_running_consumers_are_stopped_and_go_on_when_they_are_run_again(
    nodes: SeveralNodes,
) -> None:
    category = nodes.name_category("running", "a")
    handled: dict[str, list[int]] = {"seen": [], "shared": [], "fresh": []}
    async with AsyncClient(nodes.url()) as client:

        def build(identifier: str, **options: Any) -> AsyncConsumer:
            consumer = AsyncConsumer(
                client,
                category,
                identifier=identifier,
                lease_timeout=1.0,
                poll_interval=0.02,
                **options,
            )

            @consumer.handler
            async def handle(message: Message[Any], context: AsyncContext) -> None:
                handled[identifier].append(message.data["n"])

            return consumer

        for n in range(20):
            await client.write_message(f"{category}-{n}", noted(n))
        last = (await client.get_category_messages(category))[-1].global_position
        divided = build("shared", partitions=4, position_update_interval=1)
        dividing = Background(divided.run)
        running = Background(build("seen", position_update_interval=1).run)
        # Its position is only in its memory, where a move cannot translate it.
        beginning = Background(build("fresh", position_update_seconds=60.0).run)
        await eventually(lambda: stored(nodes, "a", category, "shared") == [last] * 4)
        await eventually(lambda: stored(nodes, "a", category, "seen") == [last])
        await eventually(lambda: len(handled["fresh"]) == 20)
        moved = await move_proxy_category_async(
            nodes.admin_url(), category=category, target="b", lease_timeout=1.0
        )
        assert moved is not None
        assert moved.stopped >= 2
        for each in (running, beginning):
            with pytest.raises(PositionConflictError, match="Run this consumer again"):
                await each.result()
        assert stored(nodes, "b", category, "fresh") == []
        for n in range(20, 40):
            await client.write_message(f"{category}-{n}", noted(n))
        # A partitioned consumer goes on by itself.
        await eventually(lambda: len(handled["shared"]) == 40)
        next_ones = [build("seen"), build("fresh")]
        again = [Background(each.run) for each in next_ones]
        await eventually(lambda: len(handled["seen"]) == 40 and len(handled["fresh"]) == 60)
        for consumer in (*next_ones, divided):
            await consumer.stop()
        for each in (*again, dividing):
            await each.result()
    assert handled["seen"] == list(range(40))
    assert sorted(handled["shared"]) == list(range(40))
    # What was handled after the last stored position is handled again, and nothing is left out.
    assert handled["fresh"] == [*range(20), *range(40)]


async def test_a_consumer_that_begins_during_a_move_waits_for_its_end(
    nodes: SeveralNodes,
) -> None:
    category = nodes.name_category("began", "a")
    handled: list[int] = []
    waiting: list[Background[None]] = []
    # On the other node they get larger positions than they have here.
    other = nodes.name_category("before", "b")
    async with AsyncClient(nodes.url()) as client:
        await client.write_messages(f"{other}-1", [noted(n) for n in range(50)])
        await client.write_messages(f"{category}-1", [noted(n) for n in range(10)])
        consumer = AsyncConsumer(client, category, identifier="late", lease_timeout=1.0)

        @consumer.handler
        async def handle(message: Message[Any], context: AsyncContext) -> None:
            handled.append(message.data["n"])

        seen: list[int] = []

        def begin(step: str) -> None:
            if step == "stopped consumers":
                waiting.append(Background(consumer.run))
            elif step == "ended":
                seen.append(len(handled))

        await move_proxy_category_async(
            nodes.admin_url(), category=category, target="b", lease_timeout=1.0, progress=begin
        )
        await eventually(lambda: len(handled) == 10)
        assert seen == [0]
        await consumer.stop()
        await waiting[0].result()
    assert handled == list(range(10))


@pytest.mark.parametrize("step", ["stopped consumers", "switching"])
async def test_a_move_refuses_if_a_partition_is_claimed_between_stop_and_switch(
    nodes: SeveralNodes, step: str
) -> None:
    """It stops the consumers that it knows, and this one runs for the first time."""
    url = nodes.admin_url()
    category = nodes.name_category("claimed", "a")
    owner = PartitionOwner(nodes, category)

    def begin(at: str) -> None:
        if at == step:
            owner.begin()

    async with AsyncClient(nodes.url()) as client:
        await client.write_messages(f"{category}-1", [noted(n) for n in range(10)])
        try:
            with pytest.raises(RetryableError, match=r"accepts writes\. Repeat the move"):
                await move_proxy_category_async(url, category=category, target="b", progress=begin)
            assert nodes.find_node(category) == "a"
            await client.write_message(f"{category}-1", noted(10), expected_version=9)
            await eventually(lambda: sorted(owner.handled) == list(range(11)))
            # It is known now, and the same call stops it, too.
            moved = await move_proxy_category_async(
                url, category=category, target="b", lease_timeout=1.0
            )
            assert moved is not None
            assert moved.stopped == 1
            await client.write_message(f"{category}-1", noted(11), expected_version=10)
            await eventually(lambda: 11 in owner.handled, limit=20.0)
        finally:
            owner.end()
    assert nodes.find_node(category) == "b"
    assert sorted(owner.handled) == list(range(12))
