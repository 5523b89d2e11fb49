"""The application in the workers of gunicorn, which are forked after it was loaded."""

from __future__ import annotations

from pathlib import Path
from uuid import uuid4

from examples.serving import deposit_often, running, wait_for_line
from messagedb import Client


def test_each_worker_of_gunicorn_has_its_own_pool(tmp_path: Path, messagedb_url: str) -> None:
    account, socket = uuid4().hex, tmp_path / "socket"
    arguments = ["--preload", "--workers=2", f"--bind=unix:{socket}", "--access-logfile=-"]
    arguments += ["--access-logformat=served by %(p)s", "examples.flask_app.wsgi:app"]
    with running("gunicorn", *arguments, folder=tmp_path, url=messagedb_url) as log:
        wait_for_line(log, "Booting worker", 2)
        workers: set[str] = set()
        positions: list[int] = []
        while len(workers) < 2 and len(positions) < 1000:
            positions += [done["position"] for done in deposit_often(socket, account, 20)]
            lines = log.read_text().splitlines()
            workers = {line for line in lines if line.startswith("served by")}
    assert len(workers) == 2
    assert sorted(positions) == list(range(len(positions)))
    with Client(messagedb_url) as client:
        assert client.stream_version(f"account-{account}") == len(positions) - 1
