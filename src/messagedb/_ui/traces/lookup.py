"""The trace of a message: its causes along an index, its effects in a window."""

from __future__ import annotations

import json
from typing import Any, Final, cast

import msgspec

from ..failures import is_time_limit
from ..nodes import Reader
from ..rendering.json_text import redact_text
from ..site import Site
from .graph import Graph, Trees, build_graph, build_trees, get_order
from .queries import (
    MOST_ANCESTORS,
    TraceMessage,
    Window,
    fetch_ancestors,
    fetch_metadata,
    fetch_window,
    leave_circle,
)

WINDOW: Final = 5_000
"""Messages that are looked at after the root, and after the message itself."""

FURTHER: Final = 100_000
_CAUSE: Final = "causationMessageStreamName"
_CORRELATION: Final = "correlationStreamName"


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


async def look_up_trace(site: Site, place: tuple[str, int], count: int | None) -> Trace:
    """Return the trace of a message, in a store on one server.

    Args:
        site: the application.
        place: the stream and the position of the message.
        count: the messages to look at in each window; None for ``WINDOW``.
    """
    looked_at = WINDOW if count is None else max(count, 1)
    try:
        async with site.read() as tx:
            path = leave_circle(await fetch_ancestors(tx, site.table, place))[::-1]
            root, current = path[0], path[-1]
            shows_cause = await is_cause_shown(site, tx, root)
            correlation = await find_correlation(site, tx, current)
            windows = await _look_after(site, tx, [root, current], looked_at, correlation)
    except Exception as error:
        if not is_time_limit(error):
            raise
        return build_late_trace(looked_at)
    seen = {each.place: each for window in windows for each in window.messages}
    followers = sorted(seen.values(), key=get_order)
    trees = build_trees(path, followers, correlation)
    trace = build_trace(trees, windows, looked_at)
    return trace if shows_cause else msgspec.structs.replace(trace, missing_cause=None)


def build_late_trace(looked_at: int) -> Trace:
    """Return the trace that was not found within the time limit."""
    return Trace(None, [], looked_at, False, False, None)


async def is_cause_shown(site: Site, tx: Reader, message: TraceMessage) -> bool:
    """Return True if ``redact`` leaves the stream of a message's cause in its metadata."""
    return await _is_shown(site, tx, message, _CAUSE, message.cause_stream)


async def find_correlation(site: Site, tx: Reader, message: TraceMessage) -> str | None:
    """Return the correlation stream of a message, unless ``redact`` hides it."""
    name = message.correlation_stream
    return name if await _is_shown(site, tx, message, _CORRELATION, name) else None


async def _is_shown(
    site: Site, tx: Reader, message: TraceMessage, key: str, name: str | None
) -> bool:
    """Return True if ``redact`` leaves a name in the metadata of a message."""
    redact = site.settings.redact
    if redact is None or name is None:
        return True
    text = redact_text(await fetch_metadata(tx, site.table, message.id), message.type, redact)
    try:
        found: Any = json.loads(text or "null")
    except (ValueError, RecursionError):
        return False
    return isinstance(found, dict) and cast("dict[str, Any]", found).get(key) == name


async def _look_after(
    site: Site,
    tx: Reader,
    starts: list[TraceMessage],
    count: int,
    correlation: str | None,
) -> list[Window]:
    """Return the windows after some messages, except where one has reached the end of the store."""
    windows: list[Window] = []
    for start in sorted({each.global_position for each in starts}):
        if not windows or windows[-1].is_full:
            windows.append(await fetch_window(tx, site.table, start, count, correlation))
    return windows


def build_trace(trees: Trees, windows: list[Window], looked_at: int) -> Trace:
    """Return the trace of the last message of a path.

    Args:
        trees: the path, and what follows from its messages.
        windows: the parts of the store that were looked at.
        looked_at: the number of messages of each part, at most.
    """
    path = trees.path
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
