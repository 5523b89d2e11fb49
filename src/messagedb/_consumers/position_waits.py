"""Waits for the stored position of a consumer: what is waited for, announcements, error texts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec
from msgspec.structs import replace

from .._argument_checks import check_integer, check_seconds
from .._errors import MessageDBError, PositionConflictError, ValidationError
from .._operations import validation
from .._subscriptions.log_texts import format_error
from ..streams import category as get_category
from ..streams import group_member as find_group_member
from ..streams import position_stream_name
from .consumer_info import ALL
from .position_records import group_resized_error, parse_position
from .position_stores import (
    StreamPositionStore,
    TablePositionStore,
    build_consumer_name,
    check_identifier,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from .._messages.message import Message
    from .consumer_report import ConsumerReport

LONGEST_ANNOUNCEMENT: Final = 7999
"""The most bytes that PostgreSQL accepts as the payload of a notification."""

ANNOUNCE_SECONDS: Final = 1.0
"""How often a wait is announced again, as the consumer may have started meanwhile."""


_DIVIDE_SECONDS: Final = 1.0
"""How often a wait looks for the number of partitions, which may change meanwhile."""

_SHARE_SECONDS: Final = 1.0
"""How often a wait looks for the members that have nothing to handle."""

_MAX_SHARES: Final = 64
"""The most members for which such a look is made: each is a read."""

_SILENT_SECONDS: Final = 0.5
"""A look that takes longer is one at a store that does not respond."""


class Share(NamedTuple):
    """The messages that a member of a group may still have to handle for a wait.

    Attributes:
        name: where its position is stored.
        category: that of its messages.
        member: its number.
        size: the number of members.
        position: the global position after the stored one.
    """

    name: str
    category: str
    member: int
    size: int
    position: int


class WaitRequest(msgspec.Struct, frozen=True, kw_only=True):
    """The checked arguments of a wait for a consumer.

    Attributes:
        label: the consumer, for errors.
        names: the streams of the positions, or the keys of their rows: several for all members of a
            group.
        category: that of its messages; None for consumers of all categories.
        members: the numbers of the members, in the order of the names; None without a group.
        size: the number of all members; None without a group.
        in_stream: whether positions in streams count.
        in_table: whether positions in the table count.
        stream_name: the stream of the message that is waited for; None if it is not known.
        position: its position there; None if the global position was given.
        global_position: its global position; None if it has to be found.
        timeout: the largest number of seconds to wait.
        set_key: category and identifier, if the consumer may have partitions, whose number is
            stored; None if its names are known.
    """

    label: str
    names: tuple[str, ...]
    category: str | None
    members: tuple[int | None, ...]
    size: int | None
    in_stream: bool
    in_table: bool
    stream_name: str | None
    position: int | None
    global_position: int | None
    timeout: float
    set_key: tuple[str, str] | None = None

    def divide(self, size: int) -> WaitRequest:
        """Return the same for a consumer with so many partitions."""
        assert self.set_key is not None
        # Partition 0 has the streams without an id, if any has.
        found = None if self.stream_name is None else find_group_member(self.stream_name, size) or 0
        members = tuple(range(size)) if found is None else (found,)
        names = _build_names(*self.set_key, members, size)
        return replace(self, names=names, members=members, size=size)


class Place(msgspec.Struct, frozen=True):
    """The positions that are stored under one name, or the error of an invalid record."""

    in_stream: int | None = None
    in_table: int | None = None
    stream_error: MessageDBError | None = None
    table_error: MessageDBError | None = None


class PendingWait(msgspec.Struct, eq=False):
    """One wait that is not over.

    Attributes:
        request: its arguments.
        position: the global position that is waited for.
        wake: wakes its caller.
        places: the positions at the last look.
        is_over: True if everything up to the position is stored as handled.
        error: the error that ends it.
        unavailable: the error of the last look, if the store was unavailable.
        looking_since: the time since which a look is under way, or the first one is waited for, as
            an earlier one of other waits has no response yet; None between two looks.
        divided_at: the time of the last look for the consumer's partitions.
        without_messages: the names of members that have nothing to handle up to the position, and
            so may never store a later one.
        shares_due_at: the time of the next look for such members.
        announced_at: the time of its last announcement to consumers.
    """

    request: WaitRequest
    position: int
    wake: Callable[[], object]
    places: dict[str, Place] = {}
    is_over: bool = False
    error: Exception | None = None
    unavailable: MessageDBError | None = None
    looking_since: float | None = None
    divided_at: float = -_DIVIDE_SECONDS
    without_messages: frozenset[str] = frozenset()
    shares_due_at: float | None = None
    announced_at: float = -ANNOUNCE_SECONDS

    def begin_look(self, now: float) -> None:
        """Record that a look begins; the time without a response may have begun before."""
        if self.looking_since is None:
            self.looking_since = now

    def is_division_due(self, now: float) -> bool:
        """Return True if the number of the consumer's partitions is to be read."""
        return self.request.set_key is not None and now - self.divided_at >= _DIVIDE_SECONDS

    def note_division(self, size: int | None, now: float) -> None:
        """Record the number of partitions; None for a consumer without them."""
        self.divided_at = now
        divided = self.request if size is None else self.request.divide(size)
        if divided.names != self.request.names:
            self.request, self.places = divided, {}
            self.without_messages, self.shares_due_at = frozenset(), None
            self.announced_at = -ANNOUNCE_SECONDS

    def find_trouble(self, now: float) -> str | None:
        """Return the reason if the store does not respond now; None if it does."""
        if self.unavailable is not None:
            return format_error(self.unavailable)
        seconds = 0.0 if self.looking_since is None else now - self.looking_since
        if seconds > min(_SILENT_SECONDS, self.request.timeout / 2):
            return f"it has not responded for {seconds:.1f} s"
        return None

    def note(self, places: Mapping[str, Place]) -> bool:
        """Record a look at the stored positions; return True if it ends the wait."""
        self.unavailable = None
        self.places = {name: places[name] for name in self.request.names}
        if not self.missing_names():
            self.is_over = True
        else:
            errors = map(self._find_error, self.places.values())
            self.error = next((error for error in errors if error is not None), None)
        return self.is_over or self.error is not None

    def missing_names(self) -> list[str]:
        """Return the names whose position is not there yet."""
        return [
            name
            for name in self.request.names
            if name not in self.without_messages and (self.find_stored(name) or 0) < self.position
        ]

    def take_due_shares(self, now: float) -> list[Share]:
        """Return what is to be looked at, if it is time: not at the first look at the positions."""
        request = self.request
        if request.category is None or request.size is None or request.stream_name is not None:
            return []
        if self.shares_due_at is None:
            self.shares_due_at = now
            return []
        if now < self.shares_due_at:
            return []
        self.shares_due_at = now + _SHARE_SECONDS
        missing = set(self.missing_names())
        return [
            Share(name, request.category, member, request.size, (self.find_stored(name) or 0) + 1)
            for name, member in zip(request.names, request.members, strict=True)
            if member is not None and name in missing
        ][:_MAX_SHARES]

    def note_shares(self, names: Iterable[str]) -> bool:
        """Record members that have no message up to the position; return True if it is over."""
        self.without_messages |= frozenset(names)
        self.is_over = not self.missing_names()
        return self.is_over

    def find_stored(self, name: str) -> int | None:
        """Return the position that is stored under a name; of two the later."""
        place, request = self.places.get(name, _NOWHERE), self.request
        found = (
            place.in_stream if request.in_stream else None,
            place.in_table if request.in_table else None,
        )
        return max((each for each in found if each is not None), default=None)

    def _find_error(self, place: Place) -> MessageDBError | None:
        """Return the error of a place, unless a position is in the other store."""
        errors = (
            place.stream_error if self.request.in_stream else None,
            place.table_error if self.request.in_table else None,
        )
        has_other = (place.in_table, place.in_stream)
        for error, other in zip(errors, has_other, strict=True):
            if error is not None and other is None:
                return error
        return None


