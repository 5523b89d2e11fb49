"""Helpers for the tests of what consumers report: see it as another process does."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic

from messagedb import AsyncClient
from messagedb.consumers import ConsumerInfo, ConsumerReport
from tests.support.background_async import sleep


async def see(
    client: AsyncClient,
    category: str,
    condition: Callable[[ConsumerInfo], object],
    limit: float = 5.0,
) -> ConsumerInfo:
    """Return the one consumer of a category, when a condition holds; within so many seconds."""
    until = monotonic() + limit
    while True:
        found = await client.list_consumers(category)
        if len(found) == 1 and condition(found[0]):
            return found[0]
        assert monotonic() < until, f"not so within {limit} s: {found}"
        await sleep(0.02)


def report_of(consumer: ConsumerInfo) -> ConsumerReport:
    """Return the report of a consumer, which must have one."""
    assert consumer.report is not None
    return consumer.report


def is_failing(consumer: ConsumerInfo) -> bool:
    """Return True if a failure was reported."""
    return consumer.report is not None and consumer.report.last_failure is not None


def has_in_flight(consumer: ConsumerInfo) -> bool:
    """Return True if a message in flight was reported."""
    return consumer.report is not None and consumer.report.in_flight is not None
