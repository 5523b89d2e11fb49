"""The private names of psycopg that we use exist, and are used in two files only."""

from __future__ import annotations

import re
from inspect import isgeneratorfunction, signature
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import (
    AsyncConnection,
    AsyncPipeline,
    AsyncRawCursor,
    Connection,
    Copy,
    Pipeline,
    RawCursor,
    errors,
    generators,
    waiting,
)
from psycopg._preparing import Prepare, PrepareManager

ROOT = Path(__file__).resolve().parents[3]
PLACES = {"psycopg_internals.py"}

# Each with its parameters.
PIPELINE_GENERATORS = {
    "_communicate_gen": [],
    "_exit_gen": [],
    "_fetch_gen": ["flush"],
}
PIPELINE_FUNCTIONS = {"_enqueue_sync": [], "_exit": ["exc"]}
PIPELINE_ATTRIBUTES = ("_conn", "command_queue", "pgconn", "result_queue")
CURSOR_GENERATORS = {"_start_query": ["query"]}
CURSOR_FUNCTIONS = {"_check_results": ["results"], "_convert_query": ["query", "params"]}
CURSOR_ATTRIBUTES = ("_conn", "_last_query", "_pgconn", "_tx")
PREPARE_FUNCTIONS = {
    "get": ["query", "prepare"],
    "maintain_gen": ["conn"],
    "maybe_add_to_cache": ["query", "prep", "name"],
    "validate": ["key", "prep", "name", "results"],
}
PREPARE_ATTRIBUTES = ("_names", "_to_flush", "prepare_threshold")
GENERATORS = {
    "copy_end": ["pgconn", "error"],
    "execute": ["pgconn"],
    "fetch_many": ["pgconn"],
    "send": ["pgconn"],
}
WAITS = {"wait": False, "wait_async": True}


def parameters(function: Any) -> list[str]:
    return [each for each in signature(function).parameters if each != "self"]


class NoConnection:
    """As much of a connection as a pipeline looks at when it is made."""

    pgconn: Any = None
    lock: Any = None


@pytest.mark.parametrize("kind", [Pipeline, AsyncPipeline])
@pytest.mark.parametrize("name", PIPELINE_GENERATORS)
def test_the_pipeline_has_the_generator(kind: Any, name: str) -> None:
    method = getattr(kind, name)
    assert parameters(method) == PIPELINE_GENERATORS[name]
    assert isgeneratorfunction(method)


@pytest.mark.parametrize("kind", [Pipeline, AsyncPipeline])
@pytest.mark.parametrize("name", PIPELINE_FUNCTIONS)
def test_the_pipeline_has_the_function(kind: Any, name: str) -> None:
    assert parameters(getattr(kind, name)) == PIPELINE_FUNCTIONS[name]


@pytest.mark.parametrize("kind", [Pipeline, AsyncPipeline])
@pytest.mark.parametrize("name", PIPELINE_ATTRIBUTES)
def test_the_pipeline_has_the_attribute(kind: Any, name: str) -> None:
    assert hasattr(kind(NoConnection()), name)


@pytest.mark.parametrize("kind", [Connection, AsyncConnection])
def test_the_connection_keeps_its_pipeline_in_an_attribute(kind: Any) -> None:
    conn = kind(psycopg.pq.PGconn.connect(b"host=nowhere.invalid port=x"))
    assert conn._pipeline is None


@pytest.mark.parametrize("kind", [RawCursor, AsyncRawCursor])
@pytest.mark.parametrize("name", [*CURSOR_GENERATORS, *CURSOR_FUNCTIONS])
def test_the_cursor_has_the_function(kind: Any, name: str) -> None:
    method = getattr(kind, name)
    assert parameters(method) == (CURSOR_GENERATORS | CURSOR_FUNCTIONS)[name]
    assert isgeneratorfunction(method) == (name in CURSOR_GENERATORS)


@pytest.mark.parametrize("kind", [RawCursor, AsyncRawCursor])
@pytest.mark.parametrize("name", CURSOR_ATTRIBUTES)
def test_the_cursor_has_the_attribute(kind: Any, name: str) -> None:
    assert hasattr(kind, name)


@pytest.mark.parametrize("kind", [Connection, AsyncConnection])
def test_the_connection_keeps_its_prepared_statements_in_an_attribute(kind: Any) -> None:
    conn = kind(psycopg.pq.PGconn.connect(b"host=nowhere.invalid port=x"))
    assert isinstance(conn._prepared, PrepareManager)


@pytest.mark.parametrize("name", PREPARE_FUNCTIONS)
def test_the_prepared_statements_have_the_function(name: str) -> None:
    method = getattr(PrepareManager, name)
    assert parameters(method) == PREPARE_FUNCTIONS[name]
    assert isgeneratorfunction(method) == name.endswith("_gen")


@pytest.mark.parametrize("name", PREPARE_ATTRIBUTES)
def test_the_prepared_statements_have_the_attribute(name: str) -> None:
    assert hasattr(PrepareManager(), name)


@pytest.mark.parametrize("name", ["NO", "SHOULD", "YES"])
def test_a_statement_is_prepared_or_not_or_should_be(name: str) -> None:
    assert name in Prepare.__members__


@pytest.mark.parametrize("name", GENERATORS)
def test_the_generator_of_libpq_is_there(name: str) -> None:
    function = getattr(generators, name)
    try:
        assert parameters(function) == GENERATORS[name]
    except ValueError:
        # Of the C implementation, which tells no signature.
        assert callable(function)


@pytest.mark.parametrize("name", ["_read_gen"])
def test_a_copy_has_the_generator_that_reads_a_row(name: str) -> None:
    method = getattr(Copy, name)
    assert parameters(method) == []
    assert isgeneratorfunction(method)


@pytest.mark.parametrize("name", WAITS)
def test_the_wait_takes_an_interval_and_a_timeout(name: str) -> None:
    found = parameters(getattr(waiting, name))
    assert found[:2] == ["gen", "fileno"]
    assert {"interval", "timeout"} <= set(found)


def test_the_error_of_a_wait_that_is_over_is_an_error_of_psycopg() -> None:
    assert issubclass(vars(errors)["_WaitTimeout"], psycopg.Error)


def test_no_other_file_uses_them() -> None:
    names = "|".join(
        [
            *PIPELINE_GENERATORS,
            "_enqueue_sync",
            "_pipeline",
            "_prepared",
            "_read_gen",
            "_WaitTimeout",
        ]
    )
    of_cursor = "|".join([*CURSOR_GENERATORS, *CURSOR_FUNCTIONS, *CURSOR_ATTRIBUTES])
    private = re.compile(
        rf"\b(self|\w*conn|copy|pipeline|errors)\.({names})\b|\bcursor\.({of_cursor})\b"
        r"|psycopg import .*\b(generators|waiting)\b|psycopg\.(_preparing|generators|waiting)"
    )
    sources = [*ROOT.glob("_async_src/**/*.py"), *ROOT.glob("src/messagedb/*/*.py")]
    found = {path.name for path in sources if private.search(path.read_text())}
    assert found == PLACES
