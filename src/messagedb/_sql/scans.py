"""The statements of scans: pages that are filtered after reading, heads, lags, writers."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import msgspec

from .statements import CARDINAL_HASH, TABLE_COLUMNS, quoted

_SCHEMA: Final = "{schema}"
_TABLE_COLUMNS: Final = "{table columns}"
_CARDINAL_HASH: Final = "{hash of the cardinal id}"
_MATCHING: Final = "{matching}"
_LAST_ID: Final = "{last id}"
_CONDITION: Final = "{condition}"
# As in statements.py: a character that no name can have.
_PLACE_OF_CONDITION: Final = "\0"

# The summary of the scanned page follows the messages as rows without an id. A user's query in the
# condition means the store's table by "messages": therefore the page has another name.
_MATCHING_OF_CATEGORY: Final = """
SELECT {table columns}
FROM (SELECT * FROM _page messages
      WHERE ($4::varchar IS NULL
             OR split_part(metadata->>'correlationStreamName', '-', 1) = $4)
        AND CASE WHEN $6::bigint IS NULL THEN true
                 WHEN stream_name = $1 THEN $7::bigint = 1
                 ELSE MOD(@ {hash of the cardinal id}, $6) = ANY ($5::bigint[]) END
        AND ($8::text[] IS NULL OR type = ANY ($8))
        AND ({condition})) m
UNION ALL
SELECT NULL, NULL, {last id}, count(*), max(global_position), NULL, NULL, NULL FROM _page
"""

_TEXTS: Final = {
    # Only the index on categories fits, as for the page in statements.py.
    "category_scan": """
WITH _page AS MATERIALIZED (
    SELECT * FROM {schema}.messages
    WHERE {schema}.category(stream_name) = ANY (ARRAY[$1::varchar])
      AND global_position >= $2::bigint
    ORDER BY {schema}.category(stream_name), global_position
    LIMIT $3::bigint
) {matching}
""",
    "category_scan_by_function": """
WITH _page AS MATERIALIZED (
    SELECT id::uuid, stream_name::text, type::text, position, global_position,
           data::jsonb, metadata::jsonb, time
    FROM {schema}.get_category_messages($1::varchar, $2::bigint, $3::bigint)
) {matching}
""",
    # After the messages: the gaps before messages of the page; the scanned page; the store.
    "store_scan": """
WITH _page AS MATERIALIZED (
    SELECT *, lag(global_position, 1, $1 - 1) OVER (ORDER BY global_position) AS _before
    FROM (SELECT * FROM {schema}.messages
          WHERE global_position >= $1::bigint ORDER BY global_position LIMIT $2::bigint) looked_at
)
SELECT {table columns}
FROM (SELECT * FROM _page messages
      WHERE ($3::text[] IS NULL OR split_part(stream_name, '-', 1) = ANY ($3))
        AND ($4::text[] IS NULL OR type = ANY ($4))
        AND ({condition})) m
UNION ALL
SELECT NULL, NULL, NULL, _before + 1, global_position - 1, NULL, NULL, NULL
FROM _page WHERE _before + 1 < global_position
UNION ALL
SELECT NULL, NULL, {last id}, count(*), max(global_position), NULL, NULL, NULL FROM _page
UNION ALL
SELECT NULL, NULL, NULL, CASE WHEN pg_is_in_recovery() THEN 1 ELSE 0 END,
       (SELECT max(global_position) FROM {schema}.messages), NULL, NULL, NULL
""",
    # The same backwards, without the gaps, and not below $5. The summary has the lowest position.
    "store_scan_backwards": """
WITH _page AS MATERIALIZED (
    SELECT * FROM {schema}.messages
    WHERE global_position <= $1::bigint AND global_position >= $5::bigint
    ORDER BY global_position DESC LIMIT $2::bigint
)
SELECT {table columns}
FROM (SELECT * FROM _page messages
      WHERE ($3::text[] IS NULL OR split_part(stream_name, '-', 1) = ANY ($3))
        AND ($4::text[] IS NULL OR type = ANY ($4))
        AND ({condition})) m
UNION ALL
SELECT NULL, NULL, NULL, count(*), min(global_position), NULL, NULL, NULL FROM _page
""",
    # Of the first messages from a position on: the first one that is not earlier than a time, and
    # the last one of all. There is no index on the time.
    "time_probe": """
SELECT min(global_position) FILTER (WHERE time >= $2::timestamp), max(global_position)
FROM (SELECT global_position, time FROM {schema}.messages
      WHERE global_position >= $1::bigint ORDER BY global_position LIMIT $3::bigint) looked_at
""",
    "store_bounds": "SELECT min(global_position), max(global_position) FROM {schema}.messages",
    "category_head": """
