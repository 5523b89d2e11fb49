"""The environment of the caller does not reach the server, nor break its address."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import psycopg
import pytest

from messagedb import embedded
from tests.embedded.processes import ClientProcess, running

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Start = Callable[..., ClientProcess]


def test_libpqs_variables_do_not_break_the_address(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {
        "PGOPTIONS": "-c no_such_setting=1",
        "PGHOST": "192.0.2.1",
        "PGHOSTADDR": "192.0.2.1",
        "PGPORT": "1",
        "PGUSER": "nobody",
        "PGDATABASE": "nothing",
        "PGSSLMODE": "verify-full",
        "PGSSLNEGOTIATION": "direct",
        "PGSSLROOTCERT": "system",
        "PGSSLCERTMODE": "require",
        "PGGSSENCMODE": "require",
        "PGCHANNELBINDING": "require",
        "PGREQUIREPEER": "someone else",
        "PGREQUIREAUTH": "scram-sha-256",
        "PGTARGETSESSIONATTRS": "standby",
        "PGCLIENTENCODING": "LATIN1",
        "PGDATA": "/nowhere",
        "PGTZ": "Asia/Tokyo",
        "TZ": "Asia/Tokyo",
    }.items():
        monkeypatch.setenv(name, value)
    with embedded.start(store, install=False) as server:
        for url, user, path in (
            (server.url, "message_store", "message_store,public"),
            (server.admin_url, "postgres", "public,message_store"),
        ):
            with psycopg.connect(url) as connection:
                assert connection.execute("SELECT current_user, current_database()").fetchone() == (
                    user,
                    "message_store",
                )
                assert connection.info.encoding == "utf-8"
                assert connection.execute("SHOW search_path").fetchone() == (path,)
        monkeypatch.delenv("PGTZ")
        with psycopg.connect(server.url) as connection:
            row = connection.execute(
                "SELECT current_setting('timezone'), current_setting('server_encoding'),"
                " current_setting('listen_addresses'), current_setting('fsync'),"
                " current_setting('synchronous_commit')"
            ).fetchone()
        assert row == ("UTC", "UTF8", "", "on", "on")


async def test_the_address_serves_asynchronous_connections(store: Path) -> None:
    with embedded.start(store, install=False) as server:
        async with await psycopg.AsyncConnection.connect(server.url) as connection:
            cursor = await connection.execute("SELECT current_user")
            assert await cursor.fetchone() == ("message_store",)


def test_a_locale_that_does_not_exist_does_not_matter(client: Start) -> None:
    one = client(None, environment={"LANG": "xx_YY.bogus", "LC_ALL": "xx_YY.bogus"}, fast=True)
    assert "url" in one.hear()


def test_a_path_with_every_kind_of_character(folder: Path) -> None:
    odd = folder.with_name("sp ace, 'quote' \"double\" % $HOME \\ ünï 日本 \udcff")
    with embedded.start(odd, install=False) as server, psycopg.connect(server.url) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
        assert server.folder == odd


def test_a_long_tmpdir_does_not_make_the_socket_path_too_long(client: Start, folder: Path) -> None:
    long = folder / ("x" * 100)
    long.mkdir(parents=True)
    one = client(None, environment={"TMPDIR": str(long)}, fast=True)
    url = one.hear()["url"]
    with psycopg.connect(url) as connection:
        assert connection.execute("SHOW fsync").fetchone() == ("off",)
    one.end()


def test_the_socket_is_out_of_reach_of_others(store: Path) -> None:
    with embedded.start(store, install=False) as server:
        directory = server.url.split("host=")[1].split("&")[0]
        status = os.stat(directory)
        assert status.st_mode & 0o777 == 0o700
        assert not directory.startswith(str(store))
        assert (store / "data").stat().st_mode & 0o777 == 0o700
    assert not os.path.exists(directory)


def test_a_temporary_server_is_durable_unless_fast_and_gone_at_the_end() -> None:
    with embedded.start(install=False) as server:
        with psycopg.connect(server.url) as connection:
            assert connection.execute("SHOW fsync").fetchone() == ("on",)
        assert server.folder.is_dir()
    assert not server.folder.exists()
    assert not running(server.folder)


def test_the_message_db_is_installed_unless_it_is_there(store: Path) -> None:
    write = "SELECT write_message(gen_random_uuid()::text, 'embedded-1', 'Written', '{}')"
    with embedded.start(store) as server:
        with psycopg.connect(server.url) as connection:
            assert connection.execute(write).fetchone() == (0,)
        with embedded.start(store) as again, psycopg.connect(again.url) as connection:
            assert connection.execute(write).fetchone() == (1,)
    with embedded.start(store) as server, psycopg.connect(server.url) as connection:
        assert connection.execute("SELECT stream_version('embedded-1')").fetchone() == (1,)
