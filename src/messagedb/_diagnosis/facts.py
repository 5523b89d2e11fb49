"""Facts about a store, its server and its role, for a diagnosis: a query, and its row."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from .._connection.position_sequence import is_behind
from .._sql.statements import SEQUENCE_OF_TABLE

DIAGNOSTIC_QUERY: Final = f"""
SELECT
    current_setting('server_version_num')::int AS server_version,
    getdatabaseencoding()::text AS encoding,
    pg_is_in_recovery() AS in_recovery,
    current_setting('transaction_read_only') = 'on' AS read_only,
    current_database()::text AS database,
    current_user::text AS role,
    current_setting('search_path') AS search_path,
    coalesce(current_setting('message_store.sql_condition', true), '') AS sql_condition,
    pg_backend_pid() AS pid,
    n.oid IS NOT NULL AS has_schema,
    coalesce(has_schema_privilege(n.oid, 'USAGE'), false) AS may_use_schema,
    t.oid IS NOT NULL AS has_table,
    coalesce(has_table_privilege(t.oid, 'SELECT'), false) AS may_select,
    coalesce(has_table_privilege(t.oid, 'INSERT'), false) AS may_insert,
    ARRAY(SELECT p.proname || '/' || p.pronargs FROM pg_proc p WHERE p.pronamespace = n.oid)
        AS functions,
    ARRAY(SELECT p.proname::text FROM pg_proc p WHERE p.pronamespace = n.oid
          AND NOT has_function_privilege(p.oid, 'EXECUTE')) AS forbidden,
    ARRAY(SELECT i.relname::text FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid
          WHERE x.indrelid = t.oid AND x.indisvalid) AS indexes,
    ARRAY(SELECT i.relname::text FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid
          WHERE x.indrelid = t.oid AND NOT x.indisvalid) AS invalid_indexes,
    ARRAY(SELECT v.relname::text FROM pg_class v
          WHERE v.relnamespace = n.oid AND v.relkind = 'v') AS views,
    coalesce(obj_description(f.oid, 'pg_proc'), '') AS mark,
    o.oid IS NOT NULL AS has_positions,
    coalesce(has_schema_privilege(o.relnamespace, 'USAGE')
        AND has_table_privilege(o.oid, 'SELECT')
        AND has_table_privilege(o.oid, 'INSERT')
        AND has_table_privilege(o.oid, 'UPDATE'), false) AS may_use_positions,
    EXISTS (SELECT FROM pg_trigger g WHERE g.tgrelid = t.oid AND g.tgname = 'messagedb_notify')
        AS has_notify,
    {SEQUENCE_OF_TABLE} AS sequence,
    coalesce(s.n_live_tup, 0) AS rows,
    s.last_analyze IS NOT NULL OR s.last_autoanalyze IS NOT NULL AS analyzed,
    current_setting('autovacuum') = 'on' AND NOT EXISTS (
        SELECT FROM unnest(t.reloptions) o WHERE o ~* '^autovacuum_enabled=(f|of|n|0)'
    ) AS autovacuum,
    current_setting('fsync') = 'on' AND current_setting('full_page_writes') = 'on' AS survives,
    current_setting('synchronous_commit') <> 'off' AS waits_for_disk,
    pg_has_role('pg_read_all_stats', 'USAGE') AS sees_all,
    coalesce((SELECT extract(epoch FROM now() - min(a.xact_start))::float8 FROM pg_stat_activity a
              WHERE a.pid <> pg_backend_pid() AND a.datname = current_database()
                AND a.backend_type = 'client backend' AND a.state <> 'idle'), 0) AS oldest_seconds,
    coalesce((SELECT extract(epoch FROM now() - min(p.prepared))::float8 FROM pg_prepared_xacts p
              WHERE p.database = current_database()), 0) AS prepared_seconds
FROM (VALUES (%s::text)) AS wanted (name)
LEFT JOIN pg_namespace n ON n.nspname = wanted.name
LEFT JOIN pg_class t ON t.relnamespace = n.oid AND t.relname = 'messages'
LEFT JOIN pg_proc f
    ON f.pronamespace = n.oid AND f.proname = 'message_store_version' AND f.pronargs = 0
LEFT JOIN pg_stat_user_tables s ON s.relid = t.oid
LEFT JOIN pg_class o
    ON o.relname = 'positions'
    AND o.relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = 'messagedb')
"""
"""Query for `StoreFacts`; its parameter is the schema's name."""


class StoreFacts(msgspec.Struct, frozen=True, kw_only=True):
    """Properties of a server from the query, and properties that the caller has found out.

    Attributes:
        functions: as name/number of parameters.
        refusal: why the library's client does not work with it; '' if it does.
        libpq_pid: the server process that libpq reports; a different one answers behind a pooler.
    """

    server_version: int
    encoding: str
    in_recovery: bool
    read_only: bool
    database: str
    role: str
    search_path: str
    sql_condition: str
    pid: int
    has_schema: bool
    may_use_schema: bool
    has_table: bool
    may_select: bool
    may_insert: bool
    functions: list[str]
    forbidden: list[str]
    indexes: list[str]
    invalid_indexes: list[str]
    views: list[str]
    mark: str
    has_positions: bool
    may_use_positions: bool
    has_notify: bool
    is_sequence_behind: bool
    rows: int
    analyzed: bool
    autovacuum: bool
    survives: bool
    waits_for_disk: bool
    sees_all: bool
    oldest_seconds: float
    prepared_seconds: float
    refusal: str
    libpq_pid: int
    schema: str


def may_read_sequence(answers: dict[str, Any]) -> bool:
    """Return True if the role may compare the sequence of positions with the table."""
    return bool(answers["sequence"] and answers["may_select"] and answers["may_use_schema"])


def build_facts(
    answers: dict[str, Any], positions: tuple[Any, ...] | None, **known: object
) -> StoreFacts:
    """Build the facts from the row of the query.

    Args:
        answers: the row, by the names of its columns.
        positions: the row of ``position_sequence.build_query``; None if it was not asked for.
        known: what the caller has found out: ``schema``, ``refusal``, ``libpq_pid``.
    """
    found = {name: value for name, value in answers.items() if name != "sequence"}
    behind = bool(positions and is_behind(positions))
    return msgspec.convert({**found, **known, "is_sequence_behind": behind}, StoreFacts)
