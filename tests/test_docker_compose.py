"""The service in docker-compose.yml: name, port, and a health check that tells the truth."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
import yaml

from messagedb import schema
from tests.support.backend import IMAGE
from tests.support.server import OwnServer

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def service() -> dict[str, Any]:
    """Return the one service of the file, which is named messagedb."""
    services: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    assert list(services) == ["messagedb"]
    messagedb: dict[str, Any] = services["messagedb"]
    return messagedb


@pytest.fixture
def port() -> int:
    """Return a port that was free a moment ago."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        free: int = unused.getsockname()[1]
        return free


@pytest.fixture
def server(port: int) -> Iterator[OwnServer]:
    """Return a server that answers on its socket only."""
    server = OwnServer(settings={"port": str(port)})
    yield server
    server.close()


def is_healthy(service: dict[str, Any], server: OwnServer, port: int) -> bool:
    """Run the service's health check against a server as Docker runs it in the container."""
    kind, program, *arguments = service["healthcheck"]["test"]
    assert (kind, program) == ("CMD", "psql")
    environ = {**os.environ, "PGPORT": str(port)}
    command = [str(server.binaries / "psql"), "--no-psqlrc", *arguments]
    done = subprocess.run(command, env=environ, capture_output=True, timeout=30, check=False)
    return done.returncode == 0


def test_the_port_is_5433_and_open_to_this_machine_only(service: dict[str, Any]) -> None:
    assert service["ports"] == ["127.0.0.1:5433:5432"]


def test_the_image_is_that_of_the_tests(service: dict[str, Any]) -> None:
    assert service["image"] == IMAGE


def test_it_is_given_a_minute_to_become_healthy(service: dict[str, Any]) -> None:
    check = service["healthcheck"]
    assert int(check["interval"].removesuffix("s")) * check["retries"] >= 60


def test_it_is_healthy_only_once_message_db_answers_over_tcp(
    service: dict[str, Any], server: OwnServer, port: int
) -> None:
    assert not is_healthy(service, server, port)  # as long as the image initializes the server
    with psycopg.connect(server.url(), autocommit=True) as conn:
        conn.execute("create database message_store")
    server.stop()
    assert not is_healthy(service, server, port)
    server.listen("127.0.0.1")
    server.start()
    assert not is_healthy(service, server, port)  # a server, but no Message DB
    schema.install(server.url("message_store"))
    assert is_healthy(service, server, port)
