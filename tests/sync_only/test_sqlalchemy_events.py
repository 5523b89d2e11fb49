"""Messages that are written in events of a SQLAlchemy session: sync code, in either engine."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import create_engine, event
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session

from messagedb import Client, NewMessage, ValidationError
from tests.support.alchemy_rows import Order, count_rows, create_tables
from tests.support.store import stored


def test_a_message_can_be_written_while_a_session_flushes_or_commits(
    database_url: str, category: str
) -> None:
    engine = create_engine(database_url.replace("postgresql:", "postgresql+psycopg:", 1))
    create_tables(database_url)
    with Client(database_url) as client, Session(engine) as session:

        def write(session: Session, *_: object) -> None:
            client.bind(session).write_message(f"{category}-1", NewMessage("Written"))

        for name in ("before_flush", "after_flush", "before_commit"):
            event.listen(session, name, write)
        session.add(Order(name=category, items=1))
        session.commit()
    assert len(stored(database_url, f"{category}-1")) == 3
    assert count_rows(database_url, "alchemy_order", category) == 1
    engine.dispose()


async def test_a_sync_client_refuses_the_sync_session_of_an_async_engine(database_url: str) -> None:
    engine = create_async_engine(database_url.replace("postgresql:", "postgresql+psycopg:", 1))
    client = Client(database_url)

    def bind(session: Any) -> None:
        client.bind(session)

    async with AsyncSession(engine) as session:
        with pytest.raises(ValidationError, match=r"of an async engine.* Use AsyncClient"):
            await session.run_sync(bind)
    await engine.dispose()
