"""A store on two nodes by PL/Proxy: what works as on one, and what is refused before it is sent."""

from __future__ import annotations

from collections.abc import AsyncIterator, Generator
from typing import Any
from uuid import uuid4

import pytest
from psycopg import AsyncConnection

from messagedb import (
    NO_STREAM,
    STREAM_EXISTS,
    AsyncAllConsumer,
    AsyncClient,
    AsyncConsumer,
    AsyncContext,
    AsyncEntityStore,
    AsyncReadModel,
    DuplicateMessageError,
    IncompatibleServerError,
    Message,
    Metadata,
    NewMessage,
    OutcomeUnknownError,
    RetryPolicy,
    StoreUnavailableError,
    TablePositionStore,
    ValidationError,
    WrongExpectedVersionError,
)
from tests._async.accounts import DECIDER, Deposit
from tests._async.entity_crowd import check_commands
from tests.support.background_async import Background, eventually
from tests.support.plproxy import open_proxied
from tests.support.several_nodes import PROXY, SeveralNodes

WAITING = """
select pid from pg_stat_activity where wait_event = 'advisory' and datname = current_database()
"""
END_WAITING = "select pg_terminate_backend(pid) from pg_stat_activity where wait_event = 'advisory'"
END_SESSIONS = "select pg_terminate_backend(pid) from pg_stat_activity where datname = 'a'"
REFUSED = "by PL/Proxy, where each call is committed separately"


@pytest.fixture(scope="module")
def nodes() -> Generator[SeveralNodes]:
    """Return a store on two nodes."""
    with open_proxied(SeveralNodes) as nodes:
        yield nodes


@pytest.fixture
async def proxied(nodes: SeveralNodes) -> AsyncIterator[AsyncClient]:
    """Return a client of it."""
    async with AsyncClient(nodes.url()) as client:
        yield client


def message(number: int = 0) -> NewMessage:
    return NewMessage("Noted", {"n": number})


@pytest.mark.parametrize("pooler", [False, True])
async def test_a_batch_is_all_or_none_on_its_node(
    nodes: SeveralNodes, category: str, pooler: bool
) -> None:
    async with AsyncClient(nodes.url(), pooler=pooler) as client:
        for node in nodes.names:
            name = nodes.name_category(category + node, node)
            stream, batch = f"{name}-1", [message(n) for n in range(5)]
            write = client.write_messages
            assert await write(stream, batch[:3], expected_version=NO_STREAM) == [0, 1, 2]
            assert await write(stream, batch[:3], expected_version=NO_STREAM) == [0, 1, 2]
            assert await write(stream, batch[:4], expected_version=NO_STREAM) == [0, 1, 2, 3]
            with pytest.raises(WrongExpectedVersionError) as refused:
                await write(stream, [message(), message()], expected_version=1)
            assert refused.value.actual_version == 3
            assert await write(stream, [batch[4]], expected_version=STREAM_EXISTS) == [4]
            assert await write(stream, [message(5), batch[0]]) == [5, 0]
            with pytest.raises(DuplicateMessageError) as duplicate:
                await write(f"{name}-2", [message(), batch[1]])
            assert duplicate.value.existing_stream_name == stream
            with pytest.raises(WrongExpectedVersionError):
                await write(f"{name}-3", [message()], expected_version=STREAM_EXISTS)
            assert nodes.count_messages()[stream] == {node: 6}
            assert nodes.count(f"{name}-2") == nodes.count(f"{name}-3") == {}
            found = await client.get_stream_messages(stream)
            assert [each.data["n"] for each in found] == [0, 1, 2, 3, 4, 5]


async def test_a_batch_of_many_large_messages_is_one_call(
    proxied: AsyncClient, category: str
) -> None:
    large = [NewMessage("Large", {"text": "é\\\"'" * 20_000}) for _ in range(20)]
    many = [message(n) for n in range(6_000)]
    assert await proxied.write_messages(f"{category}-1", large) == list(range(20))
    assert await proxied.write_messages(f"{category}-2", many) == list(range(6_000))
    assert await proxied.write_messages(f"{category}-2", many) == list(range(6_000))
    page = await proxied.get_stream_messages(f"{category}-1", batch_size=1)
    assert page[0].data == large[0].data


async def test_a_category_is_placed_with_all_of_its_types(
    nodes: SeveralNodes, category: str
) -> None:
    query = """
        select count(distinct messagedb.proxy_node(name || type)) from
        unnest(array['', '-7', ':position-a', ':command-7+8']) type,
        (select %s || n as name from generate_series(1, 50) n) names group by name
    """
    assert set(nodes.ask(PROXY, query, category)) == {(1,)}


