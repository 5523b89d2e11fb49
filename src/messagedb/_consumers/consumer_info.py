"""The consumers that a store knows of: found by their positions, told apart by their names."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec

from .._errors import MessageDBError
from .._operations.rows import messages
from ..streams.reserved import POSITION, parked_stream_name
from .position_records import position_in
from .position_stores import lease_keys

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from .._operations.scan_results import Lag

__all__ = ["ConsumerInfo"]

ALL: Final = "all"
"""What stands in the names of a consumer of several categories, where one's category would."""

_MEMBER: Final = re.compile(r"(.*)\+([0-9]+)\+([0-9]+)", re.S).fullmatch


class ConsumerInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A consumer as the store knows it, whichever process runs it, if any does.

    Attributes:
        name: the stream of its positions, or the key of its row in the table.
        position_store: whether its position is in a ``stream`` or in the ``table``.
        category: what it reads; None for a consumer of several categories.
        identifier: its own, without the group's member and size; None where it has none.
        group_member: its number in its group, from 0; None where it is in none.
        group_size: the number of members; None where it is in none.
        position: the global position of the last message that is done with and stored; None where
            nothing was handled yet.
        saved_at: when that was stored, by the server's clock, in UTC.
        pid: the server process that holds its lease, and so says that it runs; None where none
            does. A consumer with ``lease_timeout=None`` holds none.
        head: the last global position of its category, or of the store where it reads several.
        lag_messages: how many messages of the category follow the position, at most 100,000
            counted: before filters, and of all members of a group.
        lag_seconds: how long the first of them has waited, by the server's clock; None where none
            follows.
        parked_count: how many messages it has put aside, in all members of its group.
        problem: why its position cannot be told; None where it can.
    """

    name: str
    position_store: Literal["stream", "table"]
    category: str | None
    identifier: str | None
    group_member: int | None
    group_size: int | None
    position: int | None
    saved_at: datetime | None
    pid: int | None
    head: int | None = None
    lag_messages: int = 0
    lag_seconds: float | None = None
    parked_count: int = 0
    problem: str | None = None

    @property
    def is_running(self) -> bool:
        """Whether a process holds its lease."""
        return self.pid is not None

    @property
    def parked_stream(self) -> str:
        """The stream of its parked messages."""
        return parked_stream_name(self.category or ALL, self.identifier)


def of_record(
    row: tuple[Any, ...], pids: Mapping[tuple[int, int], int], schema: str
) -> ConsumerInfo:
    """The consumer whose last record a row is, of the columns of messages."""
    (record,) = messages([row], decimals=False)
    position: int | None = None
    problem: str | None = None
    try:
        position = position_in(record, record.stream_name)
    except MessageDBError as error:
        problem = str(error)
    return _of_name(
        record.stream_name,
        "stream",
        pids,
        schema,
        position=position,
        saved_at=record.time,
        problem=problem,
    )


def of_table_row(
    name: str,
    position: int,
    saved_at: datetime,
    resized_to: int | None,
    pids: Mapping[tuple[int, int], int],
    schema: str,
) -> ConsumerInfo:
    """The consumer of a row of the table of positions."""
    problem = None if resized_to is None else f"its group was given another size, {resized_to}"
    return _of_name(
        name, "table", pids, schema, position=position, saved_at=saved_at, problem=problem
    )


def holders(rows: Iterable[tuple[Any, ...]]) -> dict[tuple[int, int], int]:
    """The server processes by the pairs of integers whose advisory locks they hold."""
    return {(_signed(first), _signed(second)): pid for first, second, pid in rows}


def measured(consumer: ConsumerInfo, lag: Lag, parked: int) -> ConsumerInfo:
    """The consumer with what follows its position, and what it has parked."""
    waited = None if lag.oldest is None else max((lag.now - lag.oldest).total_seconds(), 0.0)
    return msgspec.structs.replace(
        consumer, head=lag.head, lag_messages=lag.messages, lag_seconds=waited, parked_count=parked
    )


def parts_of(name: str) -> tuple[str | None, str | None]:
    """The category and the identifier in the name of a position's stream.

    Example::

        parts_of("account:command+position-mail+0+3")  # ('account:command', 'mail+0+3')
    """
    typed, dash, identifier = name.partition("-")
    base, _, given = typed.partition(":")
    types = [each for each in given.split("+") if each != POSITION]
    category = f"{base}:{'+'.join(types)}" if types and types != [""] else base
    return (None if category == ALL else category), identifier if dash else None


def _of_name(
    name: str,
    kept_in: Literal["stream", "table"],
    pids: Mapping[tuple[int, int], int],
    schema: str,
    *,
    position: int | None,
    saved_at: datetime,
    problem: str | None,
) -> ConsumerInfo:
    category, identifier = parts_of(name)
    member = _MEMBER(identifier or "")
    return ConsumerInfo(
        name=name,
        position_store=kept_in,
        category=category,
        identifier=member[1] if member else identifier,
        group_member=int(member[2]) if member else None,
        group_size=int(member[3]) if member else None,
        position=position,
        saved_at=saved_at,
        pid=pids.get(lease_keys(f"{schema} {name}")),
        problem=problem,
    )


def _signed(value: int) -> int:
    """An oid, which the server shows without a sign, as the integer that was given."""
    return value - 0x100000000 if value >= 0x80000000 else value
