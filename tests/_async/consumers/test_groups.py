"""Members of consumer groups: who gets what, and where each keeps its position."""

from __future__ import annotations

from typing import Any

import pytest

from messagedb import (
    NO_STREAM,
    AsyncClient,
    AsyncConsumer,
    NewMessage,
    StreamPositionStore,
    TablePositionStore,
    ValidationError,
    streams,
)
from messagedb.consumers import group_member_from_env
from tests._async.consuming import record_numbers, saved
from tests.support.background_async import Background, eventually

STORES = [StreamPositionStore(), TablePositionStore()]


def members(client: AsyncClient, category: str, size: int, **options: Any) -> list[AsyncConsumer]:
    """Make the members of a group."""
    return [
        AsyncConsumer(
            client, category, identifier="group", group_member=member, group_size=size, **options
        )
        for member in range(size)
    ]


async def fill(client: AsyncClient, category: str, count: int = 40) -> list[int]:
    """Write numbered messages to streams 0 to 9, and give their global positions."""
    for n in range(count):
        await client.write_message(f"{category}-{n % 10}", NewMessage("Noted", {"n": n}))
    messages = await client.get_category_messages(category, batch_size=-1)
    return [message.global_position for message in messages]


def of_member(category: str, member: int, size: int, count: int = 40) -> list[int]:
    """Return the numbers of the messages of a member."""
    return [n for n in range(count) if streams.group_member(f"{category}-{n % 10}", size) == member]


@pytest.mark.parametrize("size", [1, 2, 3])
@pytest.mark.parametrize("store", STORES)
async def test_the_members_divide_the_category_by_the_cardinal_ids(
    client: AsyncClient,
    category: str,
    size: int,
    store: StreamPositionStore | TablePositionStore,
) -> None:
    await fill(client, category)
    group = members(client, category, size, position_store=store)
    seen = [record_numbers(consumer) for consumer in group]
    for consumer in group:
        await consumer.run(until="caught_up")
    assert seen == [of_member(category, member, size) for member in range(size)]
    assert sorted(n for of_one in seen for n in of_one) == list(range(40))


async def test_compound_ids_go_where_their_cardinal_id_goes(
    client: AsyncClient, category: str
) -> None:
    for n, id in enumerate(("a", "a+x", "a+y", "a")):
        await client.write_message(f"{category}-{id}", NewMessage("Noted", {"n": n}))
    group = members(client, category, 3)
    seen = [record_numbers(consumer) for consumer in group]
    for consumer in group:
        await consumer.run(until="caught_up")
    assert sorted(seen) == [[], [], [0, 1, 2, 3]]


@pytest.mark.parametrize("store", STORES)
async def test_members_of_one_identifier_lose_nothing(
    client: AsyncClient, category: str, store: StreamPositionStore | TablePositionStore
) -> None:
    # Known of other clients: members share the identifier's position, so that the one that is ahead
    # makes the one that is behind skip its messages.
    positions = await fill(client, category)
    ahead, behind = members(client, category, 2, position_store=store)
    of_ahead, of_behind = record_numbers(ahead), record_numbers(behind)
    await ahead.run(until="caught_up")
    assert ahead.status().stored_next_position == positions[-1] + 1
    await behind.run(until="caught_up")
    assert behind.status().stored_next_position == positions[-1] + 1
    assert (of_ahead, of_behind) == (of_member(category, 0, 2), of_member(category, 1, 2))
    again = members(client, category, 2, position_store=store)
    repeated = [record_numbers(consumer) for consumer in again]
    for consumer in again:
        await consumer.run(until="caught_up")
    assert repeated == [[], []]