_NOWHERE: Final = Place()


def build_wait_request(
    category: Any,
    identifier: Any,
    *,
    stream_name: Any,
    position: Any,
    global_position: Any,
    group_member: Any,
    group_size: Any,
    position_store: Any,
    timeout: Any,
) -> WaitRequest:
    """Return the request of a wait, with its arguments checked.

    Raises:
        ValidationError: an argument is invalid. Nothing was sent.
    """
    if category is not None:
        validation.check_category(category)
    check_identifier(identifier, group_size is not None)
    check_seconds("timeout", timeout)
    _check_target(category, stream_name, position, global_position)
    members = _find_members(stream_name, group_member, group_size)
    custom = _find_custom_name(position_store)
    names = _build_names(category, identifier, members, group_size)
    set_key: tuple[str, str] | None = None
    if category is not None and identifier is not None and group_size is None and custom is None:
        set_key = (category, identifier)
    return WaitRequest(
        label=f"consumer {identifier!r} of "
        + ("all categories" if category is None else f"category {category!r}"),
        names=names if custom is None else (custom,),
        category=category,
        members=members if custom is None else (group_member,),
        size=group_size,
        in_stream=not isinstance(position_store, TablePositionStore),
        in_table=not isinstance(position_store, StreamPositionStore),
        stream_name=stream_name,
        position=position,
        global_position=global_position,
        timeout=timeout,
        set_key=set_key,
    )


