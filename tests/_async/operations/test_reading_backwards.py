"""Reading backwards: the newest message first, by a stream and by a category."""

from __future__ import annotations

from typing import Any

import pytest

from messagedb import AsyncClient, IncompatibleServerError, NewMessage, ValidationError
from messagedb.clients import Direction


async def fill(client: AsyncClient, category: str, streams: int = 3, each: int = 3) -> None:
    for n in range(each):
        for s in range(streams):
            await client.write_message(
                f"{category}-{s}",
                NewMessage(f"Type{n}", {"n": n}, metadata={"correlationStreamName": f"flow{s}-1"}),
            )


async def test_a_stream_backwards_is_its_reverse(client: AsyncClient, category: str) -> None:
    await fill(client, category, 1, 5)
    stream = f"{category}-0"

    async def positions(**arguments: Any) -> list[int]:
        page = await client.get_stream_messages(stream, direction="backwards", **arguments)
        return [message.position for message in page]

    assert await positions() == [4, 3, 2, 1, 0]
    assert await positions(batch_size=2) == [4, 3]
    assert await positions(position=2) == [2, 1, 0]
    assert await positions(position=3, batch_size=2) == [3, 2]
    assert await positions(position=-1) == []
    assert await positions(batch_size=0) == []
    assert await positions(condition="messages.type <> 'Type3'") == [4, 2, 1, 0]
    forwards = await client.get_stream_messages(stream)
    assert await client.get_stream_messages(stream, direction="backwards") == forwards[::-1]


@pytest.mark.parametrize("batch_size", [1, 2, 3, 4, 9, 100, -1])
async def test_iterators_go_back_to_the_beginning(
    client: AsyncClient, category: str, batch_size: int
) -> None:
    await fill(client, category)
    stream = f"{category}-1"
    of_stream = client.read_stream(stream, batch_size=batch_size, direction="backwards")
    assert [m async for m in of_stream] == (await client.get_stream_messages(stream))[::-1]
    whole = await client.get_category_messages(category)
    of_category = client.read_category(category, batch_size=batch_size, direction="backwards")
    assert [m async for m in of_category] == whole[::-1]
    since = client.read_category(
        category, position=whole[4].global_position, batch_size=batch_size, direction="backwards"
    )
    assert [m async for m in since] == whole[4::-1]


async def test_filters_of_a_category_hold_backwards(client: AsyncClient, category: str) -> None:
    await fill(client, category)
    await client.write_message(category, NewMessage("WithoutId"))
    for arguments in (
        {"correlation": "flow1"},
        {"group_member": 0, "group_size": 2},
        {"group_member": 1, "group_size": 2},
        {"condition": "messages.type = 'Type1'"},
    ):
        given: dict[str, Any] = arguments
        forwards = await client.get_category_messages(category, **given)
        backwards = await client.get_category_messages(category, direction="backwards", **given)
        assert backwards == forwards[::-1]
        assert "WithoutId" not in [message.type for message in forwards]
    newest = await client.get_category_messages(category, batch_size=1, direction="backwards")
    assert [message.type for message in newest] == ["WithoutId"]


async def test_there_is_nothing_to_read_backwards(client: AsyncClient, category: str) -> None:
    assert await client.get_stream_messages(f"{category}-1", direction="backwards") == []
    assert [m async for m in client.read_category(category, direction="backwards")] == []


async def test_a_transaction_reads_its_own_messages_backwards(
    client: AsyncClient, category: str
) -> None:
    await client.write_message(f"{category}-1", NewMessage("Before"))
    async with client.transaction() as tx:
        await tx.write_message(f"{category}-1", NewMessage("Within"))
        page = await tx.get_stream_messages(f"{category}-1", direction="backwards")
        assert [message.type for message in page] == ["Within", "Before"]
        assert (await client.get_stream_messages(f"{category}-1", direction="backwards"))[
            0
        ].type == "Before"


async def test_a_role_of_functions_alone_learns_what_is_missing(functions_only_url: str) -> None:
    async with AsyncClient(functions_only_url) as client:
        await client.write_message("account-1", NewMessage("A"))
        assert len(await client.get_stream_messages("account-1")) == 1
        with pytest.raises(IncompatibleServerError, match="GRANT SELECT on the table"):
            await client.get_stream_messages("account-1", direction="backwards")
        with pytest.raises(IncompatibleServerError, match="reading a category backwards"):
            await client.get_category_messages("account", direction="backwards")


async def test_an_unknown_direction_is_refused(client: AsyncClient, category: str) -> None:
    wrong: Any = "backward"
    direction: Direction = wrong
    with pytest.raises(ValidationError, match="'forwards' or 'backwards', not 'backward'"):
        await client.get_stream_messages(f"{category}-1", direction=direction)
    with pytest.raises(ValidationError, match="direction must be"):
        await client.read_category(category, direction=direction).__anext__()
