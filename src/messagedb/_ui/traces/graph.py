"""The graph of cause and effect: which messages it has, and where they are drawn."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from typing import Any

import msgspec

from ..rendering.texts import format_duration
from .queries import TraceMessage

MOST_ROWS = 120
MOST_EFFECTS = 20
ROW_HEIGHT = 46
_STEP = 20
_WIDEST = 160


class GraphRow(msgspec.Struct, frozen=True):
    """One message of the graph.

    Attributes:
        message: the message.
        depth: its distance from the root of its tree.
        is_current: whether it is the message of the page.
        is_start: whether it begins another tree, of the same correlation.
        since_root: the time since the root.
        left_out: the number of its effects that are not shown.
        x: of its dot.
        y: of its dot.
    """

    message: TraceMessage
    depth: int
    is_current: bool
    is_start: bool
    since_root: str
    left_out: int
    x: int
    y: int


class Graph(msgspec.Struct, frozen=True):
    """The rows, and the lines from causes to effects as paths of SVG."""

    rows: list[GraphRow]
    lines: list[str]
    width: int
    height: int
    left_out: int


class Trees(msgspec.Struct, frozen=True):
    """Causes and their effects.

    Attributes:
        path: the messages from the root to that of the page, each the cause of the next.
        starts: the roots of other trees, which have the same correlation.
        effects: of each message.
    """

    path: Sequence[TraceMessage]
    starts: list[TraceMessage]
    effects: dict[tuple[str, int], list[TraceMessage]]


def get_order(message: TraceMessage) -> int:
    """Return the key that sorts messages of one server."""
    return message.global_position


def build_trees(
    path: Sequence[TraceMessage],
    followers: Iterable[TraceMessage],
    correlation: str | None = None,
    order: Callable[[TraceMessage], Any] = get_order,
) -> Trees:
    """Return the messages that follow from the known ones, and those of the same correlation.

    Args:
        path: the messages from the root to that of the page, each the cause of the next.
        followers: others, each after its cause.
        correlation: the stream whose correlation begins other trees; None for no others.
        order: the key that sorts the effects of a message.
    """
    effects: dict[tuple[str, int], list[TraceMessage]] = {each.place: [] for each in path}
    for cause, effect in pairwise(path):
        effects[cause.place].append(effect)
    starts: list[TraceMessage] = []
    for message in followers:
        if message.place in effects:
            continue
        named = message.cause
        if named is not None and named in effects:
            effects[named].append(message)
        elif correlation is not None and message.correlation_stream == correlation:
            starts.append(message)
        else:
            continue
        effects[message.place] = []
    for each in effects.values():
        each.sort(key=order)
    return Trees(path, starts, effects)


def build_graph(trees: Trees) -> Graph:
    """Return the graph of a trace. The path is always shown."""
    root, current = trees.path[0], trees.path[-1]
    shown = _choose(trees)
    first = [root, *(each for each in trees.starts if each.place in shown)]
    order = _walk(first, trees.effects, shown)
    starts = {each.place for each in first[1:]}
    deepest = max(depth for _, depth in order)
    step = max(min(_STEP, _WIDEST // max(deepest, 1)), 4)
    places: dict[tuple[str, int], tuple[int, int]] = {}
    rows: list[GraphRow] = []
    lines: list[str] = []
    for number, (message, depth) in enumerate(order):
        x, y = 10 + min(depth * step, _WIDEST), number * ROW_HEIGHT + ROW_HEIGHT // 2
        if depth and message.cause in places:
            lines.append(_draw_line(places[message.cause], (x, y)))
        places[message.place] = x, y
        row = GraphRow(
            message=message,
            depth=depth,
            is_current=message.place == current.place,
            is_start=message.place in starts,
            since_root=_format_since(root, message) if number else "",
            left_out=sum(each.place not in shown for each in trees.effects[message.place]),
            x=x,
            y=y,
        )
        rows.append(row)
    width = 20 + min(deepest * step, _WIDEST)
    return Graph(rows, lines, width, len(rows) * ROW_HEIGHT, len(trees.effects) - len(rows))


def _choose(trees: Trees) -> set[tuple[str, int]]:
    """Return the messages to show: the path, what follows from its end, the rest, other trees."""
    shown = {each.place for each in trees.path}
    asked: set[tuple[str, int]] = set()  # metadata may name causes in a circle
    for begin in ((trees.path[-1], trees.path[0]), *((each,) for each in trees.starts)):
        waiting = deque(begin)
        while waiting and len(shown) < MOST_ROWS:
            cause = waiting.popleft()
            shown.add(cause.place)
            if cause.place in asked:
                continue
            asked.add(cause.place)
            waiting += trees.effects[cause.place][:MOST_EFFECTS]
    return shown


def _walk(
    roots: Sequence[TraceMessage],
    effects: dict[tuple[str, int], list[TraceMessage]],
    shown: set[tuple[str, int]],
) -> list[tuple[TraceMessage, int]]:
    """Return the shown messages, each before its effects, with their depths."""
    found: list[tuple[TraceMessage, int]] = []
    seen: set[tuple[str, int]] = set()
    left = [(root, 0) for root in reversed(roots)]
    while left:
        message, depth = left.pop()
        if message.place in seen:
            continue
        seen.add(message.place)
        found.append((message, depth))
        left += [
            (effect, depth + 1)
            for effect in reversed(effects[message.place])
            if effect.place in shown
        ]
    return found


def _draw_line(cause: tuple[int, int], effect: tuple[int, int]) -> str:
    (x1, y1), (x2, y2) = cause, effect
    bend = min(8, max(x2 - x1, 0))
    return f"M{x1} {y1}V{y2 - bend}Q{x1} {y2} {x1 + bend} {y2}H{x2}"


def _format_since(root: TraceMessage, message: TraceMessage) -> str:
    if root.time is None or message.time is None:
        return ""
    return "+" + format_duration((message.time - root.time).total_seconds())
