"""pytest's plugin in suites of users: new projects, each in a separate process."""

from __future__ import annotations

import re
import subprocess
import sys
import textwrap
from pathlib import Path

import psycopg
import pytest

PAGE = Path(__file__).parents[2] / "docs" / "pytest-plugin.md"
SUITE = """
import os
from messagedb import AsyncClient, Client, NewMessage

def test_a_client(messagedb_client, messagedb_category):
    assert isinstance(messagedb_client, Client)
    assert messagedb_client.write_message(f"{messagedb_category}-1", NewMessage("A")) == 0

def test_categories_are_their_own(messagedb_client, messagedb_category):
    assert list(messagedb_client.read_category(messagedb_category)) == []

def test_tables_of_ones_own(messagedb_admin_url, messagedb_client):
    import psycopg
    with psycopg.connect(messagedb_admin_url, autocommit=True) as conn:
        conn.execute("create table if not exists public.mine (a int)")
        conn.execute("grant select on public.mine to message_store")
    with messagedb_client.transaction() as tx:
        tx.connection.execute("select * from public.mine")
"""
ASYNC = """
import pytest
from messagedb import AsyncClient, NewMessage

@pytest.mark.asyncio
async def test_an_async_client(messagedb_async_client, messagedb_category):
    assert isinstance(messagedb_async_client, AsyncClient)
    stream = f"{messagedb_category}-1"
    assert await messagedb_async_client.write_message(stream, NewMessage("A")) == 0
    assert [m.type async for m in messagedb_async_client.read_stream(stream)] == ["A"]

@pytest.mark.asyncio
async def test_another_loop(messagedb_async_client, messagedb_category):
    assert await messagedb_async_client.stream_version(f"{messagedb_category}-1") == -1
"""


def run(folder: Path, *arguments: str, **files: str) -> subprocess.CompletedProcess[str]:
    """Write a project's files, and run its suite."""
    return run_as_it_is(
        folder, "-o", "asyncio_default_fixture_loop_scope=function", *arguments, **files
    )


def run_as_it_is(folder: Path, *arguments: str, **files: str) -> subprocess.CompletedProcess[str]:
    """Write a project's files, and run its suite with the settings in its files only."""
    for name, text in files.items():
        Path(folder, f"{name}.py").write_text(textwrap.dedent(text))
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "error", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        env={"PATH": "", "HOME": str(folder)},
    )


def test_a_suite_of_both_kinds(tmp_path: Path) -> None:
    done = run(tmp_path, test_plain=SUITE, test_async=ASYNC)
    assert done.returncode == 0, done.stdout
    assert "5 passed" in done.stdout


def test_asyncio_in_its_automatic_mode(tmp_path: Path) -> None:
    text = ASYNC.replace("@pytest.mark.asyncio\n", "")
    done = run(tmp_path, "-o", "asyncio_mode=auto", test_async=text)
    assert done.returncode == 0, done.stdout
    assert "2 passed" in done.stdout


def page_settings() -> str:
    """Return the settings of pytest-asyncio that the page shows."""
    blocks = re.findall(r"^```toml\n(.*?)^```$", PAGE.read_text("utf-8"), re.S | re.M)
    (settings,) = [block for block in blocks if "asyncio_mode" in block]
    return str(settings)


def test_the_settings_of_the_page_need_no_mark_and_cause_no_warning(tmp_path: Path) -> None:
    Path(tmp_path, "pyproject.toml").write_text(page_settings())
    done = run_as_it_is(tmp_path, test_async=ASYNC.replace("@pytest.mark.asyncio\n", ""))
    assert (done.returncode, done.stderr) == (0, "")
    assert "2 passed" in done.stdout
    assert "warning" not in done.stdout


def test_a_mark_needs_no_setting_and_pytest_asyncio_warns(tmp_path: Path) -> None:
    done = run_as_it_is(tmp_path, "-W", "default", test_async=ASYNC)
    assert done.returncode == 0, done.stdout
    assert '"asyncio_default_fixture_loop_scope" is unset' in done.stderr


