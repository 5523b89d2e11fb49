"""The stores of a run: each variant, schema and way to write in one combination each."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import psycopg
from trials.servers import SCHEMAS, Schema, Server, store_conninfo
from trials.variants import VARIANTS, Variant

from tests.support.store import functions_only

Way = Literal["direct", "in groups", "functions", "functions-only role"]
MODELS = "models"
"""The schema of read models, in which the role may create tables."""

WAYS: tuple[Way, ...] = ("direct", "in groups", "functions", "functions-only role")


@dataclass
class Store:
    """A client of one variant, of a database with one schema, that writes in one way.

    Attributes:
        conninfo: of the role of the client.
        admin: a connection that nothing of the client touches, in autocommit mode.
    """

    variant: Variant
    schema: Schema
    way: Way
    conninfo: str
    client: Any
    admin: psycopg.Connection[Any]

    @property
    def name(self) -> str:
        """The combination, to be printed."""
        return f"{self.variant.name}, {self.schema} schema, {self.way}"

    def ask(self, query: str, *params: Any) -> Any:
        """Return the first value of a query that the superuser runs."""
        row = self.admin.execute(query.encode(), params).fetchone()
        assert row is not None
        return row[0]


@contextmanager
def open_stores(server: Server) -> Generator[list[Store]]:
    """Open all combinations. The two variants share the databases."""
    with ExitStack() as stack:
        stores: list[Store] = []
        admins: dict[tuple[Schema, bool], str] = {}
        for schema in SCHEMAS:
            for is_restricted in (False, True):
                admins[schema, is_restricted] = server.new_database(schema)
                if is_restricted:
                    functions_only(admins[schema, True])
                with psycopg.connect(admins[schema, is_restricted]) as conn:
                    conn.execute(f"create schema {MODELS}".encode())
                    conn.execute(f"grant all on schema {MODELS} to message_store".encode())
        for name in VARIANTS:
            variant = Variant(name)
            stack.callback(variant.close)
            for schema in SCHEMAS:
                for way in WAYS:
                    admin = admins[schema, way == "functions-only role"]
                    conninfo = store_conninfo(admin)
                    client = variant.open_client(
                        conninfo,
                        max_size=3,
                        command_timeout=10.0,
                        direct_writes=None if way in ("direct", "in groups") else False,
                        group_commit=way == "in groups",
                    )
                    stack.callback(variant.call, client.close)
                    conn = stack.enter_context(psycopg.connect(admin, autocommit=True))
                    conn.execute("set search_path to message_store, public")
                    stores.append(Store(variant, schema, way, conninfo, client, conn))
        yield stores