SELECT global_position FROM {schema}.messages
WHERE {schema}.category(stream_name) = ANY (ARRAY[$1::varchar])
ORDER BY {schema}.category(stream_name) DESC, global_position DESC LIMIT 1
""",
    "message_at": """
SELECT id::varchar, global_position FROM {schema}.messages WHERE global_position = $1::bigint
""",
    "message_from": """
SELECT id, global_position
FROM {schema}.get_category_messages($1::varchar, $2::bigint, 1::bigint)
""",
    "message_before": """
SELECT id::varchar, global_position FROM {schema}.messages
WHERE global_position <= $1::bigint ORDER BY global_position DESC LIMIT 1
""",
    "messages_by_id": """
SELECT id::varchar, global_position FROM {schema}.messages WHERE id = ANY ($1::uuid[])
""",
    # The sequence, if the role may read it: the newest messages may have been deleted.
    "last_positions": """
SELECT (SELECT max(global_position) FROM {schema}.messages),
       CASE WHEN has_sequence_privilege(sequence, 'SELECT, USAGE')
            THEN coalesce(pg_sequence_last_value(sequence), 0) END
FROM (SELECT pg_get_serial_sequence($1::text, 'global_position')::regclass AS sequence) of
""",
    "store_head": "SELECT max(global_position) FROM {schema}.messages",
    # From category to category along the index. The last row, without a name, is the store's head.
    "store_heads": """
WITH RECURSIVE heads AS (
    (SELECT {schema}.category(stream_name)::varchar AS name, global_position FROM {schema}.messages
     ORDER BY {schema}.category(stream_name) DESC, global_position DESC LIMIT 1)
    UNION ALL
    SELECT before.name, before.global_position
    FROM heads, LATERAL (
        SELECT {schema}.category(stream_name)::varchar AS name, global_position
        FROM {schema}.messages
        WHERE {schema}.category(stream_name) < heads.name
        ORDER BY {schema}.category(stream_name) DESC, global_position DESC LIMIT 1) before
)
SELECT name, global_position FROM heads
UNION ALL
SELECT NULL, (SELECT max(global_position) FROM {schema}.messages)
""",
    "category_heads": """
SELECT category.name, head.global_position
FROM unnest($1::varchar[]) category (name), LATERAL (
    SELECT global_position FROM {schema}.messages
    WHERE {schema}.category(stream_name) = ANY (ARRAY[category.name])
    ORDER BY {schema}.category(stream_name) DESC, global_position DESC LIMIT 1) head
UNION ALL
SELECT NULL, (SELECT max(global_position) FROM {schema}.messages)
""",
    "first_after": """
SELECT min(first.global_position)
FROM unnest($1::varchar[], $2::bigint[]) category (name, head), LATERAL (
    SELECT global_position FROM {schema}.messages
    WHERE {schema}.category(stream_name) = ANY (ARRAY[category.name])
      AND global_position > category.head
    ORDER BY {schema}.category(stream_name), global_position LIMIT 1) first
""",
    "category_lag": """
SELECT (SELECT max(head.global_position)
        FROM unnest($1::varchar[]) category (name), LATERAL (
            SELECT global_position FROM {schema}.messages
            WHERE {schema}.category(stream_name) = ANY (ARRAY[category.name])
            ORDER BY {schema}.category(stream_name) DESC, global_position DESC LIMIT 1) head),
       (SELECT count(*) FROM (
            SELECT FROM unnest($1::varchar[]) category (name), LATERAL (
                SELECT FROM {schema}.messages
                WHERE {schema}.category(stream_name) = ANY (ARRAY[category.name])
                  AND global_position > $2::bigint
                ORDER BY {schema}.category(stream_name), global_position LIMIT $3::bigint) behind
            LIMIT $3::bigint) counted),
       (SELECT first.time
        FROM unnest($1::varchar[]) category (name), LATERAL (
            SELECT global_position, time FROM {schema}.messages
            WHERE {schema}.category(stream_name) = ANY (ARRAY[category.name])
              AND global_position > $2::bigint
            ORDER BY {schema}.category(stream_name), global_position LIMIT 1) first
        ORDER BY first.global_position LIMIT 1),
       clock_timestamp() AT TIME ZONE 'UTC'
""",
    "category_lag_by_function": """
SELECT NULL::bigint, count(*), (array_agg(time ORDER BY global_position))[1],
       clock_timestamp() AT TIME ZONE 'UTC'
FROM (SELECT found.time, found.global_position
      FROM unnest($1::varchar[]) category (name),
           {schema}.get_category_messages(category.name, $2::bigint + 1, $3::bigint) found
      LIMIT $3::bigint) behind
""",
    # The lags of the partitions of a consumer, and how many messages were looked at for them.
    "partition_lag": """
