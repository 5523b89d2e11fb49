"""Messages in the transaction of a session or a connection of SQLAlchemy, and of SQLModel."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator
from typing import Any

import psycopg
import pytest
from psycopg import AsyncConnection
from sqlalchemy import func, insert, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.pool import NullPool

from messagedb import (
    NO_STREAM,
    AsyncBoundClient,
    AsyncClient,
    AsyncEntityStore,
    Decider,
    DuplicateMessageError,
    NewMessage,
    StoreUnavailableError,
    ValidationError,
    WrongExpectedVersionError,
)
from tests.support.alchemy_rows import Order, Parcel, count_rows, create_tables
from tests.support.background_async import eventually
from tests.support.sqlalchemy_async import (
    OTHER_DRIVER,
    AlchemyConnection,
    AlchemySession,
    Engine,
    SQLModelSession,
    make_engine,
    make_registry,
)
from tests.support.store import stored

PLACED = "Placed"


@pytest.fixture(scope="module")
async def engine(database_url: str) -> AsyncIterator[Engine]:
    """Return an engine of the run's database, with the tables."""
    create_tables(database_url)
    engine = make_engine(database_url, pool_size=2, max_overflow=0)
    yield engine
    await engine.dispose()


def build_row(session: AlchemySession, name: str) -> Any:
    return Parcel(name=name) if isinstance(session, SQLModelSession) else Order(name=name, items=1)


@pytest.mark.parametrize("kind", [AlchemySession, SQLModelSession])
async def test_a_row_and_a_message_commit_together_or_not_at_all(
    client: AsyncClient, engine: Engine, database_url: str, category: str, kind: Any
) -> None:
    stream, table = f"{category}-1", "parcel" if kind is SQLModelSession else "alchemy_order"
    with pytest.raises(LookupError):
        async with kind(engine) as session, session.begin():
            session.add(build_row(session, category))
            await client.bind(session).write_message(stream, NewMessage(PLACED))
            raise LookupError("no stock")
    assert (count_rows(database_url, table, category), stored(database_url, stream)) == (0, [])
    async with kind(engine) as session, session.begin():
        session.add(build_row(session, category))
        bound = client.bind(session)
        assert await bound.write_message(stream, NewMessage(PLACED)) == 0
        assert await bound.stream_version(stream) == 0
        assert await client.stream_version(stream) == -1
    assert count_rows(database_url, table, category) == 1
    assert len(stored(database_url, stream)) == 1


async def test_a_commit_stores_a_message_without_a_statement_of_sqlalchemy(
    client: AsyncClient, engine: Engine, database_url: str, category: str
) -> None:
    async with engine.connect() as conn:
        await client.bind(conn).write_message(f"{category}-1", NewMessage(PLACED))
        assert conn.in_transaction()
        await conn.commit()
        await client.bind(conn).write_message(f"{category}-1", NewMessage(PLACED))
        # Closed without a commit: rolled back.
    async with AlchemySession(engine) as session:
        await client.bind(session).write_message(f"{category}-2", NewMessage(PLACED))
        await session.commit()
        await client.bind(session).write_message(f"{category}-2", NewMessage(PLACED))
    async with engine.begin() as conn:
        await conn.execute(insert(Order).values(name=category))
        await client.bind(conn).write_message(f"{category}-3", NewMessage(PLACED))
    for n in (1, 2, 3):
        assert len(stored(database_url, f"{category}-{n}")) == 1
    assert count_rows(database_url, "alchemy_order", category) == 1


async def test_the_rollback_of_a_savepoint_takes_its_messages_with_it(
    client: AsyncClient, engine: Engine, database_url: str, category: str
) -> None:
    stream = f"{category}-1"
    async with AlchemySession(engine) as session, session.begin():
        bound = client.bind(session)
        with pytest.raises(LookupError):
            async with session.begin_nested():
                session.add(Order(name=category, items=1))
                await bound.write_message(stream, NewMessage(PLACED))
                raise LookupError("no stock")
        async with session.begin_nested():
            await bound.write_message(stream, NewMessage("Refused"), expected_version=NO_STREAM)
        assert (await bound.get_stream_messages(stream))[0].type == "Refused"
    assert count_rows(database_url, "alchemy_order", category) == 0
    assert len(stored(database_url, stream)) == 1


