"""The statements that list categories and streams, from one to the next along an index."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import msgspec

from .statements import quoted

_SCHEMA: Final = "{schema}"
_END: Final = "{end}"

_TEXTS: Final = {
    # The least name that is looked for is in $1: with ">" that itself is left out.
    "categories": """
WITH RECURSIVE names AS (
    (SELECT {schema}.category(stream_name)::varchar AS name, 1::bigint AS count
     FROM {schema}.messages
     WHERE {schema}.category(stream_name) {comparison} $1::varchar AND $2::bigint > 0
     ORDER BY {schema}.category(stream_name), global_position LIMIT 1)
    UNION ALL
    SELECT following.name, names.count + 1
    FROM names, LATERAL (
        SELECT {schema}.category(stream_name)::varchar AS name
        FROM {schema}.messages
        WHERE {schema}.category(stream_name) > names.name
        ORDER BY {schema}.category(stream_name), global_position LIMIT 1) following
    WHERE names.count < $2::bigint
)
SELECT names.name, head.global_position, head.time
FROM names, LATERAL (
    SELECT global_position, time FROM {schema}.messages
    WHERE {schema}.category(stream_name) = ANY (ARRAY[names.name])
    ORDER BY {schema}.category(stream_name) DESC, global_position DESC LIMIT 1) head
ORDER BY names.count
""",
    # A prefix is a range of names in the order of the column's collation, in which other names may
    # be as well, such as those in capital letters. Its end is built of characters each of which
    # sorts last in some collations. LIKE would not use the index in most of them.
    "streams": """
WITH RECURSIVE names AS (
    (SELECT stream_name, starts_with(stream_name, $1)::int::bigint AS count
     FROM {schema}.messages
     WHERE stream_name >= $1::varchar AND stream_name > $2::varchar
       AND stream_name <= {end} AND $3::bigint > 0
     ORDER BY stream_name, position LIMIT 1)
    UNION ALL
    SELECT following.stream_name, names.count + starts_with(following.stream_name, $1)::int
    FROM names, LATERAL (
        SELECT stream_name FROM {schema}.messages
        WHERE stream_name > names.stream_name
          AND stream_name <= {end}
        ORDER BY stream_name, position LIMIT 1) following
    WHERE names.count < $3::bigint
), found AS (
    SELECT stream_name FROM names WHERE starts_with(stream_name, $1)
    UNION ALL
    SELECT $4::varchar WHERE $4::varchar > $2::varchar
)
SELECT found.stream_name::varchar, last.position, last.global_position, last.time
FROM found, LATERAL (
    SELECT position, global_position, time FROM {schema}.messages
    WHERE stream_name = found.stream_name
    ORDER BY stream_name DESC, position DESC LIMIT 1) last
ORDER BY found.stream_name LIMIT $3::bigint
""",
}


CATEGORIES_ON_NODES: Final = b"""
SELECT category, last_position, last_time
FROM messagedb.proxy_list_categories($2::varchar, $3::boolean, $1::bigint)
ORDER BY category LIMIT $1::bigint
"""
"""The same through PL/Proxy: from all nodes.

The number is first: an error takes a string that is first as the stream whose node it names."""

STREAMS_ON_NODE: Final = b"""
SELECT found, last_version, last_position, last_time
FROM messagedb.proxy_list_streams($1::varchar, $2::varchar, $3::bigint, $4::varchar,
    greatest($5::varchar, $6::varchar, $7::varchar, $8::varchar))
ORDER BY found LIMIT $3::bigint
"""
"""The same through PL/Proxy: from the node of the category."""


class ListingStatements(msgspec.Struct, frozen=True):
    """The SQL of the statements, formatted once for a schema."""

    categories: bytes
    categories_after: bytes
    streams: bytes


@lru_cache(maxsize=16)
def listing_statements(schema: str) -> ListingStatements:
    """Format every statement for a schema."""
    categories, streams = (
        text.strip()
        .replace(_END, "greatest($5::varchar, $6::varchar, $7::varchar, $8::varchar)")
        .replace(_SCHEMA, quoted(schema))
        for text in _TEXTS.values()
    )
    return ListingStatements(
        categories.replace("{comparison}", ">=").encode(),
        categories.replace("{comparison}", ">").encode(),
        streams.encode(),
    )
