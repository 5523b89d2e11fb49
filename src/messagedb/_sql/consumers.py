"""The statements of consumers: positions in the library's table, and the lease."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import msgspec

from .statements import TABLE_COLUMNS, quoted

READ_POSITION: Final = b"""
SELECT position, saved_by::varchar, resized_to, message_id::varchar, message_position,
       history::varchar
FROM messagedb.positions WHERE store = $1 AND consumer = $2
"""

FIRST_POSITION: Final = b"""
INSERT INTO messagedb.positions AS p
    (store, consumer, position, saved_by, message_id, message_position, history)
VALUES ($1, $2, $3::bigint, $4::uuid, $6::uuid, $7::bigint, $8::varchar)
ON CONFLICT (store, consumer) DO UPDATE
SET position = excluded.position, saved_by = excluded.saved_by, saved_at = now(),
    message_id = excluded.message_id, message_position = excluded.message_position,
    history = excluded.history
WHERE p.saved_by = ANY ($5::uuid[]) AND p.resized_to IS NULL
RETURNING 1
"""
"""Stores a consumer's first position. An existing row must be its own unconfirmed save."""

NEXT_POSITION: Final = b"""
UPDATE messagedb.positions
SET position = $3::bigint, saved_by = $4::uuid, saved_at = now(),
    message_id = $6::uuid, message_position = $7::bigint, history = $8::varchar
WHERE store = $1 AND consumer = $2 AND saved_by = ANY ($5::uuid[]) AND resized_to IS NULL
RETURNING 1
"""

SAVE_POSITION: Final = "SELECT messagedb.save_position({})"
"""Does as FIRST_POSITION or NEXT_POSITION, and raises an error instead of returning no row.

In a message with a COMMIT, which the server then does not execute."""

SAVE_REFUSED: Final = "MD001"
"""The SQLSTATE of that error."""

RAISE_POSITION: Final = b"""
INSERT INTO messagedb.positions AS p
    (store, consumer, position, saved_by, message_id, message_position, history)
VALUES ($1, $2, $3::bigint, $4::uuid, $5::uuid, $6::bigint, $7::varchar)
ON CONFLICT (store, consumer) DO UPDATE
SET position = excluded.position, saved_by = excluded.saved_by, saved_at = now(),
    message_id = excluded.message_id, message_position = excluded.message_position,
    history = excluded.history
WHERE p.position < excluded.position
RETURNING 1
"""
"""Stores a position unless a later one is stored. It returns no row then."""

LOCK_POSITION: Final = b"""
SELECT position FROM messagedb.positions WHERE store = $1 AND consumer = $2 FOR UPDATE
"""

MARK_RESIZED: Final = b"""
UPDATE messagedb.positions SET resized_to = $3::int, saved_by = $4::uuid, saved_at = now()
WHERE store = $1 AND consumer = $2 AND saved_by = ANY ($5::uuid[])
RETURNING 1
"""

UNMARK_RESIZED: Final = b"""
UPDATE messagedb.positions
SET position = $3::bigint, saved_by = $4::uuid, saved_at = now(), resized_to = NULL,
    message_id = NULL, message_position = NULL, history = NULL
WHERE store = $1 AND consumer = $2 AND saved_by = ANY ($5::uuid[]) AND resized_to IS NOT NULL
RETURNING 1
"""

SET_LEASE_LIMITS: Final = b"""
SELECT set_config('idle_in_transaction_session_timeout', $1, true),
       set_config('statement_timeout', $1, true),
       CASE WHEN current_setting('transaction_timeout', true) IS NOT NULL
            THEN set_config('transaction_timeout', '0', true) END
"""
"""Begins the transaction of a session that holds leases.

A session without activity for $1 milliseconds is ended, and its leases with it; a limit for whole
transactions (PostgreSQL 17) would end a live one."""

TRY_LEASE: Final = b"SELECT 1 WHERE pg_try_advisory_lock(%d, %d)"
"""Tries to acquire a consumer's lease, for its session; returns a row if it is held."""

RELEASE_LEASE: Final = b"SELECT pg_advisory_unlock(%d, %d)"

