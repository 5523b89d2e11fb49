"""Names of a read model's tables and view, and the marks that identify them as ours.

The view ``schema.name`` shows the table of the current version, ``schema.name_v<version>``. A mark
is the comment of a table or view in the database (``COMMENT ON``).
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final

import msgspec
from psycopg import sql

from .._argument_checks import check_integer, is_storable
from .._consumers.consumer_info import ALL
from .._consumers.position_stores import StreamPositionStore, TablePositionStore, derive_lease_keys
from .._errors import ValidationError
from .._operations import validation
from .._sql.statements import quoted
from .._subscriptions.validation import as_name_tuple
from ..streams import position_stream_name

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["ModelComment", "ModelNames", "ReadModelVersion", "validate_create"]

_NAME: Final = re.compile(r"[a-z_][a-z0-9_]*")
_LONGEST: Final = 63
"""The number of bytes of a name that PostgreSQL keeps; it truncates longer names."""

_COMMENT: Final = re.compile(
    r"messagedb read model, version (\d+) of (\w+), positions in a (stream|table), "
    r'(?:store "((?:[^"]|"")+)", )?(?:category (.+)|categories (\[.+\]))',
    re.S,
)
_STORE: Final = "message_store"
"""The schema of the store for a mark without a store."""
_TABLE_PLACEHOLDER: Final = "{table}"


class ReadModelVersion(msgspec.Struct, frozen=True, kw_only=True):
    """A version of a read model in the database.

    Example::

        for each in model.list_versions():
            print(each.version, each.table, each.is_current)

    Attributes:
        version: its number.
        table: its table, qualified and quoted.
        category: the category of the messages that it is built from; None if there are several.
        categories: all categories of the messages that it is built from.
        is_current: True if the view shows it.
    """

    version: int
    table: str
    category: str | None
    categories: tuple[str, ...]
    is_current: bool


class ModelComment(msgspec.Struct, frozen=True):
    """The comment of a table or view of ours: its version, and the place of its position.

    Attributes:
        version: the version of the read model.
        name: the name of the read model, which is that of its view.
        position_store_kind: ``stream`` or ``table``.
        categories: the categories of the messages that it is built from, sorted.
        store: the schema of the store of the messages that it is built from.
    """

    version: int
    name: str
    position_store_kind: str
    categories: tuple[str, ...]
    store: str = _STORE

    @property
    def category(self) -> str | None:
        """The category of the messages; None if there are several."""
        return self.categories[0] if len(self.categories) == 1 else None

    @property
    def text(self) -> str:
        """The text of the comment."""
        store = "" if self.store == _STORE else f"store {quoted(self.store)}, "
        category = self.category
        source = (
            f"categories {json.dumps(self.categories, ensure_ascii=False)}"
            if category is None
            else f"category {category}"
        )
        return (
            f"messagedb read model, version {self.version} of {self.name}, positions in a "
            f"{self.position_store_kind}, {store}{source}"
        )


def parse_comment(comment: str | None) -> ModelComment | None:
    """Parse the mark in a comment; None for a comment that is not ours."""
    match = _COMMENT.fullmatch(comment or "")
    if match is None:
        return None
    store = _STORE if match[4] is None else match[4].replace('""', '"')
    categories = (match[5],) if match[6] is None else _parse_categories(match[6])
    if categories is None:
        return None
    return ModelComment(int(match[1]), match[2], match[3], categories, store)


def _parse_categories(text: str) -> tuple[str, ...] | None:
    """Return the categories in a mark; None if they are not as they were written."""
    try:
        return msgspec.json.decode(text, type=tuple[str, ...])
    except msgspec.DecodeError:
        return None


class ModelNames(msgspec.Struct, frozen=True):
    """The names of a read model's table and view in SQL, qualified and quoted.

    Attributes:
        schema: the schema of the tables and the view.
        name: the name of the view.
        store: the schema of the store that the model reads.
    """

    schema: str
    name: str
    store: str = _STORE

    @property
    def view(self) -> str:
        """The view that readers query."""
        return _quote_qualified(self.schema, self.name)

    def get_relation_name(self, version: int) -> str:
        """Return the bare name of a version's table."""
        return f"{self.name}_v{version}"

    def get_table(self, version: int) -> str:
        """Return the name of a version's table."""
        return _quote_qualified(self.schema, self.get_relation_name(version))

    def get_identifier(self, version: int) -> str:
        """Return the identifier of a version's consumer."""
        return f"{self.schema}.{self.get_relation_name(version)}"

    def get_position_name(self, mark: ModelComment) -> str:
        """Return the stream of a version's positions, or the key of its row."""
        return position_stream_name(mark.category or ALL, self.get_identifier(mark.version))

    @property
    def lock(self) -> tuple[int, int]:
        """The advisory lock that is held while tables and view are changed."""
        return derive_lease_keys(f"of the read model {self.schema}.{self.name}")

    def parse_version(self, relation: str) -> int | None:
        """Parse the version from a table name; None if the name does not match."""
        head, _, number = relation.rpartition("_v")
        is_number = number.isascii() and number.isdecimal() and not number.startswith("0")
        return int(number) if head == self.name and is_number else None


