"""psycopg's errors become ours by SQLSTATE and text, also behind a proxy's own words."""

from __future__ import annotations

import psycopg
import psycopg_pool
import pytest

from messagedb import errors
from messagedb._connection import error_mapping


def raised(state: str | None, text: str) -> psycopg.Error:
    kind = psycopg.errors.lookup(state) if state else psycopg.OperationalError
    return kind(text)


@pytest.mark.parametrize(
    ("state", "text", "kind"),
    [
        ("P0001", "Wrong expected version: 5 (Stream: c-1, Stream Version: 0)",
         errors.WrongExpectedVersionError),
        ("P0001", "f(6): [n2] REMOTE: Wrong expected version: 5 (Stream: c-1, Stream Version: 0)",
         errors.WrongExpectedVersionError),
        ("P0001", "Must be a category: someStream-123", errors.ValidationError),
        ("P0001", "Must be a stream name: someStream", errors.ValidationError),
        ("P0001", "Correlation must be a category (Correlation: x-1)", errors.ValidationError),
        ("P0001", "Consumer group size must not be less than 1 (…)", errors.ValidationError),
        ("P0001", "Retrieval with SQL condition is not activated", errors.IncompatibleServerError),
        ("P0001", "something of a user's trigger", errors.ServerError),
        ("22P05", "unsupported Unicode escape sequence", errors.ValidationError),
        ("22003", "smallint out of range", errors.ValidationError),
        ("54000", "index row size 2712 exceeds btree version 4 maximum", errors.ValidationError),
        ("40P01", "deadlock detected", errors.RetryableError),
        ("40001", "could not serialize access", errors.RetryableError),
        ("55P03", "canceling statement due to lock timeout", errors.RetryableError),
        ("57014", "canceling statement due to statement timeout", errors.StoreUnavailableError),
        ("57P03", "the database system is starting up", errors.StoreUnavailableError),
        ("53300", "too many connections", errors.StoreUnavailableError),
        ("25006", "cannot execute INSERT in a read-only transaction",
         errors.StoreUnavailableError),
        ("54000", "index row requires 9000 bytes, maximum size is 8191", errors.ValidationError),
        ("54000", "string too long to represent as jsonb string", errors.ValidationError),
        ("54000", "database is not accepting commands to avoid wraparound data loss in database",
         errors.StoreUnavailableError),
        ("54000", 'multixact "members" limit exceeded', errors.StoreUnavailableError),
        ("53000", "insufficient file descriptors available", errors.StoreUnavailableError),
        ("53100", "could not extend file: No space left on device", errors.StoreUnavailableError),
        ("53200", "out of shared memory", errors.StoreUnavailableError),
        ("53400", "temporary file size exceeds temp_file_limit", errors.StoreUnavailableError),
        ("57000", "operator intervention", errors.StoreUnavailableError),
        ("57P04", "terminating connection: database was dropped", errors.StoreUnavailableError),
        ("58000", "could not fork", errors.StoreUnavailableError),
        ("58030", "could not read block 0: Input/output error", errors.StoreUnavailableError),
        ("58P01", "could not open file", errors.ServerError),
        ("08006", "[node] connection lost", errors.StoreUnavailableError),
        ("08P01", "bind message has no parameters", errors.ServerError),
        ("55000", "currval is not yet defined", errors.ServerError),
        ("P0001", "category c was moved to another node, and the map that sent this here is "
         "old", errors.IncompatibleServerError),
        ("42501", "permission denied for schema message_store", errors.IncompatibleServerError),
        ("42883", "function acquire_lock(character varying) does not exist",
         errors.IncompatibleServerError),
        ("42601", "syntax error", errors.ServerError),
        (None, "server closed the connection unexpectedly", errors.StoreUnavailableError),
    ],
)  # fmt: skip
def test_the_kind_of_each(state: str | None, text: str, kind: type[errors.MessageDBError]) -> None:
    error = error_mapping.map_error(raised(state, text), "Nothing was written.")
    assert type(error) is kind
    if kind is errors.WrongExpectedVersionError:
        assert isinstance(error, errors.WrongExpectedVersionError)
        assert (error.stream_name, error.expected_version, error.actual_version) == ("c-1", 5, 0)
    else:
        assert "Nothing was written." in str(error)
        assert text in str(error)
    if isinstance(error, errors.ServerError | errors.RetryableError):
        assert error.sqlstate == state


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (psycopg.OperationalError("consuming input failed"), errors.StoreUnavailableError, "lost"),
        (error_mapping.CommandTimeout("no answer"), errors.StoreUnavailableError, "lost"),
        (psycopg.errors.PipelineAborted("pipeline aborted"), errors.ServerError, "psycopg"),
        (psycopg.InterfaceError("unknown oid loader not found"),
         errors.IncompatibleServerError, "type"),
        (psycopg.InterfaceError("the cursor is closed"), errors.ServerError, "psycopg"),
        (psycopg.DataError("cannot dump"), errors.ServerError, "psycopg"),
        (psycopg.ProgrammingError("no result"), errors.ServerError, "psycopg"),
    ],
)  # fmt: skip
def test_only_errors_of_the_connection_tell_of_a_store_that_is_away(
    error: psycopg.Error, kind: type[errors.MessageDBError], words: str
) -> None:
    mapped = error_mapping.map_error(error, "Nothing was changed.")
    assert type(mapped) is kind
    assert words in str(mapped)
    assert "Nothing was changed." in str(mapped)
    assert error_mapping.get_first_line(error) in str(mapped)