CATEGORY_LEASES: Final = 1835295861
"""The first number of the lock of a category that each lease of it shares, through PL/Proxy."""

_SHARED: Final = b"(%d, %%d)" % CATEGORY_LEASES
TRY_PLACED_LEASE: Final = b"""
SELECT 1 WHERE CASE
    WHEN NOT pg_try_advisory_lock_shared%(shared)b THEN false
    WHEN pg_try_advisory_lock(%%d, %%d) THEN true
    ELSE NOT pg_advisory_unlock_shared%(shared)b
END
""" % {b"shared": _SHARED}
"""The same through PL/Proxy, with a shared lock of the category, which its move to a node takes."""

RELEASE_PLACED_LEASE: Final = (
    b"""
SELECT pg_advisory_unlock(%%d, %%d), pg_advisory_unlock_shared%b
"""
    % _SHARED
)

TRY_SHARED_LEASE: Final = b"SELECT 1 WHERE pg_try_advisory_lock_shared(%d, %d)"
"""Tries to acquire a lock that several sessions may hold; returns a row if it is held."""

RELEASE_SHARED_LEASE: Final = b"SELECT pg_advisory_unlock_shared(%d, %d)"

LEASE_HOLDERS: Final = b"""
SELECT classid::bigint, objid::bigint, pid
FROM pg_locks
WHERE locktype = 'advisory' AND objsubid = 2 AND granted
  AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""
"""The holders of advisory locks of two integers in this database, such as consumers' leases."""

LOCK_LOOK: Final = b"""
SELECT classid::bigint, objid::bigint, pid, (pid = pg_backend_pid())::int
FROM pg_locks
WHERE locktype = 'advisory' AND objsubid = 2 AND granted
  AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""
"""The same, with whether the holder is the session that asks."""

POSITION_CATEGORIES: Final = """
WITH RECURSIVE categories AS (
    (SELECT {schema}.category(stream_name) AS name FROM {schema}.messages
     ORDER BY {schema}.category(stream_name) LIMIT 1)
    UNION ALL
    SELECT (SELECT {schema}.category(stream_name) FROM {schema}.messages
            WHERE {schema}.category(stream_name) > c.name
            ORDER BY {schema}.category(stream_name) LIMIT 1)
    FROM categories c WHERE c.name IS NOT NULL
)
SELECT c.name::varchar FROM categories c WHERE c.name ~ '^[^:]*:([^+]*[+])*position([+]|$)'
"""
"""The categories of position streams. It skips along the index from category to category."""

LAST_RECORDS: Final = """
SELECT {columns}
FROM (SELECT DISTINCT p.stream_name
      FROM unnest($1::varchar[]) c (name) CROSS JOIN LATERAL (
          SELECT stream_name FROM {schema}.messages
          WHERE {schema}.category(stream_name) = ANY (ARRAY[c.name])) p) s
CROSS JOIN LATERAL (
    SELECT * FROM {schema}.messages
    WHERE stream_name = s.stream_name ORDER BY position DESC LIMIT 1) m
ORDER BY m.stream_name
"""
"""The last message of each position stream of some categories, all of whose records it reads."""

POSITION_CATEGORIES_ON_NODES: Final = """
SELECT name FROM messagedb.proxy_list_position_categories() AS name ORDER BY name
"""
"""The same through PL/Proxy: from all nodes."""

LAST_RECORDS_ON_NODES: Final = """
SELECT id, stream_name, type, position, global_position, data, metadata, time
FROM messagedb.proxy_list_last_records($1::varchar[]) ORDER BY stream_name
"""

POSITION_CATEGORIES_ON_SOME_NODES: Final = """
SELECT (found::json->>0)::varchar AS name
FROM unnest('{nodes}'::int[]) AS node, LATERAL messagedb.proxy_read_rows_on(
    node, 'SELECT c FROM messagedb.list_position_categories() AS c', true) AS found
ORDER BY name
"""
"""The same from some nodes, by their numbers."""

LAST_RECORDS_ON_SOME_NODES: Final = """
SELECT found::json->>0, (found::json->>1)::varchar AS stream_name, found::json->>2,
       (found::json->>3)::bigint, (found::json->>4)::bigint, found::json->>5, found::json->>6,
       (found::json->>7)::timestamp
