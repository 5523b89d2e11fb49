"""A partitioned consumer as a whole: its position and its report."""

from __future__ import annotations

from datetime import timedelta

import msgspec
import pytest

from messagedb.consumers import PartitionInfo, PartitionMemberInfo, PartitionSetInfo
from tests.unit.consumers.test_reports import REPORT

MEMBER = PartitionMemberInfo(
    id="1",
    name="host:1",
    host="host",
    pid=1,
    joined_at=REPORT.started_at,
    expires_at=REPORT.reported_at + timedelta(seconds=10),
)


def partition(number: int, position: int | None, lag: int | None, age: float) -> PartitionInfo:
    """Return a partition with an owner, whose report is so old."""
    report = msgspec.structs.replace(
        REPORT,
        state="running",
        interval=5.0,
        age=age,
        reported_at=REPORT.reported_at - timedelta(seconds=age),
    )
    return PartitionInfo(
        number=number,
        name=str(number),
        owner=MEMBER,
        since=REPORT.started_at,
        unowned_since=None,
        was_given_up=False,
        epoch=1,
        is_finished=False,
        is_release_requested=False,
        next_position=position,
        lag_messages=lag,
        report=report,
    )


def of_partitions(*partitions: PartitionInfo) -> PartitionSetInfo:
    """Return the consumer of these partitions."""
    return PartitionSetInfo(
        category="order",
        identifier="shipping",
        size=len(partitions),
        position_store="stream",
        members=(MEMBER,),
        partitions=partitions,
        next_size=None,
        phase=None,
        barrier=None,
        read_at=REPORT.reported_at,
    )


@pytest.mark.parametrize(
    ("positions", "lags", "expected"),
    [
        ((1, 30, 37), (0, 0, 0), 37),
        ((1, 30, 37), (0, 4, 0), 30),
        ((1, 30, 37), (2, 4, 0), 1),
        ((1, 30, None), (0, None, 0), 30),
        ((None, None, None), (None, None, None), None),
    ],
)
def test_the_position_is_that_of_the_messages_that_wait(
    positions: tuple[int | None, ...], lags: tuple[int | None, ...], expected: int | None
) -> None:
    """A partition without messages stays at 1, which looks as if nothing was handled."""
    pairs = enumerate(zip(positions, lags, strict=True))
    found = of_partitions(*(partition(n, position, lag, 1.0) for n, (position, lag) in pairs))
    assert found.next_position == expected


def test_the_age_of_no_report_is_that_of_the_process_that_does_not_report() -> None:
    """Not the age of the newest report, which a process that lives has written just now."""
    found = of_partitions(partition(0, 1, 0, 1.0), partition(1, 1, 0, 60.0))
    assert found.state == "no report"
    assert found.shown_report is not None
    assert found.shown_report.age == 60.0
    living = of_partitions(partition(0, 1, 0, 1.0), partition(1, 1, 0, 2.0))
    assert living.state == "running"
    assert living.shown_report is not None
    assert living.shown_report.age == 1.0
