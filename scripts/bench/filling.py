"""Filling of a store on the server itself, where the writing is not measured."""

from __future__ import annotations

from . import payload
from .servers import Database


def fill_category(database: Database, category: str, count: int, streams: int) -> None:
    """Write a category whose streams follow each other message by message, by write_message."""
    database.ask(
        """
        SELECT count(message_store.write_message(
            gen_random_uuid()::varchar, $1 || '-' || (n % $3::int), $4::varchar, $5::jsonb))
        FROM generate_series(1, $2::int) AS n
        """,
        *(category, count, streams, payload.TYPE, payload.text()),
    )
    database.settle()