FROM unnest('{nodes}'::int[]) AS node, LATERAL messagedb.proxy_read_rows_on(
    node,
    format('SELECT * FROM messagedb.list_last_records(%L)', $1::varchar[])::varchar,
    true) AS found
ORDER BY stream_name
"""

COUNT_PARKED: Final = """
SELECT coalesce(sum(parked), 0)::bigint, count(*) FILTER (WHERE held > 0),
       coalesce(sum(held) FILTER (WHERE held > 0), 0)::bigint
FROM (SELECT sum(change) AS parked, sum(change) FILTER (WHERE holds) AS held
      FROM (SELECT CASE WHEN type = 'Parked' THEN 1 ELSE -1 END AS change,
                   data->>'streamName' AS stream_name,
                   coalesce(data->>'holdsStream' = 'true', false) AS holds
            FROM {schema}.messages
            WHERE stream_name = $1 AND type IN ('Parked', 'Replayed', 'Discarded')) record
      GROUP BY stream_name) stream
"""
"""The numbers of parked messages, of held streams, and of parked messages in these: each message is
replayed or discarded once at most."""

COUNT_PARKED_ON_NODE: Final = """
SELECT parked, held_streams, held FROM messagedb.proxy_count_parked($1::varchar)
"""
"""The same through PL/Proxy: from the node of the stream."""

IS_PARKED: Final = """
SELECT coalesce(sum(CASE WHEN type = 'Parked' THEN 1 ELSE -1 END), 0) > 0
FROM {schema}.messages
WHERE stream_name = $1 AND type IN ('Parked', 'Replayed', 'Discarded')
  AND data->>'globalPosition' = $2::bigint::varchar
"""
"""True if the message with the global position $2 is parked in a stream of parked messages."""

IS_PARKED_ON_NODE: Final = """
SELECT (found::json->>0)::boolean
FROM messagedb.proxy_read_rows(
    $1::varchar,
    format(
        $query$
        SELECT coalesce(sum(CASE WHEN type = 'Parked' THEN 1 ELSE -1 END), 0) > 0
        FROM message_store.messages
        WHERE stream_name = %L AND type IN ('Parked', 'Replayed', 'Discarded')
          AND data->>'globalPosition' = %L
        $query$,
        $1::varchar, $2::bigint)::varchar,
    true) AS found
