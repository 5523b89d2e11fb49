"""Checks of the arguments of consumers and subscriptions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, cast

from .._errors import ValidationError

if TYPE_CHECKING:
    from collections.abc import Iterable

_STARTS: Final = ("stored", "beginning", "end")


def check_on_lost_history(value: Any) -> None:
    """Raise unless this is a known reaction to a store that lost messages.

    Raises:
        ValidationError: it is not. Nothing was sent.
    """
    if value not in ("stop", "continue"):
        raise ValidationError(
            f"on_lost_history must be 'stop' or 'continue', not {value!r}. Nothing was sent."
        )


def check_start(start: Any) -> None:
    """Raise unless a start is one of the words or a global position.

    Raises:
        ValidationError: it is neither. Nothing was sent.
    """
    if isinstance(start, str) and start in _STARTS:
        return
    if not isinstance(start, int) or isinstance(start, bool) or not 0 <= start < 2**63:
        raise ValidationError(
            "start must be 'stored', 'beginning', 'end', or the global position of the first "
            f"message to handle, not {start!r}"
        )


def as_name_tuple(option: str, value: Iterable[str] | None) -> tuple[str, ...] | None:
    """Return some names as a tuple, None for no restriction.

    Raises:
        ValidationError: the value is a single string, not iterable, or empty.
    """
    if value is None:
        return None
    if isinstance(value, str):
        raise ValidationError(f"{option} must be an iterable of names: give [{value!r}]")
    try:
        names = tuple(cast("Iterable[Any]", value))
    except TypeError:
        raise ValidationError(
            f"{option} must be an iterable of names, not {type(value).__name__}"
        ) from None
    if not names:
        raise ValidationError(f"{option} must not be empty: leave it out for all")
    return names