WITH behind AS MATERIALIZED (
    SELECT CASE WHEN stream_name <> $1::varchar
                THEN MOD(@ {hash of the cardinal id}, $4::bigint) END AS number,
           global_position, time
    FROM {schema}.messages
    WHERE {schema}.category(stream_name) = ANY (ARRAY[$1::varchar]) AND global_position > $2::bigint
    ORDER BY {schema}.category(stream_name), global_position LIMIT $5::bigint
)
SELECT number, count(*) FILTER (WHERE global_position > ($3::bigint[])[number + 1]),
       min(time) FILTER (WHERE global_position > ($3::bigint[])[number + 1]),
       (sum(count(*)) OVER ())::bigint
FROM behind GROUP BY number
""",
    "partition_lag_by_function": """
SELECT number, count(found.global_position), min(found.time),
       (max(count(found.global_position)) OVER ())::bigint
FROM generate_series(0, $3::bigint - 1) number LEFT JOIN LATERAL {schema}.get_category_messages(
    $1::varchar, ($2::bigint[])[number + 1] + 1, $4::bigint, NULL, number, $3::bigint) found ON true
GROUP BY number
""",
    "store_lag": """
SELECT (SELECT max(global_position) FROM {schema}.messages),
       (SELECT count(*) FROM (
            SELECT FROM {schema}.messages WHERE global_position > $1::bigint
            ORDER BY global_position LIMIT $2::bigint) behind),
       (SELECT time FROM {schema}.messages WHERE global_position > $1::bigint
        ORDER BY global_position LIMIT 1),
       clock_timestamp() AT TIME ZONE 'UTC'
""",
    # At least one row, with the reliability of the answer: a standby lacks the primary's locks.
    "writers": """
WITH held AS MATERIALIZED (
    SELECT locktype, virtualtransaction, pid, transactionid::text AS xid
    FROM pg_locks
    WHERE granted
      AND (locktype = 'transactionid' AND mode = 'ExclusiveLock'
           OR locktype = 'relation' AND mode = 'RowExclusiveLock'
              AND relation = $1::text::regclass
              AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))
)
SELECT pg_is_in_recovery(),
       (SELECT seqcache FROM pg_sequence
        WHERE seqrelid = pg_get_serial_sequence($1::text, 'global_position')::regclass),
       writer.virtualtransaction, writer.pid, activity.application_name,
       coalesce(activity.usename, prepared.owner)::varchar,
       coalesce(activity.xact_start, prepared.prepared) AT TIME ZONE 'UTC',
       activity.state, prepared.gid
FROM (VALUES (1)) one
LEFT JOIN held writer
    ON writer.locktype = 'relation' AND writer.pid IS DISTINCT FROM pg_backend_pid()
LEFT JOIN pg_stat_activity activity ON activity.pid = writer.pid
LEFT JOIN (held own JOIN pg_prepared_xacts prepared
           ON own.locktype = 'transactionid' AND own.xid = prepared.transaction::text)
    ON writer.pid IS NULL AND own.virtualtransaction = writer.virtualtransaction
""",
}


HEAD_ON_NODE: Final = b"SELECT messagedb.proxy_category_head($1::varchar)"
"""The last position of a category through PL/Proxy."""


class ScanStatements(msgspec.Struct, frozen=True):
    """The SQL of the statements, formatted once for a schema, and the table's name in it."""

    table: str
    category_scan: bytes
    category_scan_by_function: bytes
    store_scan: bytes
    store_scan_backwards: bytes
    time_probe: bytes
    store_bounds: bytes
    category_head: bytes
    message_at: bytes
    message_from: bytes
    message_before: bytes
    messages_by_id: bytes
    last_positions: bytes
    store_head: bytes
    store_heads: bytes
    category_heads: bytes
    first_after: bytes
    category_lag: bytes
    category_lag_by_function: bytes
    partition_lag: bytes
    partition_lag_by_function: bytes
    store_lag: bytes
    writers: bytes


@lru_cache(maxsize=16)
def scan_statements(schema: str) -> ScanStatements:
    """Format every statement for a schema."""
    return ScanStatements(
        table=f"{quoted(schema)}.messages",
        **{
            name: text.strip()
            .replace(_MATCHING, _MATCHING_OF_CATEGORY.strip())
            .replace(
                _LAST_ID, "(SELECT id::varchar FROM _page ORDER BY global_position DESC LIMIT 1)"
            )
            .replace(_TABLE_COLUMNS, TABLE_COLUMNS)
            .replace(_CARDINAL_HASH, CARDINAL_HASH)
            .replace(_CONDITION, _PLACE_OF_CONDITION)
            .replace(_SCHEMA, quoted(schema))
            .encode()
            for name, text in _TEXTS.items()
        },
    )
