"""The statements of connections, reads and writes, with the order of their parameters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from .history import HISTORY_COLUMNS, NO_HISTORY

if TYPE_CHECKING:
    from collections.abc import Iterable

BEGIN: Final = b"BEGIN ISOLATION LEVEL READ COMMITTED"
COMMIT: Final = b"COMMIT"
ROLLBACK: Final = b"ROLLBACK"
SAVEPOINT: Final = b"SAVEPOINT _messagedb"
ROLLBACK_TO_SAVEPOINT: Final = b"ROLLBACK TO SAVEPOINT _messagedb"
RELEASE_SAVEPOINT: Final = b"RELEASE SAVEPOINT _messagedb"

LOCK: Final = b"SELECT pg_advisory_xact_lock($1::bigint)"
"""The category's lock, as acquired by the server's acquire_lock; its key is hash_64(category)."""

LOCK_AND_MARK: Final = b"""
SELECT pg_advisory_xact_lock($1::bigint),
       CASE WHEN strpos(coalesce(current_setting('messagedb.locked', true), ''), $2) = 0
             AND current_setting('transaction_isolation') IN ('read committed', 'read uncommitted')
            THEN set_config('messagedb.locked',
                            coalesce(current_setting('messagedb.locked', true), '') || $2, true) END
"""
"""The same in a transaction that continues, with a mark that the server can find: ``|key|``.

Lock and mark end together: a rollback, also one to an earlier savepoint, removes both, and no
statement of the caller can end one without the other. There is no mark if the isolation level makes
snapshots older than the lock."""

# The functions of 64 bits: their replacements do not exist in PostgreSQL 12.
TRANSACTION_ID: Final = b"SELECT txid_current_if_assigned(), NULL::bigint"
NEW_TRANSACTION_ID: Final = b"SELECT txid_current(), NULL::bigint"
HISTORY: Final = f"SELECT {HISTORY_COLUMNS}".encode()
HISTORY_AND_PID: Final = HISTORY + b", pg_backend_pid()"

CONDITION_ON: Final = b"SELECT set_config('message_store.sql_condition', 'on', true)"

NO_SORT: Final = b"""
SELECT set_config('enable_sort', 'off', true), set_config('jit', 'off', true)
"""
"""The only settings of ours that change plans, besides those in the definitions of our functions.

enable_sort: for a small category, or without statistics, the planner would sort all of a category
for each of its pages, on all majors. This gives a sort the highest cost.

jit: plans that sort nevertheless, such as that of a lag, then also have this cost, for which
PostgreSQL 12 to 17 would compile them, at a hundred times their run time. PostgreSQL 18 counts
disabled nodes instead of a cost.

Both end with the transaction of the read. In a transaction of the caller none is changed: there,
bad statistics lead to a sort."""

NODE_OF: Final = b"""
SELECT n.name::varchar FROM messagedb.proxy_nodes n WHERE n.node = messagedb.proxy_node($1::varchar)
"""
"""The name of the node that the map of a proxying database has for a stream or category."""

SEARCH_PATH: Final = b"SELECT current_setting('search_path')"
SET_SEARCH_PATH: Final = b"SELECT set_config('search_path', $1, true)"

SET_UP: Final = b"""
SELECT set_config('search_path', $1, false),
       set_config('default_transaction_isolation', 'read committed', false),
       set_config('message_store.sql_condition', 'off', false),
       set_config('statement_timeout', $2, false),
       CASE WHEN current_setting('client_connection_check_interval', true) IS NOT NULL
                 AND version() ~ 'linux'
            THEN set_config('client_connection_check_interval', $3, false) END,
       CASE WHEN current_setting('client_min_messages') = 'error'
            THEN set_config('client_min_messages', 'warning', false) END
"""
"""Sets a session up. The setting of $3 exists from PostgreSQL 14, and only if the kernel reports a
closed peer. A warning reports a commit that no standby has."""

SET_UP_AND_HISTORY: Final = SET_UP.rstrip() + f", {HISTORY_COLUMNS}".encode()
"""The same, for a role that may read the server's history, which is in the last columns."""

SET_UP_TRANSACTION: Final = b"""
SELECT set_config('search_path', $1, true), set_config('statement_timeout', $2, true)
"""

