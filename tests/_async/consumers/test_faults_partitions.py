"""Partitions whose owners are cut off, paused or in conflict, and consumers that may not run."""

from __future__ import annotations

from typing import Any, Literal, cast

import psycopg
import pytest

from messagedb import (
    AsyncClient,
    AsyncConsumer,
    AsyncContext,
    Message,
    NewMessage,
    RetryPolicy,
    TablePositionStore,
)
from messagedb.errors import HandlerError, PositionConflictError, ValidationError
from messagedb.testing import FaultProxy
from tests._async.consuming import record_numbers
from tests.support.background_async import Background, eventually

LEASE = 2.0


def shared(client: AsyncClient, category: str, **options: Any) -> AsyncConsumer:
    """Return a consumer of two partitions."""
    options = {"partitions": 2, "lease_timeout": LEASE, **options}
    return AsyncConsumer(client, category, identifier="shared", **options)


def owned(consumer: AsyncConsumer) -> tuple[int, ...]:
    """Return the numbers of its partitions."""
    return consumer.status().partitions or ()


async def note(client: AsyncClient, category: str, first: int, count: int) -> None:
    """Write numbers to two streams, one of each partition."""
    for n in range(first, first + count):
        await client.write_message(f"{category}-{n % 2}", NewMessage("Noted", {"n": n}))


@pytest.mark.parametrize("point", ["before_request", "within_request"])
async def test_an_owner_that_is_cut_off_in_its_transaction_leaves_one_effect(
    store_url: str, category: str, point: Literal["before_request", "within_request"]
) -> None:
    """Before or within its position and COMMIT: others handle the message after the lease."""
    with FaultProxy(store_url) as proxy:
        async with AsyncClient(proxy.conninfo) as cut, AsyncClient(store_url) as client:
            first, second = (shared(each, category, transactional=True) for each in (cut, client))
            calls: list[tuple[str, int]] = []

            def add(consumer: AsyncConsumer, name: str) -> None:
                @consumer.handler
                async def handle(message: Message[Any], context: AsyncContext) -> None:
                    calls.append((name, message.data["n"]))
                    if calls[-1] == ("first", 2):
                        proxy.stall_at(point, "save_position")
                    out = f"{message.stream_name.replace('-', 'Out-')}"
                    await context.client.write_message(out, NewMessage("Done", dict(message.data)))

            add(first, "first")
            add(second, "second")
            async with first.running():
                await eventually(lambda: owned(first) == (0, 1), 10)
                await note(client, category, 0, 2)
                await first.wait_until_caught_up(timeout=20)
                await note(client, category, 2, 2)
                await eventually(lambda: ("first", 2) in calls, 10)
                async with second.running():
                    # All of it: nothing else of the first one is heard of, and its row expires.
                    await eventually(lambda: owned(second) == (0, 1), 20)
                    await second.wait_until_caught_up(timeout=20)
                    assert 2 in {n for name, n in calls if name == "second"}
                    proxy.resume()
                    await eventually(lambda: bool(owned(first)), 20)
                    await note(client, category, 4, 4)
                    await eventually(lambda: {n for _, n in calls} == set(range(8)), 20)
            done = [
                message.data["n"]
                for message in await client.get_category_messages(f"{category}Out", batch_size=-1)
            ]
            assert sorted(done) == list(range(8))


async def test_an_owner_that_wakes_up_too_late_stores_nothing_and_handles_nothing_more(
    store_url: str, category: str
) -> None:
    with FaultProxy(store_url) as proxy:
        async with AsyncClient(proxy.conninfo) as cut, AsyncClient(store_url) as client:
            first, second = shared(cut, category), shared(client, category)
            may_return: list[bool] = []
            slow: list[int] = []

            @first.handler
            async def wait(message: Message[Any]) -> None:
                slow.append(message.data["n"])
                await eventually(lambda: may_return, 60)

            seen = record_numbers(second)
            await note(client, category, 0, 6)
            async with first.running(stop_timeout=1):
                await eventually(lambda: sorted(slow) == [0, 1], 10)
                proxy.drop()
                async with second.running():
                    await eventually(lambda: owned(second) == (0, 1), 20)
                    await second.wait_until_caught_up(timeout=20)
                    proxy.resume()
                    # It has the first message of each partition still in its handlers.
                    may_return.append(True)
                    await eventually(lambda: len(owned(first)) == 1, 20)
                    await second.wait_until_caught_up(timeout=20)
            assert sorted(slow) == [0, 1]
            assert sorted(seen) == list(range(6))


