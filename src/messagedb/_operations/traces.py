"""Causes and effects of a message: the search for them, and its result. No I/O."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final, cast
from uuid import UUID

import msgspec

from .._argument_checks import check_integer
from .._errors import MessageDecodeError, ServerError, ValidationError
from .._messages.message import Message
from .._messages.metadata import Metadata
from .._messages.trace_context import find_trace_context
from .._sql.statements import Statement, array_literal
from . import validation
from .requests import ReadRequest

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from .._sql.traces import TraceStatements

__all__ = ["Trace", "TraceNode"]

MAX_CAUSES: Final = 1000
"""The largest number of causes that are looked up."""

_PAGE: Final = 10_000
_TIMED_OUT: Final = "57014"

Place = tuple[str, int]
"""A stream, and a position in it."""


class TraceNode(msgspec.Struct, eq=False):
    """A message, with its cause and its effects.

    Example::

        node = client.trace(message).node
        print(node.message.type, [effect.message.type for effect in node.effects])

    Attributes:
        message: the message.
        cause: the message that its metadata names as its cause; None if there is none, or if it was
            not found.
        effects: the messages that name it as their cause, as far as they were searched for, in the
            order of global position. Those of a cause are only the next one on the way to the
            traced message.
    """

    message: Message[Any]
    cause: TraceNode | None = None
    effects: list[TraceNode] = msgspec.field(default_factory=list["TraceNode"])

    def __repr__(self) -> str:
        """Return the place of the message, and the number of its effects."""
        place = f"{self.message.stream_name}/{self.message.position}"
        return f"<TraceNode {place} {self.message.type}, effects: {len(self.effects)}>"

    def walk(self) -> Iterator[tuple[int, TraceNode]]:
        """Yield this node and all nodes below it, each with its depth, causes first.

        Example::

            for depth, node in client.trace(message).root.walk():
                print("  " * depth, node.message.type)
        """
        left = [(0, self)]  # a chain may be longer than Python's recursion limit
        while left:
            depth, node = left.pop()
            yield depth, node
            left += [(depth + 1, effect) for effect in reversed(node.effects)]


class Trace(msgspec.Struct, eq=False):
    """The causes of a message, its effects, and the other messages of its workflow.

    Example::

        trace = client.trace(message)
        for depth, node in trace.root.walk():
            print("  " * depth, node.message.stream_name, node.message.type)

    Attributes:
        node: the traced message, with its cause and its effects.
        root: its first cause that was found; the message itself if it has none.
        correlated: messages between ``searched_from`` and ``searched_to`` that are none of these,
            and have the same correlation stream or the same W3C trace id.
        searched_from: the first global position that was searched for effects; 0 where the
            messages are on several nodes, as each has positions that are separate.
        searched_to: the last one; 0 likewise.
        is_complete: True if that is the end of the store, and nothing was left out.
        left_out: the number of messages that were found beyond the maximum.
    """

    node: TraceNode
    root: TraceNode
    correlated: list[Message[Any]]
    searched_from: int
    searched_to: int
    is_complete: bool
    left_out: int = 0

    @property
    def message(self) -> Message[Any]:
        """The traced message.

        Example::

            print(client.trace(message).message.type)
        """
        return self.node.message

    @property
    def causes(self) -> list[Message[Any]]:
        """The causes of the message, the immediate one first.

        Example::

            for cause in client.trace(message).causes:
                print(cause.stream_name, cause.type)
        """
        found: list[Message[Any]] = []
        node = self.node.cause
        while node is not None:
            found.append(node.message)
            node = node.cause
        return found


class TraceSearch:
    """A search for the effects of a message, window by window, in the order of global position.

    A message comes after its cause, so one pass finds all effects of effects.

    Args:
        trace: the result so far.
        window: the number of global positions to search.
        head: the last global position of the store.
        max_messages: the largest number of messages to find.
    """

    def __init__(self, trace: Trace, window: int, head: int, max_messages: int) -> None:
        self._trace = trace
        self._next = trace.searched_to + 1
        self._last = min(trace.searched_to + window, max(head, trace.searched_to))
        self._head = head
        self._left = max_messages
        self._known: dict[Place, TraceNode | None] = {
            place_of(node.message): node for _, node in trace.node.walk()
        }
        self._effects: list[tuple[int, Place]] = []
        self._correlated: list[int] = []
        self._workflow = get_workflow(trace.message)

    def next_read(self, sql: TraceStatements) -> ReadRequest | None:
        """Return the read of the next page of links; None if the window was searched."""
        if self._next > self._last:
            return None
        last = min(self._next + _PAGE - 1, self._last)
        read = build_links(sql, self._next, last, self._workflow)
        self._next = last + 1
        return read

    def note_links(self, rows: Iterable[tuple[Any, ...]]) -> None:
        """Note the rows of a page: messages that name a cause, or belong to the workflow."""
        for global_position, stream, position, cause_stream, cause_position, is_same in rows:
            cause = parse_place(cause_stream, cause_position)
            is_effect = cause is not None and cause in self._known
            if not is_effect and not is_same:
                continue
            if self._left <= 0:
                self._trace.left_out += 1
                continue
            self._left -= 1
            if cause is not None and is_effect:
                self._known[stream, position] = None
                self._effects.append((global_position, cause))
            else:
                self._correlated.append(global_position)

    def list_positions(self) -> list[int]:
        """Return the global positions of the messages that were found."""
        return sorted([position for position, _ in self._effects] + self._correlated)

    def build(self, messages: Iterable[Message[Any]]) -> Trace:
        """Return the result, with the found messages in their places."""
        trace = self._trace
        by_position = {message.global_position: message for message in messages}
        for global_position, cause in self._effects:
            message, node = by_position.get(global_position), self._known.get(cause)
            if message is None or node is None:
                continue  # deleted meanwhile
            effect = TraceNode(message, node)
            node.effects.append(effect)
            self._known[place_of(message)] = effect
        trace.correlated += [
            by_position[position] for position in self._correlated if position in by_position
        ]
        trace.searched_to = self._last
        trace.is_complete = self._last >= self._head and not trace.left_out
        return trace


def start_trace(chain: Sequence[Message[Any]]) -> Trace:
    """Return the trace of a message before its effects are searched for.

    Args:
        chain: the message, its cause, the cause of that one, and so on.
    """
    node = root = TraceNode(chain[0])
    for cause in chain[1:]:
        root.cause = TraceNode(cause, None, [root])
        root = root.cause
    position = chain[0].global_position
    return Trace(node, root, [], position + 1, position, False)


def find_cause(message: Message[Any]) -> Place | None:
    """Return the stream and position of a message's cause; None if its metadata names none."""
    try:
        metadata = Metadata.from_message(message)
    except MessageDecodeError:
        return None  # not by the conventions
    stream, position = (
        metadata.causation_message_stream_name,
        metadata.causation_message_position,
    )
    if stream is None or position is None or not 0 <= position <= validation.LAST_POSITION:
        return None
    return stream, position