SEQUENCE_OF_TABLE: Final = """(SELECT min(CASE WHEN has_schema_privilege(s.oid, 'USAGE')
                         AND has_sequence_privilege(q.oid, 'SELECT')
                   THEN quote_ident(s.nspname) || '.' || quote_ident(q.relname) END)
        FROM pg_depend d
        JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
        JOIN pg_class q ON q.oid = d.objid AND q.relkind = 'S'
        JOIN pg_namespace s ON s.oid = q.relnamespace
        WHERE d.refclassid = 'pg_catalog.pg_class'::regclass AND d.refobjid = t.oid
          AND d.classid = 'pg_catalog.pg_class'::regclass AND d.deptype IN ('a', 'i')
          AND a.attname = 'global_position')"""
"""The name of the sequence of a table *t* of messages, if the role may read it."""

INSPECT: Final = (
    b"""
SELECT pg_backend_pid(),
       current_setting('server_version_num')::int,
       current_setting('server_encoding'),
       pg_is_in_recovery(),
       current_database()::varchar,
       current_user::varchar,
       n.oid IS NOT NULL,
       coalesce(has_schema_privilege(n.oid, 'USAGE'), false),
       (SELECT coalesce(string_agg(p.proname || '/' || p.pronargs, ' '), '')
        FROM pg_proc p WHERE p.pronamespace = n.oid),
       EXISTS (SELECT FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang
               WHERE p.pronamespace = n.oid AND p.proname = 'write_message'
                 AND l.lanname = 'plproxy'),
       EXISTS (SELECT FROM pg_proc p JOIN pg_namespace o ON o.oid = p.pronamespace
               JOIN pg_language l ON l.oid = p.prolang
               WHERE o.nspname = 'messagedb' AND p.proname = 'proxy_write_messages'
                 AND l.lanname = 'plproxy'),
       has_function_privilege('pg_control_system()', 'EXECUTE')
           AND has_function_privilege('pg_current_wal_lsn()', 'EXECUTE')
           AND has_function_privilege('pg_walfile_name(pg_lsn)', 'EXECUTE')
           AND has_table_privilege('pg_catalog.pg_stat_bgwriter', 'SELECT'),
       coalesce(has_table_privilege(t.oid, 'SELECT'), false),
       coalesce(has_table_privilege(t.oid, 'INSERT'), false)
           AND (SELECT coalesce(bool_or(
                    CASE q.relkind WHEN 'S' THEN has_sequence_privilege(q.oid, 'USAGE') END), false)
                FROM pg_class q WHERE q.relnamespace = n.oid),
       """
    + SEQUENCE_OF_TABLE.encode()
    + b"""
FROM (VALUES ($1::varchar)) wanted (name)
LEFT JOIN pg_namespace n ON n.nspname = wanted.name
LEFT JOIN pg_class t
    ON t.relnamespace = n.oid AND t.relname = 'messages' AND t.relkind IN ('r', 'p')
"""
)
"""The query on opening: the server and what is installed. It reads catalogs only; any role may."""

# The placeholders of the statements below: a schema's name as an identifier, the columns of the
# server's message type in the order of Message's fields, and a condition.
_SCHEMA: Final = "{schema}"
_COLUMNS: Final = "{columns}"
_TABLE_COLUMNS: Final = "{table columns}"
_CONDITION: Final = "{condition}"
_COMMITS_WAIT: Final = "{commits wait}"
_CARDINAL_HASH: Final = "{hash of the cardinal id}"
# In the formatted SQL: a character that no name can have.
_PLACE_OF_CONDITION: Final = b"\0"

TABLE_COLUMNS: Final = (
    "m.id::varchar, m.stream_name::varchar, m.type::varchar, m.position, m.global_position, "
    "m.data::varchar, m.metadata::varchar, m.time"
)
"""The columns of a table *m* of messages, as the server's functions return them."""

# Each name is the category $1, or continues with a hyphen and the id. A bit string of 128 bits that
# is cast to 64 keeps the first 64.
CARDINAL_HASH: Final = (
    "('x' || md5(split_part(right(stream_name, -1 - length($1)), '+', 1)))::bit(64)::bigint"
)
"""The server's hash_64 of its cardinal_id in plain SQL: calling its PL/pgSQL for every scanned row
would cost several times as much as the rest of a read."""

