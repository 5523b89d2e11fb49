"""The application in the workers of uvicorn: each has its event loop, client and consumer."""

from __future__ import annotations

from pathlib import Path
from uuid import uuid4

from examples.serving import deposit_often, running, wait_for_line
from messagedb import Client


def test_the_workers_of_uvicorn_write_to_one_store(tmp_path: Path, messagedb_url: str) -> None:
    account, socket = uuid4().hex, tmp_path / "socket"
    arguments = ["--workers=2", f"--uds={socket}", "examples.fastapi_app.asgi:app"]
    with running("uvicorn", *arguments, folder=tmp_path, url=messagedb_url) as log:
        wait_for_line(log, "Application startup complete", 2)
        versions = [done["version"] for done in deposit_often(socket, account, 20)]
    assert sorted(versions) == list(range(20))
    with Client(messagedb_url) as client:
        assert client.stream_version(f"account-{account}") == 19
