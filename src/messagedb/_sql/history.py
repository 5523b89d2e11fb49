"""The columns that identify the history of a server."""

from __future__ import annotations

from typing import Final

HISTORY_COLUMNS: Final = """
CASE WHEN NOT pg_is_in_recovery() THEN left(pg_walfile_name(pg_current_wal_lsn()), 8) END,
(SELECT system_identifier::text FROM pg_control_system())
|| '-' || (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database()),
(SELECT extract(epoch FROM stats_reset)::text FROM pg_stat_bgwriter)
"""
"""The parts of a history, as columns of a SELECT that any role may run by default.

A crash keeps timeline and start time, but clears the statistics. A promotion keeps the statistics
and the start time, but begins a timeline, which the control file shows only later. A dump that is
restored on the same server, also under the name of the old database, is in a database with another
oid; a standby has the oid of the primary."""

NO_HISTORY: Final = "NULL::text, NULL::text, NULL::text"
"""The same columns for a role without this permission."""

WAIT_FOR_STANDBY: Final = b"""
SELECT pg_logical_emit_message(true, 'messagedb', '')::varchar
WHERE current_setting('synchronous_standby_names') <> ''
"""
"""Commits something if commits wait for a standby: earlier commits have then arrived there as well.
Any role may run it. Without synchronous standbys it does nothing."""
