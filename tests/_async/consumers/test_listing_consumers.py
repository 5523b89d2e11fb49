"""The consumers that a store knows of: their positions, how far behind they are, who runs."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest

from messagedb import (
    AsyncAllConsumer,
    AsyncClient,
    AsyncConsumer,
    IncompatibleServerError,
    Message,
    NewMessage,
    PositionConflictError,
    TablePositionStore,
)
from messagedb.consumers import NO_RETRY, ConsumerInfo
from tests.support.backend import make_url
from tests.support.store import functions_only


def quiet(consumer: AsyncConsumer) -> AsyncConsumer:
    """Add a handler that does nothing to a consumer."""

    @consumer.handler
    async def ignore(message: Message[Any]) -> None:
        return None

    return consumer


async def write(client: AsyncClient, category: str, count: int) -> int:
    """Write so many messages, and return the global position of the last."""
    stream = f"{category}-1"
    await client.write_messages(stream, [NewMessage("Happened") for _ in range(count)])
    last = await client.get_last_stream_message(stream)
    assert last is not None
    return last.global_position


async def test_a_role_that_may_read_messages_but_not_our_schema(
    new_database: Callable[..., str], category: str
) -> None:
    owner = new_database()
    async with AsyncClient(make_url(owner, user="message_store")) as client:
        head = await write(client, category, 2)
        await quiet(AsyncConsumer(client, category, identifier="mail")).run(until="caught_up")
        with psycopg.connect(owner) as conn:
            conn.execute("revoke usage on schema messagedb from message_store")
        (found,) = await client.list_consumers()
        assert (found.identifier, found.next_position, found.position_store) == (
            "mail",
            head + 1,
            "stream",
        )
        in_table = AsyncConsumer(
            client, category, identifier="other", position_store=TablePositionStore()
        )
        with pytest.raises(IncompatibleServerError, match="GRANT USAGE ON SCHEMA"):
            await quiet(in_table).run(until="caught_up")


async def test_before_and_after_it_has_caught_up(client: AsyncClient, category: str) -> None:
    assert await client.list_consumers(category) == []
    head = await write(client, category, 3)
    assert await client.list_consumers(category) == []  # it has stored nothing yet
    consumer = quiet(AsyncConsumer(client, category, identifier="mail"))
    await consumer.run(until="caught_up")
    (found,) = await client.list_consumers(category)
    assert found == ConsumerInfo(
        name=f"{category}:position-mail",
        position_store="stream",
        category=category,
        identifier="mail",
        group_member=None,
        group_size=None,
        next_position=head + 1,
        saved_at=found.saved_at,
        pid=None,
        head=head,
        report=found.report,
    )
    assert found.state == "stopped"
    assert found.saved_at is not None
    assert abs((datetime.now(UTC) - found.saved_at).total_seconds()) < 600
    later = await write(client, category, 2)
    (found,) = await client.list_consumers(category)
    assert (found.next_position, found.lag_messages, found.is_running) == (head + 1, 2, False)
    assert found.head == later
    assert found.lag_seconds is not None
    assert 0 <= found.lag_seconds < 600


async def test_who_runs_holds_its_lease(client: AsyncClient, category: str) -> None:
    await write(client, category, 1)
    consumer = quiet(AsyncConsumer(client, category, identifier="mail"))
    await consumer.run(until="caught_up")
    async with consumer.running():
        await consumer.wait_until_caught_up(timeout=10)
        (found,) = await client.list_consumers(category)
        assert found.is_running
        async with client.transaction() as tx:
            cursor = await tx.connection.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE pid = %s", [found.pid]
            )
            assert await cursor.fetchone() == (1,)
    (found,) = await client.list_consumers(category)
    assert not found.is_running


async def test_groups_and_tables_and_other_kinds(client: AsyncClient, category: str) -> None:
    head = await write(client, category, 4)
    commands = f"{category}:command"
    consumers: list[dict[str, Any]] = [
        {"identifier": "group", "group_member": 0, "group_size": 2},
        {"identifier": "group", "group_member": 1, "group_size": 2},
        {"identifier": "row", "position_store": TablePositionStore()},
        {},
    ]
    for options in consumers:
        await quiet(AsyncConsumer(client, category, **options)).run(until="caught_up")
    await client.write_message(f"{commands}-1", NewMessage("Do"))
    await quiet(AsyncConsumer(client, commands, identifier="x-y")).run(until="caught_up")
    found = await client.list_consumers(category)
    assert [
        (c.name, c.position_store, c.identifier, c.group_member, c.group_size) for c in found
    ] == [
        (f"{category}:position", "stream", None, None, None),
        (f"{category}:position-group+0+2", "stream", "group", 0, 2),
        (f"{category}:position-group+1+2", "stream", "group", 1, 2),
        (f"{category}:position-row", "table", "row", None, None),
    ]
    assert {c.next_position for c in found} == {head + 1}
    (other,) = await client.list_consumers(commands)
    assert (other.name, other.identifier) == (f"{commands}+position-x-y", "x-y")
    everything = await client.list_consumers()
    assert {c.name for c in found} | {other.name} <= {c.name for c in everything}
    await client.resize_consumer_group(category, identifier="group", old_size=2, new_size=3)
    left = await client.list_consumers(category)
    assert {c.group_size for c in left if c.identifier == "group"} == {3}


async def test_who_was_replaced_by_a_resize_is_not_behind_for_ever(
    client: AsyncClient, category: str
) -> None:
    await write(client, category, 4)
    stores: list[dict[str, Any]] = [{}, {"position_store": TablePositionStore()}]
    for options in stores:
        name = "row" if options else "records"
        before: dict[str, Any] = {"identifier": name, **options}
        await quiet(AsyncConsumer(client, category, **before)).run(until="caught_up")
        await client.resize_consumer_group(category, old_size=None, new_size=2, **before)
        await write(client, category, 3)
        members = [
            quiet(AsyncConsumer(client, category, group_member=n, group_size=2, **before))
            for n in range(2)
        ]
        for member in members:
            await member.run(until="caught_up")
        found = [c for c in await client.list_consumers(category) if c.identifier == name]
        assert [(c.group_member, c.group_size, c.lag_messages) for c in found] == [
            (0, 2, 0),
            (1, 2, 0),
        ]
        # Started again by mistake, it ends with an error, and that is shown.
        with pytest.raises(PositionConflictError, match="resized to 2 members"):
            await quiet(AsyncConsumer(client, category, **before)).run(until="caught_up")
        [old] = [
            c
            for c in await client.list_consumers(category)
            if c.identifier == name and c.group_size is None
        ]
        assert (old.resized_to, old.lag_messages, old.state) == (2, 0, "failed")
        assert "resized to 2 members" in str(old.problem)


async def test_the_category_that_is_a_colon_hides_no_other_consumer(
    client: AsyncClient, category: str
) -> None:
    record = NewMessage("Recorded", {"position": 1})
    await client.write_message(f":position-{category}", record)
    found = [each for each in await client.list_consumers() if each.identifier == category]
    assert [(each.name, each.category) for each in found] == [(f":position-{category}", ":")]
    assert category in [each.identifier for each in await client.list_consumers(":")]


async def test_of_several_categories(client: AsyncClient, category: str) -> None:
    await write(client, category, 2)
    identifier = f"{category}Everything"
    consumer = AsyncAllConsumer(client, [category], identifier=identifier)

    @consumer.handler
    async def ignore(message: Message[Any]) -> None:
        return None

    await consumer.run(until="caught_up")
    (found,) = [each for each in await client.list_consumers() if each.identifier == identifier]
    assert (found.category, found.position_store) == (None, "stream")


async def test_a_parked_message_counts_once(client: AsyncClient, category: str) -> None:
    await write(client, category, 3)
    consumer = AsyncConsumer(client, category, identifier="mail", retry=NO_RETRY, on_error="park")

    @consumer.handler
    async def fail(message: Message[Any]) -> None:
        raise ValueError("no")

    await consumer.run(until="caught_up")
    parked = await consumer.list_parked()
    assert len(parked) == 3
    assert (await client.list_consumers(category))[0].parked_count == 3
    for _ in range(2):
        await consumer.discard_parked(parked[:2])
    assert (await client.list_consumers(category))[0].parked_count == 1


async def test_other_categories_with_such_a_word_are_none(
    client: AsyncClient, category: str
) -> None:
    names = (f"{category}position-1", f"{category}:positions-1", f"{category}:a:position-1")
    for name in names:
        await client.write_message(name, NewMessage("Recorded", {"position": 1}))
    await client.write_message(f"{category}:a+position+b-1", NewMessage("Recorded"))
    found = [each.name for each in await client.list_consumers()]
    assert [name for name in found if name.startswith(category)] == [f"{category}:a+position+b-1"]


async def test_an_invalid_position_record_is_reported(client: AsyncClient, category: str) -> None:
    await client.write_message(f"{category}:position-odd", NewMessage("Surprise", {"position": 1}))
    (found,) = await client.list_consumers(category)
    assert found.next_position is None
    assert "'Surprise'" in str(found.problem)


async def test_a_role_that_sees_no_table(new_database: Callable[..., str]) -> None:
    url = new_database()
    functions_only(url)
    async with AsyncClient(make_url(url, user="message_store"), max_size=1) as client:
        with pytest.raises(IncompatibleServerError, match="the list of consumers"):
            await client.list_consumers()
