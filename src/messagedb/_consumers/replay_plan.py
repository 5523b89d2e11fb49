"""Which parked messages a replay or a discard takes, and in which order. No I/O."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from .._errors import ValidationError
from .._operations import validation
from .._subscriptions.log_texts import format_value
from .parked_messages import ParkedMessage

if TYPE_CHECKING:
    from uuid import UUID


class Selection(NamedTuple):
    """The parked messages that a caller named.

    Attributes:
        parked: the messages; None for all.
        stream_name: only those of this stream; None for all.
        until: only those up to this position of the stream; None for all.
    """

    parked: list[ParkedMessage] | None
    stream_name: str | None
    until: int | None


class ReplayUnit(NamedTuple):
    """A part of a replay: one message, or the messages of a held stream in order.

    Attributes:
        message: the message; None for a held stream.
        stream_name: the stream.
        ids: the records of the stream's messages, if these are not all; None for all, also those
            that are parked behind meanwhile.
        until: the last position in the stream; None for no limit.
    """

    message: ParkedMessage | None
    stream_name: str
    ids: frozenset[UUID] | None
    until: int | None

    def includes(self, parked: ParkedMessage) -> bool:
        """Return True if it takes a message of its stream."""
        if self.ids is not None and parked.id not in self.ids:
            return False
        return self.until is None or parked.position <= self.until


def parse_selection(
    parked: ParkedMessage | Iterable[ParkedMessage] | None,
    stream_name: str | None,
    until: int | None,
) -> Selection:
    """Check what a caller named.

    Raises:
        ValidationError: it is contradictory, or nothing of that kind. Nothing was changed.
    """
    if parked is not None and stream_name is not None:
        raise ValidationError("pass either messages or stream_name, not both. Nothing was changed.")
    if stream_name is not None:
        validation.check_stream_name(stream_name)
    if until is not None:
        given: Any = until
        if stream_name is None:
            raise ValidationError(
                "until is a position in a stream: pass stream_name, too. Nothing was changed."
            )
        if not isinstance(given, int) or isinstance(given, bool) or given < 0:
            raise ValidationError(
                f"until must be a position, from 0, not {given!r}. Nothing was changed."
            )
    return Selection(None if parked is None else _as_list(parked), stream_name, until)


def select_parked(current: list[ParkedMessage], selection: Selection) -> list[ParkedMessage]:
    """Return the selected messages that are parked now."""
    if selection.parked is not None:
        now = {each.id: each for each in current}
        found = [(now[each.id], each) for each in selection.parked if each.id in now]
        return [known if known.holds_stream else given for known, given in found]
    return [
        each
        for each in current
        if selection.stream_name in (None, each.stream_name)
        and (selection.until is None or each.position <= selection.until)
    ]


def plan_replay(current: list[ParkedMessage], selection: Selection) -> list[ReplayUnit]:
    """Return the parts of a replay, in the order of parking, with each held stream as one part.

    Raises:
        ValidationError: a message waits for one that is not selected. Nothing was changed.
    """
    selected = select_parked(current, selection)
    chosen = {each.id for each in selected}
    holding = {each.id: each for each in current if each.holds_stream}
    if selection.parked is not None:
        _check_order(holding.values(), chosen)
    left_out = [
        each for each in holding.values() if selection.parked is not None and each.id not in chosen
    ]
    units: dict[UUID | str, ReplayUnit] = {}
    for each in selected:
        if each.id not in holding:
            units[each.id] = ReplayUnit(each, each.stream_name, None, None)
        elif each.stream_name not in units:
            ids = None
            if any(other.stream_name == each.stream_name for other in left_out):
                ids = frozenset(chosen)
            units[each.stream_name] = ReplayUnit(None, each.stream_name, ids, selection.until)
    return list(units.values())


def _check_order(holding: Iterable[ParkedMessage], chosen: set[UUID]) -> None:
    """Check that no chosen message waits for one of its stream that is not chosen."""
    left_out: dict[str, int] = {}
    for each in sorted(holding, key=lambda parked: parked.position):
        if each.id not in chosen:
            left_out.setdefault(each.stream_name, each.position)
        elif each.stream_name in left_out:
            raise ValidationError(
                f"message {each.position} of stream {each.stream_name!r} waits for message"
                f" {left_out[each.stream_name]}, which is parked, too, and is not among these."
                " Nothing was changed. Replay the stream in order: pass its name as stream_name"
                " (parked replay --stream)."
            )


def _as_list(parked: ParkedMessage | Iterable[ParkedMessage]) -> list[ParkedMessage]:
    messages: Any = [parked] if isinstance(parked, ParkedMessage) else parked
    if not isinstance(messages, Iterable):
        raise ValidationError(
            f"pass messages from list_parked(), not {format_value(parked)}. Nothing was changed."
        )
    return list(cast("Iterable[ParkedMessage]", messages))
