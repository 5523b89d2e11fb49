"""A store that is spread over two databases by PL/Proxy: one more has the functions alone."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol, TypeVar

import psycopg
import pytest

from messagedb import schema
from tests.support.server import OwnServer

NODES = ("node0", "node1")
PROXY = "proxy"

_SYSTEM = Path("/usr/lib/postgresql")
_EXTENSIONS = Path("/usr/share/postgresql")

# The functions of Message DB, each run on the node that has the category. PL/Proxy takes a function
# of the arguments and nothing else to say which.
_FUNCTIONS = """
CREATE FUNCTION message_store.category(stream_name varchar) RETURNS varchar
    LANGUAGE sql IMMUTABLE AS $$ SELECT split_part(stream_name, '-', 1) $$;
CREATE FUNCTION message_store.hash_64(value varchar) RETURNS bigint LANGUAGE sql IMMUTABLE
    AS $$ SELECT left('x' || md5(value), 17)::bit(64)::bigint $$;
CREATE FUNCTION message_store.slot(name varchar) RETURNS int LANGUAGE sql IMMUTABLE
    AS $$ SELECT (message_store.hash_64(message_store.category(name)) & 1)::int $$;
CREATE TYPE message_store.message AS (
    id varchar, stream_name varchar, type varchar, position bigint, global_position bigint,
    data varchar, metadata varchar, time timestamp
);
CREATE FUNCTION message_store.write_message(
    id varchar, stream_name varchar, type varchar, data jsonb, metadata jsonb DEFAULT NULL,
    expected_version bigint DEFAULT NULL
) RETURNS bigint LANGUAGE plproxy AS $$
    CLUSTER 'mdb'; RUN ON message_store.slot(stream_name); TARGET message_store.write_message; $$;
CREATE FUNCTION message_store.get_stream_messages(
    stream_name varchar, "position" bigint DEFAULT 0, batch_size bigint DEFAULT 1000,
    condition varchar DEFAULT NULL
) RETURNS SETOF message_store.message LANGUAGE plproxy AS $$
    CLUSTER 'mdb'; RUN ON message_store.slot(stream_name);
    TARGET message_store.get_stream_messages; $$;
CREATE FUNCTION message_store.get_category_messages(
    category varchar, "position" bigint DEFAULT 1, batch_size bigint DEFAULT 1000,
    correlation varchar DEFAULT NULL, consumer_group_member bigint DEFAULT NULL,
    consumer_group_size bigint DEFAULT NULL, condition varchar DEFAULT NULL
) RETURNS SETOF message_store.message LANGUAGE plproxy AS $$
    CLUSTER 'mdb'; RUN ON message_store.slot(category);
    TARGET message_store.get_category_messages; $$;
CREATE FUNCTION message_store.get_last_stream_message(
    stream_name varchar, type varchar DEFAULT NULL
) RETURNS SETOF message_store.message LANGUAGE plproxy AS $$
    CLUSTER 'mdb'; RUN ON message_store.slot(stream_name);
    TARGET message_store.get_last_stream_message; $$;
CREATE FUNCTION message_store.stream_version(stream_name varchar) RETURNS bigint
    LANGUAGE plproxy AS $$
    CLUSTER 'mdb'; RUN ON message_store.slot(stream_name); TARGET message_store.stream_version; $$;
CREATE FUNCTION message_store.acquire_lock(stream_name varchar) RETURNS bigint
    LANGUAGE plproxy AS $$
    CLUSTER 'mdb'; RUN ON message_store.slot(stream_name); TARGET message_store.acquire_lock; $$;
CREATE FUNCTION message_store.message_store_version() RETURNS varchar LANGUAGE plproxy AS $$
    CLUSTER 'mdb'; RUN ON 0; TARGET message_store.message_store_version; $$;
"""


class NoPLProxyError(Exception):
    """No PostgreSQL with PL/Proxy is on this machine; the text names what is missing."""


class Closable(Protocol):
    """A store of a test."""

    def close(self) -> None:
        """Stop its servers."""


S = TypeVar("S", bound=Closable)


@contextmanager
def open_proxied(make: Callable[[], S]) -> Generator[S]:
    """Make a store behind PL/Proxy for the block; skip the test if PL/Proxy is not installed."""
    try:
        store = make()
    except NoPLProxyError as error:
        pytest.skip(str(error))
    try:
        yield store
    finally:
        store.close()


class ProxiedStore:
    """A server with two nodes and the database before them.

    Raises:
        NoPLProxyError: the programs or the extension are not there.
    """

    def __init__(self) -> None:
        self._server = OwnServer(programs=find_programs())
        try:
            with psycopg.connect(self._server.url(), autocommit=True) as conn:
                for name in (*NODES, PROXY):
                    conn.execute(f"create database {name}".encode())
            for name in NODES:
                schema.install(self._server.url(name))
            with psycopg.connect(self._server.url(), autocommit=True) as conn:
                # The nodes' functions call each other by bare names.
                path = "message_store, public"
                conn.execute(f"alter role message_store set search_path = {path}".encode())
            with psycopg.connect(self._server.url(PROXY), autocommit=True) as conn:
                self._set_up(conn)
        except BaseException:
            self.close()
            raise

    def url(self, database: str = PROXY, user: str = "message_store") -> str:
        """Return the URL of one of the databases."""
        return self._server.url(database, user)

    def count(self, stream_name: str) -> int:
        """Return the number of messages that a stream has on the nodes."""
        found = 0
        for name in NODES:
            with psycopg.connect(self._server.url(name)) as conn:
                row = conn.execute(
                    "select count(*) from message_store.messages where stream_name = %s",
                    [stream_name],
                ).fetchone()
                assert row is not None
                found += row[0]
        return found

    def close(self) -> None:
        """Stop the server and remove its folder."""
        self._server.close()

    def _set_up(self, conn: psycopg.Connection) -> None:
        places = ", ".join(
            f"p{number} 'dbname={name} host={self._server.folder} port=5432'"
            for number, name in enumerate(NODES)
        )
        conn.execute("create extension plproxy")
        conn.execute(f"create server mdb foreign data wrapper plproxy options ({places})".encode())
        conn.execute("create user mapping for public server mdb options (user 'message_store')")
        conn.execute("create schema message_store")
        conn.execute(_FUNCTIONS.encode())
        conn.execute("grant usage on schema message_store to message_store")
        conn.execute("grant usage on foreign server mdb to message_store")


def find_programs() -> Path:
    """Find the newest PostgreSQL of Debian's that has PL/Proxy."""
    for folder in sorted(_EXTENSIONS.glob("*/extension/plproxy.control"), reverse=True):
        programs = _SYSTEM / folder.parent.parent.name / "bin"
        if (programs / "initdb").exists():
            return programs
    raise NoPLProxyError(
        "no PostgreSQL with PL/Proxy is on this machine (Debian: apt-get install "
        "postgresql-15-plproxy)"
    )
