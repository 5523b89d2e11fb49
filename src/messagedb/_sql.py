"""Every statement that the client sends: its text, made once per schema name, and the order of its parameters."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import msgspec

BEGIN: Final = "BEGIN ISOLATION LEVEL READ COMMITTED"
COMMIT: Final = "COMMIT"
SAVEPOINT: Final = "SAVEPOINT _messagedb"
ROLLBACK_TO_SAVEPOINT: Final = "ROLLBACK TO SAVEPOINT _messagedb"
RELEASE_SAVEPOINT: Final = "RELEASE SAVEPOINT _messagedb"

LOCK: Final = "SELECT pg_advisory_xact_lock($1::bigint)"
"""The category's lock, the same as the server's acquire_lock takes; its key is hash_64 of the category."""

CONDITION_ON: Final = "SELECT set_config('message_store.sql_condition', 'on', true)"

SEARCH_PATH: Final = "SELECT current_setting('search_path')"
SET_SEARCH_PATH: Final = "SELECT set_config('search_path', $1, true)"

# The columns of the server's message type, in the order of Message's fields.
_COLUMNS: Final = "id, stream_name, type, position, global_position, data, metadata, time"
_TABLE_COLUMNS: Final = (
    "m.id::varchar, m.stream_name::varchar, m.type::varchar, m.position, m.global_position, "
    "m.data::varchar, m.metadata::varchar, m.time"
)


_CONDITION: Final = "{condition}"


class Statement(NamedTuple):
    """A statement's text and its parameters, ready to be executed."""

    text: str
    params: tuple[Any, ...]


class Statements(msgspec.Struct, frozen=True):
    """The texts of the statements, formatted once for a schema. Each call of a function names its schema."""

    write_message: str
    get_stream_messages: str
    get_category_messages: str
    get_last_stream_message: str
    get_last_stream_message_of_type: str
    stream_version: str
    version_and_isolation: str
    acquire_lock: str
    message_store_version: str
    stream_query: str
    category_query: str
    last_query: str
    last_of_type_query: str
    version_query: str
    find_message: str
    find_messages: str
    write_under_lock: str
    insert_messages: str
    inspect: str
    set_up: str
    set_up_transaction: str
    search_path: str


def statements(schema: str) -> Statements:
    """Format every statement for a schema."""
    s = quoted(schema)
    return Statements(
        write_message=(
            f"SELECT {s}.write_message($1::varchar, $2::varchar, $3::varchar, $4::jsonb, $5::jsonb, $6::bigint)"
        ),
        get_stream_messages=(
            f"SELECT {_COLUMNS} FROM {s}.get_stream_messages($1::varchar, $2::bigint, $3::bigint, $4::varchar)"
        ),
        get_category_messages=(
            f"SELECT {_COLUMNS} FROM {s}.get_category_messages("
            "$1::varchar, $2::bigint, $3::bigint, $4::varchar, $5::bigint, $6::bigint, $7::varchar)"
        ),
        get_last_stream_message=f"SELECT {_COLUMNS} FROM {s}.get_last_stream_message($1::varchar)",
        get_last_stream_message_of_type=(
            f"SELECT {_COLUMNS} FROM {s}.get_last_stream_message($1::varchar, $2::varchar)"
        ),
        stream_version=f"SELECT {s}.stream_version($1::varchar)",
        version_and_isolation=(
            f"SELECT coalesce({s}.stream_version($1::varchar), -1), current_setting('transaction_isolation')"
        ),
        acquire_lock=f"SELECT {s}.acquire_lock($1::varchar)",
        message_store_version=f"SELECT {s}.message_store_version()",
        stream_query=(
            f"SELECT {_TABLE_COLUMNS} FROM (SELECT * FROM {s}.messages "
            f"WHERE stream_name = $1 AND position >= $2::bigint AND ({_CONDITION}) "
            "ORDER BY position LIMIT NULLIF($3::bigint, -1)) m"
        ),
        category_query=(
            f"SELECT {_TABLE_COLUMNS} FROM (SELECT * FROM {s}.messages "
            f"WHERE {s}.category(stream_name) = $1::varchar AND global_position >= $2::bigint "
            f"AND ($4::varchar IS NULL OR {s}.category(metadata->>'correlationStreamName') = $4) "
            "AND ($6::bigint IS NULL OR "
            f"MOD(@ {s}.hash_64(split_part({s}.id(stream_name), '+', 1)), $6) = $5::bigint) "
            f"AND ({_CONDITION}) ORDER BY global_position LIMIT NULLIF($3::bigint, -1)) m"
        ),
        last_query=(
            f"SELECT {_TABLE_COLUMNS} FROM {s}.messages m WHERE stream_name = $1 ORDER BY position DESC LIMIT 1"
        ),
        last_of_type_query=(
            f"SELECT {_TABLE_COLUMNS} FROM {s}.messages m WHERE stream_name = $1 AND type = $2 "
            "ORDER BY position DESC LIMIT 1"
        ),
        version_query=f"SELECT max(position) FROM {s}.messages WHERE stream_name = $1",
        find_message=f"SELECT stream_name, position FROM {s}.messages WHERE id = $1::uuid",
        find_messages=(
            f"SELECT (SELECT coalesce(max(position), -1) FROM {s}.messages WHERE stream_name = $1), "
            "current_setting('transaction_isolation'), f.id::varchar, f.stream_name, f.position "
            f"FROM (VALUES (1)) one LEFT JOIN {s}.messages f ON f.id = ANY ($2::uuid[])"
        ),
        write_under_lock=_write_under_lock(s),
        insert_messages=(
            f"INSERT INTO {s}.messages (id, stream_name, position, type, data, metadata) "
            "SELECT (e->>'i')::uuid, $1, $2::bigint + n, e->>'t', "
            "nullif(e->'d', 'null'::jsonb), nullif(e->'m', 'null'::jsonb) "
            "FROM jsonb_array_elements($3::jsonb) WITH ORDINALITY AS element (e, n) "
            "ON CONFLICT DO NOTHING RETURNING id"
        ),
        inspect=_INSPECT,
        set_up=_SET_UP,
        set_up_transaction=(
            "SELECT set_config('search_path', $1, true), set_config('statement_timeout', $2, true)"
        ),
        # The server's functions call each other without naming a schema.
        search_path=f"{s}, public",
    )