async def test_reads_are_those_of_the_node(
    proxied: AsyncClient, nodes: SeveralNodes, category: str
) -> None:
    for node in nodes.names:
        name = nodes.name_category(category + node, node)
        for number in range(4):
            await proxied.write_message(f"{name}-{number % 2}", message(number))
        page = await proxied.get_category_messages(name)
        assert [each.data["n"] for each in page] == [0, 1, 2, 3]
        members = [
            await proxied.get_category_messages(name, group_member=member, group_size=2)
            for member in range(2)
        ]
        assert sum(map(len, members)) == 4
        page = await proxied.get_stream_messages(f"{name}-1", condition="(data->>'n')::int > 1")
        assert [each.data["n"] for each in page] == [3]
        last = await proxied.get_last_stream_message(f"{name}-0")
        assert last is not None
        assert last.data["n"] == 2
        assert await proxied.get_last_stream_message(f"{name}-0", type="None") is None
        assert await proxied.stream_version(f"{name}-1") == 1
    with pytest.raises(ValidationError):
        await proxied.get_stream_messages(f"{category}-1", condition="no such column")
    assert await proxied.message_store_version() == "1.3.0"


async def test_reads_backwards_are_the_reverse_of_reads(
    proxied: AsyncClient, nodes: SeveralNodes, category: str
) -> None:
    for node in nodes.names:
        name = nodes.name_category(category + node, node)
        for number in range(4):
            metadata = {"correlationStreamName": "flow-1"} if number % 2 else None
            for stream in (name, f"{name}-1", f"{name}-2"):
                await proxied.write_message(stream, message(number), metadata=metadata)
        ways: list[dict[str, Any]] = [
            {},
            {"condition": "messages.position > 1"},
            {"correlation": "flow"},
            {"group_member": 0, "group_size": 2},
            {"group_member": 1, "group_size": 2},
        ]
        for way in ways:
            forwards = await proxied.get_category_messages(name, **way)
            backwards = await proxied.get_category_messages(name, direction="backwards", **way)
            assert backwards == forwards[::-1]
        written = await proxied.get_stream_messages(f"{name}-1")
        page = await proxied.get_stream_messages(
            f"{name}-1", direction="backwards", position=2, batch_size=2
        )
        assert page == written[2:0:-1]
        page = await proxied.get_stream_messages(
            f"{name}-1", direction="backwards", condition="position <> 1"
        )
        assert page == [written[3], written[2], written[0]]
    with pytest.raises(ValidationError):
        await proxied.get_stream_messages("a-1", direction="backwards", condition="no such")


async def test_consumers_of_all_nodes_are_listed(
    proxied: AsyncClient, nodes: SeveralNodes, category: str
) -> None:
    names = [nodes.name_category(category + node, node) for node in nodes.names]
    for name in names:
        await proxied.write_messages(f"{name}-1", [message(number) for number in range(3)])
        for identifier, positions in (("first", None), ("second", TablePositionStore())):
            consumer = AsyncConsumer(
                proxied,
                name,
                identifier=identifier,
                on_error="park",
                retry=RetryPolicy(max_attempts=1),
                position_store=positions,
            )

            @consumer.handler
            async def fail(message: Message[Any]) -> None:
                if message.position == 1:
                    raise ValueError

            await consumer.run(until="caught_up")
        await proxied.write_message(f"{name}-1", message())
    found = [each for each in await proxied.list_consumers() if each.category in names]
    assert sorted((each.category, each.position_store) for each in found) == sorted(
        (name, place) for name in names for place in ("stream", "table")
    )
    assert {(each.parked_count, each.lag_messages, each.pid) for each in found} == {(1, 1, None)}
    assert {each.category for each in await proxied.list_consumers(names[1])} == {names[1]}


