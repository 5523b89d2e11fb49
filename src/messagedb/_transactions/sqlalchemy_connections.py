"""Connections and sessions of SQLAlchemy: their types, and the psycopg connection behind them.

SQLAlchemy is never imported here: an object of it exists only if the application has imported it.
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable
from typing import Any, Final, NamedTuple, NoReturn, Protocol

import psycopg

from .._errors import ValidationError

_CLASSES: Final = (
    ("sqlalchemy.orm", "scoped_session"),
    ("sqlalchemy.orm", "Session"),
    ("sqlalchemy.engine", "Connection"),
    ("sqlalchemy.ext.asyncio", "async_scoped_session"),
    ("sqlalchemy.ext.asyncio", "AsyncSession"),
    ("sqlalchemy.ext.asyncio", "AsyncConnection"),
)
_REGISTRIES: Final = ("scoped_session", "async_scoped_session")

_HINTS: Final = {
    "asyncpg": "asyncpg's transactions cannot contain it: connect with psycopg instead, or write "
    "with the client itself, before or after that transaction.",
    "aiopg": "psycopg2's transactions cannot contain it: connect with psycopg (version 3) instead.",
    "psycopg2": "psycopg2's transactions cannot contain it: connect with psycopg (version 3) "
    "instead.",
    "django": "Of Django pass connection.connection, after connection.ensure_connection().",
    "sqlalchemy": "Of SQLAlchemy pass a Connection or a Session with the driver psycopg, or with "
    "an async client an AsyncConnection or an AsyncSession.",
}


class SQLAlchemyConnection(Protocol):
    """A ``sqlalchemy.Connection`` of an engine with the driver psycopg.

    Example::

        with engine.begin() as conn:
            client.bind(conn).write_message("order-1", NewMessage("Placed"))
    """

    def in_transaction(self) -> bool:
        """Return True in a transaction of SQLAlchemy."""
        ...

    def in_nested_transaction(self) -> bool:
        """Return True in a savepoint of SQLAlchemy."""
        ...

    def commit(self) -> None:
        """Commit."""
        ...


class AsyncSQLAlchemyConnection(Protocol):
    """A ``sqlalchemy.ext.asyncio.AsyncConnection`` of an engine with the driver psycopg.

    Example::

        async with engine.begin() as conn:
            await client.bind(conn).write_message("order-1", NewMessage("Placed"))
    """

    def in_transaction(self) -> bool:
        """Return True in a transaction of SQLAlchemy."""
        ...

    def in_nested_transaction(self) -> bool:
        """Return True in a savepoint of SQLAlchemy."""
        ...

    def commit(self) -> Awaitable[None]:
        """Commit."""
        ...


class SQLAlchemySession(Protocol):
    """A ``sqlalchemy.orm.Session``, or SQLModel's, of an engine with the driver psycopg.

    Example::

        with Session(engine) as session, session.begin():
            client.bind(session).write_message("order-1", NewMessage("Placed"))
    """

    def connection(self) -> SQLAlchemyConnection:
        """Return the connection of the session's transaction."""
        ...

    def flush(self) -> None:
        """Send the changes of rows."""
        ...


class AsyncSQLAlchemySession(Protocol):
    """A ``sqlalchemy.ext.asyncio.AsyncSession``, or SQLModel's, with the driver psycopg.

    Example::

        async with AsyncSession(engine) as session, session.begin():
            await client.bind(session).write_message("order-1", NewMessage("Placed"))
    """

    def connection(self) -> Awaitable[AsyncSQLAlchemyConnection]:
        """Return the connection of the session's transaction."""
        ...

    def flush(self) -> Awaitable[None]:
        """Send the changes of rows."""
        ...


class TakenConnection(NamedTuple):
    """SQLAlchemy's connection of the current transaction, and psycopg's behind it."""

    connection: Any
    driver_connection: Any


def find_session(given: object, wanted: type[object]) -> Any:
    """Return the session or connection of SQLAlchemy that was passed.

    Args:
        given: what the user has passed.
        wanted: psycopg's class of connections that must be behind it.

    Raises:
        ValidationError: it is no such thing, one of the other variant, or has another driver than
            psycopg. Nothing was sent.
    """
    name = next((name for module, name in _CLASSES if _is_instance(given, module, name)), None)
    if name is None:
        refuse_connection(given, wanted)
    is_async = issubclass(wanted, psycopg.AsyncConnection)
    session: Any = given
    if name in _REGISTRIES:
        session = session()
    has_binds = "ession" in name
    dialect = session.get_bind().dialect if has_binds else session.dialect
    if dialect.driver != "psycopg":
        raise ValidationError(
            f"the driver of this {type(session).__name__} of SQLAlchemy is {dialect.driver}, and "
            "an operation can be part of a transaction of psycopg only. Nothing was sent. Create "
            "the engine with postgresql+psycopg://, or write with the client itself, before or "
            "after that transaction."
        )
    if name.lower().startswith("async") is not is_async or bool(dialect.is_async) is not is_async:
        raise ValidationError(
            f"bind() of this client cannot use the {type(session).__name__} of "
            f"{'an async' if dialect.is_async else 'a sync'} engine. Nothing was sent. Use "
            "AsyncClient with AsyncSession and AsyncConnection, and Client with Session and "
            "Connection."
        )
    return session


def take_connection(session: Any, *, flushes: bool) -> TakenConnection:
    """Return the connection of a sync session or connection, whose transaction begins if needed.

    SQLAlchemy begins it as it does for a statement: without that, its ``commit()`` would do
    nothing.

    Args:
        session: a ``Session`` or a ``Connection``, also of an async engine.
        flushes: flush a session first, unless that is turned off or it is flushing.
    """
    connection = session
    if _is_instance(session, "sqlalchemy.orm", "Session"):
        if flushes and session.autoflush and not getattr(session, "_flushing", False):
            session.flush()
        connection = session.connection()
    if not connection.in_transaction():
        connection.begin()
    return TakenConnection(connection, connection.connection.driver_connection)


def discard_connection(connection: Any, _session: Any) -> None:
    """Remove a lost connection from the engine's pool; its transaction can then be rolled back."""
    if not (connection.closed or connection.invalidated):
        connection.invalidate()


def refuse_connection(given: object, wanted: type[object]) -> NoReturn:
    """Raise the error for a connection that is neither psycopg's nor SQLAlchemy's.

    Raises:
        ValidationError: always. Nothing was sent.
    """
    hint = _HINTS.get(
        type(given).__module__.partition(".")[0],
        "Use the client of the same variant as the connection.",
    )
    raise ValidationError(
        f"bind() of this client takes a {wanted.__qualname__} of psycopg or a session of "
        f"SQLAlchemy, not {type(given).__name__}. Nothing was sent. {hint}"
    )


def _is_instance(given: object, module_name: str, name: str) -> bool:
    cls = getattr(sys.modules.get(module_name), name, None)
    return isinstance(cls, type) and isinstance(given, cls)
