"""Real server programs for the tests of the examples, each on a socket in a folder."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2

LIMIT = 60.0


@contextmanager
def running(module: str, *arguments: str, folder: Path, url: str) -> Iterator[Path]:
    """Run a module on a store, and return its log; terminate it at the end, and check its exit."""
    log = folder / "log"
    with log.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            env={**os.environ, "MESSAGEDB_URL": url, "PYTHONUNBUFFERED": "1"},
            stdout=file,
            stderr=subprocess.STDOUT,
        )
        try:
            yield log
        finally:
            process.terminate()
            code = process.wait(LIMIT)
    assert code in (0, -15), log.read_text()


def wait_for_line(log: Path, text: str, count: int = 1) -> None:
    """Wait until a string is in a log so many times."""
    until = time.monotonic() + LIMIT
    while log.read_text().count(text) < count:
        assert time.monotonic() < until, log.read_text()
        time.sleep(0.05)


def deposit_often(socket: Path, account: str, count: int) -> list[Any]:
    """Send so many requests, four at a time and each on its own connection; return the bodies."""

    def deposit(_: int) -> Any:
        transport = httpx2.HTTPTransport(uds=str(socket))
        with httpx2.Client(transport=transport, base_url="http://test", timeout=LIMIT) as http:
            done = http.post(f"/accounts/{account}/deposits", json={"amount": 1})
            assert done.status_code == 201, done.text
            return done.json()

    with ThreadPoolExecutor(4) as threads:
        return list(threads.map(deposit, range(count)))