async def test_lists_are_those_of_all_nodes(nodes: SeveralNodes) -> None:
    async with AsyncClient(nodes.url()) as client:
        names = [nodes.name_category(f"listed{n}", nodes.names[n % 2]) for n in range(6)]
        for name in names:
            for id in ("2", "1", "10"):
                await client.write_message(f"{name}-{id}", message())
        await client.write_message(names[0], message())
        found = await client.list_categories(after="listed", limit=4)
        assert [each.name for each in found] == sorted(names)[:4]
        rest = await client.list_categories(after=found[-1].name, limit=2)
        assert [each.name for each in rest] == sorted(names)[4:]
        streams = await client.list_streams(names[0])
        assert [each.name for each in streams] == [
            names[0], *(f"{names[0]}-{id}" for id in ("1", "10", "2"))
        ]  # fmt: skip
        streams = await client.list_streams(names[1], prefix="1", after=f"{names[1]}-1")
        assert [(each.name, each.version) for each in streams] == [(f"{names[1]}-10", 0)]
        head = await client.get_category_head(names[1])
        assert head == (await client.get_category_messages(names[1]))[-1].global_position
        assert await client.get_category_head("listednone") == 0


async def test_causes_and_effects_are_those_of_all_nodes(
    proxied: AsyncClient, nodes: SeveralNodes, category: str
) -> None:
    first, second = [nodes.name_category(f"{category}{node}\\'", node) for node in nodes.names]

    async def follow(stream: str, cause: Message[Any] | None, flow: str | None = None) -> Any:
        metadata = (
            Metadata(correlation_stream_name=flow) if cause is None else Metadata.following(cause)
        )
        await proxied.write_message(stream, NewMessage("A", {"n": stream}, metadata=metadata))
        return await proxied.get_last_stream_message(stream)

    asked = await follow(f"{first}-asked", None, f"{category}-it's\\")
    transfer = await follow(f"{second}-transfer", asked)
    debited = await follow(f"{first}-debited", transfer)
    credited = await follow(f"{second}-credited", transfer)
    noted = await follow(f"{second}-noted", debited)
    remark = await follow(f"{first}-remark", None, f"{category}-it's\\")
    for name in (transfer, transfer.id, str(transfer.id), f"{transfer.stream_name}/0"):
        trace = await proxied.trace(name)
        assert trace.causes == [asked]
        assert [(depth, node.message) for depth, node in trace.node.walk()] == [
            (0, transfer), (1, debited), (2, noted), (1, credited)
        ]  # fmt: skip
        assert trace.correlated == [remark]
        assert (trace.is_complete, trace.searched_to) == (True, 0)
    trace = await proxied.trace(asked, max_messages=2, include_data=False)
    assert [node.message.data for _, node in trace.node.walk()] == [
        {"n": asked.stream_name},
        None,
        None,
    ]
    assert (trace.left_out, trace.is_complete) == (3, False)
    assert not (await proxied.trace(asked, window=1)).is_complete
    for missing in (str(uuid4()), f"{first}-asked/1"):
        with pytest.raises(ValidationError, match="the store has no message"):
            await proxied.trace(missing)


async def test_the_session_decides_about_conditions(nodes: SeveralNodes, category: str) -> None:
    conn = await AsyncConnection.connect(nodes.url(), autocommit=True)
    try:
        with pytest.raises(Exception, match="SQL condition is not activated"):
            await conn.execute(
                "select * from message_store.get_stream_messages('a-1', condition => 'true')"
            )
        with pytest.raises(Exception, match="acquire_lock is not there through PL/Proxy"):
            await conn.execute("select message_store.acquire_lock('a-1')")
    finally:
        await conn.close()


async def test_what_needs_one_transaction_over_messages_is_refused(
    proxied: AsyncClient, nodes: SeveralNodes, category: str
) -> None:
    stream = f"{category}-1"
    ways: list[dict[str, Any]] = [{}, {"read_only": True}, {"categories": [category]}]
    for options in ways:
        with pytest.raises(IncompatibleServerError, match=REFUSED):
            async with proxied.transaction(**options) as transaction:
                await transaction.write_message(stream, message())
    conn = await AsyncConnection.connect(nodes.url())
    try:
        with pytest.raises(IncompatibleServerError, match=REFUSED):
            await proxied.bind(conn).write_messages(stream, [message(), message()])
        await conn.rollback()
        await conn.set_autocommit(True)
        bound = proxied.bind(conn)
        assert await bound.write_messages(stream, [message(), message()]) == [0, 1]
    finally:
        await conn.close()
    accounts = AsyncEntityStore(proxied, category, decider=DECIDER)
    await accounts.transact("2", Deposit(4))  # the events of one entity are one batch
    everything = AsyncAllConsumer(proxied, identifier="all", categories=[category])

    @everything.handler
    async def ignore(message: Message[Any]) -> None:
        return None

    with pytest.raises(IncompatibleServerError):
        await everything.run(until="caught_up")
    with pytest.raises(IncompatibleServerError, match="messagedb proxy status names the nodes"):
        async for _ in proxied.read_all():
            raise AssertionError
    trace = await proxied.trace(f"{stream}/0", window=0)
    with pytest.raises(IncompatibleServerError, match="a trace is not continued"):
        await proxied.trace(trace)
    assert nodes.count(stream) == {nodes.find_node(stream): 2}