_TEXTS: Final = {
    "write_message": """
SELECT {schema}.write_message(
    $1::varchar, $2::varchar, $3::varchar, $4::jsonb, $5::jsonb, $6::bigint)
""",
    "get_stream_messages": """
SELECT {columns}
FROM {schema}.get_stream_messages($1::varchar, $2::bigint, $3::bigint, $4::varchar)
""",
    "get_category_messages": """
SELECT {columns}
FROM {schema}.get_category_messages(
    $1::varchar, $2::bigint, $3::bigint, $4::varchar, $5::bigint, $6::bigint, $7::varchar)
""",
    "get_last_stream_message": """
SELECT {columns} FROM {schema}.get_last_stream_message($1::varchar)
""",
    "get_last_stream_message_of_type": """
SELECT {columns} FROM {schema}.get_last_stream_message($1::varchar, $2::varchar)
""",
    "stream_version": "SELECT {schema}.stream_version($1::varchar)",
    "version_and_isolation": """
SELECT coalesce({schema}.stream_version($1::varchar), -1),
       current_setting('transaction_isolation')
""",
    "acquire_lock": "SELECT {schema}.acquire_lock($1::varchar)",
    "message_store_version": "SELECT {schema}.message_store_version()",
    # The same reads, as queries of the table.
    "stream_query": """
SELECT {table columns}
FROM (SELECT * FROM {schema}.messages
      WHERE stream_name = $1 AND position >= $2::bigint AND ({condition})
      ORDER BY position LIMIT NULLIF($3::bigint, -1)) m
""",
    "stream_query_backwards": """
SELECT {table columns}
FROM (SELECT * FROM {schema}.messages
      WHERE stream_name = $1 AND position <= $2::bigint AND ({condition})
      ORDER BY position DESC LIMIT NULLIF($3::bigint, -1)) m
""",
    # Written so that only the index on categories fits: with plain equality and global position the
    # planner may choose the primary key, and scan the whole table for a rare category. It estimates
    # that 50 % of the rows satisfy a CASE, but 0.5 % a MOD(…) = …: then it would sort all of the
    # category for each page.
    "category_query": """
SELECT {table columns}
FROM (SELECT * FROM {schema}.messages
      WHERE {schema}.category(stream_name) = ANY (ARRAY[$1::varchar])
        AND global_position >= $2::bigint
        AND ($4::varchar IS NULL
             OR {schema}.category(metadata->>'correlationStreamName') = $4)
        AND CASE WHEN $6::bigint IS NULL THEN true
                 WHEN stream_name = $1 THEN false
                 ELSE MOD(@ {hash of the cardinal id}, $6) = $5::bigint END
        AND ({condition})
      ORDER BY {schema}.category(stream_name), global_position
      LIMIT NULLIF($3::bigint, -1)) m
""",
    "category_query_backwards": """
SELECT {table columns}
FROM (SELECT * FROM {schema}.messages
      WHERE {schema}.category(stream_name) = ANY (ARRAY[$1::varchar])
        AND global_position <= $2::bigint
        AND ($4::varchar IS NULL
             OR {schema}.category(metadata->>'correlationStreamName') = $4)
        AND CASE WHEN $6::bigint IS NULL THEN true
                 WHEN stream_name = $1 THEN false
                 ELSE MOD(@ {hash of the cardinal id}, $6) = $5::bigint END
        AND ({condition})
      ORDER BY {schema}.category(stream_name) DESC, global_position DESC
      LIMIT NULLIF($3::bigint, -1)) m
""",
    "last_query": """
SELECT {table columns} FROM {schema}.messages m
WHERE stream_name = $1 ORDER BY position DESC LIMIT 1
""",
    "last_of_type_query": """
SELECT {table columns} FROM {schema}.messages m
WHERE stream_name = $1 AND type = $2 ORDER BY position DESC LIMIT 1
""",
    "version_query": "SELECT max(position) FROM {schema}.messages WHERE stream_name = $1",
    "look_for_message": "SELECT stream_name, position FROM {schema}.messages WHERE id = $1::uuid",
    # Through PL/Proxy: all messages of a batch or none, in one call on their node.
    "write_on_node": """
SELECT version, written, id, found_stream, found_position
FROM messagedb.proxy_write_messages($1::varchar, $2::jsonb, $3::bigint, $4::boolean)
""",
    "stream_backwards_on_node": """
SELECT {columns}
FROM messagedb.proxy_get_stream_messages_backwards(
    $1::varchar, $2::bigint, $3::bigint, $4::varchar)
""",
    "category_backwards_on_node": """
SELECT {columns}
FROM messagedb.proxy_get_category_messages_backwards(
    $1::varchar, $2::bigint, $3::bigint, $4::varchar, $5::bigint, $6::bigint, $7::varchar)
""",
    "find_on_node": """
SELECT found_stream, found_position
FROM messagedb.proxy_find_messages($1::varchar, ARRAY[$2::uuid])
""",
    # If a message is already stored, its writer's commit may still wait for a standby, or its wait
    # was ended: the statement, or its transaction, then commits something that waits as well.
    "find_message": """
SELECT stream_name, position, CASE WHEN {commits wait}
                                   THEN pg_logical_emit_message(true, 'messagedb', '')::varchar END
FROM {schema}.messages WHERE id = $1::uuid
""",
    "find_messages": """
SELECT (SELECT coalesce(max(position), -1) FROM {schema}.messages WHERE stream_name = $1),
       current_setting('transaction_isolation'), f.id::varchar, f.stream_name, f.position,
       CASE WHEN f.id IS NOT NULL AND {commits wait}
            THEN pg_logical_emit_message(true, 'messagedb', '')::varchar END
FROM (VALUES (1)) one LEFT JOIN {schema}.messages f ON f.id = ANY ($2::uuid[])
""",
    # One statement: its snapshot is newer than the last commit under the lock, as the lock's mark
    # was set before it. It writes nothing if there is no mark, the id is already stored or the
    # version differs; it raises no error then, so that the transaction can continue. Under the lock
    # only the id can conflict, as in another category: checking the other unique indexes first
    # would cost a tenth of the write.
    "write_under_lock": """
INSERT INTO {schema}.messages (id, stream_name, position, type, data, metadata)
SELECT $1::uuid, $2, stream.version + 1, $3, $4::jsonb, $5::jsonb
FROM (SELECT coalesce(max(position), -1) AS version FROM {schema}.messages
      WHERE stream_name = $2) stream
WHERE ($6::bigint IS NULL OR stream.version = $6 OR ($6 = -2 AND stream.version >= 0))
  AND strpos(current_setting('messagedb.locked', true), $7) > 0
ON CONFLICT (id) DO NOTHING
RETURNING position, txid_current_if_assigned(), xmin::text::bigint
""",
    # The reason why it wrote nothing.
    "look_at_write": """
SELECT found.stream_name, found.position,
       (SELECT coalesce(max(position), -1) FROM {schema}.messages WHERE stream_name = $2),
       current_setting('transaction_isolation'),
       CASE WHEN found.id IS NOT NULL AND {commits wait}
            THEN pg_logical_emit_message(true, 'messagedb', '')::varchar END
FROM (VALUES (1)) one LEFT JOIN {schema}.messages found ON found.id = $1::uuid
""",
    # A batch in one statement, in one round trip with the lock. It writes nothing if the version
    # differs or the isolation level is unsuitable, and raises an error if an id is already stored.
    "insert_batch": """
WITH stream AS (
    SELECT coalesce(max(position), -1) AS version FROM {schema}.messages WHERE stream_name = $1
), written AS (
    INSERT INTO {schema}.messages (id, stream_name, position, type, data, metadata)
    SELECT (e->>'i')::uuid, $1, (SELECT version FROM stream) + n, e->>'t',
           nullif(e->'d', 'null'::jsonb), nullif(e->'m', 'null'::jsonb)
    FROM jsonb_array_elements($2::jsonb) WITH ORDINALITY AS element (e, n)
    WHERE (SELECT $3::bigint IS NULL OR version = $3 OR ($3 = -2 AND version >= 0) FROM stream)
      AND current_setting('transaction_isolation') IN ('read committed', 'read uncommitted')
    RETURNING 1
)
SELECT version, EXISTS (SELECT FROM written) FROM stream
""",
    # It raises an error if the message that a write was decided upon is missing. With a pooler only
    # a statement of the same transaction can check this.
    "check_basis": """
SELECT 1 / count(*) FROM {schema}.messages
WHERE stream_name = $1 AND position = $2::bigint AND id = $3::uuid
""",
    # The transaction that wrote a message: a subtransaction if it was written in a savepoint.
    "transaction_of_message": """
SELECT txid_current_if_assigned(),
       (SELECT xmin::text::bigint FROM {schema}.messages WHERE id = $1::uuid)
""",
    "row_of_transaction": "(SELECT xmin::text::bigint FROM {schema}.messages WHERE id = $3::uuid)",
    "look_at_stream": """
SELECT coalesce(max(position), -1), current_setting('transaction_isolation')
FROM {schema}.messages WHERE stream_name = $1
""",
    "copy_messages": """
COPY {schema}.messages (id, stream_name, position, type, data, metadata) FROM STDIN
""",
    # It raises an error if an id was stored since the query: the later statements are then undone.
    "insert_messages": """
INSERT INTO {schema}.messages (id, stream_name, position, type, data, metadata)
SELECT (e->>'i')::uuid, $1, $2::bigint + n, e->>'t',
       nullif(e->'d', 'null'::jsonb), nullif(e->'m', 'null'::jsonb)
FROM jsonb_array_elements($3::jsonb) WITH ORDINALITY AS element (e, n)
""",
}


