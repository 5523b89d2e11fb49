"""The tasks. Start a worker with ``celery -A examples.celery_app.tasks worker``."""

from __future__ import annotations

import os

from celery import Celery, Task

from messagedb import (
    Client,
    NewMessage,
    OutcomeUnknownError,
    RetryableError,
    StoreUnavailableError,
)

app = Celery("examples")
app.conf.update(
    broker_url=os.environ.get("CELERY_BROKER_URL", "amqp://"),
    broker_transport_options={
        name: os.environ[f"CELERY_{name.upper()}"]
        for name in ("data_folder_in", "data_folder_out", "control_folder")
        if f"CELERY_{name.upper()}" in os.environ
    },
    broker_connection_retry_on_startup=True,
    # Acknowledged after it ran: the task of a worker that dies is delivered again.
    task_acks_late=True,
    task_reject_on_worker_lost=True,
)

# Not open yet: each process of the worker opens its pool with its first task.
client = Client(os.environ.get("MESSAGEDB_URL", "embedded:./data"))


@app.task(
    bind=True,
    autoretry_for=(StoreUnavailableError, RetryableError, OutcomeUnknownError),
    retry_backoff=True,
    max_retries=None,
)
def deposit(self: Task, account: str, amount: int) -> int:
    """Write a deposit. The id of the task, the same in each attempt, is the message's id."""
    message = NewMessage("Deposited", {"amount": amount})
    return client.write_message(f"account-{account}", message, id=self.request.id)
