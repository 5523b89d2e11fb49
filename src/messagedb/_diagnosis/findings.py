"""Diagnosis of a store, its server and its role: the findings from facts about them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, Final, Literal

import msgspec

from .._connection.position_sequence import describe_fix
from .._connection.server_info import REQUIRED_FUNCTIONS
from .._schema.revisions import FUNCTIONS, INDEXES, VIEWS
from .facts import StoreFacts

Level = Literal["ok", "warning", "problem"]

_OLDEST_SERVER: Final = 120000
REVISION_COMMENT: Final = "messagedb schema revision"
"""Beginning of the comment on ``message_store_version()`` in an installation by messagedb."""

_LONG_SECONDS: Final = 300
_ROWS_WORTH_STATISTICS: Final = 10_000


class Finding(msgspec.Struct, frozen=True):
    """Result of one check.

    Attributes:
        level: ``problem`` if it keeps this library from working, ``warning`` if it is slow,
            missing or dangerous to others.
        topic: the subject of the check.
        finding: the state that was found.
        fix: what to do; '' if nothing is wrong.
    """

    level: Level
    topic: str
    finding: str
    fix: str = ""

    def to_row(self) -> dict[str, Any]:
        """Return the finding as a row."""
        return {"level": self.level, "about": self.topic, "found": self.finding, "fix": self.fix}


def summarize(findings: Sequence[Finding]) -> str:
    """Return how many checks there were, and how many of them found something."""
    counts = Counter(each.level for each in findings)
    problems, warnings = counts["problem"], counts["warning"]
    parts = [
        *([f"{problems} problem{'s' * (problems != 1)}"] if problems else []),
        *([f"{warnings} warning{'s' * (warnings != 1)}"] if warnings else []),
    ]
    return f"{len(findings)} checks: {', '.join(parts) or 'all ok'}"


def diagnose(facts: StoreFacts) -> list[Finding]:
    """Derive the findings from the facts, the server first."""
    found = [
        _check_server(facts),
        _check_encoding(facts),
        _check_writes(facts),
        _check_durability(facts),
        _check_pooler(facts),
    ]
    found += [_check_message_db(facts)]
    if facts.has_schema and facts.functions:
        found += _check_privileges(facts)
        if facts.has_table:
            found += [_check_functions(facts), _check_views(facts)]
            found += [_check_indexes(facts), _check_positions(facts), _check_statistics(facts)]
        found += [
            _check_search_path(facts),
            _check_sql_condition(facts),
            _check_messagedb_schema(facts),
            _check_transactions(facts),
        ]
    if facts.refusal and all(each.level != "problem" for each in found):
        found.append(Finding("problem", "client", facts.refusal, "follow the advice in this text"))
    return found


def _check_server(facts: StoreFacts) -> Finding:
    major = facts.server_version // 10000
    if facts.server_version < _OLDEST_SERVER:
        return Finding("problem", "server", f"PostgreSQL {major}", "upgrade it to 12 or later")
    return Finding("ok", "server", f"PostgreSQL {major}")


def _check_encoding(facts: StoreFacts) -> Finding:
    if facts.encoding == "UTF8":
        return Finding("ok", "encoding", "UTF8")
    fix = "create a database with ENCODING 'UTF8' TEMPLATE template0, and move the messages there"
    return Finding("problem", "encoding", facts.encoding, fix)


def _check_writes(facts: StoreFacts) -> Finding:
    if facts.in_recovery:
        fix = "connect to the primary to write: target_session_attrs=read-write in the URL"
        return Finding("warning", "writes", "a standby: it is read-only", fix)
    if facts.read_only:
        fix = f"ALTER ROLE {facts.role} RESET default_transaction_read_only"
        return Finding("warning", "writes", "transactions are read-only", fix)
    return Finding("ok", "writes", "the server accepts writes")


def _check_durability(facts: StoreFacts) -> Finding:
    if not facts.survives:
        found = "fsync or full_page_writes is off: a crash of the machine can destroy the database"
        fix = "set both to on in postgresql.conf, unless it is for tests"
        return Finding("warning", "durability", found, fix)
    if not facts.waits_for_disk:
        found = "synchronous_commit is off: a crash can lose the last acknowledged writes"
        fix = f"ALTER ROLE {facts.role} SET synchronous_commit = on"
        return Finding("warning", "durability", found, fix)
    return Finding("ok", "durability", "acknowledged writes are on disk")


def _check_pooler(facts: StoreFacts) -> Finding:
    if facts.pid == facts.libpq_pid:
        return Finding("ok", "pooler", "none, or one in session mode")
    fix = "no action needed; a session pooler, or none, is faster"
    return Finding("warning", "pooler", "a pooler in transaction mode is in between", fix)


def _check_message_db(facts: StoreFacts) -> Finding:
    where = f"schema {facts.schema} of database {facts.database}"
    names = {each.partition("/")[0] for each in facts.functions}
    if "get_category_messages" not in names:
        fix = "messagedb install, or name another schema with --schema"
        return Finding("problem", "message db", f"none in {where}", fix)
    if facts.mark.startswith(REVISION_COMMENT):
        return Finding("ok", "message db", f"installed by messagedb, in {where}")
    if "get_last_stream_message/2" not in facts.functions:
        fix = "update it with its own scripts; until then only a role that may SELECT from the "
        fix += "table finds the last message of a type"
        return Finding("warning", "message db", f"older than 1.3, in {where}", fix)
    return Finding("ok", "message db", f"in {where}")


def _check_privileges(facts: StoreFacts) -> Iterator[Finding]:
    grant = f"GRANT message_store TO {facts.role}"
    if not facts.may_use_schema:
        found = f"role {facts.role} may not use schema {facts.schema}"
        yield Finding("problem", "rights", found, grant)
    elif facts.forbidden:
        names = ", ".join(sorted(set(facts.forbidden)))
        found = f"role {facts.role} may not call {names}"
        yield Finding("problem", "rights", found, grant)
    elif not (facts.may_select and facts.may_insert):
        lacking = " and ".join(
            word
            for word, may in (("SELECT", facts.may_select), ("INSERT", facts.may_insert))
            if not may
        )
        found = f"role {facts.role} lacks {lacking} on the table: only the functions are used"
        yield Finding("warning", "rights", found, f"{grant}: batches and group reads are faster")
    else:
        yield Finding("ok", "rights", f"role {facts.role} may read and write")


def _check_functions(facts: StoreFacts) -> Finding:
    missing = [name for name in FUNCTIONS if name not in facts.functions]
    if "get_last_stream_message/1" in facts.functions:  # before 1.3, which is already reported
        missing = [name for name in missing if name != "get_last_stream_message/2"]
    if not missing:
        return Finding("ok", "functions", "complete")
    level: Level = "problem" if set(missing) & set(REQUIRED_FUNCTIONS) else "warning"
    names = ", ".join(name.partition("/")[0] for name in missing)
    return Finding(level, "functions", f"missing: {names}", _reinstall_text(facts, "functions"))


def _check_views(facts: StoreFacts) -> Finding:
    missing = [name for name in VIEWS if name not in facts.views]
    if not missing:
        return Finding("ok", "views", "complete")
    found = f"missing: {', '.join(missing)}"
    return Finding("warning", "views", found, _reinstall_text(facts, "views"))


def _check_indexes(facts: StoreFacts) -> Finding:
    invalid = [name for name in INDEXES if name in facts.invalid_indexes]
    missing = [name for name in INDEXES if name not in (*facts.indexes, *invalid)]
    if not missing and not invalid:
        return Finding("ok", "indexes", "complete and valid")
    fixes = [f"REINDEX INDEX CONCURRENTLY {facts.schema}.{name}" for name in invalid]
    if missing:
        fixes.append(_reinstall_text(facts, "indexes"))
    found = [
        f"{word}: {', '.join(names)}"
        for word, names in (("missing", missing), ("invalid", invalid))
        if names
    ]
    fix = f"{'; '.join(fixes)}: reads scan the whole table"
    return Finding("problem", "indexes", "; ".join(found), fix)


def _reinstall_text(facts: StoreFacts, label: str) -> str:
    """Return how to restore a dropped object."""
    if facts.mark.startswith(REVISION_COMMENT):
        return "messagedb upgrade, as the owner, restores them"
    return f"install-{label}.sh of Message DB, run as the owner, restores them"


def _check_positions(facts: StoreFacts) -> Finding:
    if not facts.is_sequence_behind:
        return Finding("ok", "positions", "new messages come after all existing ones")
    found = (
        "the sequence is behind the table: new messages would get positions that consumers have"
        " passed"
    )
    return Finding(
        "problem", "positions", found, f"as the table's owner: {describe_fix(facts.schema)}"
    )


def _check_statistics(facts: StoreFacts) -> Finding:
    table = f"{facts.schema}.messages"
    if not facts.autovacuum:
        found = "autovacuum is off, for the server or the table: its statistics become outdated"
        fix = f"autovacuum = on in postgresql.conf; ALTER TABLE {table} RESET (autovacuum_enabled)"
        return Finding("warning", "statistics", found, fix)
    if facts.analyzed or facts.rows < _ROWS_WORTH_STATISTICS:
        return Finding("ok", "statistics", f"about {facts.rows:,} messages")
    found = f"about {facts.rows:,} messages, and the table was never analyzed"
    return Finding("warning", "statistics", found, f"ANALYZE {table}")


def _check_search_path(facts: StoreFacts) -> Finding:
    path = [part.strip().strip('"') for part in facts.search_path.split(",")]
    path = [facts.role if part == "$user" else part for part in path]
    if facts.schema in path:
        return Finding("ok", "search_path", facts.search_path)
    fix = (
        f"for psql and other clients: ALTER ROLE {facts.role} SET search_path = {facts.schema}, "
        "public; this library sets its own"
    )
    return Finding("warning", "search_path", f"{facts.search_path}: without the schema", fix)


def _check_sql_condition(facts: StoreFacts) -> Finding:
    if facts.sql_condition != "on":
        return Finding("ok", "sql condition", "off, except for reads that use it")
    fix = f"ALTER ROLE {facts.role} RESET message_store.sql_condition"
    found = "on for every session: any client can send SQL with a read"
    return Finding("warning", "sql condition", found, fix)


def _check_messagedb_schema(facts: StoreFacts) -> Finding:
    notify = "consumers are notified" if facts.has_notify else "consumers poll"
    if facts.has_positions and not facts.may_use_positions:
        found = f"role {facts.role} may not store positions there; {notify}"
        fix = (
            f"GRANT USAGE ON SCHEMA messagedb TO {facts.role}; GRANT SELECT, INSERT, UPDATE ON "
            f"messagedb.positions TO {facts.role}; if its consumers are to keep them in the table"
        )
        return Finding("warning", "schema messagedb", found, fix)
    if facts.has_positions:
        return Finding("ok", "schema messagedb", f"installed; {notify}")
    fix = "messagedb install, if consumers are to store positions in the table; it changes no other"
    return Finding("warning", "schema messagedb", f"not installed; {notify}", fix)


def _check_transactions(facts: StoreFacts) -> Finding:
    harm = (
        "it keeps vacuum from the table, and if it has written, consumers of several categories"
        " wait for it"
    )
    if facts.prepared_seconds >= _LONG_SECONDS:
        found = f"one was prepared {_format_minutes(facts.prepared_seconds)} ago, and is still open"
        fix = f"COMMIT PREPARED or ROLLBACK PREPARED, as pg_prepared_xacts names it: {harm}"
        return Finding("warning", "transactions", found, fix)
    if facts.oldest_seconds >= _LONG_SECONDS:
        found = f"one has been open for {_format_minutes(facts.oldest_seconds)}"
        fix = f"end it, if it is not needed (pg_stat_activity names its owner): {harm}"
        return Finding("warning", "transactions", found, fix)
    if facts.sees_all:
        return Finding("ok", "transactions", "no long ones")
    return Finding("ok", "transactions", "no long ones of this role; it cannot see those of others")


def _format_minutes(seconds: float) -> str:
    return f"{seconds / 60:,.0f} minutes"
