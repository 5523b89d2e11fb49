"""Real requests to the application, on the store of messagedb's pytest plugin."""

from __future__ import annotations

from collections.abc import AsyncIterator
from uuid import uuid4

import httpx2
import pytest
import pytest_asyncio
from fastapi import FastAPI

from examples.sqlmodel_app.app import create_app


@pytest.fixture
def app(messagedb_admin_url: str, messagedb_category: str) -> FastAPI:
    return create_app(messagedb_admin_url, messagedb_category)


@pytest_asyncio.fixture
async def http(app: FastAPI) -> AsyncIterator[httpx2.AsyncClient]:
    transport = httpx2.ASGITransport(app, raise_app_exceptions=False)
    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(transport=transport, base_url="http://test") as client,
    ):
        yield client


@pytest.mark.asyncio
async def test_a_row_and_a_message_are_one_transaction(
    app: FastAPI, http: httpx2.AsyncClient, messagedb_category: str
) -> None:
    id, key = uuid4().hex, {"Idempotency-Key": str(uuid4())}
    order = {"item": "lamp", "amount": 5}
    for _ in range(2):
        done = await http.post(f"/orders/{id}", json=order, headers=key)
        assert (done.status_code, done.json()) == (201, {"position": 0})
    assert (await http.get(f"/orders/{id}")).json() == {"id": id, **order}
    assert await app.state.client.stream_version(f"{messagedb_category}-{id}") == 0
    other = uuid4().hex
    done = await http.post(f"/orders/{other}", json={"item": "yacht", "amount": 1001})
    assert done.status_code == 422
    assert (await http.get(f"/orders/{other}")).status_code == 404
    assert await app.state.client.stream_version(f"{messagedb_category}-{other}") == -1


@pytest.mark.asyncio
async def test_a_key_that_another_order_has_used_is_a_conflict(http: httpx2.AsyncClient) -> None:
    key, order = {"Idempotency-Key": str(uuid4())}, {"item": "lamp", "amount": 5}
    first, second = uuid4().hex, uuid4().hex
    assert (await http.post(f"/orders/{first}", json=order, headers=key)).status_code == 201
    done = await http.post(f"/orders/{second}", json=order, headers=key)
    assert done.status_code == 409
    assert "Nothing was written" in done.json()["detail"]
    assert (await http.get(f"/orders/{second}")).status_code == 404
