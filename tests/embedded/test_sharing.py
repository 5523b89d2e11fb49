"""One server per folder, for as many threads and processes as come."""

from __future__ import annotations

import os
import signal
import threading
from typing import TYPE_CHECKING

import psycopg
import pytest

from messagedb import embedded
from messagedb.errors import EmbeddedServerError
from tests.embedded.processes import ClientProcess, postmaster, running, until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Start = Callable[..., ClientProcess]


def test_six_processes_share_a_server_and_three_are_killed(client: Start, folder: Path) -> None:
    clients = [client(folder) for _ in range(6)]
    urls = {each.hear()["url"] for each in clients}
    assert len(urls) == 1
    assert len(running(folder, "_supervisor.py")) == 1
    for each in clients:
        each.tell("write -1" if each in clients[:3] else "write 60")
    heard: set[int] = set()
    for each in clients[:3]:
        heard |= {each.hear()["n"] for _ in range(20)}
    # The first is the one that started the supervisor, as likely as not.
    for each in clients[:3]:
        each.end(signal.SIGKILL)
    for each in clients[3:]:
        heard |= {each.hear()["n"] for _ in range(60)}
        each.tell("exit")
        assert each.wait() == 0
    until(lambda: not running(folder), "the server ended", 5)
    with (
        embedded.start(folder, install=False) as server,
        psycopg.connect(server.admin_url) as connection,
    ):
        stored = {row[0] for row in connection.execute("SELECT n FROM acknowledged")}
    assert len(heard) == 240
    assert heard <= stored


def test_the_server_outlives_the_client_that_started_it(client: Start, store: Path) -> None:
    first = client(store)
    url = first.hear()["url"]
    with embedded.start(store, install=False) as server:
        assert server.url == url
        before = postmaster(store)
        first.end(signal.SIGKILL)
        with psycopg.connect(server.url) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
        # It also takes those who come after the starter went.
        with embedded.start(store, install=False) as again:
            assert again.url == url
        assert postmaster(store) == before
    assert not running(store)


def test_threads_and_calls_of_one_process_share_a_server(folder: Path) -> None:
    servers: list[embedded.EmbeddedServer] = []
    threads = [
        threading.Thread(target=lambda: servers.append(embedded.start(folder, install=False)))
        for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({server.url for server in servers}) == 1
    assert len(servers) == 6
    for server in servers[:5]:
        server.stop()
        server.stop()
        assert "stopped" in repr(server)
    with psycopg.connect(servers[5].url) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    servers[5].stop()
    assert not running(folder)


def test_a_path_through_a_link_is_the_same_folder(store: Path) -> None:
    link = store.with_name("link")
    link.symlink_to(store)
    with (
        embedded.start(store, install=False) as server,
        embedded.start(link, install=False) as other,
    ):
        assert other.url == server.url


def test_stopping_and_starting_leaks_no_descriptors(store: Path) -> None:
    def descriptors() -> int:
        return len(os.listdir("/dev/fd"))

    with embedded.start(store, install=False):
        pass
    before = descriptors()
    for _ in range(5):
        with embedded.start(store, install=False):
            assert descriptors() > before
        assert not running(store)
    assert descriptors() == before


def test_a_server_that_nobody_holds_an_object_of_runs_on(folder: Path) -> None:
    import gc

    url = embedded.start(folder, install=False).url
    gc.collect()
    with psycopg.connect(url) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    os.kill(postmaster(folder), signal.SIGINT)
    until(lambda: not running(folder), "the server ended", 5)


def test_other_settings_than_those_of_the_running_server_are_refused(store: Path) -> None:
    with embedded.start(store, install=False, settings={"work_mem": "8MB"}) as server:
        with psycopg.connect(server.url) as connection:
            assert connection.execute("SHOW work_mem").fetchone() == ("8MB",)
        with pytest.raises(EmbeddedServerError, match="not started with work_mem = 9MB"):
            embedded.start(store, install=False, settings={"work_mem": "9MB"})
        with embedded.start(store, install=False, settings={"WORK_MEM": "8MB"}) as same:
            assert same.url == server.url
