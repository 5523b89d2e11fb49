"""The application: one engine for the rows, one client for the messages, in one database."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, TypeAlias

from fastapi import Depends, FastAPI, Header, HTTPException, Request
from fastapi.responses import JSONResponse
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from sqlmodel import Field, SQLModel
from sqlmodel.ext.asyncio.session import AsyncSession

from messagedb import AsyncClient, MessageDBError, NewMessage


class Order(SQLModel, table=True):
    id: str = Field(primary_key=True)
    item: str
    amount: int


class NewOrder(SQLModel):
    item: str = Field(min_length=1)
    amount: int = Field(gt=0)


def get_client(request: Request) -> AsyncClient:
    client: AsyncClient = request.app.state.client
    return client


def get_sessions(request: Request) -> async_sessionmaker[AsyncSession]:
    sessions: async_sessionmaker[AsyncSession] = request.app.state.sessions
    return sessions


StoreClient: TypeAlias = Annotated[AsyncClient, Depends(get_client)]
# Not a session: the end of a dependency may run after the response was sent, and the commit must
# come before it.
Sessions: TypeAlias = Annotated[async_sessionmaker[AsyncSession], Depends(get_sessions)]
Key: TypeAlias = Annotated[str | None, Header(min_length=1, max_length=200)]


def create_app(url: str, category: str = "order", limit: int = 1000) -> FastAPI:
    """Create the application on a store. Its role may create tables."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        address = url.replace("postgresql:", "postgresql+psycopg:", 1)
        engine = create_async_engine(address, pool_pre_ping=True)
        async with engine.begin() as conn:
            await conn.run_sync(SQLModel.metadata.create_all)
        app.state.sessions = async_sessionmaker(engine, class_=AsyncSession)
        async with AsyncClient(url) as app.state.client:
            yield
        await engine.dispose()

    app = FastAPI(lifespan=lifespan)

    @app.post("/orders/{id}", status_code=201)
    async def place(
        id: str, new: NewOrder, client: StoreClient, sessions: Sessions, idempotency_key: Key = None
    ) -> dict[str, int]:
        message = NewMessage("Placed", {"item": new.item, "amount": new.amount})
        async with sessions() as session, session.begin():
            if await session.get(Order, id) is None:
                session.add(Order(id=id, item=new.item, amount=new.amount))
            # The same request, sent again: its message is stored, and its row is there.
            position = await client.bind(session).write_message(
                f"{category}-{id}", message, id=idempotency_key
            )
            if new.amount > limit:
                raise HTTPException(422, "too much")  # the row and the message are rolled back
        return {"position": position}

    @app.get("/orders/{id}")
    async def show(id: str, sessions: Sessions) -> Order:
        async with sessions() as session:
            order = await session.get(Order, id)
        if order is None:
            raise HTTPException(404, "no such order")
        return order

    @app.exception_handler(IntegrityError)
    async def conflict(request: Request, error: IntegrityError) -> JSONResponse:
        return JSONResponse({"detail": "another request placed this order"}, 409)

    @app.exception_handler(MessageDBError)
    async def failed(request: Request, error: MessageDBError) -> JSONResponse:
        if error.http_status == 500:
            raise error  # for the log, and for the tools that watch it
        headers = {"Retry-After": "1"} if error.http_status == 503 else {}
        return JSONResponse({"detail": str(error)}, error.http_status, headers)

    return app
