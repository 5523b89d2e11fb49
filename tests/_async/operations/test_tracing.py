"""Causes and effects: the chain up, the tree down, the workflow, windows, odd metadata."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from messagedb import (
    AsyncClient,
    IncompatibleServerError,
    Message,
    Metadata,
    NewMessage,
    ValidationError,
)

TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
OTHER_ID = "0af7651916cd43dd8448eb211c80319c"


async def write(
    client: AsyncClient, stream: str, type_name: str, metadata: Any = None
) -> Message[Any]:
    await client.write_message(stream, NewMessage(type_name, {"n": 1}, metadata=metadata))
    last = await client.get_last_stream_message(stream)
    assert last is not None
    return last


async def follow(
    client: AsyncClient, stream: str, type_name: str, cause: Message[Any]
) -> Message[Any]:
    return await write(client, stream, type_name, Metadata.following(cause))


async def fill(client: AsyncClient, category: str) -> dict[str, Message[Any]]:
    """Write a transfer: its cause, two effects, an effect of one of these, and others between."""
    asked = await write(
        client, f"{category}-1", "Asked", Metadata(correlation_stream_name=f"{category}-flow")
    )
    transfer = await follow(client, f"{category}-2", "Transfer", asked)
    await write(client, f"{category}-2", "Other")
    debited = await follow(client, f"{category}-3", "Debited", transfer)
    noted = await follow(client, f"{category}-4", "Noted", debited)
    await write(
        client, f"{category}-5", "Remark", Metadata(correlation_stream_name=f"{category}-flow")
    )
    credited = await follow(client, f"{category}-4", "Credited", transfer)
    found = (asked, transfer, debited, noted, credited)
    return {message.type: message for message in found}


async def test_a_message_is_traced_up_and_down(client: AsyncClient, category: str) -> None:
    messages = await fill(client, category)
    transfer = messages["Transfer"]
    trace = await client.trace(transfer)
    assert trace.message is transfer
    assert trace.causes == [messages["Asked"]]
    assert [(depth, node.message.type) for depth, node in trace.node.walk()] == [
        (0, "Transfer"),
        (1, "Debited"),
        (2, "Noted"),
        (1, "Credited"),
    ]
    assert [(depth, node.message.type) for depth, node in trace.root.walk()] == [
        (0, "Asked"),
        (1, "Transfer"),
        (2, "Debited"),
        (3, "Noted"),
        (2, "Credited"),
    ]
    noted = trace.node.effects[0].effects[0]
    assert noted.message == messages["Noted"]
    assert noted.cause is trace.node.effects[0]
    assert [message.type for message in trace.correlated] == ["Remark"]
    assert trace.searched_from == transfer.global_position + 1
    assert trace.is_complete


async def test_a_message_is_named_by_its_id_or_place(client: AsyncClient, category: str) -> None:
    transfer = (await fill(client, category))["Transfer"]
    for name in (transfer.id, str(transfer.id), f"{category}-2/0"):
        assert (await client.trace(name, window=0)).message == transfer
    for missing in (uuid.uuid4(), f"{category}-2/7", f"{category}/0"):
        with pytest.raises(ValidationError, match="the store has no message"):
            await client.trace(missing)
    for wrong in (
        "account-123",
        f"{category}-2/x",
        "\udc80",
        "",
        "/1",
        f"{category}-2/9{'0' * 30}",
    ):
        with pytest.raises(ValidationError):
            await client.trace(wrong)


async def test_a_search_goes_on_where_its_window_ended(client: AsyncClient, category: str) -> None:
    messages = await fill(client, category)
    whole = await client.trace(messages["Asked"])
    trace = await client.trace(messages["Asked"], window=0)
    assert (trace.node.effects, trace.is_complete) == ([], False)
    assert trace.searched_to == trace.searched_from - 1
    seen = [trace.searched_to]
    while not trace.is_complete:
        trace = await client.trace(trace, window=2)
        assert trace.searched_to > seen[-1]
        seen.append(trace.searched_to)
    shown = [(depth, node.message) for depth, node in trace.root.walk()]
    assert shown == [(depth, node.message) for depth, node in whole.root.walk()]
    assert trace.correlated == whole.correlated
    assert trace.searched_to == whole.searched_to


async def test_what_is_beyond_the_maximum_is_counted(client: AsyncClient, category: str) -> None:
    messages = await fill(client, category)
    trace = await client.trace(messages["Transfer"], max_messages=2)
    assert [node.message.type for _, node in trace.node.walk()] == ["Transfer", "Debited", "Noted"]
    assert trace.left_out == 2
    assert not trace.is_complete


async def test_messages_of_one_w3c_trace_are_found(client: AsyncClient, category: str) -> None:
    first, same, _, nested = [
        await write(client, f"{category}-1", "A", metadata)
        for metadata in (
            {"traceparent": f"00-{TRACE_ID}-00f067aa0ba902b7-01"},
            {"traceparent": f"00-{TRACE_ID}-b7ad6b7169203331-00"},
            {"traceparent": f"00-{OTHER_ID}-00f067aa0ba902b7-01"},
            {"properties": {"traceparent": f"00-{TRACE_ID}-00f067aa0ba902b7-01"}},
        )
    ]
    assert (await client.trace(first)).correlated == [same, nested]
    assert (await client.trace(nested)).correlated == []


async def test_messages_can_be_traced_without_their_data(
    client: AsyncClient, category: str
) -> None:
    transfer = (await fill(client, category))["Transfer"]
    trace = await client.trace(transfer.id, include_data=False)
    assert {node.message.data for _, node in trace.root.walk()} == {None}
    assert trace.message.metadata == transfer.metadata


async def test_odd_metadata_is_no_cause(client: AsyncClient, category: str) -> None:
    stream = f"{category}-1"
    first = await write(client, stream, "First")
    odd: tuple[dict[str, Any], ...] = (
        {"causationMessageStreamName": stream},
        {"causationMessageStreamName": stream, "causationMessagePosition": "x"},
        {"causationMessageStreamName": stream, "causationMessagePosition": -1},
        {"causationMessageStreamName": [stream], "causationMessagePosition": 0},
        {"causationMessageStreamName": stream, "causationMessagePosition": 10**30},
        {"causationMessageStreamName": stream, "causationMessagePosition": {"a": 1}},
        {"traceparent": 5},
    )
    for metadata in odd:
        await write(client, f"{category}-2", "Odd", metadata)
    names_itself = {"causationMessageStreamName": f"{category}-3", "causationMessagePosition": 0}
    itself = await write(client, f"{category}-3", "Itself", names_itself)
    assert (await client.trace(first)).node.effects == []
    trace = await client.trace(itself)
    assert (trace.causes, trace.node.effects) == ([], [])
    async for message in client.read_stream(f"{category}-2"):
        assert (await client.trace(message)).causes == []


async def test_a_role_of_functions_alone_cannot_search(functions_only_url: str) -> None:
    async with AsyncClient(functions_only_url) as client:
        with pytest.raises(IncompatibleServerError, match="causes and effects needs the table"):
            await client.trace("account-1/0")
