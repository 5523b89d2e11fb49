"""The HTTP API: it writes with a client of the app, and reads the read model.

Run it with ``uvicorn --factory examples.order_service.web:create_web``, on the store of
MESSAGEDB_URL.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from psycopg.rows import dict_row

from messagedb import AsyncClient, AsyncEntityStore

from .messages import order
from .orders import DECIDER, AlreadyPlaced, Command, Order, Place
from .service import app, order_list

LIST = f"SELECT id, item, amount, state FROM {order_list.view} WHERE state = %s".encode()


def orders_of(request: Request) -> AsyncEntityStore[Order, Command]:
    """Return the orders, which live as long as the application."""
    orders: AsyncEntityStore[Order, Command] = request.app.state.orders
    return orders


def create_web(url: str | None = None) -> FastAPI:
    """Create the web application on a store, or on that of MESSAGEDB_URL."""
    address = os.environ["MESSAGEDB_URL"] if url is None else url

    # With app.running(url) this process would run the consumers, too.
    @asynccontextmanager
    async def lifespan(web: FastAPI) -> AsyncIterator[None]:
        async with app.open(address) as opened:
            web.state.client = opened.client
            web.state.orders = AsyncEntityStore(opened.client, order.name, decider=DECIDER)
            yield

    web = FastAPI(lifespan=lifespan)

    @web.put("/orders/{id}", status_code=202)
    async def place(id: str, command: Place, request: Request) -> Order:
        return (await orders_of(request).transact(id, command)).entity

    @web.get("/orders/{id}")
    async def get(id: str, request: Request) -> Order:
        return (await orders_of(request).load(id)).entity

    @web.get("/orders")
    async def list_orders(request: Request, state: str = "placed") -> list[dict[str, Any]]:
        client: AsyncClient = request.app.state.client
        async with client.transaction(read_only=True) as tx:
            cursor = tx.connection.cursor(row_factory=dict_row)
            await cursor.execute(LIST, [state])
            return await cursor.fetchall()

    @web.exception_handler(AlreadyPlaced)
    async def conflict(request: Request, error: Exception) -> JSONResponse:
        return JSONResponse({"detail": str(error)}, status_code=409)

    return web