def _build_names(
    category: str | None,
    identifier: str | None,
    members: Iterable[int | None],
    size: int | None,
) -> tuple[str, ...]:
    """Return the streams of the positions of some members, or the keys of their rows."""
    names = (build_consumer_name(identifier, member, size) for member in members)
    return tuple(position_stream_name(category or ALL, name) for name in names)


def _check_target(category: Any, stream_name: Any, position: Any, global_position: Any) -> None:
    if (position is None) == (global_position is None):
        raise ValidationError(
            "pass what to wait for: stream_name and position, as a write returned it, or "
            "global_position. Nothing was sent."
        )
    if global_position is not None:
        check_integer("global_position", global_position, least=1)
    else:
        check_integer("position", position, least=0)
        if stream_name is None:
            raise ValidationError(
                "position needs stream_name: it is the position in the stream. Nothing was sent."
            )
    if stream_name is None:
        return
    validation.check_stream_name(stream_name)
    if category is not None and get_category(stream_name) != category:
        raise ValidationError(
            f"stream {stream_name!r} is of category {get_category(stream_name)!r}, which a "
            f"consumer of category {category!r} does not read. Nothing was sent."
        )


def _find_members(
    stream_name: str | None, group_member: Any, group_size: Any
) -> tuple[int | None, ...]:
    """Return the members of the group to wait for; None stands for a consumer without a group."""
    if group_size is None:
        if group_member is not None:
            raise ValidationError("group_member needs group_size. Nothing was sent.")
        return (None,)
    if group_member is not None:
        validation.check_group(group_member, group_size)
        return (group_member,)
    validation.check_group_size("group_size", group_size)
    if stream_name is None:
        return tuple(range(group_size))
    found = find_group_member(stream_name, group_size)
    if found is None:
        raise ValidationError(
            f"stream {stream_name!r} has no id, so only the member that is configured with "
            "streams_without_id reads it: pass its number as group_member. Nothing was sent."
        )
    return (found,)


def _find_custom_name(position_store: Any) -> str | None:
    if position_store is None:
        return None
    if isinstance(position_store, StreamPositionStore):
        return position_store.stream_name
    if isinstance(position_store, TablePositionStore):
        return position_store.name
    raise ValidationError(
        "position_store must be a StreamPositionStore, a TablePositionStore or None, not "
        f"{type(position_store).__name__}. Nothing was sent."
    )


