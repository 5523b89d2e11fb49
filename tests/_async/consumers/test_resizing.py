"""A consumer group gets another size: nothing is skipped, and no more repeated than was said."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from messagedb import (
    NO_STREAM,
    AsyncClient,
    AsyncConsumer,
    NewMessage,
    PositionConflictError,
    StreamPositionStore,
    TablePositionStore,
    ValidationError,
)
from messagedb.consumers import GroupResize
from tests._async.consuming import numbered, record_numbers
from tests.support.backend import make_url
from tests.support.background_async import eventually
from tests.support.store import functions_only

NewDatabase = Callable[..., str]

PositionStore = StreamPositionStore | TablePositionStore


@pytest.fixture(params=["streams", "table"])
def store(request: pytest.FixtureRequest) -> PositionStore:
    """Return each of the stores of positions."""
    return StreamPositionStore() if request.param == "streams" else TablePositionStore()


class Group:
    """A group of any size, and what its members of each size have handled."""

    def __init__(self, client: AsyncClient, category: str, store: PositionStore) -> None:
        self.client = client
        self.category = category
        self.store = store
        self.handled: Counter[int] = Counter()
        self.written = 0

    async def write(self, count: int) -> None:
        """Write so many messages to ten streams."""
        for n in range(self.written, self.written + count):
            await self.client.write_message(
                f"{self.category}-{n % 10}", NewMessage("Noted", {"n": n})
            )
        self.written += count

    def member(self, number: int | None, size: int | None, **options: Any) -> AsyncConsumer:
        """Make a member, or a consumer without a group."""
        return AsyncConsumer(
            self.client,
            self.category,
            identifier="group",
            group_member=number,
            group_size=size,
            position_store=self.store,
            lease_timeout=1.0,
            **options,
        )

    async def run(self, number: int | None, size: int | None, **options: Any) -> None:
        """Let a member handle everything that is there."""
        consumer = self.member(number, size, **options)
        seen = record_numbers(consumer)
        try:
            await consumer.run(until="caught_up")
        finally:
            self.handled.update(seen)

    async def run_consumers(self, size: int) -> None:
        """Let all members of a size do so."""
        for number in range(size):
            await self.run(number, size)

    async def resize(self, old: int | None, new: int, **options: Any) -> GroupResize:
        """Resize it."""
        return await self.client.resize_consumer_group(
            self.category,
            identifier="group",
            old_size=old,
            new_size=new,
            position_store=self.store,
            **options,
        )

    @property
    def repeats(self) -> int:
        """How many messages were handled again."""
        assert set(self.handled) == set(range(self.written))
        return self.handled.total() - self.written


async def until_caught_up(consumer: AsyncConsumer) -> None:
    """Wait until a consumer has its place, and has found nothing more."""
    await eventually(lambda: consumer.status().state == "caught up")


@pytest.fixture
def group(client: AsyncClient, category: str, store: PositionStore) -> Group:
    """Return a group that has not run yet."""
    return Group(client, category, store)


@pytest.mark.parametrize(("old", "new"), [(1, 2), (2, 3), (3, 2), (4, 1), (2, 4)])
async def test_nothing_is_skipped_and_no_more_repeated_than_it_says(
    group: Group, old: int, new: int
) -> None:
    await group.write(20)
    await group.run_consumers(old)
    await group.write(20)
    await group.run(0, old)
    resize = await group.resize(old, new)
    assert resize.is_applied
    assert len(resize.old_next_positions) == old
    assert resize.next_position == min(resize.old_next_positions)
    # The first of several was ahead by what was written last; alone it was not ahead of anybody.
    assert resize.max_redelivered == (20 if old > 1 else 0)
    await group.write(10)
    await group.run_consumers(new)
    assert group.repeats <= resize.max_redelivered


async def test_members_that_ran_to_the_end_repeat_nothing(group: Group) -> None:
    await group.write(20)
    await group.run_consumers(2)
    resize = await group.resize(2, 3)
    assert (resize.max_redelivered, len(set(resize.old_next_positions))) == (0, 1)
    await group.write(20)
    await group.run_consumers(3)
    assert group.repeats == 0


async def test_called_again_after_it_was_done_it_changes_nothing(group: Group) -> None:
    await group.write(20)
    await group.run_consumers(2)
    await group.write(20)
    await group.run(0, 2)
    first = await group.resize(2, 3)
    assert await group.resize(2, 3) == first
    assert await group.resize(2, 3, dry_run=True) == first
    running = group.member(1, 3)
    seen = record_numbers(running)
    async with running.running():
        await until_caught_up(running)
        assert await group.resize(2, 3) == first
    group.handled.update(seen)
    await group.run_consumers(3)
    assert group.repeats <= first.max_redelivered
    # The group went on: what is asked for is no more what it is.
    await group.resize(3, 4)
    with pytest.raises(PositionConflictError, match="resized to"):
        await group.resize(2, 3)


async def test_a_member_that_never_ran_skips_nothing(group: Group) -> None:
    await group.write(20)
    await group.run(1, 2)
    resize = await group.resize(2, 3)
    assert resize.old_next_positions[0] == resize.next_position == 1
    assert resize.max_redelivered == 20
    await group.run_consumers(3)
    assert 0 < group.repeats <= 20


async def test_a_group_that_never_ran_is_a_mistake_in_a_name_or_a_size(group: Group) -> None:
    await group.write(5)
    await group.run_consumers(3)
    with pytest.raises(PositionConflictError, match=r"old_size has run\. Nothing was changed"):
        await group.resize(4, 2)
    resize = await group.resize(3, 2)
    assert (resize.max_redelivered, resize.is_applied, resize.next_position > 1) == (0, True, True)


async def test_a_member_that_never_ran_begins_at_the_beginning(group: Group) -> None:
    await group.write(5)
    await group.run(0, 2)
    resize = await group.resize(2, 3)
    assert resize.next_position == resize.old_next_positions[1] == 1 < resize.old_next_positions[0]
    await group.run_consumers(3)
    with pytest.raises(PositionConflictError, match="resized to 3 members"):
        await group.run(0, 2)


async def test_old_members_refuse_to_run_afterwards(group: Group) -> None:
    await group.write(20)
    await group.run(0, 2)
    await group.resize(2, 3)
    handled = group.handled.copy()
    for number in range(2):
        with pytest.raises(PositionConflictError, match="Run it with group_size=3"):
            await group.run(number, 2)
    assert group.handled == handled


@pytest.mark.parametrize("partitions", [None, 3])
async def test_a_consumer_without_a_group_becomes_one_and_repeats_nothing(
    group: Group, partitions: int | None
) -> None:
    await group.write(20)
    await group.run(None, None)
    with pytest.raises(PositionConflictError, match="old_size is None"):
        await group.resize(1, 3)
    if partitions:
        with pytest.raises(PositionConflictError, match=r"old_size=…, new_size=3\)"):
            await group.run(None, None, partitions=partitions)
    resize = await group.resize(None, 3)
    assert (resize.max_redelivered, len(resize.old_next_positions)) == (0, 1)
    assert await group.resize(None, 3) == resize
    await group.write(10)
    if partitions:
        await group.run(None, None, partitions=partitions)
    else:
        await group.run_consumers(3)
    assert group.repeats == 0
    with pytest.raises(PositionConflictError, match=r"resized to 3 members.*partitions=3"):
        await group.run(None, None)
    assert group.repeats == 0


async def test_up_and_down_and_up_again(group: Group) -> None:
    repeated = 0
    for old, new in ((2, 3), (3, 2), (2, 3), (3, 1), (1, 3)):
        await group.write(10)
        await group.run(0, old)
        repeated += (await group.resize(old, new)).max_redelivered
        await group.write(10)
        for number in range(old):
            with pytest.raises(PositionConflictError, match=f"resized to {new} members"):
                await group.run(number, old)
    await group.run_consumers(3)
    assert group.repeats <= repeated


async def test_it_refuses_while_a_member_of_either_size_runs(group: Group) -> None:
    await group.write(20)
    for size in (2, 3):
        consumer = group.member(1, size)
        record_numbers(consumer)
        async with consumer.running():
            await until_caught_up(consumer)
            with pytest.raises(PositionConflictError, match=r"group\+1\+.* Stop it first"):
                await group.resize(2, 3)
        if size == 2:
            # It has stored its position all the same, and may go on.
            await group.run_consumers(2)
    with pytest.raises(PositionConflictError, match="already has a position"):
        await group.resize(2, 3)
    await group.run_consumers(2)


async def test_a_dry_run_changes_nothing_and_says_the_same(
    group: Group, client: AsyncClient
) -> None:
    await group.write(20)
    await group.run(0, 2)
    dry = await group.resize(2, 3, dry_run=True)
    assert (dry.is_applied, dry.next_position, dry.max_redelivered) == (False, 1, 20)
    assert await client.stream_version(group.member(0, 3).name) == NO_STREAM
    await group.run(0, 2)
    done = await group.resize(2, 3)
    assert done.is_applied
    assert (done.old_next_positions, done.next_position, done.max_redelivered) == (
        dry.old_next_positions,
        dry.next_position,
        dry.max_redelivered,
    )


async def test_a_third_size_is_refused_and_changes_nothing(group: Group) -> None:
    await group.write(20)
    await group.run_consumers(2)
    await group.resize(2, 3)
    with pytest.raises(PositionConflictError, match="resized to 3 members"):
        await group.resize(2, 4)
    await group.write(20)
    await group.run_consumers(3)
    assert group.repeats == 0


async def test_a_size_that_runs_under_its_own_positions_is_no_new_size(group: Group) -> None:
    await group.write(20)
    await group.run_consumers(2)
    await group.run_consumers(3)
    with pytest.raises(PositionConflictError, match=r"group\+0\+3' already has a position"):
        await group.resize(2, 3)
    await group.run_consumers(2)
    await group.run_consumers(3)


async def test_where_not_all_can_be_counted_it_says_too_many_rather_than_too_few(
    new_database: NewDatabase, category: str
) -> None:
    url = new_database()
    functions_only(url)
    async with AsyncClient(make_url(url, user="message_store")) as client:
        group = Group(client, category, StreamPositionStore())
        await client.write_messages(f"{category}-0", numbered(0, 1100))
        group.written = 1100
        for number in range(2):
            await group.run(number, 2)
        # Such a role counts to 1000: it would be as many behind one position as behind the other.
        await AsyncConsumer(
            client, category, identifier="group", group_member=1, group_size=2
        ).reset_position("beginning")
        resize = await group.resize(2, 3)
        assert resize.next_position == 1
        assert resize.max_redelivered >= 1100
        await group.run_consumers(3)
        assert group.repeats == 1100


async def test_wrong_arguments_are_refused(
    client: AsyncClient, group: Group, category: str
) -> None:
    for old, new, text in (
        (2, 2, "old_size and new_size are the same"),
        (0, 2, "old_size must be between 1 and 32767, not 0"),
        (2, 0, "new_size must be between 1 and 32767, not 0"),
        (2, 40_000, "new_size must be between 1 and 32767, not 40000"),
    ):
        with pytest.raises(ValidationError, match=text):
            await group.resize(old, new)
    for own in (StreamPositionStore("mine-1"), TablePositionStore("mine")):
        with pytest.raises(ValidationError, match="reset_position"):
            await client.resize_consumer_group(
                category,
                identifier="group",
                old_size=1,
                new_size=2,
                position_store=own,
            )
    with pytest.raises(ValidationError, match="identifier"):
        await client.resize_consumer_group(category, identifier="", old_size=1, new_size=2)
