"""Change of the number of partitions: the next step, the end of pages, and who gives up what."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from messagedb._consumers.partition_pages import cut_page
from messagedb._consumers.partition_plan import (
    Partition,
    PartitionLook,
    PartitionMember,
    plan_partitions,
)
from messagedb._consumers.partition_resize import parse_resize, plan_step, resize_timeout_text
from messagedb._operations.scan_results import ScannedPage
from messagedb.testing import make_message


@given(st.lists(st.none() | st.integers(0, 20), min_size=1, max_size=20))
def test_the_new_partitions_begin_only_where_all_old_ones_have_arrived(
    positions: list[int | None],
) -> None:
    step = plan_step(positions)
    reached = [position or 0 for position in positions]
    assert step.position == max(reached)
    assert step.is_last == (set(reached) == {step.position})
    assert [reached[number] for number in step.finished] == [step.position] * len(step.finished)


@pytest.mark.parametrize(
    ("limit", "expected", "position"),
    [(12, [3, 5, 9], 12), (11, [3, 5, 9], 11), (9, [3, 5, 9], 9), (4, [3], 4), (1, [], 2)],
)
def test_a_page_ends_at_the_barrier(limit: int, expected: list[int], position: int) -> None:
    messages = [make_message("account-1", "Noted", global_position=each) for each in (3, 5, 9)]
    page = ScannedPage(messages, 12, 10, True, "last", [str(each.id) for each in messages])
    part = cut_page(page, 3, limit)
    assert [message.global_position for message in part.messages] == expected
    assert len(part.ids) == len(expected)
    assert part.position == position
    assert part.is_full == (limit >= 12)


def look(phase: str | None, finished: tuple[int, ...] = ()) -> PartitionLook:
    """Return four partitions, of which this process owns two."""
    members = [PartitionMember("me", "me", 1), PartitionMember("you", "you", 1)]
    owners = ["me", "me", "you", None]
    partitions = [Partition(n, owner, 1, n in finished) for n, owner in enumerate(owners)]
    next_size = None if phase is None else 8
    barrier = 70 if phase == "finishing" else None
    return PartitionLook(4, "stream", 1, next_size, barrier, phase, True, 0, members, partitions)


def test_everything_is_given_up_at_first_and_nothing_claimed() -> None:
    seen = look("draining")
    plan = plan_partitions(seen, "me", {0: 1, 1: 1})
    assert (plan.give_up, plan.claim_count, seen.limit) == ([0, 1], 0, None)


def test_then_what_has_not_arrived_is_claimed_up_to_the_barrier() -> None:
    seen = look("finishing", finished=(3,))
    plan = plan_partitions(seen, "you", {2: 1})
    assert (plan.claim_count, plan.free_count, seen.limit) == (0, 0, 70)
    plan = plan_partitions(look("finishing", finished=(0, 1)), "you", {2: 1})
    assert plan.claim_count == 0
    plan = plan_partitions(look("finishing"), "you", {2: 1})
    assert plan.claim_count == 1


def row(**values: Any) -> tuple[Any, ...]:
    """Return a stored change from 4 to 8."""
    facts = {
        "phase": "finishing",
        "late": False,
        "unfinished": "[0, 1, 2]",
        "owners": None,
        "members": '["pod-1"]',
        **values,
    }
    return (4, 1, "table", 8, 70, *facts.values())


def test_the_next_step_is_made_when_nothing_is_owned_or_behind() -> None:
    assert not parse_resize(row()).is_ready
    assert parse_resize(row(unfinished=None)).is_ready
    assert not parse_resize(row(unfinished=None, owners='["pod-1"]')).is_ready
    assert parse_resize(row(phase="draining")).is_ready
    assert not parse_resize(row(phase=None)).is_ready


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"members": None}, "no process runs it"),
        ({}, "the partitions 0-2 have not handled everything up to the global position 70"),
        ({"owners": '["pod-1"]'}, "0-2 have not .* position 70, which pod-1 are to handle"),
        ({"owners": '["pod-1"]', "phase": "draining"}, "handlers of pod-1 have not finished"),
        ({"phase": "draining"}, "have not given up all partitions"),
    ],
)
def test_a_change_that_took_too_long_says_what_it_waited_for(
    values: dict[str, Any], text: str
) -> None:
    found = resize_timeout_text("order:position-shipping", parse_resize(row(**values)), 8, 60.0)
    assert re.search(text, found), found
    assert "is withdrawn: 4 partitions go on as before" in found
