"""Waiting until a run has handled a message, or everything."""

from __future__ import annotations

import sys
from time import monotonic
from typing import TYPE_CHECKING

from messagedb._errors import MessageDBError, ValidationError
from messagedb._subscriptions.availability import is_store_unavailable

if TYPE_CHECKING:
    from ..client_core.core import AsyncClientCore
    from ..subscriptions.feeds import AsyncFeed
    from .run_state import AsyncRunState


async def wait_until_caught_up(
    state: AsyncRunState, feed: AsyncFeed, poll_interval: float, timeout: float | None
) -> None:
    """Wait until every message is handled that is in the store now.

    Args:
        state: the run's.
        feed: its messages.
        poll_interval: seconds between two queries to a store that is unavailable.
        timeout: the largest number of seconds to wait; None for no limit.

    Raises:
        TimeoutError: it has not caught up in that time.
        MessageDBError: the run ended before.
    """
    until = None if timeout is None else monotonic() + timeout
    while True:
        try:
            head = await feed.get_head()
            break
        except MessageDBError as error:
            is_late = until is not None and monotonic() >= until
            if is_late or not is_store_unavailable(error):
                raise
        if not await state.signals.pause(poll_interval):
            await _wait_for_position(state, sys.maxsize, None)
    if head is None:
        raise ValidationError(
            "the role may not read the table of messages, so its last position is not known: wait"
            " for a message with wait_until_processed()"
        )
    await _wait_for_position(state, head, _remaining(until))


async def wait_until_processed(
    state: AsyncRunState,
    client: AsyncClientCore,
    stream_name: str,
    position: int,
    poll_interval: float,
    timeout: float | None,
) -> None:
    """Wait until a message is handled.

    Args:
        state: the run's.
        client: the client of the store.
        stream_name: the message's stream.
        position: its position there.
        poll_interval: seconds between two queries for a message that is not there yet.
        timeout: the largest number of seconds to wait; None for no limit.

    Raises:
        TimeoutError: it was not handled in that time; or there is no such message.
        MessageDBError: the run ended before.
    """
    until = None if timeout is None else monotonic() + timeout
    while True:
        found = await client.get_stream_messages(stream_name, position=position, batch_size=1)
        if found and found[0].position == position:
            break
        if until is not None and monotonic() >= until:
            raise TimeoutError(
                f"message {position} of stream {stream_name!r} was not written within {timeout:g} s"
            )
        if not await state.signals.pause(poll_interval):
            break
    target = found[0].global_position if found else sys.maxsize
    await _wait_for_position(state, target, _remaining(until), stream_name)


async def _wait_for_position(
    state: AsyncRunState, position: int, timeout: float | None, stream_name: str | None = None
) -> None:
    if await state.progress.wait_for(position, timeout, stream_name):
        return
    failure = state.signals.failure
    # Any other error is for the caller of run().
    if isinstance(failure, Exception):
        raise failure
    if state.signals.ended.is_set():
        text = f"{state.name}: it was stopped before it reached {position}"
        raise ValidationError(text) from failure
    raise TimeoutError(
        f"{state.name}: it was at position {state.progress.position} and not at {position} in time "
        f"({state.phase.state}; last error: {state.counters.last_error})"
    )


def _remaining(until: float | None) -> float | None:
    return None if until is None else max(until - monotonic(), 0.0)
