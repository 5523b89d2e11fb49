"""A process is killed at each step of a rebuild, and each message counts once."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Callable, Generator, Iterator

import psycopg
import pytest

from messagedb._read_models.naming import ModelNames
from tests.killing.gates import closed_gate, write
from tests.killing.modeling import rebuild
from tests.killing.processes import until
from tests.killing.worker import Variant

COUNT = 10


@pytest.fixture
def schema(database_url: str, category: str) -> Iterator[str]:
    """Return a schema that the role message_store may use."""
    name = category.lower()
    with psycopg.connect(database_url, autocommit=True) as admin:
        admin.execute(f"CREATE SCHEMA {name} AUTHORIZATION message_store".encode())
        yield name
        admin.execute(f"DROP SCHEMA {name} CASCADE".encode())


@contextlib.contextmanager
def holding(url: str, text: str) -> Generator[None]:
    """Hold what a statement takes in a transaction."""
    with psycopg.connect(url) as conn:
        conn.execute(text.encode())
        yield


def at_create(url: str, schema: str) -> contextlib.AbstractContextManager[object]:
    """Keep a process from making the table."""
    high, low = ModelNames(schema, "noted").lock
    return holding(url, f"SELECT pg_advisory_xact_lock({high}, {low})")


def at_catch_up(url: str, schema: str) -> contextlib.AbstractContextManager[object]:
    """Keep a process in the last handler, after its effect."""
    return closed_gate(url)


def at_swap(url: str, schema: str) -> contextlib.AbstractContextManager[object]:
    """Keep a process from dropping the view of the version before."""
    return holding(url, f"SELECT * FROM {schema}.noted")


Hold = Callable[[str, str], contextlib.AbstractContextManager[object]]


@pytest.mark.parametrize("variant", ["async", "sync"])
@pytest.mark.parametrize(
    ("hold", "waits", "made"),
    [
        (at_create, "advisory", False),
        (at_catch_up, "advisory", True),
        (at_swap, "relation", True),
    ],
)
def test_it_is_killed_and_run_again(
    store_url: str, category: str, schema: str, variant: Variant, hold: Hold, waits: str, made: bool
) -> None:
    write(store_url, f"{category}-1", COUNT)
    assert rebuild(store_url, category, 1)
    with psycopg.connect(store_url, autocommit=True) as conn:

        def rows(relation: str) -> list[tuple[int, int]]:
            text = f"SELECT n, times FROM {schema}.{relation} ORDER BY n"
            return [(n, times) for n, times in conn.execute(text.encode(), prepare=False)]

        def is_held() -> bool:
            text = (
                "SELECT 1 FROM pg_locks l JOIN pg_database d ON d.oid = l.database"
                " WHERE NOT granted AND locktype = %s AND datname = current_database()"
                f" AND (relation IS NULL OR relation = '{schema}.noted'::regclass)"
            )
            return conn.execute(text.encode(), [waits]).fetchone() is not None

        def has_table() -> bool:
            row = conn.execute("SELECT to_regclass(%s)::text", [f"{schema}.noted_v2"]).fetchone()
            return row is not None and row[0] is not None

        whole = [(n, 1) for n in range(COUNT)]
        with hold(store_url, schema):
            worker = begin(variant, store_url, category)
            try:
                until(is_held, lambda: f"it waits at {hold.__name__}", limit=20)
                assert rows("noted") == whole
            finally:
                worker.kill()
                worker.wait()
        assert has_table() is made
        assert rebuild(store_url, category, 2)
        assert rows("noted") == rows("noted_v2") == whole
        assert rebuild(store_url, category, 2)
        assert rows("noted") == whole


def begin(variant: Variant, url: str, category: str) -> subprocess.Popen[bytes]:
    """Begin a process that rebuilds the second version."""
    path = os.pathsep.join(entry for entry in sys.path if entry)
    return subprocess.Popen(
        [sys.executable, "-m", "tests.killing.modeling", variant, url, category, "2"],
        stdout=subprocess.DEVNULL,
        env=os.environ | {"PYTHONPATH": path},
    )