async def test_a_position_that_another_process_has_stored_is_continued_from(
    store_url: str, database_url: str, category: str
) -> None:
    """As after the last save of a process that was paused in it."""
    store = TablePositionStore()
    async with AsyncClient(store_url) as client:
        consumer = shared(client, category, position_store=store, position_update_interval=1)
        seen = record_numbers(consumer)
        await note(client, category, 0, 2)
        async with consumer.running():
            await consumer.wait_until_caught_up(timeout=20)
            await eventually(lambda: consumer.status().stored_next_position is not None, 10)
            with psycopg.connect(database_url, autocommit=True) as conn:
                conn.execute(
                    "update messagedb.positions set saved_by = gen_random_uuid()"
                    " where consumer like %s",
                    [f"{category}:position-shared+%"],
                )
            await note(client, category, 2, 4)
            await eventually(lambda: set(seen) == set(range(6)), 20)
        assert consumer.status().state == "stopped"


async def test_one_that_retries_gives_its_surplus_up_without_waiting_for_the_next_attempt(
    store_url: str, category: str
) -> None:
    async with AsyncClient(store_url) as one, AsyncClient(store_url) as two:
        first = shared(one, category, retry=RetryPolicy(delay=300.0, max_delay=300.0))
        second = shared(two, category)

        @first.handler
        async def fail(message: Message[Any]) -> None:
            raise OSError("not now")

        seen = record_numbers(second)
        await note(one, category, 0, 2)
        async with first.running():
            await eventually(lambda: first.status().state == "retrying", 10)
            async with second.running():
                await eventually(lambda: len(seen) == 1, 20)
                assert len(owned(first)) == 1


async def test_a_failure_stops_the_process_and_leaves_its_partitions_to_others(
    store_url: str, category: str
) -> None:
    async with AsyncClient(store_url) as one, AsyncClient(store_url) as two:
        first = shared(one, category, retry=RetryPolicy(max_attempts=1), lease_timeout=60.0)
        second = shared(two, category)

        @first.handler
        async def fail(message: Message[Any]) -> None:
            raise OSError("never")

        seen = record_numbers(second)
        await note(one, category, 0, 1)
        with pytest.raises(HandlerError, match="never"):
            await first.run()
        assert (first.status().state, owned(first)) == ("failed", ())
        async with second.running():
            await eventually(lambda: seen == [0], 10)


async def test_an_identifier_is_used_with_partitions_or_without_them(
    store_url: str, category: str
) -> None:
    async with AsyncClient(store_url) as client:
        plain = AsyncConsumer(client, category, identifier="shared")
        static = AsyncConsumer(client, category, identifier="shared", group_member=0, group_size=2)
        partitioned = shared(client, category)
        for consumer in (plain, static, partitioned):
            record_numbers(consumer)
        async with partitioned.running():
            await eventually(lambda: len(owned(partitioned)) == 2, 10)
            for other in (plain, static):
                with pytest.raises(PositionConflictError, match="with partitions"):
                    await other.run(until="caught_up")
            with pytest.raises(PositionConflictError, match="Stop it everywhere"):
                await shared(client, category).reset_position("beginning")
        async with static.running():
            await static.wait_until_caught_up(timeout=10)
            with pytest.raises(PositionConflictError, match="runs under the same identifier"):
                await partitioned.run(until="caught_up")
        other_category = f"{category}Other"
        await note(client, other_category, 0, 2)
        groups: list[dict[str, Any]] = [{}, {"group_member": 0, "group_size": 3}]
        for options in groups:
            old = AsyncConsumer(client, other_category, identifier="shared", **options)
            record_numbers(old)
            await old.run(until="caught_up")
            with pytest.raises(PositionConflictError, match="old_size=…, new_size=2"):
                await shared(client, other_category).reset_position(1)


async def test_an_identifier_that_had_partitions_does_not_begin_again_without_them(
    store_url: str, category: str
) -> None:
    async with AsyncClient(store_url) as client:
        await note(client, category, 0, 4)
        partitioned = shared(client, category)
        seen = record_numbers(partitioned)
        await partitioned.run(until="caught_up")
        plain = AsyncConsumer(client, category, identifier="shared")
        other_size = AsyncConsumer(
            client, category, identifier="shared", group_member=0, group_size=3
        )
        same_size = [
            AsyncConsumer(client, category, identifier="shared", group_member=n, group_size=2)
            for n in range(2)
        ]
        repeated = [record_numbers(each) for each in (plain, other_size, *same_size)]
        for refused in (plain, other_size):
            with pytest.raises(PositionConflictError, match="was used with 2 partitions"):
                await refused.run(until="caught_up")
        # These have the positions of the partitions.
        for member in same_size:
            await member.run(until="caught_up")
        assert sorted(seen) == [0, 1, 2, 3]
        assert repeated == [[], [], [], []]
        # It is said where it begins.
        messages = await client.get_category_messages(category)
        await plain.reset_position(messages[3].global_position)
        await plain.run(until="caught_up")
        assert repeated == [[3], [], [], []]


