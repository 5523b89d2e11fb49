"""Fetching the genuine package: what is said where it cannot be, and the order of its files."""

from __future__ import annotations

import shutil
from pathlib import Path

import fetch_message_db
import pytest


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache" / "message-dbs"
    monkeypatch.setattr(fetch_message_db, "CACHE", folder)
    return folder


def genuine() -> Path:
    try:
        return fetch_message_db.fetch()
    except fetch_message_db.FetchError as error:
        pytest.skip(str(error))


def test_without_npm_and_with_an_empty_cache(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(fetch_message_db.FetchError, match="npm was not found"):
        fetch_message_db.fetch()
    assert not cache.exists()


def test_an_npm_that_fails(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    npm = tmp_path / "npm"
    npm.write_text("#!/bin/sh\necho no route to the registry >&2\nexit 3\n")
    npm.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(fetch_message_db.FetchError, match="status 3: no route to the registry"):
        fetch_message_db.fetch()
    assert list(cache.iterdir()) == []


def test_a_cache_that_is_not_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copy = tmp_path / f"message-db-{fetch_message_db.DEFAULT}"
    shutil.copytree(genuine(), copy / "package" / "database")
    monkeypatch.setattr(fetch_message_db, "CACHE", tmp_path)
    assert fetch_message_db.fetch() == copy / "package" / "database"
    (copy / "package" / "database" / "VERSION.txt").write_text("9.9.9\n")
    with pytest.raises(fetch_message_db.FetchError, match=r"is Message DB 9\.9\.9"):
        fetch_message_db.fetch()
    (copy / "package" / "database" / "functions" / "id.sql").unlink()
    with pytest.raises(fetch_message_db.FetchError, match="lacks functions/id"):
        fetch_message_db.fetch()


def test_what_another_process_has_fetched_and_uses_is_not_replaced(tmp_path: Path) -> None:
    for name in ("first", "second"):
        (tmp_path / name / "bin").mkdir(parents=True)
        (tmp_path / name / "bin" / "postgres").write_text(name)
    target = tmp_path / "cached"
    target.mkdir()
    (target / "half").touch()  # of no use: it lacks the content
    for name in ("first", "second"):
        fetch_message_db.move_into_cache(tmp_path / name, target, "bin/postgres")
    assert (target / "bin" / "postgres").read_text() == "first"
    assert not (target / "half").exists()


def test_the_extension_is_left_out_where_the_server_has_none() -> None:
    folder = genuine()
    whole = fetch_message_db.genuine_script(folder, has_pgcrypto=True)
    without = fetch_message_db.genuine_script(folder, has_pgcrypto=False)
    assert len(whole) == 31
    assert [text for text in whole if text not in without] == [whole[2]]
    assert "pgcrypto" in whole[2]


def test_each_version_is_the_one_that_it_says() -> None:
    genuine()
    for version, sql_version in fetch_message_db.SQL_VERSIONS.items():
        folder = fetch_message_db.fetch(version)
        assert (folder / "VERSION.txt").read_text().strip() == sql_version
        assert len(fetch_message_db.genuine_script(folder, has_pgcrypto=True)) == 31
