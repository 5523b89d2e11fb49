"""The genuine Message DB in a database, fetched when tests ask for it."""

from __future__ import annotations

import os
from pathlib import Path

import fetch_message_db
import psycopg
import pytest

DEFAULT = fetch_message_db.DEFAULT
SQL_VERSIONS = fetch_message_db.SQL_VERSIONS
VERSIONS = tuple(SQL_VERSIONS)


def install(url: str, version: str = DEFAULT) -> None:
    """Install the genuine Message DB in an empty database, in one transaction.

    Where it cannot be fetched the test is skipped; it fails where ``CI`` or
    ``MESSAGEDB_REQUIRE_GENUINE`` is set.
    """
    try:
        folder = fetch_message_db.fetch(version)
    except fetch_message_db.FetchError as error:
        reason = f"the genuine Message DB is not there to compare with: {error}"
        if os.environ.get("CI") or os.environ.get("MESSAGEDB_REQUIRE_GENUINE"):
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)
    try:
        _execute(url, folder)
    except psycopg.errors.UniqueViolation:
        # Its script creates a role of the server, which another database's did at the same time.
        _execute(url, folder)


def _execute(url: str, folder: Path) -> None:
    with psycopg.connect(url) as conn:
        for text in fetch_message_db.genuine_script(folder, _has_pgcrypto(conn)):
            conn.execute(text.encode())


def _has_pgcrypto(conn: psycopg.Connection) -> bool:
    found = conn.execute("select from pg_available_extensions where name = 'pgcrypto'")
    return found.fetchone() is not None
