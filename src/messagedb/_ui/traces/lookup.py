"""The trace of a message: its causes along an index, its effects in a window."""

from __future__ import annotations

from typing import Final

import msgspec

from _messagedb_async.transactions.transaction import AsyncTransaction

from ..failures import is_time_limit
from ..site import Site
from .graph import Graph, build_graph, build_trees
from .queries import (
    MOST_ANCESTORS,
    TraceMessage,
    Window,
    fetch_ancestors,
    fetch_window,
    leave_circle,
)

WINDOW: Final = 5_000
"""Messages that are looked at after the root, and after the message itself."""

FURTHER: Final = 100_000


class Trace(msgspec.Struct, frozen=True):
    """The messages that a message is connected with.

    Attributes:
        graph: of cause and effect, and of other messages with the same correlation; None if it was
            not found within the time limit.
        windows: the parts of the store that were looked at for effects.
        looked_at: the number of messages of each part, at most.
        can_look_further: whether there are more messages, and a larger window.
        root_is_open: whether there are more causes than were followed.
        missing_cause: the stream of the root's cause, which is not in the store.
    """

    graph: Graph | None
    windows: list[Window]
    looked_at: int
    can_look_further: bool
    root_is_open: bool
    missing_cause: str | None


async def look_up_trace(site: Site, id: str, count: int | None) -> Trace:
    """Return the trace of a message.

    Args:
        site: the application.
        id: the message id.
        count: the messages to look at in each window; None for ``WINDOW``.
    """
    looked_at = WINDOW if count is None else max(count, 1)
    try:
        async with site.read() as tx:
            path = leave_circle(await fetch_ancestors(tx, site.table, id))[::-1]
            root, current = path[0], path[-1]
            windows = await _look_after(site, tx, [root, current], looked_at)
    except Exception as error:
        if not is_time_limit(error):
            raise
        return Trace(None, [], looked_at, False, False, None)
    return _build_trace(path, windows, looked_at)


async def _look_after(
    site: Site, tx: AsyncTransaction, starts: list[TraceMessage], count: int
) -> list[Window]:
    """Return the windows after some messages, except where one has reached the end of the store."""
    wanted = starts[-1].correlation_stream
    windows: list[Window] = []
    for start in sorted({each.global_position for each in starts}):
        if not windows or windows[-1].is_full:
            windows.append(await fetch_window(tx, site.table, start, count, wanted))
    return windows


def _build_trace(path: list[TraceMessage], windows: list[Window], looked_at: int) -> Trace:
    seen = {each.place: each for window in windows for each in window.messages}
    followers = sorted(seen.values(), key=lambda each: each.global_position)
    trees = build_trees(path, followers, path[-1].correlation_stream)
    is_open = len(path) > MOST_ANCESTORS
    root = path[0]
    return Trace(
        build_graph(trees),
        windows,
        looked_at,
        looked_at < FURTHER and any(window.is_full for window in windows),
        is_open,
        None if root.cause is None or is_open else root.cause_stream,
    )
