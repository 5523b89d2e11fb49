"""The wait of a run that has read everything: alone, or with the other consumers of its client."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING

from messagedb._consumers.idle_consumers import IdleConsumer
from messagedb._errors import MessageDBError
from messagedb._subscriptions.poll_interval import PollInterval

from .shared_look import get_shared_look

if TYPE_CHECKING:
    from messagedb._consumers.settings import ConsumerSettings

    from ..client_core.core import AsyncClientCore
    from ..subscriptions.feeds import AsyncFeed
    from .notification_listener import AsyncListener
    from .run_state import AsyncRunState


class AsyncIdleWait:
    """Waits until a run is to read again.

    Args:
        state: the run's.
        client: the client whose consumers share their looks.
        settings: the consumer's, with the intervals.
        feed: the messages.
        listener: wakes the run when messages are written; None if it only polls.
    """

    def __init__(
        self,
        state: AsyncRunState,
        client: AsyncClientCore,
        settings: ConsumerSettings,
        feed: AsyncFeed,
        listener: AsyncListener | None,
    ) -> None:
        self._state = state
        self._client = client
        self._settings = settings
        self._feed = feed
        self._listener = listener
        self._poll_interval = PollInterval(settings.poll_interval, settings.idle_poll_interval)
        self._shared_look = get_shared_look(client)
        self._look_error: MessageDBError | None = None

    def join(self) -> None:
        """Share looks with the other consumers of the client from now on."""
        self._shared_look.runs.add(self)

    def leave(self) -> None:
        """Share no looks any more. Does nothing if it did not."""
        self._shared_look.runs.discard(self)

    def reset(self) -> None:
        """Begin with the shortest interval again: a read has found messages."""
        self._poll_interval.reset()

    def raise_look_error(self) -> None:
        """Raise the error of a look of this run, which counts as a failed read."""
        error, self._look_error = self._look_error, None
        if error is not None:
            raise error

    async def wait(self, position: int, read_at: float, *, may_share: bool) -> None:
        """Wait until it is time for the next read, or something wakes the run.

        Args:
            position: the global position up to which everything is read.
            read_at: the time at which the last read began.
            may_share: whether looks of other consumers may replace reads.
        """
        signals, look = self._state.signals, self._shared_look
        may_share = may_share and self in look.runs and not self._feed.may_poll_soon
        if not may_share or len(look.runs) < 2 or not await look.is_possible(self._client):
            await signals.wake.wait(self._find_delay(monotonic() - read_at))
            return
        progress = self._state.progress
        # The lag in several categories does not depend on the head of the store.
        progress.is_measured_by_look = self._settings.categories is None
        try:
            await look.wait(self._client, signals, self._build_idle(position))
        except MessageDBError as error:
            self._look_error = error
        finally:
            progress.is_measured_by_look = False

    def _build_idle(self, position: int) -> IdleConsumer:
        progress = self._state.progress
        last_read = progress.trail.last_message
        return IdleConsumer(
            self._feed.category,
            position,
            None if last_read is None else last_read.history,
            monotonic(),
            self._find_delay,
            self._state.signals.wake.set,
            progress.note_head if self._settings.categories is None else lambda head: None,
        )

    def _find_delay(self, read_seconds: float = 0.0) -> float:
        """Return the seconds to wait after a read or a look without messages."""
        is_listening = self._listener is not None and self._listener.is_listening
        return self._poll_interval.next_delay(
            read_seconds, notified=is_listening, soon=self._feed.may_poll_soon
        )
