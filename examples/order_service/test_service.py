"""Requests to the API, and the app run until nothing is left to handle: no sleeping, no mocks."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx2
import pytest
import pytest_asyncio

from messagedb.testing import run_until_quiet_async

from .service import app
from .web import create_web


@pytest_asyncio.fixture
async def http(messagedb_url: str) -> AsyncIterator[httpx2.AsyncClient]:
    web = create_web(messagedb_url)
    transport = httpx2.ASGITransport(web)
    async with (
        web.router.lifespan_context(web),
        httpx2.AsyncClient(transport=transport, base_url="http://test") as client,
    ):
        yield client


@pytest.mark.asyncio
async def test_an_order_is_paid_and_listed(http: httpx2.AsyncClient, messagedb_url: str) -> None:
    placed = await http.put("/orders/7", json={"item": "lamp", "amount": 40})
    assert (placed.status_code, placed.json()["state"]) == (202, "placed")
    await run_until_quiet_async(app, messagedb_url)
    assert (await http.get("/orders/7")).json()["state"] == "confirmed"
    listed = await http.get("/orders", params={"state": "confirmed"})
    assert listed.json() == [{"id": "7", "item": "lamp", "amount": 40, "state": "confirmed"}]


@pytest.mark.asyncio
async def test_an_order_of_too_much_is_cancelled(
    http: httpx2.AsyncClient, messagedb_url: str
) -> None:
    await http.put("/orders/8", json={"item": "house", "amount": 400_000})
    await run_until_quiet_async(app, messagedb_url)
    assert (await http.get("/orders/8")).json()["state"] == "cancelled"
    again = await http.put("/orders/8", json={"item": "tent", "amount": 40})
    assert (again.status_code, again.json()) == (409, {"detail": "it is cancelled"})
