"""A store with the tables of procrastinate, for the tests of both variants."""

from __future__ import annotations

import procrastinate
import psycopg
import pytest

GRANTS = """
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO message_store;
GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO message_store;
"""


@pytest.fixture(scope="session")
def store_url(messagedb_url: str, messagedb_admin_url: str) -> str:
    """Install procrastinate as the owner of the database, for the store's role."""
    owner = procrastinate.App(
        connector=procrastinate.SyncPsycopgConnector(conninfo=messagedb_admin_url)
    )
    with owner.open():
        owner.schema_manager.apply_schema()
    with psycopg.connect(messagedb_admin_url) as connection:
        connection.execute(GRANTS)
    return messagedb_url