class Statement(NamedTuple):
    """A statement's SQL and its parameters, ready to be executed."""

    text: bytes
    params: tuple[Any, ...]


class Statements(msgspec.Struct, frozen=True):
    """The SQL of the statements, formatted once for a schema, which each of them names."""

    write_message: bytes
    get_stream_messages: bytes
    get_category_messages: bytes
    get_last_stream_message: bytes
    get_last_stream_message_of_type: bytes
    stream_version: bytes
    version_and_isolation: bytes
    acquire_lock: bytes
    message_store_version: bytes
    stream_query: bytes
    stream_query_backwards: bytes
    category_query: bytes
    category_query_backwards: bytes
    last_query: bytes
    last_of_type_query: bytes
    version_query: bytes
    look_for_message: bytes
    find_message: bytes
    write_on_node: bytes
    stream_backwards_on_node: bytes
    category_backwards_on_node: bytes
    find_on_node: bytes
    find_messages: bytes
    write_under_lock: bytes
    look_at_write: bytes
    insert_batch: bytes
    check_basis: bytes
    transaction_of_message: bytes
    row_of_transaction: bytes
    look_at_stream: bytes
    copy_messages: bytes
    insert_messages: bytes


def statements(schema: str) -> Statements:
    """Format every statement for a schema."""
    columns = "id, stream_name, type, position, global_position, data, metadata, time"
    return Statements(
        **{
            name: text.strip()
            .replace(_COLUMNS, columns)
            .replace(_TABLE_COLUMNS, TABLE_COLUMNS)
            .replace(_CARDINAL_HASH, CARDINAL_HASH)
            .replace(_COMMITS_WAIT, "current_setting('synchronous_standby_names') <> ''")
            .replace(_CONDITION, _PLACE_OF_CONDITION.decode())
            .replace(_SCHEMA, quoted(schema))
            .encode()
            for name, text in _TEXTS.items()
        }
    )


