"""A folder that an earlier messagedb made gets what is new at its next start."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg

from messagedb import embedded

if TYPE_CHECKING:
    from pathlib import Path


def test_a_folder_from_before_our_schema_gets_it(folder: Path) -> None:
    with embedded.start(folder) as server, psycopg.connect(server.admin_url) as conn:
        conn.execute(
            "select message_store.write_message(gen_random_uuid()::varchar, 's-1', 'T', '{}')"
        )
        conn.execute("drop schema messagedb cascade")
    with embedded.start(folder) as server, psycopg.connect(server.url) as conn:
        row = conn.execute(
            "select (select count(*) from messagedb.positions), message_store.stream_version('s-1')"
        ).fetchone()
    assert row == (0, 0)
