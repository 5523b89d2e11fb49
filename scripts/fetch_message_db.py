"""Fetch the genuine Message DB, with which the conformance suite compares our SQL."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

PACKAGE = "@eventide/message-db"
"""The npm package."""

DEFAULT = "1.3.1"
"""The version that is compared with ours."""

SQL_VERSIONS = {"1.1.6": "1.1.6", "1.2.6": "1.2.6", "1.3.1": "1.3.0"}
"""The version in each package's version file, and the result of ``message_store_version()``."""

CACHE = Path(__file__).resolve().parents[1] / ".cache"
"""The folder of the unpacked packages: ignored by git, kept between runs."""

FETCH_TIMEOUT = 300.0
"""The time limit of npm in seconds."""

_PGCRYPTO = "extensions/pgcrypto"

# The order in which the package's install script runs its files.
_FILES = (
    "roles/message-store",
    "schema/message-store",
    _PGCRYPTO,
    "tables/messages",
    "types/message",
    "functions/message-store-version",
    "functions/hash-64",
    "functions/acquire-lock",
    "functions/category",
    "functions/is-category",
    "functions/id",
    "functions/cardinal-id",
    "functions/stream-version",
    "functions/write-message",
    "functions/get-stream-messages",
    "functions/get-category-messages",
    "functions/get-last-stream-message",
    "indexes/messages-id",
    "indexes/messages-stream",
    "indexes/messages-category",
    "views/stream-summary",
    "views/type-summary",
    "views/stream-type-summary",
    "views/type-stream-summary",
    "views/category-type-summary",
    "views/type-category-summary",
    "privileges/schema",
    "privileges/table",
    "privileges/sequence",
    "privileges/functions",
    "privileges/views",
)


class FetchError(Exception):
    """The genuine Message DB is not in the cache and could not be fetched into it."""


def fetch(version: str = DEFAULT) -> Path:
    """Return the folder of the genuine package's SQL files, fetching it if it is not cached.

    Args:
        version: of the package, one of `SQL_VERSIONS`.

    Raises:
        FetchError: npm is missing, failed, took too long, or returned another version. The cache
            was not changed.
    """
    folder = CACHE / f"message-db-{version}"
    database = folder / "package" / "database"
    if not database.is_dir():
        _fill_cache(folder, version)
    _check(folder, version)
    return database


def genuine_script(database_folder: Path, has_pgcrypto: bool) -> list[str]:
    """Return the package's SQL scripts in the order of its install script.

    Each is to be executed without parameters, all of them in one transaction, in a database without
    Message DB.

    Args:
        database_folder: what `fetch` returned.
        has_pgcrypto: whether the server offers the pgcrypto extension. Without it that one file is
            left out: nothing else needs it since ``gen_random_uuid()`` is part of PostgreSQL itself
            (13).
    """
    return [
        (database_folder / f"{name}.sql").read_text(encoding="utf-8")
        for name in _FILES
        if has_pgcrypto or name != _PGCRYPTO
    ]


def _fill_cache(target: Path, version: str) -> None:
    npm, package = shutil.which("npm"), f"{PACKAGE}@{version}"
    if npm is None:
        raise FetchError(
            f"npm was not found, and {target} does not hold {package}. Install npm, or unpack the "
            "package there so that the folder package/database is in it."
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    # Unpacked beside the cache and renamed, so that an interrupted run leaves no partial package.
    with tempfile.TemporaryDirectory(dir=target.parent) as name:
        folder = Path(name)
        pack(npm, folder, package)
        archives = list(folder.glob("*.tgz"))
        if len(archives) != 1:
            raise FetchError(f"npm pack {package} ended well but left {len(archives)} archives.")
        unpacked = folder / "unpacked"
        with tarfile.open(archives[0]) as archive:
            # Not in every Python 3.11: only its later releases check the names in an archive.
            if hasattr(tarfile, "data_filter"):
                archive.extraction_filter = tarfile.data_filter
            archive.extractall(unpacked)
        _check(unpacked, version)
        move_into_cache(unpacked, target, "package/database")


def move_into_cache(unpacked: Path, target: Path, content: str) -> None:
    """Move an unpacked folder to its place, unless another process was faster.

    That one may be in use already, so it is not replaced.

    Args:
        unpacked: the folder, beside the target.
        target: its place.
        content: a path in it; a target that lacks this is of no use, and is replaced.
    """
    if (target / content).exists():
        return
    shutil.rmtree(target, ignore_errors=True)
    try:
        unpacked.rename(target)
    except OSError:
        if not (target / content).exists():
            raise


def pack(npm: str, folder: Path, package: str) -> None:
    """Let npm write the archive of a package, named with its version, into a folder.

    Raises:
        FetchError: npm failed, or took too long.
    """
    try:
        done = subprocess.run(
            [npm, "pack", "--silent", package],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=FETCH_TIMEOUT,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as exc:
        raise FetchError(f"npm pack {package} could not be run to its end: {exc}") from exc
    if done.returncode != 0:
        tail = (done.stderr or done.stdout).strip()[-1000:]
        raise FetchError(f"npm pack {package} failed with status {done.returncode}: {tail}")


def _check(folder: Path, wanted: str) -> None:
    database = folder / "package" / "database"
    missing = [name for name in _FILES if not (database / f"{name}.sql").is_file()]
    if missing:
        raise FetchError(
            f"{database} lacks {', '.join(missing)}: remove {folder} and run this again."
        )
    version = (database / "VERSION.txt").read_text(encoding="utf-8").strip()
    if version != SQL_VERSIONS[wanted]:
        raise FetchError(
            f"{database} is Message DB {version}, not {SQL_VERSIONS[wanted]}: remove {folder} and "
            "run this again."
        )


def main() -> int:
    """Fetch the package and print the folder of its SQL files, or the error.

    An argument names another version than the one that is compared with ours.
    """
    version = sys.argv[1] if len(sys.argv) > 1 else DEFAULT
    if version not in SQL_VERSIONS:
        print(f"fetch_message_db: no {version}, only {', '.join(SQL_VERSIONS)}", file=sys.stderr)
        return 2
    try:
        print(fetch(version))
    except FetchError as exc:
        print(f"fetch_message_db: {exc}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
