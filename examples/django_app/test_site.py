"""Real requests to the site, and its command, on the store of messagedb's pytest plugin."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest


@pytest.fixture(scope="session")
def site(messagedb_admin_url: str) -> Iterator[None]:
    """Return the site, with its tables in the database of the store."""
    os.environ["DATABASE_URL"] = messagedb_admin_url
    os.environ["DJANGO_SETTINGS_MODULE"] = "examples.django_app.settings"
    import django
    from django.core.management import call_command
    from django.db import connection

    django.setup()
    call_command("migrate", verbosity=0)
    yield
    connection.close()
    from examples.django_app.bank.store import client

    client.close()


@pytest.fixture
def http(site: None) -> Any:
    from django.test import Client

    return Client(raise_request_exception=False)


def test_row_and_message_are_one_transaction(http: Any) -> None:
    from examples.django_app.bank.store import client

    def post(amount: int) -> Any:
        content = {"amount": amount}
        return http.post("/accounts/1/deposits", content, content_type="application/json")

    done = post(600)
    assert (done.status_code, done.json()) == (201, {"position": 0, "balance": 600})
    assert post(500).status_code == 500
    assert http.get("/accounts/1").json() == {"balance": 600, "deposits": 0}
    assert [message.data for message in client.read_stream("account-1")] == [{"amount": 600}]
    assert post(400).json() == {"position": 1, "balance": 1000}
    assert http.get("/accounts/2").status_code == 404


def test_the_command_handles_each_message_once(http: Any) -> None:
    from django.core.management import call_command

    for _ in range(2):
        call_command("consume", "--until-caught-up")
        assert http.get("/accounts/1").json() == {"balance": 1000, "deposits": 2}
