"""Real requests to the application, by Flask's test client."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import uuid4

import pytest
from flask.testing import FlaskClient

from examples.flask_app.app import create_app


@pytest.fixture
def http(messagedb_url: str, messagedb_category: str) -> Iterator[FlaskClient]:
    app = create_app(messagedb_url, messagedb_category)
    yield app.test_client()
    app.extensions["messagedb"].close()


def test_a_deposit_that_is_sent_twice_is_one(http: FlaskClient) -> None:
    key = {"Idempotency-Key": str(uuid4())}
    for _ in range(2):
        done = http.post("/accounts/1/deposits", json={"amount": 5}, headers=key)
        assert (done.status_code, done.get_json()) == (201, {"position": 0})
    assert http.post("/accounts/1/deposits", json={"amount": 2}).get_json() == {"position": 1}
    assert http.post("/accounts/1/deposits", json={"amount": 0}).status_code == 422
    assert http.get("/accounts/1").get_json() == {"balance": 7, "version": 1}


def test_a_store_that_is_away_is_503() -> None:
    app = create_app("postgresql://localhost:1/nothing")
    done = app.test_client().get("/accounts/1")
    assert done.status_code == 503
    assert "Nothing was sent" in done.get_json()["detail"]
    app.extensions["messagedb"].close()
