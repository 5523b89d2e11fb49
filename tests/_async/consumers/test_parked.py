"""Parked messages: put aside once, listed, handled after all, or given up."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from messagedb import (
    NO_STREAM,
    AsyncClient,
    AsyncConsumer,
    AsyncContext,
    HandlerError,
    Message,
    NewMessage,
    Park,
    Skip,
    ValidationError,
)
from messagedb.consumers import ParkedMessage
from tests._async.consuming import numbered, saved, stream_of, write


class Sorter:
    """A consumer that parks what is not wanted, and notes what it handled."""

    def __init__(self, client: AsyncClient, category: str, **options: Any) -> None:
        self.unwanted = {1, 3}
        self.seen: list[int] = []
        self.consumer = AsyncConsumer(client, category, **options)
        self.consumer.handler(self.handle)

    async def handle(self, message: Message[Any], context: AsyncContext) -> None:
        if message.data["n"] in self.unwanted:
            raise Park(f"number {message.data['n']}")
        self.seen.append(message.data["n"])
        outbox = f"{message.stream_name.partition('-')[0]}Outbox-1"
        await context.client.write_message(outbox, NewMessage("Copied", message.data))

    async def run(self) -> None:
        await self.consumer.run(until="caught_up")

    async def parked(self) -> list[ParkedMessage]:
        return await self.consumer.list_parked()

    async def numbers(self) -> list[int]:
        return [parked.position for parked in await self.parked()]


@pytest.fixture(params=[False, True], ids=["plain", "transactional"])
def sorter(request: pytest.FixtureRequest, client: AsyncClient, category: str) -> Sorter:
    """Return consumers of both kinds."""
    return Sorter(client, category, identifier="sorts", transactional=request.param)


async def test_a_parked_message_has_its_id_type_and_reason(
    client: AsyncClient, category: str, sorter: Sorter
) -> None:
    assert await sorter.parked() == []
    positions = await write(client, f"{category}-1", 0, 4)
    await sorter.run()
    assert sorter.seen == [0, 2]
    one, three = await sorter.parked()
    message = (await client.get_stream_messages(f"{category}-1"))[1]
    assert (one.message_id, one.type) == (message.id, "Noted")
    assert (one.stream_name, one.position) == (f"{category}-1", 1)
    assert (one.global_position, three.global_position) == (positions[1], positions[3])
    assert (one.reason, one.attempts, three.reason) == ("number 1", 1, "number 3")
    assert abs(datetime.now(UTC) - one.time) < timedelta(minutes=1)
    records = await stream_of(client, f"{category}:parked-sorts")
    assert [record.id for record in records] == [one.id, three.id]
    assert [record.type for record in records] == ["Parked", "Parked"]


async def test_parking_twice_is_parking_once(
    client: AsyncClient, category: str, sorter: Sorter
) -> None:
    await write(client, f"{category}-1", 0, 4)
    await sorter.run()
    before = await sorter.parked()
    for number in range(2):
        again = Sorter(client, category, identifier="sorts", start="beginning")
        again.unwanted = {1, 3}
        await again.run()
        assert again.consumer.status().parked_count == 2, number
    assert await sorter.parked() == before
    # Another consumer has a separate list.
    other = Sorter(client, category, identifier="other")
    other.unwanted = {2}
    await other.run()
    assert await other.numbers() == [2]
    assert await sorter.numbers() == [1, 3]


async def test_replaying_handles_what_is_parked_and_takes_it_off(
    client: AsyncClient, category: str, sorter: Sorter
) -> None:
    positions = await write(client, f"{category}-1", 0, 4)
    await sorter.run()
    sorter.unwanted = set()
    stored = await saved(client, sorter.consumer)
    (_, three) = await sorter.parked()
    assert await sorter.consumer.replay_parked(three) == 1
    assert sorter.seen == [0, 2, 3]
    assert await sorter.numbers() == [1]
    assert await sorter.consumer.replay_parked() == 1
    assert sorter.seen == [0, 2, 3, 1]
    assert await sorter.parked() == []
    assert await sorter.consumer.replay_parked() == 0
    assert await saved(client, sorter.consumer) == stored == (stored[:-1] + positions[-1:])
    assert await client.stream_version(f"{category}Outbox-1") == 3


async def test_a_replay_that_fails_leaves_the_message_parked_and_those_behind_it(
    client: AsyncClient, category: str, sorter: Sorter
) -> None:
    await write(client, f"{category}-1", 0, 4)
    await sorter.run()
    with pytest.raises(HandlerError, match=r"number 1\. It stays parked") as caught:
        await sorter.consumer.replay_parked()
    assert isinstance(caught.value.__cause__, Park)
    assert (caught.value.position, caught.value.attempts) == (1, 1)
    assert caught.value.is_replay
    assert await sorter.numbers() == [1, 3]
    sorter.unwanted = {3}
    with pytest.raises(HandlerError, match="number 3"):
        await sorter.consumer.replay_parked(iter(await sorter.parked()))
    assert await sorter.numbers() == [3]


async def test_a_message_may_be_parked_again_after_its_replay(
    client: AsyncClient, category: str, sorter: Sorter
) -> None:
    """Unlike a park under one id for ever, which a store answers with success and no row."""
    await write(client, f"{category}-1", 0, 2)
    for times in range(3):
        again = Sorter(client, category, identifier="sorts", start="beginning")
        await again.run()
        assert (await again.numbers(), times) == ([1], times)
        again.unwanted = set()
        if times == 1:
            assert await again.consumer.discard_parked(await again.parked()) == 1
        else:
            assert await again.consumer.replay_parked() == 1
        assert await sorter.numbers() == []
    ids = {record.id for record in await stream_of(client, f"{category}:parked-sorts")}
    assert len(ids) == 6


async def test_discarding_takes_off_unhandled_and_twice_is_once(
    client: AsyncClient, category: str, sorter: Sorter
) -> None:
    await write(client, f"{category}-1", 0, 4)
    await sorter.run()
    one, three = await sorter.parked()
    assert await sorter.consumer.discard_parked(one) == 1
    assert await sorter.consumer.discard_parked([one]) == 0
    assert await sorter.consumer.replay_parked(one) == 0
    assert await sorter.parked() == [three]
    assert await client.stream_version(f"{category}:parked-sorts") == 2
    sorter.unwanted = set()
    assert await sorter.consumer.replay_parked() == 1
    assert sorter.seen == [0, 2, 3]


async def test_a_transactional_replay_has_its_effect_once(
    client: AsyncClient, category: str
) -> None:
    sorter = Sorter(client, category, transactional=True)
    await write(client, f"{category}-1", 0, 2)
    await sorter.run()
    sorter.unwanted = set()
    (one,) = await sorter.parked()
    assert await sorter.consumer.replay_parked(one) == 1
    assert await sorter.consumer.replay_parked([one]) == 0
    assert sorter.seen == [0, 1]

    outbox = f"{category}Second-1"
    failing = AsyncConsumer(client, category, identifier="failing", transactional=True)

    @failing.handler
    async def fail(message: Message[Any], context: AsyncContext) -> None:
        await context.client.write_message(outbox, NewMessage("Copied"))
        raise Park("after the write")

    await failing.run(until="caught_up")
    assert len(await failing.list_parked()) == 2
    with pytest.raises(HandlerError, match="after the write"):
        await failing.replay_parked()
    assert len(await failing.list_parked()) == 2
    assert await client.stream_version(outbox) == NO_STREAM


async def test_a_replay_may_skip_only_by_discarding(client: AsyncClient, category: str) -> None:
    sorter = Sorter(client, category)
    await write(client, f"{category}-1", 0, 2)
    await sorter.run()
    skipping = AsyncConsumer(client, category)

    @skipping.handler
    async def skip(message: Message[Any]) -> Skip:
        return Skip("not this time")

    with pytest.raises(HandlerError, match="not this time"):
        await skipping.replay_parked()
    assert await sorter.numbers() == [1]


async def test_a_parked_message_without_a_handler_stays_parked(
    client: AsyncClient, category: str
) -> None:
    sorter = Sorter(client, category)
    await write(client, f"{category}-1", 0, 2)
    await sorter.run()
    other = AsyncConsumer(client, category)

    @other.handler("Other")
    async def note(message: Message[Any]) -> None:
        raise AssertionError

    with pytest.raises(ValidationError, match=r"no handler here .* It stays parked"):
        await other.replay_parked()
    assert await sorter.numbers() == [1]


async def test_a_message_that_the_store_lost_stays_parked(
    client: AsyncClient, category: str
) -> None:
    sorter = Sorter(client, category)
    await write(client, f"{category}-1", 0, 2)
    await sorter.run()
    (one,) = await sorter.parked()
    gone = ParkedMessage(
        one.id,
        one.id,
        one.stream_name,
        one.position,
        one.global_position,
        one.type,
        one.reason,
        one.attempts,
        one.time,
    )
    sorter.unwanted = set()
    with pytest.raises(ValidationError, match="no longer in the store"):
        await sorter.consumer.replay_parked(gone)
    assert await sorter.numbers() == [1]


async def test_members_of_a_group_have_one_list(client: AsyncClient, category: str) -> None:
    members = [
        Sorter(client, category, identifier="group", group_member=n, group_size=2) for n in (0, 1)
    ]
    for stream in range(6):
        await client.write_messages(f"{category}-{stream}", numbered(1, 1))
    for member in members:
        await member.run()
    lists = [await member.parked() for member in members]
    assert lists[0] == lists[1]
    assert len(lists[0]) == 6
    assert {member.consumer.status().parked_count for member in members} != {0, 6}
    members[0].unwanted = set()
    assert await members[0].consumer.replay_parked() == 6
    assert await members[1].parked() == []


async def test_without_an_identifier_the_list_is_the_category_s(
    client: AsyncClient, category: str
) -> None:
    sorter = Sorter(client, f"{category}:command")
    await write(client, f"{category}:command-1", 0, 2)
    await sorter.run()
    assert await sorter.numbers() == [1]
    assert len(await stream_of(client, f"{category}:command+parked")) == 1
    # A list under the same category that belongs to another consumer is not read as this one's.
    other = Sorter(client, f"{category}:command", identifier="other")
    other.unwanted = {0, 1}
    await other.run()
    assert await sorter.numbers() == [1]
    assert await other.numbers() == [0, 1]
