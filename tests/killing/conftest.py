"""A database with a table of effects, and workers that are gone when a test ends."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from tests.conftest import NewDatabase
from tests.killing.effects import TABLE
from tests.killing.processes import Forked, Program
from tests.killing.worker import MODELS, Order
from tests.support.backend import make_url


@pytest.fixture(scope="session")
def effects_url(new_database: NewDatabase) -> str:
    """Return the URL of a database with the table of effects, for the role message_store."""
    url = new_database()
    with psycopg.connect(url) as conn:
        conn.execute(TABLE.encode())
        conn.execute(f"CREATE SCHEMA {MODELS} AUTHORIZATION message_store".encode())
    return make_url(url, user="message_store")


@pytest.fixture
def fork(tmp_path: Path) -> Iterator[Callable[[Order], Forked]]:
    """Return a function that begins a worker which is to be killed."""
    begun: list[Forked] = []

    def begin(order: Order) -> Forked:
        begun.append(Forked(order, tmp_path / f"{order.member or 0}.log"))
        return begun[-1]

    yield begin
    for each in begun:
        each.end()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[[Order], Program]]:
    """Return a function that starts a worker as a separate program."""
    begun: list[Program] = []

    def begin(order: Order) -> Program:
        begun.append(Program(order, tmp_path / f"program-{len(begun)}.log"))
        return begun[-1]

    yield begin
    for each in begun:
        each.end()
