"""The failure of a consumer with partitions that matters most."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .consumer_info import ConsumerInfo
    from .consumer_report import ConsumerReport
    from .failure_state import FailureState
    from .partition_info import PartitionInfo


def choose_failed(
    partitions: Iterable[PartitionInfo], known: Iterable[ConsumerInfo]
) -> tuple[ConsumerReport | None, FailureState | None]:
    """Return the report with the failure that matters most: the last one that is not passed.

    Args:
        partitions: the partitions of a consumer.
        known: the same partitions in the list of consumers, which has the states of failures.
    """
    states: dict[str, FailureState | None] = {each.name: each.failure_state for each in known}
    chosen: ConsumerReport | None = None
    state: FailureState | None = None
    for each in partitions:
        report = each.report
        if report is None or report.last_failure is None:
            continue
        found = states.get(each.name)
        if chosen is None or _rank(report, found) > _rank(chosen, state):
            chosen, state = report, found
    return chosen, state


def _rank(report: ConsumerReport, state: FailureState | None) -> tuple[bool, float]:
    failure = report.last_failure
    return state != "passed", 0.0 if failure is None else failure.failed_at.timestamp()
