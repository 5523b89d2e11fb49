"""The statements of group commit: the locks of the categories, and the insert of a group."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import msgspec

from .statements import quoted

_SCHEMA: Final = "{schema}"

LOCK_ALL: Final = b"""
SELECT CASE WHEN set_config('lock_timeout', $2, true) IS NOT NULL
             AND set_config('enable_seqscan', 'off', true) IS NOT NULL
            THEN pg_advisory_xact_lock(key) END
FROM unnest($1::bigint[]) AS key
"""
"""Acquires the locks of categories in the order of the array, and waits for each only briefly.

enable_seqscan: the plan of the insert is kept. One that was made for a table of a page would read
the whole table for each message, until the table is analyzed again."""

TRY_LOCKS: Final = b"""
SELECT set_config('lock_timeout', $2, true), set_config('enable_seqscan', 'off', true),
       set_config('messagedb.locked',
                  coalesce(string_agg('|' || key || '|', '')
                           FILTER (WHERE pg_try_advisory_xact_lock(key)), ''), true)
FROM unnest($1::bigint[]) AS key
"""
"""Acquires the locks that are free, and marks them for the next statement of the transaction.

Only the next statement sees what the earlier holders of the locks have committed. It reads the
marks, and must not try again: a lock that it acquired itself would be newer than its snapshot."""

SET_TIME_LIMIT: Final = b"SELECT set_config('statement_timeout', $1, true)"
SET_LIMITS: Final = b"""
SELECT set_config('lock_timeout', $1, true), set_config('enable_seqscan', 'off', true),
       set_config('statement_timeout', $2, true)
"""

_TEXTS: Final = {
    # It inserts each write of a group that may be written, and returns a row for each message.
    # Streams whose lock was tried and not acquired have no rows. A message whose id is already
    # stored, or whose stream is at another version, has a row without a position; then nothing of
    # its write is inserted. A plain INSERT: one that skips rows would leave holes in the positions.
    # If a session without the lock stores an id meanwhile, it raises an error.
    "insert_group": """
WITH input AS MATERIALIZED (
    SELECT n, (e->>0)::int AS stream_number, (e->>1)::int AS write_number, (e->>2)::uuid AS id,
           e->>3 AS type, nullif(e->4, 'null'::jsonb) AS data,
           nullif(e->5, 'null'::jsonb) AS metadata
    FROM jsonb_array_elements($1::jsonb) WITH ORDINALITY AS element (e, n)
), stream AS MATERIALIZED (
    SELECT number, e->>0 AS stream_name, (e->>1)::bigint AS expected,
           (SELECT coalesce(max(position), -1) FROM {schema}.messages
            WHERE stream_name = e->>0) AS version
    FROM jsonb_array_elements($2::jsonb) WITH ORDINALITY AS element (e, number)
    WHERE $3::text IS NULL OR strpos(current_setting('messagedb.locked', true), e->>2) > 0
), looked AS MATERIALIZED (
    SELECT input.*, found.stream_name AS found_stream, found.position AS found_position
    FROM input
    LEFT JOIN LATERAL (SELECT stream_name, position FROM {schema}.messages
                       WHERE id = input.id LIMIT 1) found ON true
), decided AS MATERIALIZED (
    SELECT looked.*, stream.stream_name, stream.version,
           looked.write_number NOT IN
               (SELECT write_number FROM looked WHERE found_stream IS NOT NULL)
           AND (expected IS NULL OR expected = version OR (expected = -2 AND version >= 0))
               AS is_new
    FROM looked JOIN stream ON stream.number = looked.stream_number
), placed AS MATERIALIZED (
    SELECT decided.*,
           version + row_number() OVER (PARTITION BY stream_number, is_new ORDER BY n) AS position
    FROM decided
), written AS (
    INSERT INTO {schema}.messages (id, stream_name, position, type, data, metadata)
    SELECT id, stream_name, position, type, data, metadata
    FROM placed WHERE is_new ORDER BY stream_number, n
)
SELECT n, CASE WHEN is_new THEN position END, version, found_stream, found_position,
       CASE WHEN found_stream IS NOT NULL AND current_setting('synchronous_standby_names') <> ''
            THEN pg_logical_emit_message(true, 'messagedb', '')::varchar END
FROM placed
""",
}


class GroupStatements(msgspec.Struct, frozen=True):
    """The SQL of the statements that name the schema."""

    insert_group: bytes


@lru_cache(maxsize=16)
def group_statements(schema: str) -> GroupStatements:
    """Format the statements for a schema."""
    return GroupStatements(
        **{
            name: text.strip().replace(_SCHEMA, quoted(schema)).encode()
            for name, text in _TEXTS.items()
        }
    )