@pytest.mark.parametrize("options", [{}, {"poolclass": NullPool}], ids=["pool", "no pool"])
async def test_a_bound_client_follows_its_session_from_transaction_to_transaction(
    client: AsyncClient, database_url: str, category: str, options: dict[str, Any]
) -> None:
    engine = make_engine(database_url, **options)
    session = AlchemySession(engine)
    bound = client.bind(session)
    with pytest.raises(ValidationError, match="known after the first operation"):
        bound.connection  # noqa: B018
    connections: list[object] = []
    for n in range(3):
        assert await bound.write_message(f"{category}-1", NewMessage(PLACED)) == n
        connections.append(bound.connection)
        await session.commit()
        await bound.write_message(f"{category}-1", NewMessage(PLACED))
        await session.rollback()
    assert isinstance(bound.connection, AsyncConnection)
    assert len(set(map(id, connections))) == (3 if options else 1)
    assert len(stored(database_url, f"{category}-1")) == 3
    assert repr(session) in repr(bound)
    await session.close()
    await engine.dispose()


async def test_rows_are_flushed_before_a_write_unless_autoflush_is_off(
    client: AsyncClient, engine: Engine, database_url: str, category: str
) -> None:
    wrong = Order(name=category, items=0)
    async with AlchemySession(engine) as session:
        session.add(wrong)
        assert await client.bind(session).stream_version(f"{category}-1") == -1
        assert wrong in session.new
        with pytest.raises(IntegrityError):
            await client.bind(session).write_message(f"{category}-1", NewMessage(PLACED))
        await session.rollback()
        session.add(Order(name=category, items=0))
        with session.no_autoflush:
            await client.bind(session).write_message(f"{category}-1", NewMessage(PLACED))
        with pytest.raises(IntegrityError):
            await session.commit()
    assert stored(database_url, f"{category}-1") == []


async def test_conflicts_and_duplicates_do_not_abort_the_transaction_of_a_session(
    client: AsyncClient, engine: Engine, database_url: str, category: str
) -> None:
    message = NewMessage(PLACED)
    async with AlchemySession(engine) as session, session.begin():
        bound = client.bind(session)
        await bound.write_message(f"{category}-1", message)
        assert await bound.write_message(f"{category}-1", message) == 0
        with pytest.raises(WrongExpectedVersionError):
            await bound.write_message(
                f"{category}-1", NewMessage(PLACED), expected_version=NO_STREAM
            )
        with pytest.raises(DuplicateMessageError):
            await bound.write_message(f"{category}-2", message)
        session.add(Order(name=category, items=1))
    assert count_rows(database_url, "alchemy_order", category) == 1
    assert len(stored(database_url, f"{category}-1")) == 1


async def test_entities_and_rows_are_decided_in_one_transaction(
    client: AsyncClient, engine: Engine, database_url: str, category: str
) -> None:
    def decide(command: int, state: int) -> NewMessage:
        if state + command > 5:
            raise ValueError("too many")
        return NewMessage("Added", {"n": command})

    def evolve(state: int, event: Any) -> int:
        return state + int(event.data["n"])

    decider = Decider(initial=int, decide=decide, evolve=evolve)
    entities = AsyncEntityStore(client, category, decider=decider)
    await entities.transact("1", 2)
    with pytest.raises(ValueError, match="too many"):
        async with AlchemySession(engine) as session, session.begin():
            session.add(Order(name=category, items=9))
            bound = entities.bind(client.bind(session))
            assert (await bound.transact("1", 3)).entity == 5
            await bound.transact("1", 1)
    assert (await entities.load("1")).entity == 2
    assert count_rows(database_url, "alchemy_order", category) == 0


async def test_a_lost_connection_is_given_back_and_the_next_transaction_works(
    client: AsyncClient, database_url: str, category: str
) -> None:
    engine = make_engine(database_url, pool_size=1, max_overflow=0)
    async with AlchemySession(engine) as session:
        bound = client.bind(session)
        for operation in ("write", "read"):
            session.add(Order(name=f"{category}-{operation}", items=1))
            await bound.write_message(f"{category}-1", NewMessage(PLACED))
            await _terminate(bound, database_url)
            with pytest.raises(StoreUnavailableError) as lost:
                if operation == "write":
                    await bound.write_message(f"{category}-1", NewMessage(PLACED))
                else:
                    await bound.stream_version(f"{category}-1")
            assert lost.value.http_status == 503
            await session.rollback()
        assert await bound.write_message(f"{category}-1", NewMessage(PLACED)) == 0
        await session.commit()
    assert len(stored(database_url, f"{category}-1")) == 1
    await engine.dispose()


