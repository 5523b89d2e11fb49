"""The state of the message of a consumer's last failure: open, parked or passed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from datetime import datetime

    from .consumer_report import ConsumerReport

__all__ = ["FailureState"]

FailureState: TypeAlias = Literal["open", "parked", "passed"]
"""The state of the message of a consumer's last failure: see ``ConsumerInfo.failure_state``."""


def find_failure_state(
    report: ConsumerReport | None,
    next_position: int | None,
    saved_at: datetime | None,
    *,
    is_running: bool,
    is_parked: bool,
) -> FailureState | None:
    """Return the state of the message of a consumer's last failure; None without a failure.

    Args:
        report: what the consumer last reported.
        next_position: the position of its next message, as it is stored.
        saved_at: the time at which that was stored.
        is_running: whether it runs.
        is_parked: whether that message is parked now.
    """
    if report is None or report.last_failure is None:
        return None
    if is_parked:
        return "parked"
    # A run reports more often than it stores its position. The position of one that does not run
    # may have been set since.
    was_set = saved_at is not None and saved_at > report.reported_at and not is_running
    if next_position is not None and was_set:
        newest = next_position
    else:
        newest = max(next_position or 0, report.next_position or 0)
    return "passed" if newest > report.last_failure.global_position else "open"
