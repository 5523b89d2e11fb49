"""A user's types with SQLAlchemy and SQLModel, async; checked, never run."""

from __future__ import annotations

from typing import assert_type

from sqlalchemy.ext.asyncio import (
    AsyncConnection,
    AsyncEngine,
    AsyncSession,
    async_scoped_session,
    async_sessionmaker,
)
from sqlalchemy.orm import Session
from sqlmodel.ext.asyncio.session import AsyncSession as AsyncSQLModelSession

from messagedb import AsyncBoundClient, AsyncClient, NewMessage
from messagedb.clients import AsyncSQLAlchemyConnection, AsyncSQLAlchemySession


async def use(client: AsyncClient, engine: AsyncEngine, sync_session: Session) -> None:
    make = async_sessionmaker(engine)
    async with make() as session, session.begin():
        assert_type(session, AsyncSession)
        bound = client.bind(session)
        assert_type(bound, AsyncBoundClient)
        assert_type(await bound.write_message("account-1", NewMessage("Opened")), int)
    async with AsyncSQLModelSession(engine) as model_session:
        client.bind(model_session)
    async with engine.begin() as conn:
        assert_type(conn, AsyncConnection)
        client.bind(conn)
    registry: async_scoped_session[AsyncSession] = async_scoped_session(make, lambda: 1)
    client.bind(registry)
    client.bind(sync_session)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    client.bind(engine)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]


def take(client: AsyncClient, source: AsyncSQLAlchemySession | AsyncSQLAlchemyConnection) -> None:
    assert_type(client.bind(source), AsyncBoundClient)
