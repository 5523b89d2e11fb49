"""A real worker of Celery with two processes, on a broker that is a folder."""

from __future__ import annotations

from pathlib import Path
from uuid import uuid4

import pytest

from examples.serving import running, wait_for_line
from messagedb import Client

WORKER = ("--pool=prefork", "--concurrency=2", "--loglevel=INFO", "--without-mingle")


def test_a_task_that_is_delivered_twice_is_stored_once(
    tmp_path: Path, messagedb_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MESSAGEDB_URL", messagedb_url)
    monkeypatch.setenv("CELERY_BROKER_URL", "filesystem://")
    for name in ("DATA_FOLDER_IN", "DATA_FOLDER_OUT", "CONTROL_FOLDER"):
        folder = tmp_path / name.split("_")[0].lower()
        folder.mkdir(exist_ok=True)
        monkeypatch.setenv(f"CELERY_{name}", str(folder))
    from examples.celery_app.tasks import app, client

    account, ids = uuid4().hex, [str(uuid4()) for _ in range(5)]
    arguments = ["-A", "examples.celery_app.tasks", "worker", *WORKER]
    with running("celery", *arguments, folder=tmp_path, url=messagedb_url) as log:
        for id in [*ids, *ids]:
            app.send_task("examples.celery_app.tasks.deposit", (account, 5), task_id=id)
        wait_for_line(log, " succeeded in ", 10)
    app.close()
    client.close()
    with Client(messagedb_url) as store:
        messages = store.get_stream_messages(f"account-{account}")
    assert sorted(str(message.id) for message in messages) == sorted(ids)
    assert sum(message.data["amount"] for message in messages) == 25
