"""One archive of each folder of examples/, and one of all, for those who read the site.

Sphinx writes them at the end of a build (docs/_ext/downloads.py). Two builds write the same
bytes, as the entries are sorted and have a fixed time.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

ROOT: Final = Path(__file__).parents[1]
ALL: Final = "examples"
"""The name of the archive of all folders."""

IN_ALL_ONLY: Final = {"asynchronous", "synchronous"}
"""Folders whose programs ``python -m examples`` runs."""

SUFFIXES: Final = (".py", ".jsonl")
FOR_EACH: Final = ("LICENSE", "examples/__init__.py")
FOR_ALL: Final = ("examples/__main__.py",)
FOR_TESTS: Final = ("examples/serving.py",)
TIME: Final = (1980, 1, 1, 0, 0, 0)
"""The earliest time that an archive can name."""

SETTINGS: Final = """\
[pytest]
asyncio_mode = auto
asyncio_default_fixture_loop_scope = session
asyncio_default_test_loop_scope = session
"""
"""The file ``pytest.ini``: the tests are run as in the repository."""


def folder_names() -> list[str]:
    """Return the names of the folders with an archive."""
    found = {path.parent.name for path in (ROOT / "examples").glob("[a-z]*/[a-z]*.py")}
    return sorted(found - IN_ALL_ONLY)


def files_of(name: str) -> list[str]:
    """Return the files of an archive, as paths from the root of the repository."""
    folder = ROOT / "examples" if name == ALL else ROOT / "examples" / name
    found = [
        path.relative_to(ROOT).as_posix() for path in folder.rglob("*") if path.suffix in SUFFIXES
    ]
    more = [*FOR_EACH, *(FOR_ALL if name == ALL else ())]
    if any("examples.serving" in (ROOT / each).read_text("utf-8") for each in found):
        more += FOR_TESTS
    return sorted({*found, *more})


def write_archive(name: str, target: Path) -> None:
    """Write the archive of a folder."""
    contents = {each: (ROOT / each).read_bytes() for each in files_of(name)}
    contents["pytest.ini"] = SETTINGS.encode()
    with ZipFile(target, "w", ZIP_DEFLATED) as archive:
        for path, data in contents.items():
            entry = ZipInfo(path, TIME)
            entry.compress_type = ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, data)


def write_archives(target: Path) -> None:
    """Write all archives into a folder of the site, and create it if it is not there."""
    target.mkdir(parents=True, exist_ok=True)
    for name in [ALL, *folder_names()]:
        write_archive(name, target / f"{name}.zip")
