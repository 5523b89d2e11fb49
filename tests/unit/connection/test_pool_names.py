"""The private names of psycopg_pool that we use exist, and are used in one place only."""

from __future__ import annotations

import re
from inspect import iscoroutinefunction, signature
from pathlib import Path
from typing import Any

import pytest
from psycopg_pool import AsyncConnectionPool, ConnectionPool
from psycopg_pool import pool as sync_pool
from psycopg_pool import pool_async as async_pool

ROOT = Path(__file__).resolve().parents[3]
PLACES = {"pool.py", "pooling_async.py", "pooling_sync.py"}

# Each with its parameters.
METHODS = {
    "_add_connection": ["attempt", "growing"],
    "_add_to_pool": ["conn"],
    "_close_connection": ["conn"],
    "_connect": ["timeout"],
    "_get_ready_connection": ["timeout"],
    "_getconn_unchecked": ["timeout"],
    "_maybe_grow_pool": [],
    "_return_connection": ["conn", "from_getconn"],
    "_start_workers": [],
    "run_task": ["task"],
    "schedule_task": ["task", "delay"],
    "worker": ["q"],
}
PLAIN = {"_maybe_grow_pool", "_start_workers", "run_task"}
ATTRIBUTES = (
    "_closed",
    "_drained_at",
    "_growing",
    "_max_size",
    "_min_size",
    "_nconns",
    "_pool",
    "_pool_full_event",
    "_waiting",
)


@pytest.mark.parametrize("kind", [ConnectionPool, AsyncConnectionPool])
def test_the_pool_has_them(kind: Any) -> None:
    for name, parameters in METHODS.items():
        method = getattr(kind, name)
        found = [each for each in signature(method).parameters if each != "self"]
        assert found == parameters, name
        is_async = kind is AsyncConnectionPool and name not in PLAIN
        assert iscoroutinefunction(method) is is_async, name
    pool = kind(open=False)
    for name in ATTRIBUTES:
        assert hasattr(pool, name), name


@pytest.mark.parametrize("module", [sync_pool, async_pool])
def test_its_tasks_are_there(module: Any) -> None:
    for name in ("AddConnection", "MaintenanceTask", "ReturnConnection"):
        assert hasattr(module, name)


def test_nothing_else_uses_them() -> None:
    names = "|".join([*METHODS, *ATTRIBUTES]).replace("|_connect|", "|")
    private = re.compile(rf"\bpool\.({names}|_connect)\b")
    sources = [*ROOT.glob("_async_src/**/*.py"), *ROOT.glob("src/messagedb/_*/*.py")]
    found = {path.name for path in sources if private.search(path.read_text())}
    assert found <= PLACES
