"""The first connection to an embedded server: it is ours, and has the database and the role."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import psycopg

from messagedb._errors import EmbeddedServerError

from . import _address, _folder

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from typing import Any, LiteralString

SUPERUSER = "postgres"
ROLE = "message_store"
DATABASE = "message_store"


def prepare(state: Mapping[str, Any], timeout: float, *, role: bool) -> bool:
    """Create the database, and the role if requested, if they are missing.

    The caller holds ``start.lock``.

    Args:
        state: the supervisor's description of its server: its socket, and the secret
            token.
        timeout: seconds to wait for the connection.
        role: create the role ``message_store`` too.

    Returns:
        False if another server responds there; nothing was changed in it.

    Raises:
        psycopg.Error: the server accepts no connections, or refused; nothing, or only a part,
            was created.
    """
    # libpq waits at least two seconds, also for a smaller value.
    with psycopg.connect(
        _address.url(str(state.get("socket_directory")), SUPERUSER, "postgres"),
        autocommit=True,
        connect_timeout=max(2, int(timeout)),
    ) as connection:
        row = connection.execute("SELECT current_setting('messagedb.server', true)").fetchone()
        if row is None or row[0] != state.get("token"):
            return False
        if role and not _exists(connection, "SELECT FROM pg_roles WHERE rolname = %s", ROLE):
            connection.execute("CREATE ROLE message_store LOGIN")
        if not _exists(connection, "SELECT FROM pg_database WHERE datname = %s", DATABASE):
            connection.execute("CREATE DATABASE message_store ENCODING 'UTF8' TEMPLATE template0")
    return True


def install(admin_url: str) -> None:
    """Install our schema unless a Message DB is there. The caller holds ``start.lock``.

    The role of the store may create tables in ``public``, for its read models.
    """
    # Imported here: the schema's I/O is a part of the client, which itself starts embedded servers.
    from .._sync.schema.install import install as install_schema

    install_schema(admin_url)
    with psycopg.connect(admin_url, autocommit=True) as connection:
        may = "SELECT WHERE has_schema_privilege(%s, 'public', 'CREATE')"
        has_role = _exists(connection, "SELECT FROM pg_roles WHERE rolname = %s", ROLE)
        if has_role and not _exists(connection, may, ROLE):
            connection.execute("GRANT CREATE ON SCHEMA public TO message_store")


def environment_hint() -> str:
    """Return a hint with the environment variables that no URL can override, if there are any."""
    names = [
        name
        for name in ("PGSERVICE", "PGTZ", "PGDATESTYLE", "PGGEQO", "PGCONNECT_TIMEOUT")
        if name in os.environ
    ]
    return f" (in the environment: {', '.join(names)}; try without)" if names else ""


def unusable_server_error(folder: Path, exc: Exception) -> EmbeddedServerError:
    """Return the error for a server that runs and cannot be used."""
    return EmbeddedServerError(
        f"the embedded PostgreSQL in {folder} runs and could not be used: "
        f"{str(exc).strip()}{environment_hint()}. Nothing was written to the store. See "
        f"{folder / _folder.LOG}."
    )


def _exists(connection: psycopg.Connection[Any], query: LiteralString, name: str) -> bool:
    return bool(connection.execute(query, (name,)).rowcount)