def build_place(
    name: str, record: Message[Any] | None, row: tuple[int, int | None] | None
) -> Place:
    """Return the positions under a name.

    Args:
        name: the stream of the positions, or the key of the row.
        record: the last message of the stream.
        row: position and new group size of the row.
    """
    in_stream: int | None = None
    stream_error: MessageDBError | None = None
    table_error: MessageDBError | None = None
    if record is not None:
        try:
            in_stream = parse_position(record, name)
        except PositionConflictError as error:
            stream_error = error
    in_table = None if row is None else row[0]
    if row is not None and row[1] is not None:
        in_table, table_error = None, group_resized_error(name, row[1])
    return Place(in_stream, in_table, stream_error, table_error)


def build_announcements(waits: Iterable[PendingWait], now: float) -> list[str]:
    """Return the announcements of waits that are due, each once.

    A consumer that gets one stores its position when it has reached that of the wait.
    """
    texts: dict[str, None] = {}
    for wait in waits:
        if now - wait.announced_at >= ANNOUNCE_SECONDS:
            wait.announced_at = now
            for name in wait.missing_names():
                texts[f"{wait.position} {name}"] = None
    return [text for text in texts if len(text.encode()) <= LONGEST_ANNOUNCEMENT]


def parse_announcement(text: str) -> tuple[str, int] | None:
    """Return the consumer's name and the position of an announcement; None if it is invalid."""
    number, _, name = text.partition(" ")
    # Of a bigint, as another process may send anything.
    is_number = number.isascii() and number.isdecimal() and len(number) < 20
    return (name, int(number)) if name and is_number else None


def unwritten_text(request: WaitRequest) -> str:
    """Return the text for a message that was not written in time."""
    return (
        f"message {request.position} of stream {request.stream_name!r} was not on this server "
        f"within {request.timeout:g} s, so it has no position of {request.label} that is beyond "
        "it. A standby may be behind its primary, where the message may be handled already; "
        "on the primary, pass the stream and the position that the write returned. Nothing was "
        "changed."
    )


def timeout_text(
    wait: PendingWait, trouble: str | None, reports: Mapping[str, ConsumerReport] | None
) -> str:
    """Return the text for a consumer that has not stored a position in time.

    Args:
        wait: the wait.
        trouble: the reason if the store does not respond.
        reports: what the consumers last reported, by name; None if it cannot be read.
    """
    request = wait.request
    target = f"global position {wait.position:,}"
    if request.position is not None:
        target = f"message {request.position} of stream {request.stream_name!r} ({target})"
    text = f"{request.label} has not stored that it handled {target} within {request.timeout:g} s"
    if trouble is not None:
        return (
            f"{text}, as far as known: the store is unavailable ({trouble}). Nothing was changed."
        )
    name = (wait.missing_names() or list(request.names))[0]
    stored = wait.find_stored(name)
    if stored is None:
        text += (
            f": no position is stored under {name!r}. It has not handled a message yet, or its "
            "identifier, group_size or position_store is another one."
        )
    else:
        text += f": the position stored in {name!r} is {stored:,} on this server."
    return f"{text} {_report_text(name, reports)} The wait changed nothing."


def _report_text(name: str, reports: Mapping[str, ConsumerReport] | None) -> str:
    if reports is None:
        return (
            "Whether it runs is not known: messagedb.consumer_status cannot be read (see "
            "messagedb.schema.upgrade)."
        )
    report = reports.get(name)
    if report is None:
        return "No process has reported that it runs: start it."
    where = f"{report.host}, process {report.pid}"
    # One that it has passed is no reason any more.
    failure = None if report.has_passed_failure else report.last_failure
    reason = "" if failure is None else f" Its last failure: {failure.error}"
    if report.has_ended:
        return f"Its last run, on {where}, has ended ({report.state}): start it.{reason}"
    if report.is_overdue:
        return (
            f"Its last run, on {where}, has not reported for {report.age:.0f} s: it hangs, or its "
            f"process has died.{reason}"
        )
    lag = "" if report.lag_messages is None else f", {report.lag_messages:,} messages behind"
    return f"It runs on {where} ({report.state}{lag}): wait longer.{reason}"
