"""A process ends immediately whose client was never closed, as one of a module is not."""

from __future__ import annotations

import subprocess
import sys

import pytest

OPEN = "from messagedb import Client; client = Client({url!r}); client.stream_version('a-1')"
IN_THREADS = """
import threading
from messagedb import Client
client = Client({url!r}, min_size=2)
threads = [threading.Thread(target=client.stream_version, args=("a-1",)) for _ in range(3)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
"""
CLOSED = OPEN + "; client.close()"


@pytest.mark.parametrize("program", [OPEN, IN_THREADS, CLOSED], ids=["open", "threads", "closed"])
def test_the_process_ends_by_itself_and_says_nothing(store_url: str, program: str) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program.format(url=store_url)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    # psycopg's pool says it where it had to give its threads up.
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
