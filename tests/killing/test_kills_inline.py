"""Writers with an inline read model and without it, and a run of it, killed again and again."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Callable

import psycopg

from messagedb import Client
from tests.killing.inlining import make
from tests.killing.processes import until

KILLS = 7
EACH = 20
ROLES = ("sync", "sync", "async", "run")


def begin(role: str, url: str, category: str) -> subprocess.Popen[bytes]:
    """Begin a process of a role."""
    path = os.pathsep.join(entry for entry in sys.path if entry)
    return subprocess.Popen(
        [sys.executable, "-m", "tests.killing.inlining", role, url, category],
        stdout=subprocess.DEVNULL,
        env=os.environ | {"PYTHONPATH": path},
    )


def test_the_table_of_an_inline_model_is_the_fold_of_the_category_across_kills(
    store_url: str, database_url: str, category: str
) -> None:
    schema = category.lower()
    with psycopg.connect(database_url, autocommit=True) as admin:
        admin.execute(f"CREATE SCHEMA {schema} AUTHORIZATION message_store".encode())

        def count() -> int:
            text = "SELECT count(*) FROM message_store.messages WHERE stream_name LIKE %s"
            (found,) = admin.execute(text, [f"{category}-%"]).fetchone() or (0,)
            return int(found)

        def has_grown_to(wanted: int) -> Callable[[], bool]:
            return lambda: count() >= wanted

        with Client(store_url) as client:
            model = make(client, category)
            assert model.rebuild()
            workers = [begin(role, store_url, category) for role in ROLES]
            try:
                for kill in range(KILLS):
                    until(has_grown_to(count() + EACH), lambda: "messages are written", limit=60)
                    victim = random.randrange(len(ROLES))
                    assert workers[victim].poll() is None, ROLES[victim]
                    workers[victim].kill()
                    workers[victim].wait()
                    if kill < KILLS - len(ROLES):
                        workers[victim] = begin(ROLES[victim], store_url, category)
                    else:
                        workers[victim] = begin("sync", store_url, category)
            finally:
                for worker in workers:
                    worker.kill()
                    worker.wait()
            # Messages that were written last without the model are missing until now.
            assert model.rebuild()
        stored = admin.execute(
            "SELECT global_position, 1 FROM message_store.messages"
            " WHERE message_store.category(stream_name) = %s ORDER BY 1",
            [category],
        ).fetchall()
        rows = admin.execute(f"SELECT position, times FROM {schema}.noted ORDER BY line".encode())
        assert rows.fetchall() == stored
        print(len(stored), "messages,", KILLS, "kills")
        admin.execute(f"DROP SCHEMA {schema} CASCADE".encode())
