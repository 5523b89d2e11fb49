"""Setting the position of a consumer that does not run."""

from __future__ import annotations

from abc import ABC, abstractmethod
from time import monotonic
from typing import TYPE_CHECKING

from messagedb._concurrency.backend_async import sleep
from messagedb._consumers.position_records import runs_elsewhere
from messagedb._errors import IncompatibleServerError, ValidationError

from ..subscriptions.marks import look_back
from .consumer_run import positions_of
from .lease import AsyncLease

if TYPE_CHECKING:
    from typing import Literal

    from messagedb._consumers.settings import ConsumerSettings

    from ..client_core.core import AsyncClientCore
    from ..subscriptions.feeds import AsyncFeed
    from .run_state import AsyncRun


class AsyncResetting(ABC):
    """Sets positions where no consumer runs."""

    _client: AsyncClientCore
    _settings: ConsumerSettings
    _run: AsyncRun | None

    @abstractmethod
    def _feed(self) -> AsyncFeed: ...

    async def reset_position(self, start: Literal["beginning", "end"] | int) -> int:
        """Store another position, for the next time that the consumer runs.

        Backward, everything after it is handled again; forward, what is in between never is.

        Args:
            start: ``"beginning"``; ``"end"``, so that only what is written from now on is handled;
                or the global position of the next message to handle. For a consumer of several
                categories the end is before what open transactions have written, so that it waits
                for their end, up to ``command_timeout``; what others had written meanwhile is
                handled, too.

        Returns:
            The position that is stored now: that of the last message that counts as handled.

        Raises:
            PositionConflictError: a consumer with this identifier runs. Nothing was changed.
            IncompatibleServerError: ``"end"`` is not known to the role. Nothing was changed.
            TimeoutError: a transaction that was open did not end. Nothing was changed.
            ValidationError: it is no position. Nothing was sent.
        """
        if self._run is not None and not self._run.finished.is_set():
            raise runs_elsewhere(self._settings.position_name)
        position = await self._position_of(start)
        lease = AsyncLease(self._client, self._settings.position_name, 60.0)
        try:
            if not await lease.acquire():
                raise runs_elsewhere(self._settings.position_name)
            positions = positions_of(self._client, self._settings)
            await positions.load()
            mark = await look_back(self._client, position, self._settings.category)
            if positions.stored != position:
                await positions.save(position, mark)
        finally:
            await lease.release()
        return position

    async def _position_of(self, start: object) -> int:
        if start == "beginning":
            return 0
        if start == "end":
            settings = self._client._profile.settings  # pyright: ignore[reportPrivateUsage]
            feed, limit = self._feed(), monotonic() + settings.command_timeout

            async def pause(seconds: float) -> bool:
                await sleep(seconds)
                return monotonic() < limit

            head = await feed.end(pause)
            if feed.held_by:
                raise TimeoutError(
                    "the end is not known: these transactions have written and do not end, and "
                    f"what they commit belongs behind it: {feed.held_by}. Nothing was changed. End "
                    "them, or give a position."
                )
            if head is None:
                raise IncompatibleServerError(
                    "the last position is not known, as the role may not read the table of "
                    "messages. Nothing was changed. Give a position."
                )
            return head
        if isinstance(start, int) and not isinstance(start, bool) and 1 <= start < 2**63:
            return int(start) - 1
        raise ValidationError(
            "a position is reset to 'beginning', 'end', or the global position of the next message "
            f"to handle, from 1, not to {start!r}. Nothing was sent."
        )
