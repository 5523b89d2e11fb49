"""Filling of a store on the server itself, where the writing is not measured."""

from __future__ import annotations

from typing import Final, NamedTuple

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


class Layout(NamedTuple):
    """How the messages of a growing store are distributed: a third to one large category.

    Attributes:
        categories: the number of other categories.
        short: the length of their streams.
    """

    categories: int
    short: int

    @property
    def streams(self) -> int:
        """The number of short streams after each stream of the large category."""
        return LONG * 7 // 3 // self.short


LONG: Final = 1000
"""Number of messages of a stream in the large category."""

_STEP: Final = 500_000

# The ids are those of this library: version 7, in the order of the messages, older than new ones.
_GROWING: Final = """
INSERT INTO message_store.messages (id, stream_name, position, type, data)
SELECT (lpad(to_hex(1600000000000 + n), 12, '0') || '7' || substr(digits, 1, 3)
        || '8' || substr(digits, 4, 15))::uuid,
       CASE WHEN place < $3::int THEN $1 || '-' || block
            ELSE $2 || short % $5::int || '-' || short END,
       CASE WHEN place < $3::int THEN place ELSE (place - $3::int) % $4::int END,
       $7::varchar, $8::jsonb
FROM (SELECT n, md5(n::text) AS digits, n / width AS block, n % width AS place,
             n / width * $6::int + (n % width - $3::int) / $4::int AS short
      FROM (SELECT n, $3::int + $6::int * $4::int AS width
            FROM generate_series($9::bigint, $10::bigint - 1) AS n) AS numbered) AS placed
ORDER BY n
"""


def fill_growing(database: Database, large: str, count: int, layout: Layout) -> list[str]:
    """Write a store of one large category and many small ones; return the large one's streams.

    The streams that are returned are complete.
    """
    small = payload.category("small") + "x"
    for first in range(0, count, _STEP):
        database.run(
            _GROWING,
            *(large, small, LONG, layout.short, layout.categories, layout.streams),
            *(payload.TYPE, payload.text(), first, min(first + _STEP, count)),
        )
    database.settle()
    blocks = (count - LONG) // (LONG + layout.streams * layout.short) + 1
    return [f"{large}-{number}" for number in range(blocks)]
