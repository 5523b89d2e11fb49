"""The start position of a run, also after the store has lost messages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from messagedb._connection.server_info import check_not_proxied
from messagedb._errors import IncompatibleServerError, LostHistoryError

from ..operations.internals import get_server, get_session_config
from ..subscriptions.checked_feed import lost_history_error
from ..subscriptions.history_queries import find_last_message
from .history_check import check_stored
from .partition_checks import check_has_no_partitions
from .position_stores import AsyncStreamPositions
from .run_state import log
from .side_task import call_when_free

if TYPE_CHECKING:
    from messagedb._consumers.position_records import StoredPosition
    from messagedb._consumers.settings import ConsumerSettings
    from messagedb._subscriptions.read_trail import ReadMessage

    from ..client_core.core import AsyncClientCore
    from ..subscriptions.checked_feed import AsyncCheckedFeed
    from .position_stores import AsyncPositions
    from .run_state import AsyncRunState


class AsyncStartPosition:
    """Finds the position at which a run starts, and checks that the store still has it.

    Args:
        state: the run's.
        client: the client of the store.
        settings: the consumer's.
        feed: the messages of the consumer.
        positions: its position store.
    """

    def __init__(
        self,
        state: AsyncRunState,
        client: AsyncClientCore,
        settings: ConsumerSettings,
        feed: AsyncCheckedFeed,
        positions: AsyncPositions,
    ) -> None:
        self._state = state
        self._client = client
        self._settings = settings
        self._feed = feed
        self._positions = positions

    async def find(self) -> bool:
        """Find the position, and set the run's progress to it.

        Returns:
            False if the run is to stop instead.

        Raises:
            IncompatibleServerError: the role may not find the end of the store.
            LostHistoryError: the stored position does not belong to this store.
            PositionConflictError: the group has another size now, or the identifier has partitions.
        """
        signals, end = self._state.signals, 0
        if self._settings.start == "end":
            found = await self._feed.find_end(signals.pause)
            if signals.is_stopping:
                return False
            if found is None:
                raise IncompatibleServerError(
                    "start='end' needs the last position, and the role may not read the table of"
                    " messages. Nothing was changed. Pass a position."
                )
            end = found
        return bool(await call_when_free(signals, self._client, lambda: self._find(end)))

    async def _find(self, end: int) -> bool:
        settings, progress, positions = self._settings, self._state.progress, self._positions
        if settings.transactional and isinstance(positions, AsyncStreamPositions):
            server = await get_server(self._client)
            check_not_proxied(server, "transactional=True with positions in streams")
        await positions.load()
        stored = positions.stored or 0
        start = settings.start
        is_partition = settings.partition_timeout is not None
        if start == "stored" and positions.stored is None and not is_partition:
            await check_has_no_partitions(self._client, settings)
        # Another process may have run a partition before: it begins there once only.
        if start == "stored" or (is_partition and positions.stored is not None):
            progress.advance_to(await self._resume_after(stored))
            return True
        position = 0 if start == "beginning" else end if start == "end" else max(start - 1, 0)
        if position > stored > 0:
            log.warning(
                "%s: start=%r skips everything after the stored position %d, up to %d",
                self._state.name,
                start,
                stored,
                position,
            )
        last_read = await find_last_message(self._client, position, settings.category)
        progress.trail.start_after(last_read)
        if is_partition and position:
            await positions.save(position, last_read)
        progress.advance_to(position)
        return True

    async def _resume_after(self, stored: int) -> int:
        """Return the stored position, or an earlier one that the store still has."""
        name, progress, settings = self._state.name, self._state.progress, self._settings
        try:
            last_read = await check_stored(
                self._client, name, settings.category, self._positions.record
            )
        except LostHistoryError as error:
            if settings.on_lost_history == "stop":
                raise
            await self.go_to_common_position(error)
            return progress.position or 0
        progress.trail.start_after(last_read)
        return stored

    async def go_to_common_position(self, error: LostHistoryError) -> bool:
        """Go to the last stored position that belongs to the store as it is now.

        The store has kept it for this consumer, together with its effects there.

        Raises:
            LostHistoryError: there is none.
        """
        name, progress, positions = self._state.name, self._state.progress, self._positions
        await positions.load()
        record = positions.record
        candidates = [] if record is None else [record, *await positions.list_earlier()]
        stored: StoredPosition | None = None
        last_read: ReadMessage | None = None
        for candidate in candidates:
            try:
                last_read = await check_stored(
                    self._client, name, self._settings.category, candidate
                )
            except LostHistoryError:
                continue
            stored = candidate
            break
        if stored is None and (record is not None or self._settings.start == "end"):
            raise error
        position = 0 if stored is None else stored.position
        log.warning("%s: it continues after position %d: %s", name, position, error)
        progress.trail.start_after(last_read)
        progress.position = position
        return True

    async def check(self, last_read: ReadMessage | None) -> None:
        """Check that a message is unchanged, if the history of the server has changed.

        Raises:
            LostHistoryError: it has changed or is missing.
        """
        client, trail = self._client, self._state.progress.trail
        histories = get_session_config(client).histories
        if trail.history_error is not None:
            raise trail.history_error
        if last_read is None or last_read.history == histories.latest:
            return
        current = await find_last_message(client, last_read.position, self._settings.category)
        current_id = (
            current.id if current is not None and current.position == last_read.position else None
        )
        if current_id != last_read.id:
            trail.history_error = await lost_history_error(
                client, self._state.name, last_read, current_id, trail.list_positions_by_id()
            )
            raise trail.history_error
