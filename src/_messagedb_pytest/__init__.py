"""The pytest plugin: a server for the run, a store for each worker, clients, categories.

pytest loads this module in every run in an environment that has messagedb. Therefore it is a
separate package, and imports nothing of messagedb, psycopg or asyncio until a fixture is requested.
"""

from __future__ import annotations

import importlib
import os
import secrets
import shutil
import tempfile
from collections.abc import AsyncGenerator, Callable, Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import pytest

if TYPE_CHECKING:
    from messagedb import AsyncClient, Client

F = TypeVar("F", bound=Callable[..., Any])


def async_fixture(function: F) -> F:
    """Make a fixture of a function: pytest-asyncio's strict mode needs its own decorator."""
    try:
        decorator = importlib.import_module("pytest_asyncio").fixture
    except ImportError:
        decorator = pytest.fixture
    return cast("F", decorator(function))


__all__ = [
    "messagedb_admin_url",
    "messagedb_async_client",
    "messagedb_category",
    "messagedb_client",
    "messagedb_options",
    "messagedb_url",
]

_VARIABLE = "MESSAGEDB_TEST_URL"
_FOLDER = pytest.StashKey[Path]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option for the URL of a store, to be used instead of an embedded one."""
    text = "a Message DB for the tests, instead of an embedded one for the run: " + (
        "a URL or connection string; nothing in it is dropped"
    )
    group = parser.getgroup("messagedb")
    group.addoption("--messagedb-url", metavar="URL", default=None, help=text)
    parser.addini("messagedb_url", f"{text} (or {_VARIABLE} in the environment)", default="")


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Pass the folder in which they share one server to each worker of pytest-xdist."""
    config: pytest.Config = node.config
    if _FOLDER not in config.stash:
        folder = Path(tempfile.mkdtemp(prefix="messagedb-tests-"))
        folder.chmod(0o755)  # root's server runs as another user, who has to enter the folder
        config.stash[_FOLDER] = folder
    node.workerinput["messagedb_folder"] = str(config.stash[_FOLDER])


def pytest_unconfigure(config: pytest.Config) -> None:
    """Remove that folder after the workers and their server have ended."""
    if _FOLDER in config.stash:
        shutil.rmtree(config.stash[_FOLDER], ignore_errors=True)


def _given_url(config: pytest.Config) -> str:
    return str(
        config.getoption("--messagedb-url")
        or config.getini("messagedb_url")
        or os.environ.get(_VARIABLE, "")
    )


@pytest.fixture(scope="session")
def _messagedb_urls(request: pytest.FixtureRequest) -> Generator[tuple[str, str]]:
    """Yield the URL of the store, and the URL of a role that may create tables in its database."""
    given = _given_url(request.config)
    if given:
        yield given, given
        return
    from messagedb import embedded

    worker: dict[str, Any] | None = getattr(request.config, "workerinput", None)
    if worker is None:
        with embedded.start(fast=True) as server:
            yield server.url, server.admin_url
        return
    settings = {"synchronous_commit": "off"}
    with embedded.start(Path(worker["messagedb_folder"], "server"), settings=settings) as server:
        yield _database_of(worker["workerid"], server.url, server.admin_url)


def _database_of(worker: str, url: str, admin_url: str) -> tuple[str, str]:
    """Create a separate database for a worker; return its URLs."""
    import psycopg
    from psycopg import sql
    from psycopg.conninfo import make_conninfo

    from messagedb import schema

    name = f"messagedb_{worker}"
    with psycopg.connect(admin_url, autocommit=True) as conn:
        statement = "CREATE DATABASE {} ENCODING 'UTF8' TEMPLATE template0"
        conn.execute(sql.SQL(statement).format(sql.Identifier(name)))
    admin = make_conninfo(admin_url, dbname=name)
    schema.install(admin)
    return make_conninfo(url, dbname=name), admin


@pytest.fixture(scope="session")
def messagedb_url(_messagedb_urls: tuple[str, str]) -> str:
    """Return the URL of a Message DB that lasts for the run: each xdist worker has its own one."""
    return _messagedb_urls[0]


@pytest.fixture(scope="session")
def messagedb_admin_url(_messagedb_urls: tuple[str, str]) -> str:
    """Return the URL of a role that may create tables in this database; a passed URL unchanged."""
    return _messagedb_urls[1]


@pytest.fixture
def messagedb_options() -> dict[str, Any]:
    """Return the options of the clients, such as ``{"registry": registry}``: override it."""
    return {}


@pytest.fixture
def messagedb_client(messagedb_url: str, messagedb_options: dict[str, Any]) -> Generator[Client]:
    """Yield a client of the run's store, for one test."""
    from messagedb import Client

    with Client(messagedb_url, **messagedb_options) as client:
        yield client


@async_fixture
async def messagedb_async_client(
    messagedb_url: str, messagedb_options: dict[str, Any]
) -> AsyncGenerator[AsyncClient]:
    """Yield a client of the run's store, for one test and its event loop."""
    from messagedb import AsyncClient

    async with AsyncClient(messagedb_url, **messagedb_options) as client:
        yield client


@pytest.fixture
def messagedb_category() -> str:
    """Return the name of a category that no other test has: letters only, in camelCase."""
    letters = "".join(chr(ord("a") + byte % 26) for byte in secrets.token_bytes(12))
    return f"test{letters.capitalize()}"
