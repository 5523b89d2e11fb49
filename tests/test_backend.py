"""The choice of the server that the tests run on, and the URLs made for it."""

from __future__ import annotations

import http.server
import socketserver
import subprocess
import threading
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from messagedb.embedded import find_binaries
from messagedb.errors import EmbeddedServerError
from tests.support.backend import (
    Choice,
    NoBackendError,
    choose_backend,
    docker_engine_answers,
    make_url,
    open_server,
)

URL, BACKEND = "MESSAGEDB_TEST_URL", "MESSAGEDB_TEST_BACKEND"
PROGRAMS = "MESSAGEDB_TEST_SERVER_BIN"


@pytest.mark.parametrize(
    ("environ", "binaries", "docker", "kind"),
    [
        ({}, True, True, "embedded"),
        ({}, True, False, "embedded"),
        ({}, False, True, "docker"),
        ({URL: "postgresql://x"}, True, True, "url"),
        ({URL: "postgresql://x"}, False, False, "url"),
        ({URL: "postgresql://x", BACKEND: "docker"}, True, True, "url"),
        ({URL: "", BACKEND: ""}, True, True, "embedded"),
        ({BACKEND: "embedded"}, True, True, "embedded"),
        ({BACKEND: "docker"}, True, True, "docker"),
        ({PROGRAMS: "/usr/bin"}, False, True, "embedded"),
        ({PROGRAMS: "/usr/bin", URL: "postgresql://x"}, True, True, "url"),
        ({PROGRAMS: "/usr/bin", BACKEND: "docker"}, True, True, "docker"),
    ],
)
def test_the_first_of_url_wish_embedded_docker_is_taken(
    environ: dict[str, str], binaries: bool, docker: bool, kind: str
) -> None:
    choice = choose_backend(environ, lambda: binaries, lambda: docker)
    assert choice.kind == kind
    assert choice.url == (environ[URL] if kind == "url" else "")
    assert choice.reason


@pytest.mark.parametrize(
    ("environ", "binaries", "docker", "said"),
    [
        ({}, False, False, "no PostgreSQL server"),
        ({BACKEND: "docker"}, True, False, "no engine answers"),
        ({BACKEND: "embedded"}, False, True, "it is not there"),
        ({BACKEND: "podman"}, True, True, "is 'podman'; it may be"),
    ],
)
def test_without_a_server_all_three_ways_are_named(
    environ: dict[str, str], binaries: bool, docker: bool, said: str
) -> None:
    with pytest.raises(NoBackendError, match=said) as caught:
        choose_backend(environ, lambda: binaries, lambda: docker)
    for way in ("MESSAGEDB_TEST_URL=", "messagedb[embedded]", "Docker"):
        assert way in str(caught.value)


def test_unneeded_backends_are_not_probed() -> None:
    def never() -> bool:
        raise AssertionError("asked")

    assert choose_backend({URL: "postgresql://x"}, never, never).kind == "url"
    assert choose_backend({}, lambda: True, never).kind == "embedded"
    assert choose_backend({BACKEND: "docker"}, never, lambda: True).kind == "docker"


def test_a_dead_url_is_reported_and_nothing_else_is_tried(tmp_path: Path) -> None:
    choice = Choice("url", "MESSAGEDB_TEST_URL", f"postgresql://postgres@/postgres?host={tmp_path}")
    with (
        pytest.raises(NoBackendError, match="MESSAGEDB_TEST_URL cannot be used"),
        open_server(choice),
    ):
        pass


def test_the_server_is_that_of_the_programs_that_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs = find_binaries()
    named = tmp_path / "bin"
    named.symlink_to(programs)
    monkeypatch.setenv(PROGRAMS, str(named))
    with (
        open_server(choose_backend({PROGRAMS: str(named)}, lambda: False, lambda: False)) as url,
        psycopg.connect(url) as conn,
    ):
        version = subprocess.run(
            [programs / "postgres", "--version"], capture_output=True, text=True, check=True
        )
        row = conn.execute("show server_version").fetchone()
        assert row is not None
        assert version.stdout.split()[2] == row[0].split()[0]
    assert find_binaries() == programs  # for the tests' own servers
    monkeypatch.setenv(PROGRAMS, str(tmp_path))
    with (
        pytest.raises(EmbeddedServerError, match="which cannot be used"),
        open_server(Choice("embedded", "")),
    ):
        pass


class _Engine(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/_ping" else 404)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass

    def address_string(self) -> str:
        return ""


def test_docker_answers_on_a_socket_or_it_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "d.sock"
    monkeypatch.setenv("DOCKER_HOST", f"unix://{path}")
    assert not docker_engine_answers()
    with socketserver.UnixStreamServer(str(path), _Engine) as engine:
        # Bound and listening, but no process accepts: a hanging engine.
        assert not docker_engine_answers(timeout=0.05)
        thread = threading.Thread(target=engine.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            assert docker_engine_answers()
        finally:
            engine.shutdown()
            thread.join()


def test_docker_answers_over_tcp_or_it_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    with socketserver.TCPServer(("127.0.0.1", 0), _Engine) as engine:
        monkeypatch.setenv("DOCKER_HOST", f"tcp://127.0.0.1:{engine.server_address[1]}")
        thread = threading.Thread(target=engine.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            assert docker_engine_answers()
        finally:
            engine.shutdown()
            thread.join()
    assert not docker_engine_answers()
    monkeypatch.setenv("DOCKER_HOST", "ssh://somewhere")
    assert not docker_engine_answers()


@pytest.mark.parametrize(
    ("conninfo", "changes", "url"),
    [
        ("postgresql://a@h:1/d", {"dbname": "e"}, "postgresql://a@h:1/e"),
        (
            "postgres://a:p%40@h/d?connect_timeout=3",
            {},
            "postgresql://a:p%40@h/d?connect_timeout=3",
        ),
        ("host=h user=a dbname='d e'", {}, "postgresql://a@h/d%20e"),
        ("postgresql://a@/d?host=/t/s%20x", {}, "postgresql://a@/d?host=%2Ft%2Fs%20x"),
        ("postgresql://a@/d?host=/t&port=5", {"user": "b"}, "postgresql://b@/d?host=%2Ft&port=5"),
        ("postgresql://a@h:1,i:2/d", {}, "postgresql://a@/d?host=h%2Ci&port=1%2C2"),
        ("postgresql://a@[::1]:5/d", {}, "postgresql://a@[::1]:5/d"),
        ("", {"dbname": "d"}, "postgresql:///d"),
    ],
)
def test_a_url_with_other_parameters(conninfo: str, changes: dict[str, str], url: str) -> None:
    assert make_url(conninfo, **changes) == url
    assert conninfo_to_dict(url) == {**conninfo_to_dict(conninfo), **changes}
