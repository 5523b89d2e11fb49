"""The messages that a message caused, as a tree by the causation in their metadata."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any
from uuid import UUID

import msgspec
from psycopg import sql

from messagedb import Client, Message, MessageDecodeError, Metadata, ValidationError

CONDITION = "metadata->>'causationMessageStreamName' IS NOT NULL"
"""SQL condition for messages whose metadata names a cause."""

_PAGE = 10_000


class Node(msgspec.Struct):
    """A message, and the messages that it caused."""

    message: Message[Any]
    effects: list[Node] = []

    def walk(self) -> Iterator[tuple[int, Node]]:
        """Return this node and all nodes below it, each with its depth, parents first."""
        left = [(0, self)]  # a chain may be longer than Python's recursion limit
        while left:
            depth, node = left.pop()
            yield depth, node
            left += [(depth + 1, effect) for effect in reversed(node.effects)]


def build_tree(cause: Message[Any], followers: Iterable[Message[Any]]) -> Node:
    """Build the tree of the messages that a message caused.

    Args:
        cause: the root.
        followers: messages that may follow, in the order of global position: a message comes after
            its cause.
    """
    root = Node(cause)
    known = {(cause.stream_name, cause.position): root}
    for message in followers:
        try:
            metadata = Metadata.from_message(message)
        except MessageDecodeError:
            continue  # not by the conventions, so it names no cause
        of = known.get(
            (metadata.causation_message_stream_name or "", metadata.causation_message_position or 0)
        )
        if of is not None and message.global_position > cause.global_position:
            node = Node(message)
            of.effects.append(node)
            known[message.stream_name, message.position] = node
    return root


def find_message(client: Client, schema: str, name: str) -> Message[Any]:
    """Return the message with this id, or at this stream and position: ``account-123/4``.

    Raises:
        ValidationError: there is no such message.
    """
    stream, slash, position = name.rpartition("/")
    if slash and position.isascii() and position.isdigit():
        return _get_message_at(client, stream, int(position), name)
    question = sql.SQL("SELECT stream_name, position FROM {} WHERE id = %s::uuid").format(
        sql.Identifier(schema, "messages")
    )
    try:
        id = str(msgspec.convert(name, UUID))
    except (msgspec.ValidationError, UnicodeEncodeError):  # the latter for lone surrogates
        raise ValidationError(
            "a message is named by its id, or as stream/position, such as account-123/4, not"
            f" {name!r}"
        ) from None
    with client.transaction(read_only=True) as tx:
        row = tx.connection.execute(question, [id]).fetchone()
    if row is None:
        raise ValidationError(f"the store has no message with the id {id}")
    return _get_message_at(client, row[0], row[1], name)


def iter_effects(client: Client, cause: Message[Any], within: int) -> Iterator[Message[Any]]:
    """Iterate over later messages that name a cause, at most ``within`` global positions later."""
    position, end = cause.global_position + 1, cause.global_position + within
    while position <= end:
        size = min(_PAGE, end - position + 1)
        scan = client.scan_all(position=position, batch_size=size, condition=CONDITION)
        yield from (message for message in scan.messages if message.global_position <= end)
        if not scan.is_full:
            return
        position = scan.position + 1


def _get_message_at(client: Client, stream: str, position: int, name: str) -> Message[Any]:
    page = client.get_stream_messages(stream, position=position, batch_size=1)
    if not page or page[0].position != position:
        raise ValidationError(f"the store has no message {name}")
    return page[0]
