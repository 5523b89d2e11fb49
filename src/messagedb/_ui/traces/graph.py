"""The graph of cause and effect: which messages it has, and where they are drawn."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from itertools import pairwise

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
        depth: its distance from the root.
        is_current: whether it is the message of the page.
        since_root: the time since the root.
        left_out: the number of its effects that are not shown.
        x: of its dot.
        y: of its dot.
    """

    message: TraceMessage
    depth: int
    is_current: bool
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


def build_effects(
    roots: Sequence[TraceMessage], followers: Iterable[TraceMessage]
) -> dict[tuple[str, int], list[TraceMessage]]:
    """Return the effects of each message that follows from the known ones.

    Args:
        roots: the known messages, each the cause of the next.
        followers: others, in the order of global position: a message comes after its cause.
    """
    effects: dict[tuple[str, int], list[TraceMessage]] = {each.place: [] for each in roots}
    for cause, effect in pairwise(roots):
        effects[cause.place].append(effect)
    known = set(effects)
    for message in followers:
        named = message.cause
        if named is not None and named in effects and message.place not in known:
            effects[named].append(message)
            effects[message.place] = []
            known.add(message.place)
    for each in effects.values():
        each.sort(key=lambda message: message.global_position)
    return effects


def build_graph(
    path: Sequence[TraceMessage], effects: dict[tuple[str, int], list[TraceMessage]]
) -> Graph:
    """Return the graph of a trace.

    Args:
        path: the messages from the root to that of the page, which are always shown.
        effects: of each message.
    """
    shown = _choose(path, effects)
    order = _walk(path[0], effects, shown)
    deepest = max(depth for _, depth in order)
    step = max(min(_STEP, _WIDEST // max(deepest, 1)), 4)
    places: dict[tuple[str, int], tuple[int, int]] = {}
    rows: list[GraphRow] = []
    lines: list[str] = []
    for number, (message, depth) in enumerate(order):
        x, y = 10 + min(depth * step, _WIDEST), number * ROW_HEIGHT + ROW_HEIGHT // 2
        if message.cause in places and number:
            lines.append(_draw_line(places[message.cause], (x, y)))
        places[message.place] = x, y
        own = effects.get(message.place, [])
        hidden = sum(each.place not in shown for each in own)
        since = _format_since(path[0], message) if number else ""
        is_current = message.place == path[-1].place
        rows.append(GraphRow(message, depth, is_current, since, hidden, x, y))
    total = len(effects)
    width = 20 + min(deepest * step, _WIDEST)
    return Graph(rows, lines, width, len(rows) * ROW_HEIGHT, total - len(rows))


def _choose(
    path: Sequence[TraceMessage], effects: dict[tuple[str, int], list[TraceMessage]]
) -> set[tuple[str, int]]:
    """Return the messages to show: the path, then what follows from its end, then the rest."""
    shown = {each.place for each in path}
    asked: set[tuple[str, int]] = set()  # metadata may name causes in a circle
    waiting = deque((path[-1], path[0]))
    while waiting and len(shown) < MOST_ROWS:
        cause = waiting.popleft()
        if cause.place in asked:
            continue
        asked.add(cause.place)
        for effect in effects.get(cause.place, [])[:MOST_EFFECTS]:
            if len(shown) < MOST_ROWS:
                shown.add(effect.place)
            waiting.append(effect)
    return shown


def _walk(
    root: TraceMessage,
    effects: dict[tuple[str, int], list[TraceMessage]],
    shown: set[tuple[str, int]],
) -> list[tuple[TraceMessage, int]]:
    """Return the shown messages, each before its effects, with their depths."""
    found: list[tuple[TraceMessage, int]] = []
    seen: set[tuple[str, int]] = set()
    left = [(root, 0)]
    while left:
        message, depth = left.pop()
        if message.place in seen:
            continue
        seen.add(message.place)
        found.append((message, depth))
        left += [
            (effect, depth + 1)
            for effect in reversed(effects.get(message.place, []))
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
