"""What a handler may say of a message instead of handling it: raised, or returned."""

from __future__ import annotations

from typing import Any

from .._argument_checks import check_seconds
from .._errors import ValidationError

__all__ = ["HandlerOutcome", "Park", "Retry", "Skip", "Stop"]


class HandlerOutcome(Exception):
    """Base of what a handler may raise or return to say what is to become of its message."""

    reason = ""
    """The handler's word, also of a class that does not call our ``__init__``."""

    def __init__(self, reason: str = "") -> None:
        given: Any = reason
        if not isinstance(given, str):
            raise ValidationError(f"the reason must be text, not {type(given).__name__}")
        self.reason = reason
        super().__init__(reason)


class Retry(HandlerOutcome):
    """Call the handler again with the same message.

    It counts as an attempt: after the policy's ``max_attempts`` the consumer does as ``on_error``
    says.

    Attributes:
        delay: seconds to wait before, None for those of the retry policy.
    """

    delay: float | None = None

    def __init__(self, delay: float | None = None, reason: str = "") -> None:
        if delay is not None and delay != 0:
            check_seconds("delay", delay)
        self.delay = delay
        super().__init__(reason)

    def __reduce__(self) -> tuple[type[Retry], tuple[float | None, str]]:
        """Pickle by what it was made of: its text is the reason alone."""
        return type(self), (self.delay, self.reason)


class Park(HandlerOutcome):
    """Put the message aside, into the stream of parked messages, and go on with the next one.

    Parking the same message twice is parking it once. Later messages of its stream are handled
    before it: whoever parks gives the order within that stream up.
    """


class Skip(HandlerOutcome):
    """Go on with the next message. A warning with the reason is logged; nothing is stored."""


class Stop(HandlerOutcome):
    """Stop the consumer before this message: ``run()`` raises ``HandlerError``.

    The position stays before the message, so that it is the first one when the consumer runs again.
    """