"""
"""The same through PL/Proxy: from the node of the stream."""

HAS_POSITIONS: Final = b"""
SELECT EXISTS (
    SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = 'messagedb' AND c.relname = 'positions'
      AND has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT'))
"""
"""True if the role may read the table of positions. ``to_regclass`` would raise an error for a role
that may not use the schema."""

HAS_PARTITION_SETS: Final = HAS_POSITIONS.replace(b"'positions'", b"'partition_sets'")
"""True if the role may read the numbers of partitions."""

ALL_POSITIONS: Final = b"""
SELECT consumer, position, (extract(epoch FROM saved_at) * 1000000)::bigint, resized_to
FROM messagedb.positions WHERE store = $1 ORDER BY consumer
"""

WAITED_POSITIONS: Final = b"""
SELECT consumer::varchar, position, resized_to FROM messagedb.positions
WHERE store = $1 AND consumer = ANY ($2::varchar[])
"""

NOTIFY_QUICKLY: Final = b"""
SELECT set_config('synchronous_commit', 'off', true),
       (SELECT count(pg_notify($1, payload)) FROM unnest($2::varchar[]) AS payload)
"""
"""Sends notifications, and does not wait for the disk: other commits that notify wait for its own.

A lost one delays a wait until the next poll."""

HAS_STATUS: Final = HAS_POSITIONS.replace(b"'positions'", b"'consumer_status'")
"""True if the role may read the reports of consumers."""

ALL_REPORTS: Final = b"""
SELECT consumer, category, identifier, group_member, group_size, position_store, has_lease,
       host, pid, (extract(epoch FROM started_at) * 1000000)::bigint,
       (extract(epoch FROM reported_at) * 1000000)::bigint,
       (extract(epoch FROM clock_timestamp() - reported_at) * 1000000)::bigint,
       (report_interval * 1000000)::bigint,
       state, next_position, lag_messages, (lag_seconds * 1000000)::bigint,
       in_flight_stream, in_flight_position, in_flight_attempt,
       (extract(epoch FROM in_flight_since) * 1000000)::bigint,
       failed_stream, failed_position, failed_global_position, failed_message_id::varchar,
       failed_type, failed_attempt, failed_error,
       (extract(epoch FROM failed_at) * 1000000)::bigint
FROM messagedb.consumer_status WHERE store = $1 ORDER BY consumer
"""
"""All reports of a store. Times and durations are numbers of microseconds."""

REPORTS_OF: Final = ALL_REPORTS.replace(b"ORDER BY", b"AND consumer = ANY ($2::varchar[]) ORDER BY")
"""The reports of some consumers, the same columns."""

KEEP_LEASE: Final = b"SELECT 1"
"""Any response proves that the session lives, and with it its lock or its LISTEN."""

HAS_NOTIFY: Final = b"""
SELECT EXISTS (
    SELECT FROM pg_trigger t
    JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = $1 AND c.relname = 'messages' AND t.tgname = 'messagedb_notify'
      AND t.tgenabled <> 'D')
"""

TAKES_WRITES: Final = b"""
SELECT current_setting('transaction_read_only') = 'off',
       EXISTS (SELECT FROM pg_stat_activity
               WHERE datname = current_database() AND wait_event = 'SyncRep'),
       has_database_privilege(current_database(), 'TEMPORARY')
"""
"""Three booleans: this session's transactions may write; commits wait for a synchronous standby (of
this role, or of all for one that may see them); a temporary table can be tried."""

TRY_TRANSACTION: Final = b"SELECT txid_current()"
"""Needs a transaction id, which a server close to wraparound refuses."""

TRY_WRITE: Final = b"""
CREATE TEMPORARY TABLE messagedb_probe ON COMMIT DROP AS
SELECT repeat('x', 1000) FROM generate_series(1, 1000)
"""
"""Needs a megabyte of disk space, which a full disk does not have."""

HAS_TABLESPACE: Final = b"""
SELECT EXISTS (SELECT FROM pg_tablespace WHERE oid::bigint = $1::bigint)
   AND EXISTS (SELECT FROM pg_database
               WHERE datname = current_database() AND oid::bigint = $2::bigint)
"""
"""True if a file of a tablespace and a database, by their numbers, is of this database."""


class ConsumerQueries(msgspec.Struct, frozen=True):
    """The queries for a list of consumers, formatted once for a schema."""

    schema: str
    position_categories: bytes
    last_records: bytes
    count_parked: bytes
    is_parked: bytes


@lru_cache(maxsize=16)
def build_consumer_queries(
    schema: str, has_nodes: bool, nodes: tuple[int, ...] | None = None
) -> ConsumerQueries:
    """Format the queries for a schema; through PL/Proxy they are calls of our functions.

    Args:
        schema: of the table of messages.
        has_nodes: whether the messages are on several nodes.
        nodes: the numbers of the nodes to ask; None for all.
    """
    texts: tuple[str, ...] = (POSITION_CATEGORIES, LAST_RECORDS, COUNT_PARKED, IS_PARKED)
    if nodes is not None:
        lists = (POSITION_CATEGORIES_ON_SOME_NODES, LAST_RECORDS_ON_SOME_NODES)
        numbers = ",".join(map(str, nodes))
        texts = (
            *(text.replace("{nodes}", f"{{{numbers}}}") for text in lists),
            COUNT_PARKED_ON_NODE,
            IS_PARKED_ON_NODE,
        )
    elif has_nodes:
        lists = (POSITION_CATEGORIES_ON_NODES, LAST_RECORDS_ON_NODES)
        texts = (*lists, COUNT_PARKED_ON_NODE, IS_PARKED_ON_NODE)
    return ConsumerQueries(
        schema,
        *(
            text.replace("{schema}", quoted(schema)).replace("{columns}", TABLE_COLUMNS).encode()
            for text in texts
        ),
    )
