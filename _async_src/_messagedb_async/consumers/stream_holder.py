"""The held streams of a run: loaded when it starts, and read again before one of them grows."""

from __future__ import annotations

from collections import Counter
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from messagedb._concurrency.backend_async import Lock
from messagedb._consumers.held_streams import HeldStreams
from messagedb._consumers.parked_messages import build_held_record
from messagedb._errors import MessageDBError, WrongExpectedVersionError
from messagedb._subscriptions.availability import is_transient_error

from .parking import AsyncRecordReader
from .run_state import log

if TYPE_CHECKING:
    from messagedb._consumers.settings import ConsumerSettings
    from messagedb._messages.message import Message

    from ..client_core.core import AsyncClientCore
    from ..operations.operations import AsyncOperations

_BEHIND_REASON: Final = "behind message %d of its stream"

# For the status: parking reads anyhow.
_REFRESH_SECONDS: Final = 1.0


class AsyncStreamHolder:
    """The streams that parked messages hold.

    One run handles a stream, so only it holds a stream or parks behind; others may replay or
    discard meanwhile. So what is known here may only be out of date in that a stream flows again.
    A record is written with the version that was read, and so refused if anything was decided
    meanwhile: no message slips between a replay and the next message of the consumer.

    Args:
        client: the client.
        settings: the consumer's.

    Attributes:
        held: what is known of them.
    """

    def __init__(self, client: AsyncClientCore, settings: ConsumerSettings) -> None:
        self.held = HeldStreams()
        self._client = client
        self._name = settings.position_name
        self._id_namespace = settings.id_namespace
        self._reader = AsyncRecordReader(settings.parked_stream)
        # Several handlers may park simultaneously.
        self._lock = Lock()
        self._refreshed_at = 0.0
        # The store has lost records, or they were never read.
        self._must_reload = True

    async def load(self) -> bool:
        """Read all records, and forget what was known. Returns True."""
        async with self._lock:
            self._must_reload = True
            await self._refresh(self._client)
        if self.held.first:
            log.info(
                "%s: %d streams wait for a parked message, with %d messages behind",
                self._name,
                len(self.held.first),
                self.held.behind_count,
            )
        return True

    async def refresh_if_due(self) -> None:
        """Read what others have decided, if that was not done a moment ago."""
        if monotonic() - self._refreshed_at < _REFRESH_SECONDS:
            return
        self._refreshed_at = monotonic()
        try:
            async with self._lock:
                await self._refresh(self._client)
        except MessageDBError as error:
            # The next read of messages finds the store unavailable, too, and waits.
            if not is_transient_error(error):
                raise

    async def park(self, message: Message[Any], reason: str | None, attempts: int) -> bool:
        """Park a message that holds its stream, or one behind it.

        Args:
            message: the message.
            reason: the reason; None for one behind another.
            attempts: the number of calls of its handler.

        Returns:
            True if it is parked; False if there is none before it any more, so that it is to be
            handled.

        Raises:
            ParkingLimitError: as many are parked as may be.
        """
        async with self._lock:
            while True:
                try:
                    is_parked = await self._write(self._client, message, reason, attempts)
                except WrongExpectedVersionError as error:
                    self.note_conflict(error)
                else:
                    if is_parked:
                        self.note_parked(message)
                    return is_parked

    async def park_behind(self, messages: list[Message[Any]]) -> bool:
        """Park a message behind one of its stream, and others that are behind some, in one write.

        The run has not come to the others: when it does, ``take_ahead`` says that they are parked,
        also if they have been replayed meanwhile.

        Returns:
            True if the first of them is parked; False if none is before it any more.

        Raises:
            ParkingLimitError: as many are parked as may be.
        """
        async with self._lock:
            while True:
                try:
                    return await self._write_behind(messages)
                except WrongExpectedVersionError as error:
                    self.note_conflict(error)

    def take_ahead(self, message: Message[Any]) -> bool:
        """Return True if the run comes to a message that was parked with an earlier one."""
        place = (message.stream_name, message.position)
        if place not in self.held.ahead:
            return False
        self.held.ahead.discard(place)
        return True

    async def park_in_transaction(
        self,
        transaction: AsyncOperations,
        message: Message[Any],
        reason: str | None,
        attempts: int,
    ) -> bool:
        """Park it in a transaction, after whose COMMIT ``note_parked`` is to be called.

        Raises:
            WrongExpectedVersionError: the transaction is to be rolled back; after
                ``note_conflict`` try another one.
            ParkingLimitError: as many are parked as may be.
        """
        return await self._write(transaction, message, reason, attempts)

    def note_parked(self, message: Message[Any]) -> None:
        """Note that a message is parked, which was stored."""
        self.held.add(message.stream_name, message.position)

    def note_conflict(self, error: WrongExpectedVersionError) -> None:
        """Note that other records were written; or that the store has lost some."""
        if error.actual_version < self._reader.version:
            self._must_reload = True

    async def _refresh(self, store: AsyncOperations) -> None:
        if self._must_reload:
            self._reader.restart()
            held = HeldStreams()
            async for record in self._reader.read(store):
                held.apply(record)
            self.held.replace_by(held)
            self._must_reload = False
            return
        async for record in self._reader.read(store):
            self.held.apply(record)

    async def _write(
        self, store: AsyncOperations, message: Message[Any], reason: str | None, attempts: int
    ) -> bool:
        held = self.held
        await self._refresh(store)
        if held.contains(message):
            return True
        first = held.first.get(message.stream_name)
        behind = first if first is not None and first < message.position else None
        if reason is None:
            if behind is None:
                return False
            reason = _BEHIND_REASON % behind
        held.check_limits(self._name, message, attempts, reason)
        version = self._reader.version
        record = build_held_record(
            message, self._id_namespace, reason, attempts, version=version, behind=behind
        )
        await store.write_message(self._reader.stream, record, expected_version=version)
        return True

    async def _write_behind(self, messages: list[Message[Any]]) -> bool:
        held = self.held
        await self._refresh(self._client)
        first = messages[0]
        if held.contains(first):
            return True
        if not held.is_behind(first):
            return False
        behind = held.first[first.stream_name]
        held.check_limits(self._name, first, 0, _BEHIND_REASON % behind)
        chosen = self._choose(messages)
        version = self._reader.version
        records = [
            build_held_record(
                each,
                self._id_namespace,
                _BEHIND_REASON % held.first[each.stream_name],
                0,
                version=version,
                behind=held.first[each.stream_name],
            )
            for each in chosen
        ]
        await self._client.write_messages(self._reader.stream, records, expected_version=version)
        for each in chosen:
            self.note_parked(each)
        held.ahead.update((each.stream_name, each.position) for each in chosen[1:])
        return True

    def _choose(self, messages: list[Message[Any]]) -> list[Message[Any]]:
        """Return the messages that are still behind others, as many as there is room for."""
        held, counts = self.held, Counter[str]()
        chosen: list[Message[Any]] = []
        for each in messages:
            name = each.stream_name
            if (name, each.position) in held.ahead or held.contains(each):
                continue
            if not held.is_behind(each):
                continue
            if counts[name] < held.count_free(name):
                counts[name] += 1
                chosen.append(each)
        return chosen