def transaction_fate(sql: Statements, *, table_readable: bool, history_readable: bool) -> bytes:
    """Return the query for the outcome of a transaction, in one statement.

    Its parameters: the transaction's id; the server process that was to commit it; the id of a
    message that it wrote. It returns the server's status of the id, the server's history, whether
    that process waits for a standby, and the transaction that wrote the message.
    """
    history = HISTORY_COLUMNS if history_readable else NO_HISTORY
    row = sql.row_of_transaction.decode() if table_readable else "NULL::bigint"
    return f"""
SELECT txid_status($1), {history},
       EXISTS (SELECT FROM pg_stat_activity WHERE pid = $2::int AND wait_event = 'SyncRep'),
       CASE WHEN $3::varchar IS NOT NULL THEN {row} END
""".encode()


def search_path(schema: str) -> str:
    """Return the search path with which the server's functions find each other.

    They call each other without a schema. Temporary tables come last: one named "messages" would
    replace the store's.
    """
    return f"{quoted(schema)}, public, pg_temp"


def array_literal(values: Iterable[str] | Iterable[int]) -> str:
    """Return values as a PostgreSQL array; psycopg's own arrays would need a type for each."""
    elements: list[str] = []
    for value in values:
        escaped = str(value).replace("\\", "\\\\").replace('"', '\\"')
        elements.append(f'"{escaped}"')
    return "{" + ",".join(elements) + "}"


def quoted(name: str) -> str:
    """Return a name as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def with_condition(text: bytes, condition: str | None) -> bytes:
    """Insert a condition unchanged into a statement with a place for one, as the server does."""
    given = b"true" if condition is None else condition.encode()
    return text.replace(_PLACE_OF_CONDITION, given)
