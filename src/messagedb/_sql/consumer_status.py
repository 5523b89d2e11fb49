"""The statements with which consumers report to other processes how they are."""

from __future__ import annotations

from typing import Final

MAY_REPORT: Final = b"""
SELECT c.oid IS NOT NULL,
       coalesce(has_schema_privilege(c.relnamespace, 'USAGE')
                AND has_table_privilege(c.oid, 'SELECT')
                AND has_table_privilege(c.oid, 'INSERT')
                AND has_table_privilege(c.oid, 'UPDATE'), false),
       current_setting('transaction_read_only') = 'off'
FROM (SELECT) AS one
LEFT JOIN pg_namespace n ON n.nspname = 'messagedb'
LEFT JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = 'consumer_status'
"""
"""Three booleans: the table is there, the role may write to it, and transactions may write."""

SET_REPORT_LIMITS: Final = b"""
SELECT set_config('lock_timeout', '1s', true), set_config('statement_timeout', '4s', true),
       set_config('synchronous_commit', 'off', true)
"""
"""For the transaction of a report, which waits neither for the disk nor for a standby."""

REPORT: Final = b"""
INSERT INTO messagedb.consumer_status AS s (
    store, consumer, run, category, identifier, group_member, group_size, position_store, has_lease,
    host, pid, started_at, reported_at, report_interval,
    state, next_position, lag_messages, lag_seconds,
    in_flight_stream, in_flight_position, in_flight_attempt, in_flight_since,
    failed_stream, failed_position, failed_global_position, failed_message_id, failed_type,
    failed_attempt, failed_error, failed_at)
SELECT $1, consumer, run, category, identifier, group_member, group_size, position_store, has_lease,
    host, pid, now() - started_before * interval '1 second', now(), report_interval,
    state, next_position, lag_messages, lag_seconds,
    in_flight_stream, in_flight_position, in_flight_attempt,
    now() - in_flight_for * interval '1 second',
    failed_stream, failed_position, failed_global_position, failed_message_id, failed_type,
    failed_attempt, failed_error, now() - failed_before * interval '1 second'
FROM json_to_recordset($2::json) AS v (
    consumer text, run uuid, category text, identifier text, group_member int, group_size int,
    position_store text, has_lease boolean, host text, pid int, started_before float8,
    report_interval float8, state text, next_position bigint, lag_messages bigint,
    lag_seconds float8, in_flight_stream text, in_flight_position bigint, in_flight_attempt int,
    in_flight_for float8, failed_stream text, failed_position bigint,
    failed_global_position bigint, failed_message_id uuid, failed_type text, failed_attempt int,
    failed_error text, failed_before float8)
ORDER BY consumer
ON CONFLICT (store, consumer) DO UPDATE SET
    run = excluded.run, category = excluded.category, identifier = excluded.identifier,
    group_member = excluded.group_member, group_size = excluded.group_size,
    position_store = excluded.position_store, has_lease = excluded.has_lease,
    host = excluded.host, pid = excluded.pid,
    started_at = CASE WHEN s.run = excluded.run THEN s.started_at ELSE excluded.started_at END,
    reported_at = excluded.reported_at, report_interval = excluded.report_interval,
    state = excluded.state, next_position = excluded.next_position,
    lag_messages = excluded.lag_messages, lag_seconds = excluded.lag_seconds,
    in_flight_stream = excluded.in_flight_stream,
    in_flight_position = excluded.in_flight_position,
    in_flight_attempt = excluded.in_flight_attempt,
    in_flight_since = CASE
        WHEN s.run = excluded.run AND s.in_flight_stream = excluded.in_flight_stream
            AND s.in_flight_position = excluded.in_flight_position THEN s.in_flight_since
        ELSE excluded.in_flight_since END,
    failed_stream = coalesce(excluded.failed_stream, s.failed_stream),
    failed_position = coalesce(excluded.failed_position, s.failed_position),
    failed_global_position = coalesce(excluded.failed_global_position, s.failed_global_position),
    failed_message_id = coalesce(excluded.failed_message_id, s.failed_message_id),
    failed_type = coalesce(excluded.failed_type, s.failed_type),
    failed_attempt = coalesce(excluded.failed_attempt, s.failed_attempt),
    failed_error = coalesce(excluded.failed_error, s.failed_error),
    failed_at = CASE
        WHEN s.run = excluded.run AND s.failed_global_position = excluded.failed_global_position
            AND s.failed_attempt = excluded.failed_attempt THEN s.failed_at
        ELSE coalesce(excluded.failed_at, s.failed_at) END
WHERE s.run = excluded.run OR excluded.run = ANY ($3::uuid[])
"""
"""Stores reports of the consumers of a store, as a JSON array in $2; those of the runs $3 are their
first, which may replace an earlier run's. The last failure stays until there is another one. Times
are by the server's clock: the reports say how long ago something was."""
