"""The statements that search for causes and effects, which no index leads to."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import msgspec

from .statements import TABLE_COLUMNS, quoted

_SCHEMA: Final = "{schema}"
_TABLE_COLUMNS: Final = "{table columns}"
_TRACEPARENT: Final = "{traceparent}"

TRACEPARENT: Final = "coalesce(metadata->'properties'->>'traceparent', metadata->>'traceparent')"
"""The W3C trace context of a message."""

_TEXTS: Final = {
    "message_by_id": """
SELECT {table columns} FROM {schema}.messages m WHERE id = $1::uuid
""",
    "message_of_stream": """
SELECT {table columns} FROM {schema}.messages m WHERE stream_name = $1 AND position = $2::bigint
""",
    "message_on_node": """
SELECT {table columns} FROM messagedb.proxy_get_stream_messages_backwards(
    $1::varchar, $2::bigint, 1::bigint, NULL) m WHERE position = $2::bigint
""",
    "messages_at": """
SELECT {table columns} FROM {schema}.messages m
WHERE global_position = ANY ($1::bigint[]) ORDER BY global_position
""",
    # A range of at most 10,000 positions, so that the work is bounded whatever matches; the limit
    # is for the planner's estimate. Only names are sent: the data of a message may be large.
    "links": """
SELECT global_position, stream_name::varchar, position,
       (metadata->>'causationMessageStreamName')::varchar,
       (metadata->>'causationMessagePosition')::varchar,
       coalesce(metadata->>'correlationStreamName' = $3::text
                OR substr({traceparent}, 4, 32) = $4::text, false)::int::bigint
FROM (SELECT * FROM {schema}.messages
      WHERE global_position BETWEEN $1::bigint AND $2::bigint
      ORDER BY global_position LIMIT 10000) looked_at
WHERE metadata->>'causationMessageStreamName' IS NOT NULL
   OR metadata->>'correlationStreamName' = $3::text
   OR substr({traceparent}, 4, 32) = $4::text
ORDER BY global_position
""",
}


class TraceStatements(msgspec.Struct, frozen=True):
    """The SQL of the statements, formatted once for a schema."""

    message_by_id: bytes
    message_of_stream: bytes
    message_on_node: bytes
    messages_at: bytes
    links: bytes


@lru_cache(maxsize=32)
def trace_statements(schema: str, include_data: bool) -> TraceStatements:
    """Format every statement for a schema; without data, that of all messages is NULL."""
    columns = TABLE_COLUMNS
    if not include_data:
        columns = columns.replace("m.data::varchar", "NULL::varchar")
    return TraceStatements(
        **{
            name: text.strip()
            .replace(_TABLE_COLUMNS, columns)
            .replace(_TRACEPARENT, TRACEPARENT)
            .replace(_SCHEMA, quoted(schema))
            .encode()
            for name, text in _TEXTS.items()
        }
    )