async def test_the_stored_number_of_partitions_counts(
    store_url: str, category: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with AsyncClient(store_url) as client:
        await note(client, category, 0, 4)
        first = shared(client, category, partitions=4)
        # It begins where this says, also with a set that is not stored yet.
        assert await first.reset_position(3) == 3
        assert await first.reset_position("beginning") == 1
        seen = record_numbers(first)
        await first.run(until="caught_up")
        assert sorted(seen) == [0, 1, 2, 3]
        second = shared(client, category, partitions=8)
        seen = record_numbers(second)
        async with second.running():
            await eventually(lambda: owned(second) == (0, 1, 2, 3), 10)
            assert second.status().partition_count == 4
            await note(client, category, 4, 1)
            await second.wait_until_processed(f"{category}-0", 2, timeout=20)
        assert seen == [4]
    assert "partitions=8 here, and 4 are stored" in caplog.text


async def test_a_process_with_another_position_store_is_refused_before_it_handles_anything(
    store_url: str, category: str
) -> None:
    async with AsyncClient(store_url) as client:
        await note(client, category, 0, 4)
        first = shared(client, category, partitions=4)
        seen = record_numbers(first)
        await first.run(until="caught_up")
        other = shared(client, category, partitions=4, transactional=True)
        seen_by_other = record_numbers(other)
        text = r"keep their positions in streams .* Nothing was changed"
        with pytest.raises(PositionConflictError, match=text):
            await other.run(until="caught_up")
        with pytest.raises(PositionConflictError, match=text):
            await other.reset_position("end")
    assert sorted(seen) == [0, 1, 2, 3]
    assert seen_by_other == []


async def test_one_read_serves_all_partitions_of_a_process(
    store_url: str, category: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with AsyncClient(store_url) as client:
        for n in range(400):
            await client.write_message(f"{category}-{n}", NewMessage("Noted", {"n": n}))
        consumer = shared(client, category, partitions=16, batch_size=100)
        reads: list[int] = []
        scan = cast("Any", client)._scan_category

        async def count(*arguments: Any) -> Any:
            page = await scan(*arguments)
            reads.append(page.count)
            return page

        monkeypatch.setattr(client, "_scan_category", count)
        seen = record_numbers(consumer)
        await consumer.run(until="caught_up")
        assert sorted(seen) == list(range(400))
        # Each message was looked at by one read, and not by sixteen.
        assert sum(reads) <= 800


async def test_a_partition_that_lags_is_read_by_itself(store_url: str, category: str) -> None:
    async with AsyncClient(store_url) as client:
        await note(client, category, 0, 40)
        consumer = shared(client, category, batch_size=10)
        seen = record_numbers(consumer)
        await consumer.run(until="caught_up")
        handled = len(seen)
        member = await client.get_category_messages(category, group_member=0, group_size=2)
        behind = [message.data["n"] for message in member]
        lagging = AsyncConsumer(client, category, identifier="shared", group_member=0, group_size=2)
        await lagging.reset_position("beginning")
        async with consumer.running():
            await note(client, category, 40, 2)
            await eventually(lambda: len(seen) == 40 + len(behind) + 2, 20)
            await consumer.wait_until_caught_up(timeout=20)
        # The other one repeats nothing, and each goes on in its own order.
        assert handled == 40
        again = seen[40:]
        assert [n for n in again if n % 2 == behind[0] % 2] == [*behind, 40 + behind[0] % 2]
        assert [n for n in again if n % 2 != behind[0] % 2] == [41 - behind[0] % 2]


async def test_fifty_members_that_start_together_share_sixteen_partitions(
    store_url: str, category: str
) -> None:
    async with AsyncClient(store_url) as client:
        members = [
            shared(client, category, partitions=16, lease_timeout=20.0, poll_interval=30.0)
            for _ in range(50)
        ]
        for each in members:
            record_numbers(each)
        runs = [Background(each.run) for each in members]
        await eventually(lambda: sum(len(owned(each)) for each in members) == 16, 60)
        await eventually(lambda: max(len(owned(each)) for each in members) == 1, 60)
        for stop in [Background(each.stop) for each in members]:
            await stop.result()
        for run in runs:
            await run.result()


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"partitions": 0}, "from 1 to 32,767"),
        ({"partitions": 32_768}, "from 1 to 32,767"),
        ({"partitions": True}, "from 1 to 32,767"),
        ({"group_member": 0, "group_size": 2}, "either partitions or these"),
        ({"lease_timeout": None}, "claimed by leases"),
        ({"position_store": TablePositionStore("mine")}, "leave out the name"),
        ({"streams_without_id": 1}, "0 to 0"),
        ({"member_name": ""}, "member_name"),
        ({"member_name": "a", "partitions": None}, "pass partitions, too"),
    ],
)
async def test_what_partitions_do_not_go_with(
    client: AsyncClient, category: str, options: dict[str, Any], text: str
) -> None:
    with pytest.raises(ValidationError, match=text):
        shared(client, category, **options)
