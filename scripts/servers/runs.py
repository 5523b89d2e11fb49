"""One cell: a separate server, pytest on it, and the counts of its report."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Final
from xml.etree import ElementTree

import psycopg

from tests.support.leaving_out import PREFIX
from tests.support.server import OwnServer

from . import programs
from .cells import CASES, Cell

_SETTINGS: Final = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "max_connections": "300",
}
_PATIENCE: Final = 1800.0
_OPTIONS: Final = ("-q", "-n3", "--dist=loadfile", "--ignore-glob=*test_faults_*", "--tb=short")


@dataclass
class Result:
    """The counts of one cell, the reasons of skipped tests, and the names of failed ones."""

    cell: Cell
    version: str
    jit: bool
    passed: int = 0
    failed: int = 0
    again: int = 0
    skipped: Counter[str] = field(default_factory=Counter[str])
    failures: list[str] = field(default_factory=list[str])
    seconds: float = 0.0

    @property
    def cases(self) -> int:
        """The number of tests that ran."""
        return self.passed + self.failed


def run(cell: Cell, log: Path, plans_full: bool = True) -> Result:
    """Run the cases of a cell on a separate server.

    Args:
        cell: the cell.
        log: the file for the output of pytest.
        plans_full: whether plans are examined in the store of a million messages as well.
    """
    begun = time.monotonic()
    folder = programs.find(cell.server)
    server = OwnServer(programs=folder, settings=_SETTINGS)
    try:
        with psycopg.connect(server.url()) as conn:
            row = conn.execute(
                "select split_part(version(), ' ', 2), pg_jit_available()"
            ).fetchone()
        assert row is not None
        result = Result(cell, row[0], row[1])
        environment = _build_environment(cell, server.url(), plans_full)
        environment["MESSAGEDB_POSTGRES_BIN"] = str(folder)
        with tempfile.TemporaryDirectory() as name:
            _run_pytest(result, Path(name), environment, log)
    finally:
        server.close()
    result.seconds = round(time.monotonic() - begun, 1)
    return result


def _build_environment(cell: Cell, url: str, plans_full: bool) -> dict[str, str]:
    kept = {
        name: value
        for name, value in os.environ.items()
        if name != "CI" and not name.startswith(("PG", "MESSAGEDB_TEST_"))
    }
    return {
        **kept,
        "MESSAGEDB_REQUIRE_GENUINE": "1",
        "MESSAGEDB_TEST_URL": url,
        "MESSAGEDB_TEST_SCHEMA": cell.schema,
        "MESSAGEDB_TEST_ROLE": cell.role,
        "MESSAGEDB_TEST_POOLER": cell.pooler,
        "MESSAGEDB_TEST_PLANS": "full" if plans_full else "",
    }


def _run_pytest(result: Result, folder: Path, environment: dict[str, str], log: Path) -> None:
    """Run the cases, and those that failed once more, one at a time: busy cores are slow.

    A test that no cell leaves out and that is skipped has failed: a program is missing.
    """
    report = folder / "report.xml"
    command = [sys.executable, "-m", "pytest", *_OPTIONS, "-o", f"cache_dir={folder / 'cache'}"]
    command += [f"--junitxml={report}", *CASES[result.cell.cases]]
    with log.open("ab") as output:
        _wait(command, environment, output)
        count(result, report)
        if not result.failed:
            return
        result.again = result.failed
        again = [*command, "-n0", "--last-failed", "--last-failed-no-failures=none"]
        report.unlink()
        passed, skipped = result.passed, result.skipped
        result.failures = []
        _wait(again, environment, output)
        count(result, report)
        result.passed += passed
        result.skipped = skipped


def _wait(command: list[str], environment: dict[str, str], output: IO[bytes]) -> None:
    """Run pytest to its end; if it does not come to one, there is no report."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        subprocess.run(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            timeout=_PATIENCE,
            check=False,
        )


def count(result: Result, report: Path) -> None:
    """Count the tests in a report of pytest."""
    if not report.exists():
        result.failed, result.passed = 1, 0
        result.failures = ["pytest wrote no report"]
        return
    result.passed = result.failed = 0
    result.skipped = Counter()
    for case in ElementTree.parse(report).iter("testcase"):
        name = f"{case.get('classname')}::{case.get('name')}"
        skipped = case.find("skipped")
        if case.find("failure") is not None or case.find("error") is not None:
            result.failed += 1
            result.failures.append(name)
        elif skipped is None:
            result.passed += 1
        elif (skipped.get("message") or "").startswith(PREFIX):
            result.skipped[(skipped.get("message") or "").removeprefix(PREFIX)] += 1
        else:
            result.failed += 1
            result.failures.append(f"{name} was skipped: {skipped.get('message')}")