def check_names(schema: Any, name: Any, version: Any, store: str = _STORE) -> ModelNames:
    """Return the names of a model, if PostgreSQL keeps all of them unchanged.

    Raises:
        ValidationError: a name has other characters, or is too long. Nothing was sent.
    """
    for what, value in (("schema", schema), ("name", name)):
        if not isinstance(value, str) or not _NAME.fullmatch(value):
            raise ValidationError(
                f"the {what} of a read model must consist of a-z, 0-9 and _, and not begin with a "
                f"digit, not {value!r}. Nothing was sent."
            )
    if len(schema) > _LONGEST:
        raise ValidationError(
            f"the schema's name is longer than the {_LONGEST} bytes that PostgreSQL keeps. Nothing "
            "was sent. Choose a shorter name."
        )
    check_version(version)
    names = ModelNames(schema, name, store)
    if len(names.get_relation_name(version)) > _LONGEST:
        raise ValidationError(
            f"the table name {names.get_relation_name(version)!r} is longer than the {_LONGEST} "
            "bytes that PostgreSQL keeps. Nothing was sent. Give the read model a shorter name."
        )
    return names


def check_version(version: Any) -> None:
    """Raise unless a version is a number from 1.

    Raises:
        ValidationError: it is not. Nothing was sent.
    """
    check_integer("the version of a read model", version, least=1, most=2**31 - 1)


def check_position_store(store: Any) -> str:
    """Return the word for a position store in a mark.

    Raises:
        ValidationError: it is not a position store, or has a name, which all versions would share.
    """
    if isinstance(store, StreamPositionStore) and store.stream_name is None:
        return "stream"
    if isinstance(store, TablePositionStore) and store.name is None:
        return "table"
    raise ValidationError(
        "position_store must be StreamPositionStore() or TablePositionStore(), without a name, "
        f"because each version of a read model has a separate position. It is {store!r}. Nothing "
        "was sent."
    )


def check_readers(readers: Any) -> tuple[str, ...]:
    """Return the roles that may read the view.

    Raises:
        ValidationError: they are not names of roles. Nothing was sent.
    """
    names: Iterable[Any] = (readers,) if isinstance(readers, str) else readers
    try:
        roles: tuple[Any, ...] = tuple(names)
    except TypeError:
        roles = ("",)
    if not all(isinstance(role, str) and role and is_storable(role) for role in roles):
        raise ValidationError(
            f"readers must be the names of roles, not {readers!r}. Nothing was sent."
        )
    return roles


def validate_create(create: Any) -> tuple[str, ...]:
    """Check and return the statements that create a version's table.

    Raises:
        ValidationError: they are not strings, or none of them contains ``{table}``. Nothing was
            sent.
    """
    statements: Iterable[Any] = (create,) if isinstance(create, str) else create
    try:
        texts = tuple(statements)
    except TypeError:
        texts = ()
    if not texts or not all(isinstance(text, str) and is_storable(text) for text in texts):
        raise ValidationError(
            f"create must be an SQL statement, or a list of them, not {create!r}. Nothing was sent."
        )
    if not any(_TABLE_PLACEHOLDER in text for text in texts):
        raise ValidationError(
            "create must contain {table}, the placeholder for the name of this version's table. "
            "Nothing was sent. Write CREATE TABLE {table} (…)."
        )
    return texts


def substitute_table(text: str, table: str) -> bytes:
    """Replace ``{table}`` in a statement by a table's name; other braces stay."""
    return text.replace(_TABLE_PLACEHOLDER, table).encode()


def build_comment(
    names: ModelNames, version: int, position_store_kind: str, categories: tuple[str, ...]
) -> ModelComment:
    """Return the mark of a version, the same for any order of the categories."""
    ordered = tuple(sorted(categories))
    return ModelComment(version, names.name, position_store_kind, ordered, names.store)


def check_categories(category: Any, categories: Any) -> tuple[str, ...]:
    """Return the categories of a read model, which has one category or several.

    Raises:
        ValidationError: both arguments were passed, or none; one of the categories is invalid, or
            passed twice. Nothing was sent.
    """
    if (category is None) == (categories is None):
        raise ValidationError(
            "a read model needs the category of its messages, or categories, a list of several: "
            "pass one of the two. Nothing was sent."
        )
    if categories is None:
        validation.check_category(category)
        return (category,)
    names = as_name_tuple("categories", categories) or ()
    validation.check_categories(names)
    return names


def quote_literal(text: str) -> str:
    """Return a string as an SQL literal."""
    return sql.Literal(text).as_string()


def quote_identifier(name: str) -> str:
    """Return a name as an SQL identifier."""
    return sql.Identifier(name).as_string()


def _quote_qualified(schema: str, name: str) -> str:
    return sql.Identifier(schema, name).as_string()