def get_workflow(message: Message[Any]) -> tuple[str | None, str | None]:
    """Return the correlation stream and the W3C trace id in a message's metadata."""
    try:
        metadata = message.metadata
    except MessageDecodeError:
        return None, None
    if not isinstance(metadata, dict):
        return None, None
    correlation = metadata.get("correlationStreamName")
    properties: Any = metadata.get("properties")
    nested = cast("dict[str, Any]", properties) if isinstance(properties, dict) else {}
    parent, _ = find_trace_context(nested, metadata)
    return (
        correlation if isinstance(correlation, str) and correlation else None,
        None if parent is None else parent.split("-")[1],
    )


def build_lookup(sql: TraceStatements, name: UUID | str) -> ReadRequest:
    """Return the read of the message with an id, or at ``stream/position``.

    Raises:
        ValidationError: the name is neither. Nothing was sent.
    """
    if isinstance(name, UUID):
        return _build_query(sql.message_by_id, str(name))
    place = parse_identifier(name)
    if place is not None:
        return build_place_lookup(sql, place)
    return _build_query(sql.message_by_id, str(parse_id(name)))


def parse_id(name: UUID | str) -> UUID:
    """Return the id that a message is named by.

    Raises:
        ValidationError: it is not one. Nothing was sent.
    """
    if isinstance(name, UUID):
        return name
    try:
        return msgspec.convert(name, UUID)
    except (msgspec.ValidationError, UnicodeEncodeError):  # the latter for lone surrogates
        raise ValidationError(
            "a message is named by its id, or as stream/position, such as account-123/4, not "
            f"{name!r:.200}. Nothing was sent."
        ) from None


def build_place_lookup(sql: TraceStatements, place: Place) -> ReadRequest:
    """Return the read of the message at a position of a stream."""
    return _build_query(sql.message_of_stream, *place)


def build_links(
    sql: TraceStatements, first: int, last: int, workflow: tuple[str | None, str | None]
) -> ReadRequest:
    """Return the read of the links between two global positions, of at most 10,000.

    Args:
        sql: the statements.
        first: the first global position.
        last: the last one.
        workflow: the correlation stream and the W3C trace id of the message.
    """
    return _build_query(sql.links, first, last, *workflow)


def build_messages_at(sql: TraceStatements, positions: Iterable[int]) -> ReadRequest:
    """Return the read of the messages at global positions."""
    return _build_query(sql.messages_at, array_literal(positions))


def parse_identifier(name: Any) -> Place | None:
    """Return the stream and position of ``stream/position``; None if it is not of that form.

    Raises:
        ValidationError: the stream name or the position is invalid. Nothing was sent.
    """
    if not isinstance(name, str):
        return None
    stream, slash, position = name.rpartition("/")
    if not slash or not position.isascii() or not position.isdigit():
        return None
    validation.check_stream_name(stream)
    place = stream, int(position[:20])
    validation.check_position(place[1])
    return place


def check_trace(window: Any, max_messages: Any) -> None:
    """Check the bounds of a trace.

    Raises:
        ValidationError: one is invalid. Nothing was sent.
    """
    check_integer("window", window, least=0)
    check_integer("max_messages", max_messages, least=1, most=100_000)


def missing_message_error(name: object) -> ValidationError:
    """Return the error for a message that is not there."""
    return ValidationError(f"the store has no message {name}")


def search_timeout_error(error: ServerError, read: ReadRequest) -> ServerError:
    """Return the error of a search, which says what to do if a time limit has ended it."""
    if error.sqlstate != _TIMED_OUT:
        return error
    first, last = read.query.params[:2]
    return ServerError(
        f"the search for effects took longer than the statement's time limit at the global "
        f"positions {first} to {last}, all of which it reads, as no index leads to an effect: "
        f"{error} Use a client with a larger command_timeout, or a window that ends before.",
        error.sqlstate,
    )


def place_of(message: Message[Any]) -> Place:
    """Return the stream and position of a message."""
    return message.stream_name, message.position


def parse_place(stream: str | None, position: str | None) -> Place | None:
    """Return the place that metadata names; None if it names none."""
    if stream is None or position is None or not position.isascii() or not position.isdigit():
        return None
    return stream, int(position[:20])


def _build_query(text: bytes, *params: Any) -> ReadRequest:
    query = Statement(text, params)
    return ReadRequest(query, query, is_query_preferred=True)
