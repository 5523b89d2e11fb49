"""A schema of a test's own for read models."""

from __future__ import annotations

from typing import Any

import psycopg


class ModelSchema:
    """A schema of a test's own, and what a superuser sees there."""

    def __init__(self, url: str, schema: str) -> None:
        self.schema = schema
        self.admin = psycopg.connect(url, autocommit=True)
        self.execute(f"CREATE SCHEMA {schema}")
        self.execute(f"GRANT ALL ON SCHEMA {schema} TO message_store")

    def execute(self, text: str) -> list[tuple[Any, ...]]:
        # Not prepared: the columns of the view change.
        cursor = self.admin.execute(text.encode(), prepare=False)
        return cursor.fetchall() if cursor.description else []

    def rows(self, relation: str = "sums") -> list[tuple[Any, ...]]:
        """Return the rows of the view, or of a table."""
        return self.execute(f"SELECT * FROM {self.schema}.{relation} ORDER BY 1")

    def relations(self) -> set[str]:
        """Return the names of tables and views."""
        rows = self.execute(
            "SELECT relname FROM pg_class WHERE relkind IN ('r', 'v')"
            f" AND relnamespace = '{self.schema}'::regnamespace"
        )
        return {name for (name,) in rows}

    def is_waited_for(self) -> bool:
        """Return True if a session waits for a lock on something here."""
        return bool(
            self.execute(
                "SELECT 1 FROM pg_locks l JOIN pg_class c ON c.oid = l.relation"
                f" WHERE NOT l.granted AND c.relnamespace = '{self.schema}'::regnamespace"
            )
        )
