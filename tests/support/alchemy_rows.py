"""Tables of a user's, declared with SQLAlchemy and with SQLModel."""

from __future__ import annotations

import psycopg
from psycopg import sql
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlmodel import Field, SQLModel


class Base(DeclarativeBase):
    """The tables of the tests."""


class Order(Base):
    """An order; its number of items is checked by the database."""

    __tablename__ = "alchemy_order"

    name: Mapped[str] = mapped_column(primary_key=True)
    items: Mapped[int] = mapped_column(default=1)


class Parcel(SQLModel, table=True):
    """A parcel."""

    name: str = Field(primary_key=True)


def create_tables(url: str) -> None:
    """Create the tables in a database, unless they are there."""
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute(
            "CREATE TABLE IF NOT EXISTS alchemy_order"
            " (name text PRIMARY KEY, items int NOT NULL CHECK (items > 0))"
        )
        conn.execute("CREATE TABLE IF NOT EXISTS parcel (name text PRIMARY KEY)")


def count_rows(url: str, table: str, name: str) -> int:
    """Return the number of committed rows with a name."""
    with psycopg.connect(url, autocommit=True) as conn:
        query = sql.SQL("SELECT count(*) FROM {} WHERE name = %s").format(sql.Identifier(table))
        row = conn.execute(query, [name]).fetchone()
        assert row is not None
        return int(row[0])
