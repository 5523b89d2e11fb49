"""Causes and effects over several nodes, each with an order of global positions. No I/O."""

from __future__ import annotations

from datetime import timedelta
from heapq import heappop, heappush
from typing import TYPE_CHECKING, Any, Final

from .._errors import IncompatibleServerError, MessageDecodeError
from .._messages.message import EPOCH, Message
from .node_queries import build_call
from .traces import Place, Trace, TraceNode, get_workflow, parse_place, place_of

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from .._sql.traces import TraceStatements
    from .requests import ReadRequest

PAGE: Final = 10_000
"""The number of global positions of one read."""

_CLOCKS: Final = timedelta(minutes=1)


class NodeTraceSearch:
    """A search for the effects of a message among the messages of all nodes.

    Their positions say nothing about the order of messages on two nodes, so all links are noted
    before any is followed.

    Args:
        trace: the message and its causes.
        max_messages: the largest number of messages to find.
    """

    def __init__(self, trace: Trace, max_messages: int) -> None:
        self._trace = trace
        self._left = max_messages
        self._effects: dict[Place, list[tuple[int, Place]]] = {}
        self._seen: set[Place] = set()
        self._same: dict[Place, None] = {}
        self._causes: dict[Place, Place] = {}
        self._correlated: list[Place] = []
        self.workflow = get_workflow(trace.message)

    @property
    def since(self) -> datetime:
        """The time to search from: before the message, as the clocks of nodes differ."""
        try:
            return self._trace.message.time - _CLOCKS
        except (MessageDecodeError, OverflowError):
            return EPOCH

    def note_links(self, rows: Iterable[tuple[Any, ...]]) -> None:
        """Note the rows of a page: messages that name a cause, or belong to the workflow."""
        for _, stream, position, cause_stream, cause_position, is_same in rows:
            place = stream, position
            if place in self._seen:
                continue  # the copy that a move has left on another node
            self._seen.add(place)
            cause = parse_place(cause_stream, cause_position)
            if cause is not None:
                self._effects.setdefault(cause, []).append((len(self._seen), place))
            if is_same:
                self._same[place] = None

    def list_places(self) -> list[Place]:
        """Return the places of the messages to fetch, effects before the rest of the workflow."""
        known = {place_of(node.message) for _, node in self._trace.root.walk()}
        found: list[tuple[int, Place, Place]] = []

        def follow(cause: Place) -> None:
            for number, place in self._effects.get(cause, ()):
                if place not in known:
                    known.add(place)
                    heappush(found, (number, place, cause))

        for _, node in self._trace.node.walk():
            follow(place_of(node.message))
        while found:
            _, place, cause = heappop(found)
            if self._take():
                self._causes[place] = cause
                follow(place)
        for place in self._same:
            if place not in known and self._take():
                self._correlated.append(place)
        return [*self._causes, *self._correlated]

    def build(self, messages: Iterable[Message[Any]], is_complete: bool) -> Trace:
        """Return the result, in the order of the times of the messages."""
        trace = self._trace
        found = {place_of(each): each for each in messages}
        nodes = {place_of(node.message): node for _, node in trace.node.walk()}
        for place, cause in self._causes.items():
            message, node = found.get(place), nodes.get(cause)
            if message is not None and node is not None:
                nodes[place] = TraceNode(message, node)
                node.effects.append(nodes[place])
        for node in nodes.values():
            node.effects.sort(key=_order_of_node)
        trace.correlated += sorted(
            (
                found[place]
                for place in self._correlated
                if place in found and _order(found[place]) > _order(trace.message)
            ),
            key=_order,
        )
        trace.searched_from = trace.searched_to = 0
        trace.is_complete = is_complete and not trace.left_out
        return trace

    def _take(self) -> bool:
        if self._left <= 0:
            self._trace.left_out += 1
            return False
        self._left -= 1
        return True


def not_continued_error() -> IncompatibleServerError:
    """Return the error for an earlier result: it does not say how far each node was searched."""
    return IncompatibleServerError(
        "the messages are on several nodes, by PL/Proxy, where a trace is not continued: pass its "
        "message, and a larger window. Nothing was sent."
    )


def build_message_read(sql: TraceStatements, place: Place) -> ReadRequest:
    """Return the read of the message at a position of a stream, by the server's function."""
    return build_call(sql.message_on_node, *place)


def _order(message: Message[Any]) -> tuple[datetime, int]:
    try:
        return message.time, message.global_position
    except MessageDecodeError:
        return EPOCH, message.global_position


def _order_of_node(node: TraceNode) -> tuple[datetime, int]:
    return _order(node.message)
