"""A separate server for a run, and databases on it with either schema."""

from __future__ import annotations

import os
import platform
from collections.abc import Generator
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Literal

import psycopg
from bench.servers import install_genuine
from psycopg import sql
from psycopg.conninfo import make_conninfo

from messagedb import embedded, schema

Schema = Literal["ours", "genuine"]
SCHEMAS: tuple[Schema, ...] = ("ours", "genuine")

# Of all forms together: threads of writers, pools, consumers with a lease each.
_MAX_CONNECTIONS = "200"


class Server:
    """A server.

    Attributes:
        admin: a superuser's conninfo of its maintenance database.
    """

    def __init__(self, admin: str) -> None:
        self.admin = admin
        self._count = 0

    def new_database(self, kind: Schema) -> str:
        """Create a database with a schema of Message DB, and return a superuser's conninfo.

        The genuine one has our schema ``messagedb`` beside it, for positions in a table.
        """
        self._count += 1
        name = f"messagedb_trial_{os.getpid()}_{self._count}"
        with psycopg.connect(self.admin, autocommit=True) as conn:
            conn.execute(
                sql.SQL(
                    "CREATE DATABASE {} TEMPLATE template0 ENCODING 'UTF8' LC_COLLATE 'C'"
                    " LC_CTYPE 'C'"
                ).format(sql.Identifier(name))
            )
        admin = make_conninfo(self.admin, dbname=name)
        if kind == "genuine":
            install_genuine(admin)
        schema.install(admin)
        return admin

    def describe(self) -> dict[str, str]:
        """Return what the figures of a run depend on."""
        with psycopg.connect(self.admin) as conn:
            row = conn.execute("SELECT current_setting('fsync')").fetchone()
            server_version = conn.info.parameter_status("server_version") or ""
        assert row is not None
        cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        return {
            "date": f"{datetime.now(UTC):%Y-%m-%d}",
            "PostgreSQL": server_version,
            "fsync": str(row[0]),
            "Python": platform.python_version(),
            "messagedb": version("messagedb"),
            "system": f"{platform.system()} {platform.machine()}",
            "CPUs": str(cpus),
        }


def store_conninfo(admin: str, application_name: str = "") -> str:
    """Return the conninfo of a database for the role ``message_store``."""
    named = {"application_name": application_name} if application_name else {}
    return make_conninfo(admin, user="message_store", **named)


@contextmanager
def open_server(conninfo: str = "", *, fast: bool = False) -> Generator[Server]:
    """Start an embedded server in a temporary folder, or use the server of a conninfo.

    Args:
        conninfo: a superuser's; '' for an embedded one. Databases are created on it, and not
            dropped.
        fast: let the embedded one not wait for the disk.
    """
    if conninfo:
        yield Server(conninfo)
        return
    settings = {"max_connections": _MAX_CONNECTIONS}
    with embedded.start(fast=fast, install=False, settings=settings) as server:
        yield Server(make_conninfo(server.admin_url, dbname="postgres"))
