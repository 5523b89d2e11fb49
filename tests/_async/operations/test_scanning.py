"""Scans: pages that are looked at whole, whatever matches; heads, lags and writers."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from messagedb import (
    AsyncClient,
    IncompatibleServerError,
    Message,
    NewMessage,
    ValidationError,
    streams,
)

NewDatabase = Callable[..., str]

TYPES = ("A", 'B "quoted"', "C\\", "D,e", "NULL")
IDS = ("", "1", "2", "3+x", "3+y", "1-2", "é", "+")
ORIGINS = ("origin", "origin-5", "origin:command-1", "other-1")


@pytest.fixture(params=["own", "pooler", "functions only"])
async def way(
    request: pytest.FixtureRequest, store_url: str, functions_only_url: str
) -> AsyncIterator[AsyncClient]:
    """Return a client of each of the ways in which scans run."""
    url = functions_only_url if request.param == "functions only" else store_url
    async with AsyncClient(url, pooler=True if request.param == "pooler" else None) as client:
        yield client


async def fill(client: AsyncClient, category: str, count: int = 60) -> list[Message[Any]]:
    """Write messages of all kinds, with others in between, and give those of the category."""
    chance = random.Random(category)
    for number in range(count):
        stream = category if chance.random() < 0.15 else f"{category}-{chance.choice(IDS)}"
        origin = {"correlationStreamName": chance.choice(ORIGINS)}
        metadata = chance.choice([None, {}, origin, origin])
        message = NewMessage(chance.choice(TYPES), {"n": number % 7}, metadata=metadata)
        await client.write_message(stream, message)
        if chance.random() < 0.2:
            await client.write_message(f"{category}x-1", NewMessage("A", {"n": 0}))
    return await client.get_category_messages(category, batch_size=-1)


def correlated(message: Message[Any], category: str) -> bool:
    origin = (message.metadata or {}).get("correlationStreamName")
    return origin is not None and streams.category(origin) == category


def belongs(message: Message[Any], member: int, size: int, without_id: bool) -> bool:
    found = streams.group_member(message.stream_name, size)
    return without_id if found is None else found == member


WITH_AND_WITHOUT: list[dict[str, Any]] = [{}, {"types": ["A"]}]

Wanted = Callable[[Message[Any]], bool]
FILTERS: dict[str, tuple[dict[str, Any], Wanted]] = {
    "none": ({}, lambda _: True),
    "types": ({"types": TYPES[1:4]}, lambda message: message.type in TYPES[1:4]),
    "no type": ({"types": []}, lambda _: False),
    "correlation": ({"correlation": "origin"}, lambda message: correlated(message, "origin")),
    "condition": (
        {"condition": "messages.data->>'n' = '3' OR type = 'A'"},
        lambda message: message.data == {"n": 3} or message.type == "A",
    ),
    "condition on the whole": (
        {"condition": "cardinal_id(stream_name) = '1' AND (metadata IS NULL) = false"},
        lambda m: streams.cardinal_id(m.stream_name) == "1" and m.metadata is not None,
    ),
    "only member": (
        {"group_member": 0, "group_size": 1},
        lambda message: belongs(message, 0, 1, without_id=False),
    ),
    "member": (
        {"group_member": 1, "group_size": 3},
        lambda message: belongs(message, 1, 3, without_id=False),
    ),
    "member with streams without id": (
        {"group_member": 2, "group_size": 3, "streams_without_id": True},
        lambda message: belongs(message, 2, 3, without_id=True),
    ),
    "all of them": (
        {
            "group_member": 0,
            "group_size": 2,
            "streams_without_id": True,
            "types": TYPES[:4],
            "correlation": "origin",
            "condition": "data->>'n' <> '4'",
        },
        lambda message: (
            belongs(message, 0, 2, without_id=True)
            and message.type in TYPES[:4]
            and correlated(message, "origin")
            and message.data["n"] != 4
        ),
    ),
}


async def test_scans_give_what_filters_let_through(way: AsyncClient, category: str) -> None:
    everything = await fill(way, category)
    for name, (options, wanted) in FILTERS.items():
        for size in (1, 7, 1000):
            found: list[Message[Any]] = []
            position = looked_at = 0
            while True:
                scan = await way.scan_category(
                    category, position=position + 1, batch_size=size, **options
                )
                page = everything[looked_at : looked_at + size]
                assert scan.count == len(page), name
                assert scan.is_full == (len(page) == size), name
                assert scan.position == (page[-1].global_position if page else position), name
                found += scan.messages
                looked_at += scan.count
                position = scan.position
                if not scan.is_full:
                    break
            assert found == [message for message in everything if wanted(message)], name


async def test_members_share_all_streams(way: AsyncClient, category: str) -> None:
    everything = await fill(way, category, 30)
    shares = [
        await way.scan_category(
            category,
            group_member=member,
            group_size=4,
            streams_without_id=member == 2,
        )
        for member in range(4)
    ]
    given = [message for share in shares for message in share.messages]
    assert sorted(m.global_position for m in given) == [m.global_position for m in everything]


async def test_a_category_without_messages(way: AsyncClient, category: str) -> None:
    for options in WITH_AND_WITHOUT:
        scan = await way.scan_category(category, position=5, **options)
        assert (scan.messages, scan.position, scan.count, scan.is_full) == ([], 4, 0, False)
    lag = await way.get_lag([category], 1)
    assert (lag.messages, lag.is_exact, lag.oldest) == (0, True, None)


async def test_an_invalid_condition_of_a_scan_is_reported(way: AsyncClient, category: str) -> None:
    await way.write_message(f"{category}-1", NewMessage("A", {"n": 1}))
    for condition in ("nope.x = 1", "data->>'n' = 5", "no syntax", "1 / (data->>'n')::int = 1 / 0"):
        with pytest.raises(ValidationError, match="perhaps its condition") as caught:
            await way.scan_category(category, condition=condition)
        assert isinstance(caught.value.__cause__, psycopg.Error)
    assert (await way.scan_category(category, condition="true")).count == 1


async def test_invalid_arguments_of_a_scan_are_refused(client: AsyncClient, category: str) -> None:
    refused: list[dict[str, Any]] = [
        {"batch_size": 0},
        {"batch_size": -1},
        {"position": "1"},
        {"group_member": 1},
        {"group_member": 2, "group_size": 2},
        {"correlation": "a-1"},
        {"types": "A"},
        {"condition": " "},
    ]
    for options in refused:
        with pytest.raises(ValidationError):
            await client.scan_category(category, **options)
    refused = [{"categories": "a"}, {"categories": ["a-1"]}, {"types": [1]}]
    for options in refused:
        with pytest.raises(ValidationError):
            await client.scan_all(**options)


async def test_a_query_in_a_condition_means_the_table(client: AsyncClient, category: str) -> None:
    await client.write_messages(f"{category}-1", [NewMessage("A"), NewMessage("B")])
    latest = (
        "global_position = (SELECT max(global_position) FROM messages latest"
        f" WHERE category(latest.stream_name) = '{category}')"
    )
    first = await client.scan_category(category, batch_size=1, condition=latest)
    assert (first.messages, first.count) == ([], 1)
    both = await client.scan_category(category, condition=latest)
    assert [message.type for message in both.messages] == ["B"]


async def test_decimals(client: AsyncClient, store_url: str, category: str) -> None:
    await client.write_message(f"{category}-1", NewMessage("A", {"n": 1.5}))
    async with AsyncClient(store_url, decimals=True) as decimals:
        for options in WITH_AND_WITHOUT:
            (message,) = (await decimals.scan_category(category, **options)).messages
            assert str(message.data["n"]) == "1.5"
            assert type(message.data["n"]) is not float


async def test_a_page_of_the_store_shows_its_gaps(
    client: AsyncClient, database_url: str, category: str
) -> None:
    first = await client.write_message(f"{category}-1", NewMessage("A"))
    start = (await client.get_category_messages(category))[0].global_position
    assert first == 0
    with psycopg.connect(database_url, autocommit=True) as owner:
        for _ in range(2):
            owner.execute("SELECT nextval('message_store.messages_global_position_seq')")
    await client.write_message(f"{category}-1", NewMessage("B"))
    await client.write_message(f"{category}Other-1", NewMessage("A"))
    head = start + 4
    scan = await client.scan_all(position=start - 1)
    assert scan.gaps[-1] == (start + 1, start + 2)
    scan = await client.scan_all(position=start)
    assert [m.global_position for m in scan.messages] == [start, start + 3, head]
    assert (scan.position, scan.count, scan.is_full, scan.head) == (head, 3, False, head)
    assert scan.gaps == [(start + 1, start + 2)]
    scan = await client.scan_all(position=start + 2, batch_size=1)
    assert (scan.gaps, scan.position, scan.is_full) == ([(start + 2, start + 2)], start + 3, True)
    filters: list[tuple[dict[str, Any], list[int]]] = [
        ({"categories": [category]}, [start, start + 3]),
        ({"categories": [f"{category}Other", "none"]}, [head]),
        ({"types": ["A"]}, [start, head]),
        ({"condition": "type = 'B'"}, [start + 3]),
        ({"categories": []}, []),
    ]
    for options, wanted in filters:
        scan = await client.scan_all(position=start, **options)
        assert [m.global_position for m in scan.messages] == wanted
        assert (scan.position, scan.count, len(scan.gaps)) == (head, 3, 1)
    scan = await client.scan_all(position=head + 1)
    assert (scan.messages, scan.position, scan.gaps, scan.head) == ([], head, [], head)


async def test_heads_and_lags(client: AsyncClient, category: str) -> None:
    other = f"{category}Other"
    assert await client.get_category_head(category) == 0
    for number in range(5):
        await client.write_message(f"{category}-{number}", NewMessage("A"))
        await client.write_message(f"{other}-{number}", NewMessage("A"))
    mine = await client.get_category_messages(category)
    theirs = await client.get_category_messages(other)
    assert await client.get_category_head(category) == mine[-1].global_position
    assert await client.get_store_head() == theirs[-1].global_position
    lag = await client.get_lag([category], mine[1].global_position + 1)
    assert (lag.head, lag.messages, lag.is_exact) == (mine[-1].global_position, 3, True)
    assert lag.oldest is not None
    assert lag.oldest == mine[2].time
    assert lag.now.tzinfo is UTC
    assert timedelta(0) <= lag.now - lag.oldest < timedelta(minutes=1)
    assert abs(lag.now - datetime.now(UTC)) < timedelta(minutes=1)
    lag = await client.get_lag([category], 1, limit=5)
    assert (lag.messages, lag.is_exact) == (5, False)
    lag = await client.get_lag([category, other, "none"], mine[2].global_position + 1)
    assert (lag.head, lag.messages) == (theirs[-1].global_position, 5)
    assert lag.oldest == theirs[2].time
    lag = await client.get_lag([category, other], 1, limit=7)
    assert (lag.messages, lag.is_exact, lag.oldest) == (7, False, mine[0].time)
    lag = await client.get_lag(None, mine[2].global_position + 1)
    assert (lag.head, lag.messages) == (theirs[-1].global_position, 5)
    lag = await client.get_lag([category], 2**63 - 1)
    assert (lag.messages, lag.oldest) == (0, None)


async def test_a_role_without_the_table_gets_no_heads(
    functions_only_url: str, category: str
) -> None:
    async with AsyncClient(functions_only_url) as client:
        for number in range(3):
            await client.write_message(f"{category}-{number}", NewMessage("A"))
        messages = await client.get_category_messages(category)
        assert await client.get_category_head(category) is None
        assert await client.get_store_head() is None
        lag = await client.get_lag([category, "none"], messages[0].global_position + 1)
        assert (lag.head, lag.messages, lag.is_exact) == (None, 2, True)
        assert lag.oldest == messages[1].time
        assert (await client.get_lag([category], 2**63 - 1)).messages == 0
        assert (await client.get_lag([category], 1, limit=2)).is_exact is False
        for call in (
            client.scan_all,
            client.list_open_write_transactions,
            lambda: client.get_lag(None, 1),
        ):
            with pytest.raises(IncompatibleServerError, match="may not read"):
                await call()


@pytest.mark.parametrize("schema", ["{matching}", 'a"b', "{condition}", "$1", "a'b"])
async def test_any_name_of_a_schema(new_database: NewDatabase, category: str, schema: str) -> None:
    from messagedb.schema import install

    url = new_database(install=False)
    assert install(url, schema=schema)
    async with AsyncClient(url, schema=schema) as client:
        await client.write_message(f"{category}-1", NewMessage("A"))
        scan = await client.scan_category(category, types=["A"], condition="true")
        assert (scan.count, len(scan.messages)) == (1, 1)
        assert (await client.scan_all(condition="type = 'A'")).count == 1
        assert await client.get_category_head(category) == 1
        assert await client.get_store_head() == 1
        assert (await client.get_lag([category], 1)).messages == 1
        async with client.transaction() as tx:
            assert await client.list_open_write_transactions() == []
            await tx.write_message(f"{category}-1", NewMessage("A"))
            (writer,) = await client.list_open_write_transactions()
        assert writer.pid is not None
        assert await client.list_open_write_transactions() == []
