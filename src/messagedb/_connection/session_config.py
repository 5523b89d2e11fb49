"""How the connections of one client are made and set up: one object for all of them."""

from __future__ import annotations

import math
import os
from time import monotonic
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg.conninfo import conninfo_to_dict

from .._sql.statements import SET_UP, SET_UP_AND_HISTORY, SET_UP_TRANSACTION, Statement, search_path
from .history import Histories
from .settings import ANSWER_GRACE

if TYPE_CHECKING:
    from psycopg.adapt import AdaptersMap

    from .._sql.statements import Statements
    from .connect_errors import Refusal
    from .settings import Settings


class Profile:
    """What a new connection of a client must know. Given to psycopg as the context of its adapters.

    Attributes:
        session_settings: whether settings of the session may be made; False behind a transaction
            pooler.
        reads_history: whether the role may read the history of the server.
        histories: the histories that were seen, by number.
        operation_seconds: how long a call may take, the way of its answer included.
        last_error: why the last attempt to connect failed, None after one that did not.
    """

    def __init__(self, settings: Settings, sql: Statements) -> None:
        self.settings = settings
        self.sql = sql
        self.search_path = search_path(settings.schema)
        self.session_settings = not settings.pooler
        self.reads_history = False
        self.histories = Histories()
        self.number_of = self.histories.number_of
        self.last_error: Refusal | None = None
        self.operation_seconds = settings.command_timeout + ANSWER_GRACE

    @property
    def adapters(self) -> AdaptersMap:
        """Those of a connection as psycopg makes it, for the user's statements in a transaction."""
        return psycopg.adapters

    @property
    def connection(self) -> None:
        """Part of psycopg's protocol of a context."""

    @property
    def connect_limit(self) -> float:
        """The seconds that connecting and setting up may take."""
        return max(2.0, min(self.settings.timeout, self.settings.command_timeout))

    def connect_arguments(self, conninfo: str) -> dict[str, Any]:
        """Arguments for connecting that the connection string does not have already.

        A connection whose peer vanished is noticed by the kernel, without a query of ours.
        """
        given = conninfo_to_dict(conninfo)
        answer_time = self.settings.command_timeout + ANSWER_GRACE
        wanted: dict[str, Any] = {
            "connect_timeout": math.ceil(self.connect_limit),
            "keepalives_idle": max(1, math.ceil(answer_time)),
            "keepalives_interval": max(1, math.ceil(answer_time / 3)),
            "keepalives_count": 3,
            "tcp_user_timeout": math.ceil(answer_time * 1000),
            "fallback_application_name": "messagedb",
        }
        if "PGCONNECT_TIMEOUT" in os.environ:
            del wanted["connect_timeout"]
        if given.get("service") or "PGSERVICE" in os.environ:
            # What the service's file says is not known here.
            wanted = {}
        arguments = {name: value for name, value in wanted.items() if given.get(name) is None}
        # Not the user's to choose: names are hashed as UTF-8.
        return {**arguments, "client_encoding": "UTF8"}

    def set_up(self) -> Statement:
        """The one statement that sets a session up, and gives the history if it may be read."""
        milliseconds = str(math.ceil(self.settings.command_timeout * 1000))
        text = SET_UP_AND_HISTORY if self.reads_history else SET_UP
        return Statement(text, (self.search_path, milliseconds, milliseconds))

    def set_up_transaction(self) -> Statement:
        """The one statement that does as much for a transaction, and leaves the session alone."""
        milliseconds = str(math.ceil(self.settings.command_timeout * 1000))
        return Statement(SET_UP_TRANSACTION, (self.search_path, milliseconds))

    def deadline(self) -> float:
        """When a call that begins now must have ended, by the clock of ``time.monotonic``."""
        return monotonic() + self.operation_seconds
