"""The columns that tell the history of a server."""

from __future__ import annotations

from typing import Final

HISTORY_COLUMNS: Final = """
CASE WHEN NOT pg_is_in_recovery() THEN left(pg_walfile_name(pg_current_wal_lsn()), 8) END,
(SELECT system_identifier::text FROM pg_control_system()),
(SELECT extract(epoch FROM stats_reset)::text FROM pg_stat_bgwriter)
"""
"""The parts of a history, as columns of a SELECT that any role may ask for by default.

A crash keeps timeline and start time, but empties the statistics. A promotion keeps the statistics
and the start time, but begins a timeline, which the control file shows only later."""

NO_HISTORY: Final = "NULL::text, NULL::text, NULL::text"
"""The same columns where the role may not ask."""

WAIT_FOR_STANDBY: Final = b"""
SELECT pg_logical_emit_message(true, 'messagedb', '')::varchar
WHERE current_setting('synchronous_standby_names') <> ''
"""
"""Commits something, where commits wait for a standby: what was committed before has then got there
as well. Any role may. It does nothing elsewhere."""
