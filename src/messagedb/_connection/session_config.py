"""The setup of the connections of one client: one object for all of them."""

from __future__ import annotations

import math
import os
from time import monotonic
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg.conninfo import conninfo_to_dict

from .._sql.statements import SET_UP, SET_UP_AND_HISTORY, SET_UP_TRANSACTION, Statement, search_path
from .history import Histories
from .settings import RESPONSE_GRACE_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable

    from psycopg.adapt import AdaptersMap

    from .._sql.statements import Statements
    from .connect_errors import Refusal
    from .history import ServerHistory
    from .settings import Settings


class SessionConfig:
    """The configuration of a client's new connections. Passed to psycopg as its adapters' context.

    Attributes:
        session_settings: whether session settings may be changed; False with a transaction pooler.
        has_readable_history: whether the role may read the history of the server.
        histories: the histories that were seen, by number.
        operation_seconds: how long a call may take, the way of its answer included.
        last_error: the reason why the last attempt to connect failed, None after a success.
    """

    def __init__(self, settings: Settings, sql: Statements) -> None:
        self.settings = settings
        self.sql = sql
        self.search_path: str = search_path(settings.schema)
        self.session_settings: bool = not settings.pooler
        self.has_readable_history = False
        self.histories: Histories = Histories()
        self.get_history_number: Callable[[ServerHistory], int] = self.histories.get_number
        self.last_error: Refusal | None = None
        self.operation_seconds: float = settings.command_timeout + RESPONSE_GRACE_SECONDS

    @property
    def adapters(self) -> AdaptersMap:
        """The adapters of a psycopg connection, for the user's statements in a transaction."""
        return psycopg.adapters

    @property
    def connection(self) -> None:
        """A part of psycopg's protocol of a context."""

    @property
    def connect_seconds(self) -> float:
        """The limit in seconds for connecting and setting up."""
        return max(2.0, min(self.settings.timeout, self.settings.command_timeout))

    def connect_arguments(self, conninfo: str) -> dict[str, Any]:
        """Return the arguments for connecting that the connection string does not already have.

        The kernel detects a connection whose peer has vanished, without a query of ours.
        """
        given = conninfo_to_dict(conninfo)
        answer_time = self.settings.command_timeout + RESPONSE_GRACE_SECONDS
        wanted: dict[str, Any] = {
            "connect_timeout": math.ceil(self.connect_seconds),
            "keepalives_idle": max(1, math.ceil(answer_time)),
            "keepalives_interval": max(1, math.ceil(answer_time / 3)),
            "keepalives_count": 3,
            "tcp_user_timeout": math.ceil(answer_time * 1000),
            "fallback_application_name": "messagedb",
        }
        if "PGCONNECT_TIMEOUT" in os.environ:
            del wanted["connect_timeout"]
        if given.get("service") or "PGSERVICE" in os.environ:
            # The content of the service file is not known here.
            wanted = {}
        arguments = {name: value for name, value in wanted.items() if given.get(name) is None}
        # The user cannot choose this: names are hashed as UTF-8.
        return {**arguments, "client_encoding": "UTF8"}

    def build_session_setup(self) -> Statement:
        """Return the statement that sets a session up and returns the history if it is readable."""
        milliseconds = str(math.ceil(self.settings.command_timeout * 1000))
        text = SET_UP_AND_HISTORY if self.has_readable_history else SET_UP
        return Statement(text, (self.search_path, milliseconds, milliseconds))

    def build_transaction_setup(self) -> Statement:
        """Return the equivalent statement for a transaction, which does not change the session."""
        milliseconds = str(math.ceil(self.settings.command_timeout * 1000))
        return Statement(SET_UP_TRANSACTION, (self.search_path, milliseconds))

    def build_time_limit(self) -> bytes:
        """Return the statement that sets the client's time limit for one transaction.

        It is no query: under the time limit of the role, a query may be too slow to set this.
        """
        milliseconds = math.ceil(self.settings.command_timeout * 1000)
        return f"SET LOCAL statement_timeout = {milliseconds}".encode()

    def compute_deadline(self) -> float:
        """Return the deadline of a call that begins now, by the clock of ``time.monotonic``."""
        return monotonic() + self.operation_seconds
