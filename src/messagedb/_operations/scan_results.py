"""The results of scans: scanned pages, lags, and open write transactions."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from .._messages.message import Message

__all__ = ["Lag", "OpenWriteTransaction", "ScannedPage", "ScannedStorePage"]


class ScannedPage(msgspec.Struct, frozen=True):
    """One scanned page, and its messages that matched.

    Example::

        page = client.scan_category("order", types=["Placed"])
        print(page.count, "examined,", len(page.messages), "found, up to", page.position)

    Attributes:
        messages: the matching messages, in the order of global position.
        position: the last global position that the page scanned, with or without a match; if there
            was no message, the position before the requested one. Continue at ``position + 1``.
        count: the number of scanned messages.
        is_full: whether the page was full, so that more messages may follow.
        last_id: the id of the last scanned message, at ``position``; None if it is not known.
        ids: the ids of ``messages``, as strings.
        history: the client's number for the server's history.
        found_id: the id at a position that was requested additionally; None if no message is there.
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
    """One scanned page of the whole store.

    Example::

        page = client.scan_all(types=["Placed"])
        print(len(page.messages), "found; missing positions:", page.gaps)

    Attributes:
        gaps: the global positions without a visible message, from the requested one to the page's
            last one: the first and the last of each run, in order. A message may still appear
            there, until its writer's transaction has ended.
        head: the last global position of the whole store at that moment, 0 for an empty one.
    """

    gaps: list[tuple[int, int]]
    head: int


class Lag(msgspec.Struct, frozen=True):
    """The messages from a position on.

    Example::

        lag = client.get_lag(["order"], next_position=1)
        print(lag.messages, lag.is_exact, lag.oldest)

    Attributes:
        head: the last global position, 0 if there is none; None if the role may not read the table.
        messages: the number of messages from the position on, counted up to a limit.
        is_exact: True if that is the whole number because the limit was not reached.
        oldest: the time of the first of them; None if there is none.
        now: the server's clock at that moment. Both times are aware and in UTC.
    """

    head: int | None
    messages: int
    is_exact: bool
    oldest: datetime | None
    now: datetime


class OpenWriteTransaction(msgspec.Struct, frozen=True):
    """A transaction that has written messages, or is about to, and has not ended.

    Example::

        for each in client.list_open_write_transactions():
            print(each.pid, each.application_name, each.since, each.state)

    Attributes:
        transaction: its virtual id in PostgreSQL, which is unique until the server is restarted.
        pid: the server process that it runs in; None for a prepared transaction.
        application_name: the name of the session; None if the role may not see it.
        user: the role of the session, or the owner of a prepared transaction.
        since: the time when it began, or was prepared, aware and in UTC; None if the role may not
            see it.
        state: the state of the session, such as ``active`` or ``idle in transaction``; None if the
            role may not see it.
        gid: the name of a prepared transaction.
    """

    transaction: str
    pid: int | None = None
    application_name: str | None = None
    user: str | None = None
    since: datetime | None = None
    state: str | None = None
    gid: str | None = None
