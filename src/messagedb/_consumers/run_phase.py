"""Phase of a run, and availability of its store, for the status and the log."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING

from .._errors import PoolTimeoutError
from .._subscriptions.log_texts import format_error
from .failure_texts import format_reason

if TYPE_CHECKING:
    from logging import Logger

    from .counters import Counters
    from .status import ConsumerState


class RunPhase:
    """The phase of a run. Once the run is to stop, only ``stop`` changes it.

    Attributes:
        state: the phase, as ``ConsumerStatus.state`` reports it.
        reason: why the run waits, if it does.
    """

    def __init__(self) -> None:
        self.state: ConsumerState = "starting"
        self.reason: str | None = None
        self._is_stopping = False

    def enter(self, state: ConsumerState) -> None:
        """Change the phase, unless the run is to stop."""
        if not self._is_stopping:
            self.state = state

    def wait(self, reason: str) -> None:
        """Change to waiting, for a reason that lasts until ``resume``."""
        self.enter("waiting")
        self.reason = reason

    def resume(self, state: ConsumerState) -> None:
        """Change to a phase without a reason to wait."""
        self.enter(state)
        self.reason = None

    def stop(self, state: ConsumerState) -> None:
        """Change to one of the last phases: stopping, stopped, failed."""
        self._is_stopping = True
        self.state = state


class StoreAvailability:
    """The availability of the store in a run's last operation. Each change is logged once.

    Attributes:
        is_unavailable: True if the last operation failed because the store was unavailable or no
            connection of the pool was free.
        exhausted_pool_text: the latter, in words; None otherwise.
    """

    def __init__(self, name: str, phase: RunPhase, counters: Counters, log: Logger) -> None:
        self.is_unavailable = False
        self.exhausted_pool_text: str | None = None
        self._warned: set[str | None] = set()
        self._unavailable_since = 0.0
        self._name = name
        self._phase = phase
        self._counters = counters
        self._log = log

    def mark_unavailable(self, error: BaseException, seconds: float) -> None:
        """Note that an operation failed, and log each cause once until one succeeds.

        Args:
            error: its error.
            seconds: until the next attempt.
        """
        if not self.is_unavailable:
            self._unavailable_since = monotonic()
        self._counters.last_error = format_reason(error)
        size = error.max_size if isinstance(error, PoolTimeoutError) else None
        exhausted_text = (
            None if size is None else f"no connection of the pool is free (max_size={size})"
        )
        if exhausted_text not in self._warned:
            # A network that stalls is reported by both, one after the other: each is logged once.
            self._warned.add(exhausted_text)
            self._log.warning(
                "%s: %s, and is tried again in %.1f s and then on: %s",
                self._name,
                exhausted_text or "the store is unavailable",
                seconds,
                format_error(error),
            )
        self.is_unavailable, self.exhausted_pool_text = True, exhausted_text
        self._phase.enter("waiting" if exhausted_text else "reconnecting")

    def mark_available(self) -> bool:
        """Note that an operation succeeded, and log for how long none did.

        Returns:
            True if the store was unavailable, so that a line was logged.
        """
        if not self.is_unavailable:
            return False
        state_text = (
            "a connection is free" if self.exhausted_pool_text else "the store is available"
        )
        self.is_unavailable, self.exhausted_pool_text = False, None
        self._warned.clear()
        seconds = monotonic() - self._unavailable_since
        self._log.info("%s: %s again, after %.1f s", self._name, state_text, seconds)
        # A reason to wait, such as a lost lease, may last longer.
        self._phase.enter("running" if self._phase.reason is None else "waiting")
        return True