def noting(consumer: AsyncConsumer) -> list[Any]:
    seen: list[Any] = []

    @consumer.handler
    async def note(message: Message[Any]) -> None:
        seen.append(message.data["n"])

    return seen


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"position_store": TablePositionStore()},
        {"position_store": TablePositionStore(), "transactional": True},
    ],
    ids=["stream", "table", "transactional"],
)
async def test_a_consumer_goes_on_where_it_was(
    proxied: AsyncClient, nodes: SeveralNodes, category: str, options: dict[str, Any]
) -> None:
    await proxied.write_messages(f"{category}-1", [message(n) for n in range(3)])
    for expected in ([0, 1, 2], []):
        consumer = AsyncConsumer(proxied, category, identifier="mail", **options)
        seen = noting(consumer)
        await consumer.run(until="caught_up")
        assert seen == expected
    await proxied.write_message(f"{category}-2", message(7))
    consumer = AsyncConsumer(proxied, category, identifier="mail", **options)
    seen = noting(consumer)
    await consumer.run(until="caught_up")
    assert seen == [7]


async def test_a_transactional_consumer_has_its_effects_once_in_the_proxying_database(
    proxied: AsyncClient, nodes: SeveralNodes, category: str
) -> None:
    table = f"effects_{category.lower()}"
    nodes.ask(PROXY, f'create table "{table}" (n int)')
    nodes.ask(PROXY, f'grant all on "{table}" to message_store')
    await proxied.write_messages(f"{category}-1", [message(n) for n in range(6)])
    consumer = AsyncConsumer(
        proxied,
        category,
        identifier="sums",
        transactional=True,
        position_store=TablePositionStore(),
        on_error="park",
        retry=RetryPolicy(max_attempts=2, delay=0.001),
    )
    failures: list[int] = []

    @consumer.handler
    async def add(message: Message[Any], context: AsyncContext) -> None:
        n = message.data["n"]
        await context.transaction.connection.execute(
            f'insert into public."{table}" values (%s)'.encode(), [n]
        )
        if n == 2 and not failures:
            failures.append(n)
            raise ValueError("the first attempt")
        if n == 4:
            raise ValueError("always")
        if n == 5:
            with pytest.raises(IncompatibleServerError, match="written in a transaction"):
                await context.transaction.write_message(f"{category}-9", NewMessage("Sent"))

    await consumer.run(until="caught_up")
    assert nodes.ask(PROXY, f'select n from "{table}" order by 1') == [
        (0,), (1,), (2,), (3,), (5,)
    ]  # fmt: skip
    assert nodes.count(f"{category}-9") == {}
    assert len(await consumer.list_parked()) == 1
    streams = AsyncConsumer(proxied, category, identifier="other", transactional=True)
    seen = noting(streams)
    with pytest.raises(IncompatibleServerError, match="positions in streams"):
        await streams.run(until="caught_up")
    assert seen == []


async def test_a_read_model_is_in_the_proxying_database(
    proxied: AsyncClient, nodes: SeveralNodes, category: str
) -> None:
    nodes.ask(PROXY, "grant create on schema public to message_store")
    await proxied.write_messages(f"{category}-1", [message(n) for n in range(5)])
    model = AsyncReadModel(
        proxied,
        category,
        name=f"sums_{category.lower()}",
        version=1,
        create="CREATE TABLE {table} (n int PRIMARY KEY)",
    )

    @model.handler("Noted")
    async def add(message: Message[Any], context: AsyncContext) -> None:
        await context.transaction.connection.execute(
            f"insert into {model.table} values (%s)".encode(), [message.data["n"]]
        )

    await model.rebuild()
    found = nodes.ask(PROXY, f'select count(*) from public."sums_{category.lower()}"')
    assert found == [(5,)]


def get_lock(category: str) -> str:
    """Return the statement that takes a category's lock on a node."""
    return f"select message_store.acquire_lock('{category}-1')"


