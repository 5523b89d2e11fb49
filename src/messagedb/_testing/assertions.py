"""Assertions on events, errors and states, with the expected and the actual value."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from .._messages.message import NewMessage

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .._messages.message import Message
    from .._messages.registry import MessageRegistry


def assert_events(actual: Sequence[Any], expected: Sequence[Any], error: Exception | None) -> None:
    """Compare events, in order; an error that was raised instead is shown as the reason."""
    if error is not None:
        raise AssertionError(
            f"expected {_format_events(expected)}, but {_describe_error(error)} was raised"
        ) from error
    if list(actual) != list(expected):
        raise AssertionError(
            f"expected {_format_events(expected)}, but got {_format_events(actual)}"
        )


def assert_error(
    error: Exception | None, expected: type[Exception], match: str | None, actual: Sequence[Any]
) -> None:
    """Compare an error with the expected class, and its text with a regular expression."""
    if error is None:
        raise AssertionError(f"expected {expected.__qualname__}, but got {_format_events(actual)}")
    if not isinstance(error, expected):
        raise AssertionError(
            f"expected {expected.__qualname__}, but {_describe_error(error)} was raised"
        ) from error
    if match is not None and not re.search(match, str(error)):
        raise AssertionError(f"{_describe_error(error)} does not match {match!r}") from error


def assert_state(state: Any, expected: Any, error: Exception | None) -> None:
    """Compare states."""
    if error is not None:
        raise AssertionError(
            f"expected state {expected!r}, but {_describe_error(error)} was raised"
        ) from error
    if state != expected:
        raise AssertionError(f"expected state {expected!r}, but it is {state!r}")


def assert_messages(
    registry: MessageRegistry, actual: Sequence[Message[Any]], expected: Sequence[Any]
) -> None:
    """Compare stored messages with instances of registered classes, or with NewMessages.

    A NewMessage is compared by type and data, and by its metadata if it has any.
    """
    if len(actual) == len(expected) and all(
        _matches(registry, message, wanted)
        for message, wanted in zip(actual, expected, strict=True)
    ):
        return
    shown = [
        f"{message.type}({message.data!r})"
        if (event := registry.decode(message)) is message
        else repr(event)
        for message in actual
    ]
    wanted = [
        f"{each.type}({each.data!r})" if isinstance(each, NewMessage) else repr(each)
        for each in expected
    ]
    raise AssertionError(
        f"expected {', '.join(wanted) or 'no messages'}, but got"
        f" {', '.join(shown) or 'no messages'}"
    )


def _matches(registry: MessageRegistry, message: Message[Any], expected: Any) -> bool:
    if isinstance(expected, NewMessage):
        return (message.type, message.data) == (expected.type, expected.data) and (
            expected.metadata is None or message.metadata == expected.metadata
        )
    return bool(registry.decode(message) == expected)


def _describe_error(error: Exception) -> str:
    return f"{type(error).__qualname__}: {error}"


def _format_events(events: Sequence[Any]) -> str:
    return ", ".join(map(repr, events)) or "no events"