def test_a_row_that_a_policy_refuses_is_told_apart_from_a_privilege() -> None:
    text = 'new row violates row-level security policy for table "messages"'
    assert "policy" in str(error_mapping.map_error(raised("42501", text), ""))
    assert "lacks a privilege" not in str(error_mapping.map_error(raised("42501", text), ""))


def test_writes_in_a_transaction_that_was_begun_as_read_only_are_refused() -> None:
    error = raised("25006", "cannot execute INSERT in a read-only transaction")
    mapped = error_mapping.map_error(error, "It is aborted.", is_read_only_by_choice=True)
    assert type(mapped) is errors.ValidationError


def test_a_full_pool_sent_nothing() -> None:
    error = error_mapping.map_error(psycopg_pool.PoolTimeout("after 3 s"), "")
    assert type(error) is errors.PoolTimeoutError
    assert "Nothing was sent" in str(error)


@pytest.mark.parametrize(
    ("error", "closed", "lost"),
    [
        (raised(None, "server closed the connection unexpectedly"), True, True),
        (raised("57P01", "terminating connection due to administrator command"), False, True),
        (raised("57014", "canceling statement"), False, False),
        (raised("23505", "duplicate key"), False, False),
        (raised("08006", "[node] connection lost"), False, True),
        (raised("08004", "[node] connection refused"), False, False),
        (psycopg_pool.PoolTimeout("late"), True, False),
    ],
)
def test_lost_connections_are_recognized(error: psycopg.Error, closed: bool, lost: bool) -> None:
    assert error_mapping.is_connection_lost(error, closed) is lost


def test_a_connection_that_was_not_made() -> None:
    wrong = psycopg.OperationalError('connection failed: FATAL:  database "b" does not exist')
    error = error_mapping.connect_error(wrong, "host db")
    assert str(error) == (
        'cannot connect to host db: FATAL:  database "b" does not exist. '
        "Check the names of database and role in the connection string. Nothing was sent."
    )
    assert not error.is_transient
    away = error_mapping.connect_error(psycopg.OperationalError("connection refused"), "host db")
    assert "that the server runs" in str(away)
    assert away.is_transient
    no_name = error_mapping.connect_error(UnicodeError("label too long"), "host db")
    assert "cannot be resolved" in str(no_name)
    assert not no_name.is_transient


def test_texts_are_never_empty() -> None:
    assert error_mapping.get_first_line(psycopg.OperationalError("")) == "OperationalError"
    assert error_mapping.get_first_line(psycopg.OperationalError("\n  a\nb")) == "a"