@pytest.mark.parametrize("is_complete", [False, True])
def test_fixtures_of_the_session_need_tests_of_the_session(
    tmp_path: Path, is_complete: bool
) -> None:
    lines = page_settings().replace('"', "").splitlines()
    settings = ["[pytest]", lines[2], "asyncio_default_fixture_loop_scope = session"]
    if is_complete:
        settings.append("asyncio_default_test_loop_scope = session")
    Path(tmp_path, "pytest.ini").write_text("\n".join(settings))
    done = run_as_it_is(tmp_path, test_async=ASYNC)
    if is_complete:
        assert (done.returncode, done.stderr) == (0, "")
        assert "2 passed" in done.stdout
    else:
        assert "ValidationError: this client belongs to another event loop" in done.stdout
        assert "2 failed" in done.stdout


def test_workers_share_a_server_and_have_a_store_each(tmp_path: Path) -> None:
    text = """
    import os, pytest, psycopg

    @pytest.mark.parametrize("n", range(4))
    def test_it(messagedb_url, messagedb_client, messagedb_category, n):
        with psycopg.connect(messagedb_url) as conn:
            (name,) = conn.execute("select current_database()").fetchone()
            (begun,) = conn.execute("select pg_postmaster_start_time()::text").fetchone()
        assert name == f"messagedb_{os.environ['PYTEST_XDIST_WORKER']}"
        with open(f"seen-{name}", "w") as file:
            file.write(begun)
    """
    done = run(tmp_path, "-n2", "--dist=each", test_it=text)
    assert done.returncode == 0, done.stdout
    seen = {path.name: path.read_text() for path in tmp_path.glob("seen-*")}
    assert sorted(seen) == ["seen-messagedb_gw0", "seen-messagedb_gw1"]
    assert len(set(seen.values())) == 1


def test_a_given_store_is_taken_as_it_is(tmp_path: Path, store_url: str) -> None:
    text = """
    def test_it(messagedb_url, messagedb_admin_url, messagedb_client):
        assert messagedb_url == messagedb_admin_url == {url!r}
        assert messagedb_client.message_store_version()
    """
    done = run(tmp_path, f"--messagedb-url={store_url}", test_it=text.format(url=store_url))
    assert done.returncode == 0, done.stdout
    Path(tmp_path, "pytest.ini").write_text(f"[pytest]\nmessagedb_url = {store_url}\n")
    done = run(tmp_path)
    assert done.returncode == 0, done.stdout
    with psycopg.connect(store_url) as conn:
        assert conn.execute("select count(*) from message_store.messages").fetchone()


def test_fixtures_of_other_names_are_left_alone(tmp_path: Path) -> None:
    text = """
    import pytest
    from messagedb import MessageRegistry

    registry = MessageRegistry()

    @pytest.fixture
    def client():
        return "mine"

    @pytest.fixture
    def messagedb_options():
        return {"registry": registry, "max_size": 1}

    def test_it(client, messagedb_client):
        assert client == "mine"
        assert messagedb_client.registry is registry
    """
    done = run(tmp_path, test_it=text)
    assert done.returncode == 0, done.stdout


def test_a_run_without_its_fixtures_imports_nothing(tmp_path: Path) -> None:
    text = """
    import sys

    def test_it():
        assert "_messagedb_pytest" in sys.modules
        for name in ("messagedb", "_messagedb_async", "psycopg", "msgspec"):
            assert name not in sys.modules
    """
    done = run(tmp_path, test_it=text)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("option", ["--help", "--fixtures"])
def test_it_is_documented_where_pytest_documents(tmp_path: Path, option: str) -> None:
    done = run(tmp_path, option)
    wanted = "--messagedb-url" if option == "--help" else "messagedb_async_client"
    assert wanted in done.stdout