async def test_a_node_that_is_away_is_named_and_the_others_go_on(
    proxied: AsyncClient, nodes: SeveralNodes, category: str
) -> None:
    away, here = (nodes.name_category(category + node, node) for node in nodes.names)
    for name in (away, here):
        await proxied.write_message(f"{name}-1", message())
    nodes.ask("postgres", "alter database a allow_connections false")
    try:
        nodes.ask("postgres", END_SESSIONS)
        stream = f"{away}-1"
        calls: list[tuple[Any, ...]] = [
            (proxied.write_message, stream, message()),
            (proxied.write_messages, stream, [message(), message()]),
            (proxied.get_stream_messages, stream),
            (proxied.get_category_messages, away),
            (proxied.stream_version, stream),
        ]
        for call, *arguments in calls:
            with pytest.raises((StoreUnavailableError, OutcomeUnknownError)) as failed:
                await call(*arguments)
            assert "node 'a' of the store is unavailable, and only its categories" in str(
                failed.value
            )
        assert await proxied.write_message(f"{here}-1", message()) == 1
        assert await proxied.write_messages(f"{here}-1", [message()]) == [2]
        assert len(await proxied.get_category_messages(here)) == 3
        with pytest.raises(StoreUnavailableError, match="not currently accepting connections"):
            await proxied.write_message(f"{away}-1", message())
        for listing in (proxied.list_consumers, proxied.list_categories):
            with pytest.raises(
                StoreUnavailableError, match="messagedb proxy status names it"
            ) as no:
                await listing()
            assert str(no.value).startswith("a node of the store is unavailable")
            assert '"a" is not currently accepting connections. Nothing was changed.' in str(
                no.value
            )
    finally:
        nodes.ask("postgres", "alter database a allow_connections true")
    assert nodes.count(f"{away}-1") == {"a": 1}
    assert await proxied.write_message(f"{away}-1", message()) == 1


async def test_a_write_whose_node_ended_its_session_is_written_once(
    proxied: AsyncClient, nodes: SeveralNodes, category: str
) -> None:
    name = nodes.name_category(category, "a")
    for count in (1, 2):
        conn = await AsyncConnection.connect(nodes.admin_url("a"))
        try:
            await conn.execute(get_lock(name).encode())
            batch = [message() for _ in range(count)]
            task = Background(proxied.write_messages, f"{name}-1", batch)
            await eventually(lambda: bool(nodes.ask("a", WAITING)), 20)
            nodes.ask("postgres", END_WAITING)
            await eventually(lambda: bool(nodes.ask("a", WAITING)), 20)
            await conn.rollback()
            await task.result()
        finally:
            await conn.close()
    assert nodes.count(f"{name}-1") == {"a": 3}


async def test_a_write_that_took_too_long_has_an_unknown_outcome(
    nodes: SeveralNodes, category: str
) -> None:
    name = nodes.name_category(category, "b")
    async with AsyncClient(nodes.url(), command_timeout=1) as client:
        conn = await AsyncConnection.connect(nodes.admin_url("b"))
        try:
            await conn.execute(get_lock(name).encode())
            with pytest.raises(OutcomeUnknownError, match="node 'b'"):
                await client.write_message(f"{name}-1", message())
        finally:
            await conn.close()
        assert await client.write_message(f"{name}-1", message(), expected_version=NO_STREAM) == 0


async def test_a_write_waits_for_a_change_of_the_map_and_goes_where_it_says_then(
    proxied: AsyncClient, nodes: SeveralNodes, category: str
) -> None:
    name = nodes.name_category(category, "a")
    conn = await AsyncConnection.connect(nodes.admin_url(PROXY))
    try:
        await conn.execute(
            b"select pg_advisory_xact_lock(1835295859, (message_store.hash_64(%s) >> 32)::int)",
            [name],
        )
        task = Background(proxied.write_messages, f"{name}-1", [message(), message()])
        await eventually(lambda: bool(nodes.ask(PROXY, WAITING)), 20)
        await conn.execute(b"insert into messagedb.proxy_categories values (%s, 1)", [name])
        await conn.commit()
        assert await task.result() == [0, 1]
    finally:
        await conn.close()
    assert nodes.count(f"{name}-1") == {"b": 2}


async def test_commands_of_many_tasks_to_one_entity_have_the_right_outcomes(
    nodes: SeveralNodes, category: str
) -> None:
    async with (
        AsyncClient(nodes.url(), max_size=4) as client,
        AsyncClient(nodes.url(), max_size=4, registry=client.registry) as other,
    ):
        await check_commands([client, other], category, withdraws=False)
