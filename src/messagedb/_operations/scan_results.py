"""What scans give: pages that were looked at, lags, and who is writing."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from .._messages.message import Message

__all__ = ["Lag", "OpenWriteTransaction", "ScannedPage", "ScannedStorePage"]


class ScannedPage(msgspec.Struct, frozen=True):
    """One page that was looked at, and what of it matched.

    Attributes:
        messages: those that match, in the order of global position.
        position: the global position up to which the page looked, whatever matched; where there was
            no message, the one before the position asked for. Go on at the one behind it.
        count: how many messages were looked at.
        is_full: whether the page was full, so that more may follow.
        last_id: the id of the last message that was looked at, whose position is ``position``; None
            where that is not known.
        ids: the ids of ``messages``, as text.
        history: the number that the client has given to the server's history.
        found_id: the id at a position that was asked for besides; None where no message is there.
    """

    messages: list[Message[Any]]
    position: int
    count: int
    is_full: bool
    last_id: str | None = None
    ids: list[str] = msgspec.field(default_factory=list[str])
    history: int = 0
    found_id: str | None = None


class ScannedStorePage(ScannedPage, frozen=True, kw_only=True):
    """One page of the whole store that was looked at.

    Attributes:
        gaps: the global positions from the one asked for to the last one of the page that have no
            message that could be seen: the first and the last of each run, in order. A message may
            still appear there, until its writer's transaction has ended.
        head: the last global position of the whole store at that moment, 0 for an empty one.
    """

    gaps: list[tuple[int, int]]
    head: int


class Lag(msgspec.Struct, frozen=True):
    """What follows a position.

    Attributes:
        head: the last global position there is, 0 for none; None where the role may not read the
            table.
        messages: how many messages follow the position, counted up to a limit.
        is_exact: whether that is all of them, the limit not having been reached.
        oldest: when the first of them was written; None where none follows.
        now: the server's clock at that moment. Both times are in UTC and aware of it.
    """

    head: int | None
    messages: int
    is_exact: bool
    oldest: datetime | None
    now: datetime


class OpenWriteTransaction(msgspec.Struct, frozen=True):
    """A transaction that has written messages, or is about to, and has not ended.

    Attributes:
        transaction: PostgreSQL's virtual id of it, which no other gets before the server is started
            again.
        pid: the server process that it runs in; None for a prepared transaction.
        application_name: what the session calls itself; None where the role may not see that.
        user: the role of the session, or the owner of a prepared transaction.
        since: when it began, or was prepared: in UTC and aware of it; None where the role may not
            see that.
        state: of the session, such as ``active`` or ``idle in transaction``; None where the role
            may not see that.
        gid: the name of a prepared transaction.
    """

    transaction: str
    pid: int | None = None
    application_name: str | None = None
    user: str | None = None
    since: datetime | None = None
    state: str | None = None
    gid: str | None = None
