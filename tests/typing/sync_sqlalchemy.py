"""A user's types with SQLAlchemy and SQLModel, sync; checked, never run."""

from __future__ import annotations

from typing import assert_type

from sqlalchemy import Connection, Engine
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession
from sqlalchemy.orm import Session, scoped_session, sessionmaker
from sqlmodel import Session as SQLModelSession

from messagedb import BoundClient, Client, NewMessage
from messagedb.clients import SQLAlchemyConnection, SQLAlchemySession


def use(
    client: Client, engine: Engine, async_session: AsyncSession, async_conn: AsyncConnection
) -> None:
    make = sessionmaker(engine)
    with make() as session, session.begin():
        assert_type(session, Session)
        bound = client.bind(session)
        assert_type(bound, BoundClient)
        assert_type(bound.write_message("account-1", NewMessage("Opened")), int)
    with SQLModelSession(engine) as model_session:
        client.bind(model_session)
    with engine.begin() as conn:
        assert_type(conn, Connection)
        client.bind(conn)
    registry: scoped_session[Session] = scoped_session(make)
    client.bind(registry)
    client.bind(async_session)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    client.bind(async_conn)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    client.bind(engine)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]


def take(client: Client, source: SQLAlchemySession | SQLAlchemyConnection) -> None:
    assert_type(client.bind(source), BoundClient)