async def test_a_pool_that_pings_replaces_a_connection_that_was_lost_while_idle(
    client: AsyncClient, database_url: str, category: str
) -> None:
    engine = make_engine(database_url, pool_size=1, max_overflow=0, pool_pre_ping=True)
    async with AlchemySession(engine) as session:
        bound = client.bind(session)
        await bound.write_message(f"{category}-1", NewMessage(PLACED))
        await session.commit()
        await _terminate(bound, database_url)
        assert await bound.write_message(f"{category}-1", NewMessage(PLACED)) == 1
        await session.commit()
    await engine.dispose()


async def _terminate(bound: AsyncBoundClient, url: str) -> None:
    pid = bound.connection.info.backend_pid
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute("SELECT pg_terminate_backend(%s)", [pid])
        query = "SELECT count(*) FROM pg_stat_activity WHERE pid = %s"
        await eventually(lambda: conn.execute(query, [pid]).fetchone() == (0,))


async def test_levels_of_isolation_hold_for_messages_too(
    client: AsyncClient, engine: Engine, database_url: str, category: str
) -> None:
    async with AlchemySession(engine) as session:
        await session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
        bound = client.bind(session)
        assert await bound.stream_version(f"{category}-1") == -1
        await client.write_message(f"{category}-1", NewMessage(PLACED))
        assert await bound.stream_version(f"{category}-1") == -1
        with pytest.raises(ValidationError, match="REPEATABLE READ"):
            await bound.write_message(f"{category}-1", NewMessage(PLACED))
    async with engine.connect() as conn:
        conn = await conn.execution_options(isolation_level="AUTOCOMMIT")
        await client.bind(conn).write_message(f"{category}-1", NewMessage(PLACED))
        assert len(stored(database_url, f"{category}-1")) == 2


def wrap(value: object) -> str:
    return json.dumps({"wrapped": value})


def spoil(value: object) -> object:
    return {"spoiled": value}


async def test_options_and_adapters_of_the_engine_change_nothing(
    client: AsyncClient, database_url: str, category: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="sqlalchemy.dialects.postgresql")
    engine = make_engine(
        database_url,
        json_serializer=wrap,
        json_deserializer=spoil,
        connect_args={"prepare_threshold": 0, "options": "-c search_path=nowhere"},
    )
    data = {"n": 1, "deep": [{"é": None}]}
    for _ in range(2):
        async with AlchemySession(engine) as session, session.begin():
            bound = client.bind(session)
            await bound.write_message(f"{category}-1", NewMessage(PLACED, data, metadata=data))
            rows = (await session.execute(select(func.generate_series(1, 3)))).scalars()
            await bound.write_messages(
                f"{category}-1", [NewMessage(PLACED, data), NewMessage(PLACED, data)]
            )
            assert list(rows) == [1, 2, 3]
            found = [message async for message in bound.read_stream(f"{category}-1")]
            assert {json.dumps(each.data) for each in found} == {json.dumps(data)}
    assert await client.stream_version(f"{category}-1") == 5
    assert "savepoint" not in caplog.text.lower()
    await engine.dispose()


async def test_a_registry_of_sessions_stands_for_its_session(
    client: AsyncClient, engine: Engine, database_url: str, category: str
) -> None:
    registry = make_registry(engine)
    await client.bind(registry()).write_message(f"{category}-1", NewMessage(PLACED))
    await client.bind(registry).write_message(f"{category}-1", NewMessage(PLACED))
    await registry.commit()
    await registry.remove()
    assert len(stored(database_url, f"{category}-1")) == 2


async def test_what_cannot_be_bound_is_refused_with_what_works_instead(
    client: AsyncClient, engine: Engine, database_url: str
) -> None:
    other = make_engine(database_url, driver=OTHER_DRIVER)
    for source in (AlchemySession(other), SQLModelSession(other)):
        with pytest.raises(ValidationError, match=rf"is {OTHER_DRIVER}, .*postgresql\+psycopg://"):
            client.bind(source)
    with pytest.raises(ValidationError, match="Of SQLAlchemy pass a Connection or a Session"):
        client.bind(engine)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    await other.dispose()


async def test_a_closed_connection_of_sqlalchemy_raises_its_error(
    client: AsyncClient, engine: Engine, category: str
) -> None:
    conn: AlchemyConnection
    async with engine.connect() as conn:
        bound = client.bind(conn)
    with pytest.raises(Exception, match="closed"):
        await bound.write_message(f"{category}-1", NewMessage(PLACED))
