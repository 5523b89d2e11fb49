"""Several nodes behind a proxying database, all of them databases of one server with PL/Proxy."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import psycopg

from messagedb import schema
from tests.support.plproxy import find_programs
from tests.support.server import OwnServer

PROXY = "proxy"


class SeveralNodes:
    """A server with some nodes and the database before them.

    Args:
        names: the names of the nodes, which are those of their databases, too.
        spare: further databases, which are empty.
        apart: the nodes that have a server each, so that they can be stopped.

    Raises:
        NoPLProxyError: the programs or the extension are not there.
    """

    def __init__(
        self,
        names: Iterable[str] = ("a", "b"),
        spare: Iterable[str] = (),
        apart: Iterable[str] = (),
    ) -> None:
        self.server = OwnServer(programs=find_programs())
        self.servers_apart: dict[str, OwnServer] = {}
        self.names = list(names)
        try:
            for name in apart:
                self.servers_apart[name] = OwnServer(programs=find_programs())
            for name in (PROXY, *self.names, *spare):
                with psycopg.connect(self._find_server(name).url(), autocommit=True) as conn:
                    conn.execute(f"create database {name}".encode())
            if self.names:
                nodes = {name: self.admin_url(name) for name in self.names}
                schema.install_proxy(self.admin_url(), nodes=nodes)
        except BaseException:
            self.close()
            raise

    def url(self, user: str = "message_store") -> str:
        """Return the URL of the proxying database."""
        return self.server.url(PROXY, user)

    def admin_url(self, database: str = PROXY) -> str:
        """Return the URL of a database for a superuser."""
        return self._find_server(database).url(database)

    def ask(self, database: str, query: str, *params: Any) -> list[tuple[Any, ...]]:
        """Return the rows of a query in a database, as a superuser."""
        with psycopg.connect(self.admin_url(database), autocommit=True) as conn:
            cursor = conn.execute(query.encode(), params or None)
            return cursor.fetchall() if cursor.description else []

    def count_messages(self) -> dict[str, dict[str, int]]:
        """Return the number of messages of each stream, on each node that has some."""
        query = "select stream_name, count(*) from message_store.messages group by 1"
        found: dict[str, dict[str, int]] = {}
        for name in self.names:
            for stream_name, number in self.ask(name, query):
                found.setdefault(stream_name, {})[name] = number
        return found

    def count(self, stream_name: str) -> dict[str, int]:
        """Return the number of messages of a stream, on each node that has some."""
        return self.count_messages().get(stream_name, {})

    def find_node(self, stream_name: str) -> str:
        """Return the name of the node that the map has for a stream."""
        query = """
            select name from messagedb.proxy_nodes where node = messagedb.proxy_node(%s)
        """
        return str(self.ask(PROXY, query, stream_name)[0][0])

    def name_category(self, category: str, node: str) -> str:
        """Return a name that begins with a category's, and that the map has on a node."""
        for number in range(1000):
            if self.find_node(f"{category}x{number}") == node:
                return f"{category}x{number}"
        raise AssertionError(f"no category is on {node}")

    def close(self) -> None:
        """Stop the servers and remove their folders."""
        for server in (self.server, *self.servers_apart.values()):
            server.close()

    def _find_server(self, database: str) -> OwnServer:
        return self.servers_apart.get(database, self.server)
