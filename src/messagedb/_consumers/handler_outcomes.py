"""Outcomes that a handler raises or returns instead of handling its message."""

from __future__ import annotations

from typing import Any

from .._argument_checks import check_seconds
from .._errors import ValidationError

__all__ = ["HandlerOutcome", "Park", "Retry", "Skip", "Stop"]


class HandlerOutcome(Exception):
    """Base of the outcomes that a handler may raise or return for its message.

    Example::

        def decide(amount: int) -> HandlerOutcome | None:
            return Park("negative") if amount < 0 else None
    """

    reason: str = ""
    """The reason, also of a class that does not call our ``__init__``."""

    def __init__(self, reason: str = "") -> None:
        given: Any = reason
        if not isinstance(given, str):
            raise ValidationError(f"the reason must be a string, not {type(given).__name__}")
        self.reason = reason
        super().__init__(reason)


class Retry(HandlerOutcome):
    """Call the handler again with the same message.

    It counts as an attempt: after the policy's ``max_attempts``, ``on_error`` decides.

    Example::

        @consumer.handler
        def ship(message: Message, context: Context) -> Retry | None:
            if message.data["carrier"] is None:
                return Retry(delay=60.0)
            return None

    Attributes:
        delay: seconds to wait before, None for the delay of the retry policy.
    """

    delay: float | None = None

    def __init__(self, delay: float | None = None, reason: str = "") -> None:
        if delay is not None and delay != 0:
            check_seconds("delay", delay)
        self.delay = delay
        super().__init__(reason)

    def __reduce__(self) -> tuple[type[Retry], tuple[float | None, str]]:
        """Pickle the arguments: the exception's text is only the reason."""
        return type(self), (self.delay, self.reason)


class Park(HandlerOutcome):
    """Write the message to the stream of parked messages, and continue with the next message.

    A message that is parked twice is stored once.

    Example::

        @consumer.handler
        def ship(message: Message, context: Context) -> Park | None:
            if message.data["address"] is None:
                return Park("no address")
            return None

    Attributes:
        stream: True to hold the message's stream: its later messages are parked behind it,
            unhandled, until it is replayed or discarded. False to handle them before it, which
            gives up the order within that stream. None for True with ``on_error="park_stream"``,
            and for False otherwise.
    """

    stream: bool | None = None

    def __init__(self, reason: str = "", *, stream: bool | None = None) -> None:
        given: Any = stream
        if given not in (None, True, False):
            raise ValidationError(f"stream must be True, False or None, not {given!r}")
        super().__init__(reason)
        self.stream = stream

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the keyword argument, too."""
        return type(self), (self.reason,), {"stream": self.stream}


class Skip(HandlerOutcome):
    """Continue with the next message. A warning with the reason is logged; nothing is stored.

    Example::

        @consumer.handler
        def ship(message: Message, context: Context) -> Skip | None:
            if message.data["amount"] == 0:
                return Skip("nothing to ship")
            return None
    """


class Stop(HandlerOutcome):
    """Stop the consumer before this message: ``run()`` raises ``HandlerError``.

    The position stays before the message, so it is the first one when the consumer runs again.

    Example::

        @consumer.handler
        def ship(message: Message, context: Context) -> Stop | None:
            if message.data["version"] > 2:
                return Stop("a newer program has to handle it")
            return None
    """