def quoted(name: str) -> str:
    """A name as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def with_condition(text: str, condition: str | None) -> str:
    """Put a condition into a statement that has a place for one. As on the server, it is spliced as it is."""
    return text.replace(_CONDITION, "true" if condition is None else condition)


def _write_under_lock(s: str) -> str:
    # One statement, sent after the lock was taken by another: its snapshot is newer than the last commit under
    # that lock. It writes nothing when the id is stored already, the version is another, or the isolation level
    # would make the snapshot older than the lock; it never raises for those, so the transaction goes on.
    return (
        f"WITH found AS (SELECT stream_name, position FROM {s}.messages WHERE id = $1::uuid), "
        f"stream AS (SELECT coalesce(max(position), -1) AS version FROM {s}.messages WHERE stream_name = $2), "
        f"written AS (INSERT INTO {s}.messages (id, stream_name, position, type, data, metadata) "
        "SELECT $1::uuid, $2, stream.version + 1, $3, $4::jsonb, $5::jsonb FROM stream "
        "WHERE NOT EXISTS (SELECT FROM found) "
        "AND ($6::bigint IS NULL OR stream.version = $6 OR ($6 = -2 AND stream.version >= 0)) "
        "AND current_setting('transaction_isolation') IN ('read committed', 'read uncommitted') "
        "ON CONFLICT DO NOTHING RETURNING position) "
        "SELECT (SELECT position FROM written), found.stream_name, found.position, stream.version, "
        "current_setting('transaction_isolation') FROM stream LEFT JOIN found ON true"
    )


# What opening asks: who answers, and what is there. Reads catalogs only, so that it works for any role.
_INSPECT: Final = """
SELECT pg_backend_pid(), current_setting('server_version_num')::int, current_setting('server_encoding'),
       pg_is_in_recovery(), current_database()::varchar, current_user::varchar,
       n.oid IS NOT NULL,
       coalesce(has_schema_privilege(n.oid, 'USAGE'), false),
       (SELECT coalesce(string_agg(p.proname || '/' || p.pronargs, ' '), '') FROM pg_proc p WHERE p.pronamespace = n.oid),
       coalesce(has_table_privilege(t.oid, 'SELECT'), false),
       coalesce(has_table_privilege(t.oid, 'INSERT'), false)
           AND (SELECT coalesce(bool_or(CASE q.relkind WHEN 'S' THEN has_sequence_privilege(q.oid, 'USAGE') END), false)
                FROM pg_class q WHERE q.relnamespace = n.oid)
FROM (VALUES ($1::varchar)) wanted (name)
LEFT JOIN pg_namespace n ON n.nspname = wanted.name
LEFT JOIN pg_class t ON t.relnamespace = n.oid AND t.relname = 'messages' AND t.relkind IN ('r', 'p')
"""

# client_connection_check_interval exists from PostgreSQL 14 and only where the kernel tells of a closed peer.
_SET_UP: Final = """
SELECT set_config('search_path', $1, false),
       set_config('default_transaction_isolation', 'read committed', false),
       set_config('message_store.sql_condition', 'off', false),
       set_config('statement_timeout', $2, false),
       CASE WHEN current_setting('client_connection_check_interval', true) IS NOT NULL AND version() ~ 'linux'
            THEN set_config('client_connection_check_interval', $3, false) END
"""
