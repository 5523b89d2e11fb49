"""The names of a read model's tables and view, and the marks by which they are told from others."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

import msgspec
from psycopg import sql

from .._argument_checks import check_integer
from .._consumers.position_stores import StreamPositionStore, TablePositionStore, lease_keys
from .._errors import ValidationError
from .._operations import validation
from .._sql.statements import quoted
from ..streams import position_stream_name

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["ModelComment", "ModelNames", "ReadModelVersion", "validate_create"]

_NAME: Final = re.compile(r"[a-z_][a-z0-9_]*")
_LONGEST: Final = 63
"""Bytes of a name that PostgreSQL keeps; it cuts the rest off."""

_COMMENT: Final = re.compile(
    r"messagedb read model, version (\d+) of (\w+), positions in a (stream|table), "
    r'(?:store "((?:[^"]|"")+)", )?category (.+)',
    re.S,
)
_STORE: Final = "message_store"
"""The schema of a store that a mark does not name."""
_TABLE_PLACEHOLDER: Final = "{table}"


class ReadModelVersion(msgspec.Struct, frozen=True, kw_only=True):
    """A version of a read model that is in the database.

    Attributes:
        version: its number.
        table: its table, qualified and quoted.
        category: whose messages it is made of.
        is_current: whether it is what the view shows.
    """

    version: int
    table: str
    category: str
    is_current: bool


class ModelComment(msgspec.Struct, frozen=True):
    """The comment of a table or view of ours: what it is, and where its position is kept.

    Attributes:
        store: the schema of the store whose messages it is made of.
    """

    version: int
    name: str
    position_store_kind: str
    category: str
    store: str = _STORE

    @property
    def text(self) -> str:
        """The comment itself."""
        store = "" if self.store == _STORE else f"store {quoted(self.store)}, "
        return (
            f"messagedb read model, version {self.version} of {self.name}, positions in a "
            f"{self.position_store_kind}, {store}category {self.category}"
        )


def parse_comment(comment: str | None) -> ModelComment | None:
    """The mark that a comment is; None for one that is none of ours."""
    found = _COMMENT.fullmatch(comment or "")
    if found is None:
        return None
    store = _STORE if found[4] is None else found[4].replace('""', '"')
    return ModelComment(int(found[1]), found[2], found[3], found[5], store)


class ModelNames(msgspec.Struct, frozen=True):
    """What belongs to a read model, in SQL: names are qualified and quoted.

    Attributes:
        schema: where the tables and the view are.
        name: the view's.
        store: the schema of the store that it reads.
    """

    schema: str
    name: str
    store: str = _STORE

    @property
    def view(self) -> str:
        """The view that readers query."""
        return _quote_qualified(self.schema, self.name)

    def get_relation_name(self, version: int) -> str:
        """The bare name of a version's table."""
        return f"{self.name}_v{version}"

    def get_table(self, version: int) -> str:
        """The table of a version."""
        return _quote_qualified(self.schema, self.get_relation_name(version))

    def get_identifier(self, version: int) -> str:
        """The identifier of a version's consumer."""
        return f"{self.schema}.{self.get_relation_name(version)}"

    def get_position_name(self, mark: ModelComment) -> str:
        """The stream of a version's positions, or the key of its row."""
        return position_stream_name(mark.category, self.get_identifier(mark.version))

    @property
    def lock(self) -> tuple[int, int]:
        """The advisory lock that is held while tables and view are changed."""
        return lease_keys(f"of the read model {self.schema}.{self.name}")

    def parse_version(self, relation: str) -> int | None:
        """The version whose table has this bare name; None if it is none's."""
        head, _, number = relation.rpartition("_v")
        is_number = number.isascii() and number.isdecimal() and not number.startswith("0")
        return int(number) if head == self.name and is_number else None


