"""Waits for a consumer, without a database."""

from __future__ import annotations

from messagedb._consumers.position_waits import PendingWait, Place, build_wait_request, timeout_text


def build_wait(looking_since: float) -> PendingWait:
    """Return a wait for the first message of a store."""
    request = build_wait_request(
        "order",
        "it",
        stream_name=None,
        position=None,
        global_position=1,
        group_member=None,
        group_size=None,
        position_store=None,
        timeout=1.5,
    )
    return PendingWait(request, 1, lambda: None, looking_since=looking_since)


def test_a_wait_that_no_look_has_reached_does_not_say_that_no_position_is_stored() -> None:
    """The look of other waits has no response yet when this one begins, and when it ends."""
    wait = build_wait(looking_since=10.0)
    trouble = wait.find_trouble(11.5)
    assert trouble == "it has not responded for 1.5 s"
    text = timeout_text(wait, trouble, None)
    assert "as far as known: the store is unavailable" in text
    assert "no position is stored" not in text


def test_a_wait_says_that_no_position_is_stored_after_a_look_that_found_none() -> None:
    wait = build_wait(looking_since=10.0)
    wait.note({name: Place() for name in wait.request.names})
    wait.looking_since = None
    assert wait.find_trouble(11.5) is None
    assert "no position is stored under 'order:position-it'" in timeout_text(wait, None, None)


def test_a_store_that_responds_to_no_look_is_silent_since_the_wait_began() -> None:
    # A look of other waits ends without a response, and the first one of this wait begins.
    wait = build_wait(looking_since=10.0)
    wait.begin_look(11.0)
    assert wait.find_trouble(11.2) == "it has not responded for 1.2 s"
    wait.looking_since = None
    wait.begin_look(12.0)
    assert wait.find_trouble(12.2) is None
