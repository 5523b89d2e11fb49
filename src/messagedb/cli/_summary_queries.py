"""Queries of Message DB's six summary views."""

from __future__ import annotations

from typing import Any

from psycopg import sql

from messagedb._argument_checks import check_string
from messagedb._operations.node_queries import SCHEMA, VISIBLE

_VIEWS: dict[tuple[str, ...], str] = {
    ("stream_name",): "stream_summary",
    ("stream_name", "type"): "stream_type_summary",
    ("category",): "category_type_summary",  # its rows are added: there is no view of this key
    ("category", "type"): "category_type_summary",
    ("type",): "type_summary",
    ("type", "stream_name"): "type_stream_summary",
    ("type", "category"): "type_category_summary",
}

COUNTS = ("message_count", "percent")


def build_summary_query(
    schema: str, keys: tuple[str, ...], pattern: str | None, limit: int | None
) -> tuple[sql.Composed, list[Any]]:
    """Return the query for counts by some columns, the largest first, and its parameters.

    Args:
        schema: of the message store.
        keys: the columns to group by.
        pattern: filter for the first column: ``*`` stands for any characters.
        limit: the largest number of rows; None for all.

    Raises:
        ValidationError: the pattern contains a character that PostgreSQL cannot store.
    """
    if pattern is not None:
        check_string("the pattern", pattern)
    question = sql.SQL(
        "SELECT {keys}, sum(message_count)::bigint, sum(percent) FROM {view}"
        " WHERE %s::text IS NULL OR {first} LIKE %s ESCAPE '\\'"
        " GROUP BY {keys} ORDER BY {count} DESC, {keys} LIMIT %s"
    ).format(
        keys=sql.SQL(", ").join(map(sql.Identifier, keys)),
        view=sql.Identifier(schema, _VIEWS[keys]),
        first=sql.Identifier(keys[0]),
        count=sql.Literal(len(keys) + 1),
    )
    return question, [pattern, build_like_pattern(pattern or ""), limit]


def build_node_summary(keys: tuple[str, ...], pattern: str | None) -> sql.Composed:
    """Return the query for the counts of one of several nodes: no view leaves out moved categories.

    Args:
        keys: the columns to group by.
        pattern: as for ``build_summary_query``.
    """
    columns = [
        sql.SQL("{}.category(stream_name)").format(sql.Identifier(SCHEMA))
        if key == "category"
        else sql.Identifier(key)
        for key in keys
    ]
    condition: sql.Composable = VISIBLE
    if pattern is not None:
        condition = sql.SQL("{} AND {} LIKE {} ESCAPE '\\'").format(
            VISIBLE, columns[0], sql.Literal(build_like_pattern(pattern))
        )
    return sql.SQL("SELECT {keys}, count(*) FROM {table} WHERE {condition} GROUP BY {keys}").format(
        keys=sql.SQL(", ").join(columns),
        table=sql.Identifier(SCHEMA, "messages"),
        condition=condition,
    )


def build_node_count() -> sql.Composed:
    """Return the query for the number of messages of one of several nodes."""
    return sql.SQL("SELECT count(*) FROM {} WHERE {}").format(
        sql.Identifier(SCHEMA, "messages"), VISIBLE
    )


def build_like_pattern(pattern: str) -> str:
    """Convert a pattern to one of SQL's LIKE, with a backslash before its special characters.

    Example::

        build_like_pattern("account*")  # 'account%'
    """
    for special in ("\\", "%", "_"):
        pattern = pattern.replace(special, "\\" + special)
    return pattern.replace("*", "%")
