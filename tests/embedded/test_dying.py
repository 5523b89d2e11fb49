"""Whatever is killed: the server ends with its last client, and what was acknowledged is there."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from typing import TYPE_CHECKING

import psycopg
import pytest

from messagedb import embedded
from messagedb.embedded._folder import SERVER_LOCK, is_locked
from tests.embedded.processes import ClientProcess, postmaster, running, supervisor, until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Start = Callable[..., ClientProcess]


def acknowledged_rows(folder: Path) -> set[int]:
    with (
        embedded.start(folder, install=False) as server,
        psycopg.connect(server.admin_url) as connection,
    ):
        return {row[0] for row in connection.execute("SELECT n FROM acknowledged")}


@pytest.mark.parametrize("way", ["exit", "SIGINT", "SIGTERM", "SIGHUP", "SIGKILL"])
def test_the_server_ends_with_its_client(client: Start, store: Path, way: str) -> None:
    one = client(store)
    one.hear()
    one.tell("write -1" if way != "exit" else "write 100")
    heard = {one.hear()["n"] for _ in range(100)}
    if way == "exit":
        one.tell("exit")
        one.wait()
    else:
        one.end(getattr(signal, way))
    until(lambda: not running(store), "server and supervisor ended", 5)
    assert not (store / "server.json").exists()
    assert not (store / "data" / "postmaster.pid").exists()
    assert heard <= acknowledged_rows(store)


def test_a_temporary_server_is_gone_after_kill_9(client: Start) -> None:
    one = client(None)
    said = one.hear()
    assert os.path.isdir(said["folder"])
    socket_directory = said["url"].split("host=")[1].split("&")[0]
    assert os.path.isdir(socket_directory)
    one.end(signal.SIGKILL)
    until(lambda: not os.path.exists(said["folder"]), "the temporary folder is gone", 5)
    until(lambda: not running(said["folder"]), "the processes are gone", 5)
    assert not os.path.exists(socket_directory)


def test_kill_9_of_the_supervisor(client: Start, store: Path) -> None:
    one = client(store)
    said = one.hear()
    one.tell("write 20")
    heard = {one.hear()["n"] for _ in range(20)}
    socket_directory = said["url"].split("host=")[1].split("&")[0]
    os.kill(supervisor(store), signal.SIGKILL)
    # A signal takes its time: until the supervisor has died, its server is there to be joined.
    until(lambda: not is_locked(store, SERVER_LOCK, exclusive=False), "the supervisor died", 5)
    # Immediately: the old PostgreSQL may still be ending.
    assert heard <= acknowledged_rows(store)
    assert not os.path.exists(socket_directory)
    one.end(signal.SIGKILL)


def test_kill_9_of_the_supervisor_of_a_temporary_server() -> None:
    server = embedded.start(install=False)
    socket_directory = server.url.split("host=")[1].split("&")[0]
    os.kill(supervisor(server.folder), signal.SIGKILL)
    server.stop()
    assert not server.folder.exists()
    assert not os.path.exists(socket_directory)
    until(lambda: not running(server.folder), "PostgreSQL ended", 5)


def test_a_postmaster_that_died_is_started_again_at_the_same_address(store: Path) -> None:
    with embedded.start(store, install=False) as server:
        with psycopg.connect(server.admin_url, autocommit=True) as connection:
            connection.execute("CREATE TABLE survives AS SELECT 1 AS n")
            killed = postmaster(store)
            os.kill(killed, signal.SIGKILL)
        answer: list[object] = []

        def answers() -> bool:
            try:
                with psycopg.connect(server.admin_url) as connection:
                    answer[:] = connection.execute("SELECT n FROM survives").fetchall()
            except psycopg.OperationalError:
                return False
            return True

        until(answers, "the server answers again")
        assert answer == [(1,)]
        assert postmaster(store) != killed
    assert not running(store)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT])
def test_a_postmaster_that_was_stopped_stays_stopped_until_the_next_start(
    store: Path, number: signal.Signals
) -> None:
    with embedded.start(store, install=False):
        os.kill(postmaster(store), number)
        until(lambda: not running(store), "server and supervisor ended", 5)
        with (
            embedded.start(store, install=False) as server,
            psycopg.connect(server.url) as connection,
        ):
            assert connection.execute("SELECT 1").fetchone() == (1,)


def test_kill_9_of_supervisor_and_postmaster(client: Start, store: Path) -> None:
    one = client(store)
    one.hear()
    one.tell("write -1")
    heard = {one.hear()["n"] for _ in range(50)}
    for pid in (supervisor(store), postmaster(store)):
        os.kill(pid, signal.SIGKILL)
    assert heard <= acknowledged_rows(store)


def test_a_zombie_or_a_stranger_with_the_postmasters_number_does_not_stop_a_start(
    store: Path,
) -> None:
    with embedded.start(store, install=False) as server:
        saved = (store / "data" / "postmaster.pid").read_text()
    zombie = os.fork()
    if zombie == 0:
        os._exit(0)
    try:
        for pid in (zombie, os.getpid()):
            lines = saved.split("\n")
            (store / "data" / "postmaster.pid").write_text("\n".join([str(pid), *lines[1:]]))
            begin = time.monotonic()
            with embedded.start(store, install=False) as server, psycopg.connect(server.url):
                assert time.monotonic() - begin < 5
    finally:
        os.waitpid(zombie, 0)


def test_a_first_start_that_was_killed_half_way_is_begun_again(client: Start, folder: Path) -> None:
    one = client(folder)
    until(lambda: list(folder.glob("data.new-*/base")), "initdb is at work")
    for pid in [*running(folder), one.pid]:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    one.wait()
    assert not (folder / "data").exists()
    with embedded.start(folder, install=False) as server, psycopg.connect(server.url) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    assert sorted(path.name for path in folder.iterdir()) == [
        "data",
        "server.lock",
        "server.log",
        "start.lock",
        "use.lock",
    ]


def test_a_client_that_dies_during_the_first_start_leaves_nothing_running(
    client: Start, folder: Path
) -> None:
    one = client(folder)
    until(lambda: list(folder.glob("data.new-*/base")), "initdb is at work")
    one.end(signal.SIGKILL)
    until(lambda: not running(folder), "initdb, server and supervisor ended")
    with embedded.start(folder, install=False) as server:
        assert server.folder == folder


def test_a_forked_child_keeps_the_server(client: Start, store: Path) -> None:
    one = client(store)
    url = one.hear()["url"]
    child = one.ask("fork")["pid"]
    assert one.ask("stop") == {"stopped": True}
    with psycopg.connect(url) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    os.kill(child, signal.SIGKILL)
    until(lambda: not running(store), "the server ended with the child", 5)
    one.tell("exit")
    assert one.wait() == 0


def test_a_program_that_a_client_started_does_not_keep_the_server(
    client: Start, store: Path
) -> None:
    one = client(store)
    one.hear()
    child = one.ask("program")["pid"]
    one.end(signal.SIGKILL)
    until(lambda: not running(store), "the server ended", 5)
    os.kill(child, signal.SIGKILL)
