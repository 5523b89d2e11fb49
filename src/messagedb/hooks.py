"""Hooks: what a user puts around a client's operations, before its writes and after its reads."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from typing import Any, Literal, TypeAlias

import msgspec

from ._errors import ValidationError
from ._messages.message import Message, NewMessage

__all__ = ["Hooks", "Operation"]

OperationName: TypeAlias = Literal[
    "write_message",
    "write_messages",
    "get_stream_messages",
    "get_category_messages",
    "get_last_stream_message",
]


class Operation(msgspec.Struct):
    """An operation that hooks are put around.

    Attributes:
        name: the method's.
        stream_or_category: the stream, or the category of ``get_category_messages``.
        messages: of a write, what is written, before that is sent; of a read, what was read, once
            it was.
    """

    name: OperationName
    stream_or_category: str
    messages: Sequence[NewMessage] | Sequence[Message[Any]] = ()


class Hooks:
    """A base for hooks; each method does nothing unless it is overridden.

    Given to a client as ``hooks=[…]``, they go around its operations, also those of its
    transactions, of what ``bind()`` gives, of its consumers and entity stores. The first one is the
    outermost: its ``before_write`` sees the messages first, its ``after_read`` last. They are plain
    functions, the same for both halves, and are called in the thread or task of the operation:
    they must not wait. What they raise goes to the caller.

    The library's own notes (the streams of positions and of parked messages) are none of theirs.
    Consumers and scans read without ``around``, and give what they read to ``after_read``.
    """

    def before_write(
        self, stream_name: str, messages: Sequence[NewMessage]
    ) -> Sequence[NewMessage]:
        """Give the messages to write, in place of those that the caller gave.

        Called once for a write, after its arguments were checked and before anything is sent; when
        a write is sent again, the same messages are. To refuse them, raise: nothing was sent.

        Args:
            stream_name: where they are to be written.
            messages: in their order.

        Returns:
            As many messages, with the same ids in the same order: ``msgspec.structs.replace``
            makes one with other data or metadata.
        """
        return messages

    def after_read(self, messages: Sequence[Message[Any]]) -> Sequence[Message[Any]]:
        """Give the messages that the caller gets, in place of those that were read.

        Args:
            messages: a page, in its order; never none.

        Returns:
            As many messages, at the same positions: ``make_message`` makes one.
        """
        return messages

    def around(self, operation: Operation) -> AbstractContextManager[object]:
        """Give what is entered before an operation and left after it, with its error if it failed.

        A write's part that waits for the server, and all that a read does.
        """
        return nullcontext(operation)


def validate_hooks(given: Any) -> tuple[Hooks, ...]:
    """The hooks that a client was given.

    Raises:
        ValidationError: one is none.
    """
    try:
        hooks: tuple[Any, ...] = tuple(given)
    except TypeError:
        hooks = (given,)
    for hook in hooks:
        if not isinstance(hook, Hooks):
            raise ValidationError(
                f"each of hooks must be an instance of Hooks, or of a subclass, not {hook!r:.60}"
            )
    return hooks


def apply_before_write(
    hooks: Sequence[Hooks], stream_name: str, messages: Sequence[NewMessage]
) -> Sequence[NewMessage]:
    """What the hooks make of the messages of a write: the same object where they change nothing.

    Raises:
        ValidationError: a hook gave other ids, or another number of messages. Nothing was sent.
    """
    made = messages
    for hook in hooks:
        made = hook.before_write(stream_name, made)
    if made is not messages and [m.id for m in made] != [m.id for m in messages]:
        raise ValidationError(
            "a hook's before_write gave other messages than it got: as many, with the same ids in "
            "the same order, are wanted. Nothing was sent."
        )
    return made


def apply_after_read(hooks: Sequence[Hooks], messages: list[Message[Any]]) -> list[Message[Any]]:
    """What the hooks make of the messages of a read.

    Raises:
        ValidationError: a hook gave messages of other positions, or another number of them.
    """
    if not messages:
        return messages
    made: Sequence[Message[Any]] = messages
    for hook in reversed(hooks):
        made = hook.after_read(made)
    if made is not messages and [m.global_position for m in made] != [
        m.global_position for m in messages
    ]:
        raise ValidationError(
            "a hook's after_read gave other messages than it got: as many, at the same global "
            "positions, are wanted. Nothing was changed."
        )
    return list(made)


@contextmanager
def enter_around(hooks: Sequence[Hooks], operation: Operation) -> Generator[Operation]:
    """Enter what the hooks put around an operation, the first one's outermost."""
    with ExitStack() as stack:
        for hook in hooks:
            stack.enter_context(hook.around(operation))
        yield operation
