"""Descriptions of consumers that did not finish in time: for the error of a test."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec

from messagedb._app.status_texts import describe_unfinished
from messagedb._consumers.counters import Counters
from messagedb._consumers.status import build_status
from messagedb.consumers import ConsumerStatus


def status(name: str, **fields: Any) -> ConsumerStatus:
    """Return a status with these fields."""
    built = build_status(name, None, Counters(), datetime.now(UTC))
    return msgspec.structs.replace(built, **fields)


def test_a_consumer_that_retries_is_named_with_its_message_and_its_last_error() -> None:
    statuses = [
        status("order:position-mail", state="caught up", last_error="ValueError: earlier"),
        status(
            "order:position-shipping",
            state="retrying",
            current_message=("order-7", 3, 2),
            last_error="ValueError: no address",
        ),
    ]
    assert describe_unfinished(statuses) == (
        "order:position-shipping (retrying, at message 3 of stream 'order-7', attempt 2; last"
        " error: ValueError: no address)"
    )


def test_a_consumer_that_waits_says_for_what() -> None:
    text = describe_unfinished([status("a", state="waiting", blocked_by=("a lease",))])
    assert text == "a (waiting, waiting for a lease)"


def test_if_all_have_caught_up_all_are_named() -> None:
    assert describe_unfinished([status("a"), status("b", state="caught up")]) == (
        "a (stopped), b (caught up)"
    )
