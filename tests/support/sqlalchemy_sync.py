"""SQLAlchemy and SQLModel for the tests of both variants: see sqlalchemy_async."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Engine, create_engine
from sqlalchemy.orm import Session, scoped_session, sessionmaker
from sqlmodel import Session as SQLModelSession

__all__ = [
    "OTHER_DRIVER",
    "AlchemyConnection",
    "AlchemySession",
    "Engine",
    "SQLModelSession",
    "make_engine",
    "make_registry",
]

AlchemyConnection = Connection
AlchemySession = Session
OTHER_DRIVER = "psycopg2"


def make_engine(url: str, **options: Any) -> Engine:
    """Return an engine with the driver psycopg; ``driver`` names another one."""
    driver = options.pop("driver", "psycopg")
    return create_engine(url.replace("postgresql:", f"postgresql+{driver}:", 1), **options)


def make_registry(engine: Engine) -> scoped_session[Session]:
    """Return a registry of sessions, with one session for everything."""
    return scoped_session(sessionmaker(engine), scopefunc=lambda: 1)
