"""The trace of a message on several nodes, each with an order of global positions."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec

from ..._messages.message import EPOCH
from ..._operations.node_queries import SCHEMA
from ..._operations.store_reads import TimeSearch, build_store_bounds
from ..._sql.scans import scan_statements
from ..failures import is_time_limit
from ..nodes import NodeReader, find_names_on, list_nodes
from ..outages import Nodes, Partial
from ..site import Site
from .graph import build_trees
from .lookup import (
    FURTHER,
    WINDOW,
    Trace,
    build_late_trace,
    build_trace,
    find_correlation,
    is_cause_shown,
)
from .queries import (
    MOST_ANCESTORS,
    TraceMessage,
    Window,
    fetch_ancestors,
    fetch_window,
    leave_circle,
)

CLOCK_SECONDS: Final = 5
"""How long before a message its effects on other nodes are looked for, as their clocks differ."""

_PART_OF_PAGE: Final = 1.75
"""The time limits that a trace may take: the page gives up after two, and one second."""


async def look_up_on_nodes(site: Site, place: tuple[str, int], count: int | None) -> Partial[Trace]:
    """Return the trace of a message, and the nodes that it is without.

    All nodes together look at as many messages as one server does in a store that has one.

    Args:
        site: the application.
        place: the stream and the position of the message.
        count: the messages to look at in each window; None for ``WINDOW``.
    """
    looked_at = WINDOW if count is None else max(count, 1)
    limit = asyncio.timeout(_PART_OF_PAGE * site.settings.time_limit)
    try:
        async with limit:
            return await site.nodes.ask(lambda nodes: _look_up(site, place, looked_at, nodes))
    except Exception as error:
        if not limit.expired() and not is_time_limit(error):
            raise
        return Partial(build_late_trace(looked_at))


async def _look_up(site: Site, place: tuple[str, int], looked_at: int, nodes: Nodes) -> Trace:
    readers = await list_nodes(site.client, site.settings.time_limit)
    readers = [each for each in readers if nodes is None or each.place in nodes]
    ancestors, is_cut = await _fetch_ancestors(site, place, nodes)
    path = ancestors[::-1]
    root, current = path[0], path[-1]
    shows_cause = not is_cut and await is_cause_shown(site, _build_reader(site, root), root)
    correlation = await find_correlation(site, _build_reader(site, current), current)
    share = max(looked_at // len(readers), 1)
    looks = (_look_after(site, each, [root, current], share, correlation) for each in readers)
    windows = [window for found in await asyncio.gather(*looks) for window in found]
    followers = _sort_by_cause(each for window in windows for each in window.messages)
    trees = build_trees(path, followers, correlation, _get_order)
    trace = build_trace(trees, windows, share)
    return msgspec.structs.replace(
        trace,
        can_look_further=trace.can_look_further and looked_at < FURTHER,
        missing_cause=trace.missing_cause if shows_cause else None,
    )


async def _fetch_ancestors(
    site: Site, place: tuple[str, int], nodes: Nodes
) -> tuple[list[TraceMessage], bool]:
    """Return a message with its causes, and whether the next one is on a node that is not asked.

    One query follows the causes on a node, up to the first that is on another one.
    """
    found: list[TraceMessage] = []
    next: tuple[str, int] | None = place
    while next is not None and next[0] and len(found) <= MOST_ANCESTORS:
        if nodes is not None:
            limit = site.settings.time_limit
            if not await find_names_on(site.client, nodes, [next[0]], limit):
                return found, True
        reader = NodeReader(site.client, next[0], site.settings.time_limit)
        deepest = MOST_ANCESTORS - len(found)
        causes = await fetch_ancestors(reader, site.table, next, deepest)
        found += causes
        next = causes[-1].cause if causes else None
        if len(left := leave_circle(found)) < len(found):
            return left, False
    return found, False


async def _look_after(
    site: Site,
    reader: NodeReader,
    starts: list[TraceMessage],
    count: int,
    correlation: str | None,
) -> list[Window]:
    """Return the windows of a node after some messages, except after its end was reached."""
    assert isinstance(reader.place, int)
    names = {each.stream_name for each in starts}
    here = await find_names_on(site.client, [reader.place], names, reader.time_limit)
    windows: list[Window] = []
    for start in {each.place: each for each in starts}.values():
        if windows and not windows[-1].is_full:
            break
        is_here = start.stream_name in here
        after = start.global_position if is_here else await _find_begin(reader, start)
        windows.append(await fetch_window(reader, site.table, after, count, correlation))
    return windows


async def _find_begin(reader: NodeReader, message: TraceMessage) -> int:
    """Return the global position on a node before all that followed from a message elsewhere."""
    scans = scan_statements(SCHEMA)
    ((first, head),) = await reader.read(build_store_bounds(scans))
    if head is None:
        return 0
    time = EPOCH if message.time is None else max(message.time, EPOCH)
    since = time - timedelta(seconds=CLOCK_SECONDS)
    search = TimeSearch(since, first, head)
    while (probe := search.next_probe(scans)) is not None:
        search.note_result(await reader.read(probe))
    return search.found - 1


def _sort_by_cause(messages: Iterable[TraceMessage]) -> list[TraceMessage]:
    """Return messages in the order of their times, but none before its cause."""
    known = {each.place: each for each in messages}
    seen: set[tuple[str, int]] = set()  # metadata may name causes in a circle
    found: list[TraceMessage] = []
    for message in sorted(known.values(), key=_get_order):
        chain: list[TraceMessage] = []
        each: TraceMessage | None = message
        while each is not None and each.place not in seen:
            seen.add(each.place)
            chain.append(each)
            each = known.get(each.cause) if each.cause is not None else None
        found += reversed(chain)
    return found


def _get_order(message: TraceMessage) -> tuple[datetime, int]:
    return message.time or datetime.min.replace(tzinfo=UTC), message.global_position


def _build_reader(site: Site, message: TraceMessage) -> NodeReader:
    return NodeReader(site.client, message.stream_name, site.settings.time_limit)
