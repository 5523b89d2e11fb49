"""Hooks: user code that runs around a client's operations, before its writes, after its reads."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from typing import Any, Literal, TypeAlias

import msgspec

from ._errors import ValidationError
from ._messages.message import Message, NewMessage

__all__ = ["Hooks", "Operation", "OperationName"]

OperationName: TypeAlias = Literal[
    "write_message",
    "write_messages",
    "get_stream_messages",
    "get_category_messages",
    "get_last_stream_message",
]
"""The name of a method that hooks run around."""


class Operation(msgspec.Struct):
    """An operation that hooks run around.

    Example::

        class Log(Hooks):
            @contextmanager
            def around(self, operation: Operation) -> Generator[None]:
                yield  # the operation runs here
                print(operation.name, operation.stream_or_category, len(operation.messages))

    Attributes:
        name: the name of the method.
        stream_or_category: the stream, or the category of ``get_category_messages``.
        messages: for a write, the messages to be written, before they are sent; for a read, the
            messages that were read, afterwards.
    """

    name: OperationName
    stream_or_category: str
    messages: Sequence[NewMessage] | Sequence[Message[Any]] = ()


class Hooks:
    """A base class for hooks; each method does nothing unless it is overridden.

    Passed to a client as ``hooks=[…]``, they run around its operations, and around those of its
    transactions, of the clients that ``bind()`` returns, of its consumers and entity stores. The
    first one is the outermost: its ``before_write`` gets the messages first, its ``after_read``
    last. Hooks are plain functions in both variants, and are called in the thread or task of the
    operation: they must not block. The errors that they raise are raised to the caller.

    Hooks do not run for the library's own messages (the streams of positions and of parked
    messages). Consumers and scans read without ``around``, and pass what they read to
    ``after_read``.

    Example::

        class AddUser(Hooks):
            def before_write(
                self, stream_name: str, messages: Sequence[NewMessage]
            ) -> Sequence[NewMessage]:
                user = {"user": "ann"}
                return [msgspec.structs.replace(each, metadata=user) for each in messages]

        client = Client("embedded:", hooks=[AddUser()])
    """

    def before_write(
        self, stream_name: str, messages: Sequence[NewMessage]
    ) -> Sequence[NewMessage]:
        """Return the messages to write, in place of those that the caller passed.

        Called once for a write, after its arguments were checked and before anything is sent; if a
        write is sent again, the same messages are sent. To refuse them, raise: nothing was sent.

        Example::

            class Refuse(Hooks):
                def before_write(
                    self, stream_name: str, messages: Sequence[NewMessage]
                ) -> Sequence[NewMessage]:
                    if stream_name.startswith("audit-"):
                        raise PermissionError(stream_name)
                    return messages

        Args:
            stream_name: the stream to be written.
            messages: the messages, in their order.

        Returns:
            As many messages, with the same ids in the same order: ``msgspec.structs.replace``
            copies a message with other data or metadata.
        """
        return messages

    def after_read(self, messages: Sequence[Message[Any]]) -> Sequence[Message[Any]]:
        """Return the messages for the caller, in place of those that were read.

        Example::

            class Count(Hooks):
                def after_read(self, messages: Sequence[Message]) -> Sequence[Message]:
                    print(len(messages), "messages read")
                    return messages

        Args:
            messages: one page, in its order; never empty.

        Returns:
            As many messages, at the same positions: ``make_message`` builds one.
        """
        return messages

    def around(self, operation: Operation) -> AbstractContextManager[object]:
        """Return a context manager that is entered before an operation and left after it.

        It gets the operation's error if it failed. For a write it covers the part that waits for
        the server, for a read everything.

        Example::

            class Time(Hooks):
                @contextmanager
                def around(self, operation: Operation) -> Generator[None]:
                    begin = monotonic()
                    yield  # the operation runs here
                    print(operation.name, monotonic() - begin, "s")
        """
        return nullcontext(operation)


def validate_hooks(given: Any) -> tuple[Hooks, ...]:
    """Return the hooks that were passed to a client.

    Raises:
        ValidationError: one of them is not an instance of Hooks.
    """
    try:
        hooks: tuple[Any, ...] = tuple(given)
    except TypeError:
        hooks = (given,)
    for hook in hooks:
        if not isinstance(hook, Hooks):
            raise ValidationError(
                f"each of hooks must be an instance of Hooks or of a subclass, not {hook!r:.60}"
            )
    return hooks


def apply_before_write(
    hooks: Sequence[Hooks], stream_name: str, messages: Sequence[NewMessage]
) -> Sequence[NewMessage]:
    """Apply the hooks to the messages of a write; return the same object if they change nothing.

    Raises:
        ValidationError: a hook returned other ids, or another number of messages. Nothing was sent.
    """
    made = messages
    for hook in hooks:
        made = hook.before_write(stream_name, made)
    if made is not messages and [m.id for m in made] != [m.id for m in messages]:
        raise ValidationError(
            "a hook's before_write returned other messages than it got: return as many, with the "
            "same ids in the same order. Nothing was sent."
        )
    return made


def apply_after_read(hooks: Sequence[Hooks], messages: list[Message[Any]]) -> list[Message[Any]]:
    """Apply the hooks to the messages of a read.

    Raises:
        ValidationError: a hook returned messages of other positions, or another number of them.
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
            "a hook's after_read returned other messages than it got: return as many, at the same "
            "global positions. Nothing was changed."
        )
    return list(made)


@contextmanager
def enter_around(hooks: Sequence[Hooks], operation: Operation) -> Generator[Operation]:
    """Enter the hooks' context managers around an operation, the first hook's outermost."""
    with ExitStack() as stack:
        for hook in hooks:
            stack.enter_context(hook.around(operation))
        yield operation
