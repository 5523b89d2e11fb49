"""Real requests to the application, on the store of messagedb's pytest plugin."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx2
import pytest
import pytest_asyncio
from fastapi import FastAPI

from examples.fastapi_app.app import create_app


@pytest.fixture
def app(messagedb_url: str, messagedb_category: str) -> FastAPI:
    return create_app(messagedb_url, messagedb_category)


@pytest_asyncio.fixture
async def http(app: FastAPI) -> AsyncIterator[httpx2.AsyncClient]:
    transport = httpx2.ASGITransport(app, raise_app_exceptions=False)
    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(transport=transport, base_url="http://test") as client,
    ):
        yield client


@pytest.mark.asyncio
async def test_money_comes_and_goes(app: FastAPI, http: httpx2.AsyncClient) -> None:
    done = await http.post("/accounts/1/deposits", json={"amount": 7})
    assert (done.status_code, done.json()) == (201, {"balance": 7, "version": 0})
    done = await http.post("/accounts/1/withdrawals", json={"amount": 2})
    assert (done.status_code, done.json()) == (201, {"balance": 5, "version": 1})
    refused = await http.post("/accounts/1/withdrawals", json={"amount": 6})
    assert (refused.status_code, refused.json()) == (409, {"detail": "6 of 5"})
    assert (await http.post("/accounts/1/deposits", json={"amount": 0})).status_code == 422
    assert (await http.get("/accounts/1")).json() == {"balance": 5, "version": 1}
    assert (await http.get("/accounts/2")).json() == {"balance": 0, "version": -1}
    # Nothing sleeps: the test waits until the consumer has handled the messages.
    await app.state.consumer.wait_until_caught_up(timeout=10)
    assert (await http.get("/turnover")).json() == {"total": 9}
    assert (await http.get("/health")).status_code == 200


@pytest.mark.asyncio
async def test_a_request_that_is_sent_twice_is_answered_once(http: httpx2.AsyncClient) -> None:
    key = {"Idempotency-Key": "7f3a"}
    await http.post("/accounts/1/deposits", json={"amount": 7})
    for _ in range(2):
        done = await http.post("/accounts/1/withdrawals", json={"amount": 5}, headers=key)
        assert (done.status_code, done.json()) == (201, {"balance": 2, "version": 1})
    other = await http.post("/accounts/1/deposits", json={"amount": 5}, headers=key)
    assert other.status_code == 422
    assert "Give each command its own key" in other.json()["detail"]
    assert (await http.get("/accounts/1")).json() == {"balance": 2, "version": 1}


@pytest.mark.asyncio
async def test_a_store_that_is_away_is_503(messagedb_category: str) -> None:
    app = create_app("postgresql://localhost:1/nothing", messagedb_category)
    transport = httpx2.ASGITransport(app, raise_app_exceptions=False)
    with pytest.raises(Exception, match="Nothing was sent"):
        async with app.router.lifespan_context(app):
            await httpx2.AsyncClient(transport=transport, base_url="http://test").get("/health")
