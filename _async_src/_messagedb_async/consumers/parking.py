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
    from collections.abc import AsyncIterator

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


class AsyncRecordReader:
    """Reads the records of parking, replaying and discarding, from where it was.

    Args:
        stream: the stream of the parked messages.

    Attributes:
        version: the position of the last record that was read; -1 before the first.
    """

    def __init__(self, stream: str) -> None:
        self.stream = stream
        self.version = -1
        self._global_position = 0

    def restart(self) -> None:
        """Read from the beginning."""
        self.version, self._global_position = -1, 0

    async def read(self, store: AsyncOperations) -> AsyncIterator[Message[Any]]:
        """Read the records that were written since, in order."""
        # A stream without an id is only read with those of its category.
        records = (
            store.read_stream(self.stream, position=self.version + 1)
            if "-" in self.stream
            else store.read_category(self.stream, position=self._global_position + 1)
        )
        async for record in records:
            self._global_position = record.global_position
            if record.stream_name == self.stream:
                self.version = record.position
                yield record


async def read_records(store: AsyncOperations, stream: str) -> list[Message[Any]]:
    """Return all records of parking, replaying and discarding, in order."""
    return [record async for record in AsyncRecordReader(stream).read(store)]


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
    stream_name, position = parked.stream_name, parked.position
    if "-" in stream_name:
        page = await store.get_stream_messages(stream_name, position=position, batch_size=1)
    else:
        page = await store.get_category_messages(
            stream_name, position=parked.global_position, batch_size=1
        )
    if not page or page[0].id != parked.message_id:
        raise ValidationError(
            f"message {parked.message_id} of stream {parked.stream_name!r} is no longer in the"
            " store. Nothing was changed. Discard it."
        )
    return page[0]