async def test_member_and_size_are_in_the_position_s_name(
    client: AsyncClient, category: str
) -> None:
    positions = await fill(client, category)
    names = [consumer.name for consumer in members(client, category, 2)]
    assert names == [f"{category}:position-group+0+2", f"{category}:position-group+1+2"]
    alone = AsyncConsumer(client, category, identifier="group")
    assert alone.name == f"{category}:position-group"
    assert members(client, category, 3)[0].name == f"{category}:position-group+0+3"
    first, second = members(client, category, 2)
    record_numbers(first)
    await first.run(until="caught_up")
    assert await saved(client, first) == [positions[-1]]
    assert await client.stream_version(second.name) == NO_STREAM
    assert await client.stream_version(alone.name) == NO_STREAM


async def test_members_run_at_the_same_time_and_two_of_one_number_do_not(
    client: AsyncClient, category: str
) -> None:
    first, second = members(client, category, 2)
    rival, _ = members(client, category, 2, lease_timeout=0.3)
    seen = [record_numbers(consumer) for consumer in (first, second, rival)]
    async with first.running(), second.running():
        await eventually(lambda: first.status().state == "caught up")
        await eventually(lambda: second.status().state == "caught up")
        waiting = Background(rival.run)
        await eventually(lambda: rival.status().state == "waiting")
        assert rival.status().blocked_by == ("another consumer with this identifier runs",)
        await fill(client, category)
        await first.wait_until_caught_up(timeout=10)
        await second.wait_until_caught_up(timeout=10)
    assert seen == [of_member(category, 0, 2), of_member(category, 1, 2), []]
    await eventually(lambda: rival.status().state == "caught up")
    await rival.stop()
    await waiting.result()
    assert seen[2] == []


async def test_members_from_the_environment(
    client: AsyncClient, category: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fill(client, category)
    monkeypatch.setenv("MESSAGEDB_GROUP_SIZE", "3")
    found: list[list[int]] = []
    for pod in ("statements-0", "statements-1", "statements-2"):
        monkeypatch.setenv("MESSAGEDB_GROUP_MEMBER", pod)
        member, size = group_member_from_env()
        consumer = AsyncConsumer(
            client, category, identifier="pods", group_member=member, group_size=size
        )
        found.append(record_numbers(consumer))
        await consumer.run(until="caught_up")
    assert found == [of_member(category, member, 3) for member in range(3)]


async def test_streams_without_an_id_are_nobody_s_unless_a_member_takes_them(
    client: AsyncClient, category: str
) -> None:
    await client.write_message(category, NewMessage("Noted", {"n": 100}))
    await fill(client, category, 10)
    await client.write_message(category, NewMessage("Noted", {"n": 101}))
    nobody = members(client, category, 2)
    seen = [record_numbers(consumer) for consumer in nobody]
    for consumer in nobody:
        await consumer.run(until="caught_up")
    assert seen == [of_member(category, member, 2, 10) for member in range(2)]

    taken = members(client, category, 2, start="beginning", streams_without_id=1)
    seen = [record_numbers(consumer) for consumer in taken]
    for consumer in taken:
        await consumer.run(until="caught_up")
    assert seen == [of_member(category, 0, 2, 10), [100, *of_member(category, 1, 2, 10), 101]]


async def test_invalid_group_members_are_refused(client: AsyncClient, category: str) -> None:
    member: dict[str, Any] = {"group_member": 0, "group_size": 2}
    wrong: list[tuple[dict[str, Any], str]] = [
        (member, "a member of a consumer group needs an identifier"),
        ({"identifier": "a", "group_member": 0}, "group_size|group"),
        ({"identifier": "a", "group_size": 2}, "group"),
        ({"identifier": "a", "group_member": 2, "group_size": 2}, "member"),
        ({"identifier": "a", "group_member": -1, "group_size": 2}, "member"),
        ({"identifier": "a", "group_member": 0, "group_size": 0}, "size"),
        ({"identifier": "a", "streams_without_id": 0}, "group"),
        ({"identifier": "a", "streams_without_id": 2} | member, "0 to 1, not 2"),
        ({"identifier": "a", "streams_without_id": True} | member, "not True"),
        ({"identifier": ""} | member, "identifier must be a string"),
    ]
    for options, text in wrong:
        with pytest.raises(ValidationError, match=text):
            AsyncConsumer(client, category, **options)