def check_names(schema: Any, name: Any, version: Any, store: str = _STORE) -> ModelNames:
    """The names of a model, if all of them are names that PostgreSQL keeps as they are.

    Raises:
        ValidationError: one is not. Nothing was sent.
    """
    for what, value in (("schema", schema), ("name", name)):
        if not isinstance(value, str) or not _NAME.fullmatch(value):
            raise ValidationError(
                f"the {what} of a read model must be of a-z, 0-9 and _ and not begin with a digit, "
                f"not {value!r}. Nothing was sent."
            )
    if len(schema) > _LONGEST:
        raise ValidationError(
            f"the schema's name is longer than the {_LONGEST} bytes that PostgreSQL keeps. Nothing "
            "was sent."
        )
    check_version(version)
    names = ModelNames(schema, name, store)
    if len(names.get_relation_name(version)) > _LONGEST:
        raise ValidationError(
            f"the table {names.get_relation_name(version)!r} has a name longer than the {_LONGEST} "
            "bytes that PostgreSQL keeps: give the read model a shorter name. Nothing was sent."
        )
    return names


def check_version(version: Any) -> None:
    """A version is a number from 1.

    Raises:
        ValidationError: it is not. Nothing was sent.
    """
    check_integer("the version of a read model", version, least=1, most=2**31 - 1)


def check_position_store(store: Any) -> str:
    """The word for a position store in a mark.

    Raises:
        ValidationError: it is none, or has a name of its own, which all versions would share.
    """
    if isinstance(store, StreamPositionStore) and store.stream_name is None:
        return "stream"
    if isinstance(store, TablePositionStore) and store.name is None:
        return "table"
    raise ValidationError(
        "position_store must be StreamPositionStore() or TablePositionStore(), without a name: "
        f"each version of a read model has a position of its own, not {store!r}. Nothing was sent."
    )


def check_readers(readers: Any) -> tuple[str, ...]:
    """The roles that may read the view.

    Raises:
        ValidationError: they are no names of roles. Nothing was sent.
    """
    given: Iterable[Any] = (readers,) if isinstance(readers, str) else readers
    try:
        roles: tuple[Any, ...] = tuple(given)
    except TypeError:
        roles = ("",)
    if not all(isinstance(role, str) and role and "\0" not in role for role in roles):
        raise ValidationError(
            f"readers must be the names of roles, not {readers!r}. Nothing was sent."
        )
    return roles


def validate_create(create: Any) -> tuple[str, ...]:
    """The statements that make a version's table, checked.

    Raises:
        ValidationError: they are no texts, or none of them names the table. Nothing was sent.
    """
    given: Iterable[Any] = (create,) if isinstance(create, str) else create
    try:
        texts = tuple(given)
    except TypeError:
        texts = ()
    if not texts or not all(isinstance(text, str) and "\0" not in text for text in texts):
        raise ValidationError(
            f"create must be a statement, or a list of them, not {create!r}. Nothing was sent."
        )
    if not any(_TABLE_PLACEHOLDER in text for text in texts):
        raise ValidationError(
            "create must name the table as {table}, which stands for that of this version: CREATE "
            "TABLE {table} (…). Nothing was sent."
        )
    return texts


def substitute_table(text: str, table: str) -> bytes:
    """A statement with the table where it says ``{table}``; other braces stay."""
    return text.replace(_TABLE_PLACEHOLDER, table).encode()


def build_comment(
    names: ModelNames, version: int, position_store_kind: str, category: str
) -> ModelComment:
    """The mark of a version.

    Raises:
        ValidationError: the category is none. Nothing was sent.
    """
    validation.check_category(category)
    return ModelComment(version, names.name, position_store_kind, category, names.store)


def quote_literal(text: str) -> str:
    """A text as SQL."""
    return sql.Literal(text).as_string()


def quote_identifier(name: str) -> str:
    """A name as SQL."""
    return sql.Identifier(name).as_string()


def _quote_qualified(schema: str, name: str) -> str:
    return sql.Identifier(schema, name).as_string()
