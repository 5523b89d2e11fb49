"""The server of a run, and databases on it that are dropped when their group has ended."""

from __future__ import annotations

import os
import platform
import tempfile
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

import fetch_message_db
import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from messagedb import embedded, schema

ROLE: Final = "message_store"
SEARCH_PATH: Final = "message_store,public"

# Enough for 64 threads on each of four pools and one more.
_MAX_CONNECTIONS: Final = "400"

# The other parts of an address differ between the libpq of one driver and that of another.
_ADDRESS: Final = ("host", "port", "user", "password", "dbname", "sslmode", "sslrootcert")

_SETTINGS: Final = (
    "fsync",
    "synchronous_commit",
    "full_page_writes",
    "wal_sync_method",
    "shared_buffers",
    "max_connections",
)
_LIBRARIES: Final = (
    "messagedb",
    "psycopg",
    "psycopg-pool",
    "msgspec",
    "eventsourcing",
    "message-db-py",
    "psycopg2-binary",
)


def with_settings(conninfo: str, **settings: str) -> str:
    """Return the address again, for sessions that have these settings and find the functions."""
    wanted = {"search_path": SEARCH_PATH, **settings}
    options = " ".join(f"-c {name}={value}" for name, value in wanted.items())
    return make_conninfo(conninfo, options=options)


class Database:
    """One database.

    Attributes:
        conninfo: for the role ``message_store``, with the search path that the functions need.
        admin: for the superuser.
    """

    def __init__(self, admin: str) -> None:
        self.admin = admin
        self.conninfo = with_settings(make_conninfo(admin, user=ROLE))

    def ask(self, query: str, *parameters: Any) -> Any:
        """Run a query as the superuser, and return the first value of its first row."""
        with self._connect() as conn:
            row = psycopg.RawCursor(conn).execute(query.encode(), parameters).fetchone()
        assert row is not None
        return row[0]

    def run(self, statement: str, *parameters: Any) -> None:
        """Run a statement as the superuser, outside of a transaction."""
        with self._connect() as conn:
            psycopg.RawCursor(conn).execute(statement.encode(), parameters or None)

    def _connect(self) -> psycopg.Connection[tuple[Any, ...]]:
        return psycopg.connect(with_settings(self.admin), autocommit=True)

    def settle(self) -> None:
        """Finish the server's work after filling the database, before the measurement."""
        self.run("VACUUM ANALYZE")
        self.run("CHECKPOINT")


class Server:
    """A server, and its description.

    Attributes:
        kind: its origin, for the report.
    """

    def __init__(self, admin: str, kind: str) -> None:
        known = {key: value for key, value in conninfo_to_dict(admin).items() if key in _ADDRESS}
        self._admin = make_conninfo("", **known)
        self.kind = kind

    @contextmanager
    def genuine(self, name: str = "genuine") -> Iterator[Database]:
        """Make a database with the genuine Message DB, and drop it at the end."""
        with self.empty(name) as database:
            install_genuine(database.admin)
            yield database

    @contextmanager
    def ours(self) -> Iterator[Database]:
        """Make a database with our own SQL of the interface, and drop it at the end."""
        with self.empty("ours") as database:
            schema.install(database.admin)
            yield database

    @contextmanager
    def empty(self, name: str) -> Iterator[Database]:
        """Make an empty database, and drop it at the end."""
        full_name = f"messagedb_bench_{name}"
        drop = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(full_name))
        make = sql.SQL(
            "CREATE DATABASE {} TEMPLATE template0 ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C'"
        ).format(sql.Identifier(full_name))
        with psycopg.connect(self._admin, autocommit=True) as conn:
            conn.execute(drop)
            conn.execute(make)
            try:
                yield Database(make_conninfo(self._admin, dbname=full_name))
            finally:
                conn.execute(drop)

    def free_connections(self) -> int:
        """Count the connections that could still be made."""
        with psycopg.connect(self._admin, autocommit=True) as conn:
            row = conn.execute(
                "SELECT current_setting('max_connections')::int"
                " - current_setting('superuser_reserved_connections')::int"
                " - (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend')"
            ).fetchone()
        assert row is not None
        return int(row[0])

    def address(self) -> tuple[str, int]:
        """Return the host, or the folder of the Unix socket, and the port."""
        with psycopg.connect(self._admin) as conn:
            return conn.info.host, conn.info.port

    def describe(self) -> dict[str, str]:
        """Return the environment of the numbers."""
        with psycopg.connect(self._admin) as conn:
            found = conn.execute(
                "SELECT name, current_setting(name) FROM pg_settings WHERE name = ANY (%s)",
                (list(_SETTINGS),),
            ).fetchall()
            server_version = conn.info.parameter_status("server_version") or ""
        settings: dict[str, str] = dict(found)
        cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        return {
            "date": f"{datetime.now(UTC):%Y-%m-%d}",
            "server": self.kind,
            "PostgreSQL": server_version,
            **{name: settings[name] for name in _SETTINGS if name in settings},
            "CPUs": str(cpus),
            "system": f"{platform.system()} {platform.machine()}",
            "Python": platform.python_version(),
            **{name: number for name in _LIBRARIES if (number := _installed(name))},
        }


def _installed(distribution: str) -> str:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return ""


@contextmanager
def open_server(conninfo: str = "") -> Generator[Server]:
    """Start a durable embedded server on a temporary folder, or use the server of an address.

    Args:
        conninfo: a superuser's address of a server; '' for an embedded one.
    """
    if conninfo:
        yield Server(conninfo, "given")
        return
    settings = {"max_connections": _MAX_CONNECTIONS}
    with (
        tempfile.TemporaryDirectory(prefix="messagedb-bench-") as folder,
        embedded.start(Path(folder, "data"), install=False, settings=settings) as server,
    ):
        admin = make_conninfo(server.admin_url, dbname="postgres")
        yield Server(admin, "embedded, on a Unix socket")


def install_genuine(admin: str) -> None:
    """Install the genuine Message DB in an empty database.

    Raises:
        FetchError: it is not in the cache of this checkout and could not be fetched.
    """
    folder = fetch_message_db.fetch()
    with psycopg.connect(admin) as conn:
        extension = conn.execute(
            "SELECT FROM pg_available_extensions WHERE name = 'pgcrypto'"
        ).fetchone()
        for text in fetch_message_db.genuine_script(folder, extension is not None):
            conn.execute(text.encode())
