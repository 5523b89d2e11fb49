"""SQLAlchemy and SQLModel for the tests of both variants: see sqlalchemy_sync."""

from __future__ import annotations

from typing import Any

from sqlalchemy.ext.asyncio import (
    AsyncConnection,
    AsyncEngine,
    AsyncSession,
    async_scoped_session,
    async_sessionmaker,
    create_async_engine,
)
from sqlmodel.ext.asyncio.session import AsyncSession as SQLModelSession

__all__ = [
    "OTHER_DRIVER",
    "AlchemyConnection",
    "AlchemySession",
    "Engine",
    "SQLModelSession",
    "make_engine",
    "make_registry",
]

AlchemyConnection = AsyncConnection
AlchemySession = AsyncSession
Engine = AsyncEngine
OTHER_DRIVER = "asyncpg"


def make_engine(url: str, **options: Any) -> AsyncEngine:
    """Return an engine with the driver psycopg; ``driver`` names another one."""
    driver = options.pop("driver", "psycopg")
    return create_async_engine(url.replace("postgresql:", f"postgresql+{driver}:", 1), **options)


def make_registry(engine: AsyncEngine) -> async_scoped_session[AsyncSession]:
    """Return a registry of sessions, with one session for everything."""
    return async_scoped_session(async_sessionmaker(engine), scopefunc=lambda: 1)
