"""The answer of a run to those who wait for it from outside: it stores its position sooner."""

from __future__ import annotations

from typing import TYPE_CHECKING

from messagedb._concurrency.backend_async import Event, Task, sleep
from messagedb._consumers.position_stores import StreamPositionStore
from messagedb._consumers.position_waits import parse_announcement
from messagedb._errors import MessageDBError
from messagedb._schema.notify_trigger import get_channel
from messagedb.streams import category

from ..operations.internals import get_session_config
from .side_task import call_within_limit
from .stored_positions import notify_quickly

if TYPE_CHECKING:
    from messagedb._consumers.settings import ConsumerSettings

    from ..client_core.core import AsyncClientCore
    from .position_saver import AsyncPositionSaver
    from .run_state import AsyncRunState

# More are left to the saves that are due anyway.
_MAX_POSITIONS = 1000
# Many who wait for one message after the other would keep the store busy with saves only.
_MIN_SECONDS = 0.005


class AsyncWaitResponder:
    """Stores the position of a run when it reaches one that is waited for.

    It has a task from the first announcement on. What it cannot store is left to the saver, which
    tries it again.

    Args:
        state: the run's.
        client: the client whose connections it uses.
        settings: the consumer's.
        saver: stores the position; a transactional consumer has stored it already.
    """

    def __init__(
        self,
        state: AsyncRunState,
        client: AsyncClientCore,
        settings: ConsumerSettings,
        saver: AsyncPositionSaver,
    ) -> None:
        self.tasks: list[Task[None]] = []
        self._state = state
        self._client = client
        self._is_saved_before = settings.transactional
        self._is_in_table = not isinstance(settings.position_store, StreamPositionStore)
        self._saver = saver
        self._wake = Event()
        self._positions: set[int] = set()

    def note_announcement(self, text: str) -> None:
        """Record a wait that was announced on the channel of the store, for any consumer."""
        announced = parse_announcement(text)
        if announced is None or announced[0] != self._state.name:
            return
        progress, position = self._state.progress, announced[1]
        if position not in self._positions and len(self._positions) < _MAX_POSITIONS:
            self._positions.add(position)
            progress.waiters.append((position, self._wake))
        # The message may not be read yet; or its position was reached before.
        self._state.signals.wake.set()
        self._wake.set()
        if not self.tasks:
            self.tasks.append(Task(self._run))

    def end(self) -> None:
        """Let its task or thread end."""
        self._wake.set()

    async def _run(self) -> None:
        ended = self._state.signals.ended
        while not ended.is_set():
            await self._wake.wait()
            self._wake.clear()
            if not ended.is_set() and self._take_reached():
                await self._respond()
                await sleep(_MIN_SECONDS)

    def _take_reached(self) -> bool:
        """Remove the positions that are reached; return True if there is one."""
        progress = self._state.progress
        reached = {each for each in set(self._positions) if each <= (progress.position or 0)}
        for position in reached:
            self._positions.discard(position)
            progress.waiters.remove((position, self._wake))
        return bool(reached)

    async def _respond(self) -> None:
        try:
            if not self._is_saved_before:
                await self._saver.save()
            if self._is_in_table:
                # As the trigger does it for a position in a stream.
                channel = get_channel(get_session_config(self._client).settings.schema)
                payload = category(self._state.name)
                await call_within_limit(
                    self._client, lambda: notify_quickly(self._client, channel, [payload])
                )
        except MessageDBError:
            # Those who wait poll as well.
            pass
