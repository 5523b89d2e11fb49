"""A folder that cannot be used is refused, by an error that says what to do, and not changed."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING, Any

import pytest

from messagedb import embedded
from messagedb.errors import EmbeddedServerError, ValidationError
from tests.embedded.processes import ClientProcess, running, until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Start = Callable[..., ClientProcess]


def tree(folder: Path) -> dict[str, tuple[int, int, bytes]]:
    found: dict[str, tuple[int, int, bytes]] = {}
    for path in [folder, *sorted(folder.rglob("*"))]:
        status = path.stat()
        content = path.read_bytes() if path.is_file() else b""
        found[str(path)] = (status.st_mode, status.st_mtime_ns, content)
    return found


@pytest.mark.parametrize("name", ["notes.txt", "data/notes.txt", "PG_VERSION"])
def test_a_folder_that_holds_something_else_is_not_touched(folder: Path, name: str) -> None:
    (folder / name).parent.mkdir(parents=True)
    (folder / name).write_text("18\n")
    before = tree(folder)
    with pytest.raises(EmbeddedServerError, match=r"Nothing in it was changed. Name an"):
        embedded.start(folder, install=False)
    assert tree(folder) == before


def test_a_file_is_not_a_folder(folder: Path) -> None:
    folder.write_text("x")
    for path in (folder, folder / "below", folder / "far" / "below"):
        with pytest.raises(EmbeddedServerError, match="Nothing was"):
            embedded.start(path, install=False)
    assert folder.read_text() == "x"


def test_data_of_another_major_version_is_refused_by_both_names(store: Path) -> None:
    version = store / "data" / "PG_VERSION"
    right = version.read_text()
    version.write_text("9\n")
    with pytest.raises(
        EmbeddedServerError,
        match=r"made by PostgreSQL 9, and the programs in .* are PostgreSQL \d\d",
    ):
        embedded.start(store, install=False)
    assert version.read_text() == "9\n"
    version.write_text(right)
    assert not running(store)


def test_a_folder_that_the_user_may_not_write_is_refused(client: Start, folder: Path) -> None:
    # Root may write everywhere, so this needs another user.
    somebody = {"uid": 65534} if os.geteuid() == 0 else {}
    folder.mkdir(mode=0o555)
    for path in (folder, folder / "new"):
        one = client(path, **somebody)
        said = one.hear()
        one.wait()
        assert said["kind"] == "EmbeddedServerError"
        # If the programs are in root's own closed home, another user gets that error first.
        if "no PostgreSQL programs were found" not in said["error"]:
            assert "Permission denied" in said["error"]
            assert "name a folder that this user may write" in said["error"]
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"folder": ""}, "empty string"),
        ({"folder": "a\0b"}, "NUL"),
        ({"folder": "here", "fast": True}, "temporary servers only"),
        ({"folder": "here", "settings": {"fsync": "off"}}, "temporary servers only"),
        ({"folder": "here", "settings": {"Full_Page_Writes": "False"}}, "temporary servers only"),
        ({"settings": {"work mem": "8MB"}}, "not the name of a PostgreSQL setting"),
        ({"settings": {"-c": "8MB"}}, "not the name of a PostgreSQL setting"),
        ({"settings": {"listen_addresses": "*"}}, "belongs to messagedb"),
        ({"settings": {"work_mem": 8}}, "not a str"),
    ],
)
def test_arguments_that_are_refused(
    options: dict[str, Any], text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValidationError, match=text) as caught:
        embedded.start(**options)
    assert "Nothing was started" in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_setting_that_postgresql_refuses_is_told_with_the_log(store: Path) -> None:
    with pytest.raises(EmbeddedServerError) as caught:
        embedded.start(store, install=False, settings={"no_such_setting": "1"})
    assert 'unrecognized configuration parameter "no_such_setting"' in str(caught.value)
    assert f"The last lines of {store / 'server.log'}:" in str(caught.value)
    until(lambda: not running(store), "the supervisor ended", 5)
    with embedded.start(store, install=False) as server:
        assert server.folder == store


def test_a_damaged_folder_is_told_with_the_log(folder: Path) -> None:
    with embedded.start(folder, install=False):
        pass
    shutil.rmtree(folder / "data" / "pg_wal")
    with pytest.raises(EmbeddedServerError, match="pg_wal"):
        embedded.start(folder, install=False)
    until(lambda: not running(folder), "the supervisor ended", 5)


def test_a_start_that_takes_too_long_leaves_nothing_running(store: Path) -> None:
    with pytest.raises(EmbeddedServerError, match=r"timeout|too long|timed out|in time"):
        embedded.start(store, install=False, timeout=-10.0)
    until(lambda: not running(store), "everything ended", 5)
    with embedded.start(store, install=False) as server:
        assert server.folder == store
