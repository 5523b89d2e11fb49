"""The stream of parked messages: writing and reading its records."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from messagedb._consumers.parked_messages import (
    DISCARDED,
    build_parked_record,
    build_resolution_record,
    count_resolutions,
    list_unresolved,
)
from messagedb._errors import ValidationError

if TYPE_CHECKING:
    from messagedb._consumers.parked_messages import ParkedMessage
    from messagedb._messages.message import Message

    from ..operations.operations import AsyncOperations


async def park(
    store: AsyncOperations,
    stream: str,
    id_namespace: str,
    message: Message[Any],
    reason: str,
    attempts: int,
) -> None:
    """Park a message: once, however often this is called, until it is replayed or discarded."""
    before = await store.stream_version(stream)
    record = build_parked_record(message, id_namespace, reason, attempts, 0)
    if await store.write_message(stream, record) > before:
        return
    # It was parked before: perhaps it has been replayed or discarded since.
    resolutions = count_resolutions(await read_records(store, stream), message)
    if resolutions:
        await store.write_message(
            stream, build_parked_record(message, id_namespace, reason, attempts, resolutions)
        )


async def read_records(store: AsyncOperations, stream: str) -> list[Message[Any]]:
    """Return all records of parking, replaying and discarding, in order."""
    records: list[Message[Any]] = []
    if "-" in stream:
        async for record in store.read_stream(stream):
            records.append(record)
    else:
        async for record in store.read_category(stream):
            if record.stream_name == stream:
                records.append(record)
    return records


async def list_parked(store: AsyncOperations, stream: str) -> list[ParkedMessage]:
    """Return the messages that are parked now, in the order of parking."""
    return list_unresolved(await read_records(store, stream))


async def discard(store: AsyncOperations, stream: str, parked: ParkedMessage) -> None:
    """Record that a parked message is discarded."""
    await store.write_message(stream, build_resolution_record(parked, DISCARDED))


async def get_parked_message(store: AsyncOperations, parked: ParkedMessage) -> Message[Any]:
    """Return the message that was parked.

    Raises:
        ValidationError: it is no longer in the store.
    """
    category = parked.stream_name.partition("-")[0]
    page = await store.get_category_messages(
        category, position=parked.global_position, batch_size=1
    )
    if not page or page[0].id != parked.message_id:
        raise ValidationError(
            f"message {parked.message_id} of stream {parked.stream_name!r} is no longer in the"
            " store. Nothing was changed. Discard it."
        )
    return page[0]
