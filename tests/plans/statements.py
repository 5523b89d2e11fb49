"""Every SQL statement in the library's code that reads or writes messages, and its indexes."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

ROOT: Final = Path(__file__).resolve().parents[2]
_STATEMENT: Final = re.compile(r"\s*(SELECT|INSERT|UPDATE|DELETE|WITH|COPY \(SELECT)\b")
# The relations of users that grow: all others are catalogs, or hold a row for each consumer.
_MESSAGES: Final = re.compile(r"\bmessages\b|_page\b|\{\}|\{view\}|\{schema\}|messagedb\.positions")

STREAM: Final = "messages_stream"
CATEGORY: Final = "messages_category"
ID: Final = "messages_id"
PRIMARY: Final = "messages_pkey"
POSITIONS: Final = "positions_pkey"

COMMON: Final = "common1"
COMMON_STREAM: Final = "common1-3"
_UUID: Final = "00000000-0000-4000-8000-000000000000"
_NONE: Final = (None, None, None)


class Planned(NamedTuple):
    """The indexes that a statement may use, and parameters to plan it with.

    Attributes:
        indexes: of the table of messages.
        params: values for its parameters.
        has_settings: True if the client's own connections plan it with the settings of `NO_SORT`.
    """

    indexes: tuple[str, ...]
    params: tuple[Any, ...]
    has_settings: bool = False


STATEMENTS: Final = {
    "stream_query": Planned((STREAM,), (COMMON_STREAM, 5, 1000)),
    "stream_query_backwards": Planned((STREAM,), (COMMON_STREAM, 10**9, 1000), True),
    "category_query": Planned((CATEGORY,), (COMMON, 5, 1000, *_NONE), True),
    "category_query_backwards": Planned((CATEGORY,), (COMMON, 10**9, 1000, *_NONE), True),
    "last_query": Planned((STREAM,), (COMMON_STREAM,)),
    "last_of_type_query": Planned((STREAM,), (COMMON_STREAM, "T")),
    "version_query": Planned((STREAM,), (COMMON_STREAM,)),
    "look_for_message": Planned((ID,), (_UUID,)),
    "find_message": Planned((ID,), (_UUID,)),
    "find_messages": Planned((STREAM, ID), (COMMON_STREAM, f"{{{_UUID},{_UUID}}}")),
    "write_under_lock": Planned((STREAM,), (_UUID, COMMON_STREAM, "T", "{}", "{}", None, "|1|")),
    "look_at_write": Planned((STREAM, ID), (_UUID, COMMON_STREAM)),
    "insert_batch": Planned((STREAM,), (COMMON_STREAM, "[]", None)),
    "check_basis": Planned((STREAM, ID), (COMMON_STREAM, 5, _UUID)),
    "transaction_of_message": Planned((ID,), (_UUID,)),
    "look_at_stream": Planned((STREAM,), (COMMON_STREAM,)),
    "insert_messages": Planned((), (COMMON_STREAM, 5, "[]")),
}
"""Those of ``_sql/statements.py`` that read or write the tables themselves."""

SCANS: Final = {
    "category_scan": Planned((CATEGORY,), (COMMON, 5, 1000, *_NONE, 0, "{T}"), True),
    "store_scan": Planned((PRIMARY,), (5, 1000, "{common1}", "{T}"), True),
    "store_scan_backwards": Planned((PRIMARY,), (10**9, 1000, "{common1}", "{T}", 1), True),
    "time_probe": Planned((PRIMARY,), (5, "2026-01-01", 64), True),
    "store_bounds": Planned((PRIMARY,), (), True),
    "category_head": Planned((CATEGORY,), (COMMON,), True),
    "message_at": Planned((PRIMARY,), (5,), True),
    "message_before": Planned((PRIMARY,), (5,), True),
    "messages_by_id": Planned((ID,), (f"{{{_UUID},{_UUID}}}",), True),
    "last_positions": Planned((PRIMARY,), ("message_store.messages",), True),
    "store_head": Planned((PRIMARY,), (), True),
    "store_heads": Planned((CATEGORY, PRIMARY), (), True),
    "category_heads": Planned((CATEGORY, PRIMARY), ("{common1,common2,rare}",), True),
    "first_after": Planned((CATEGORY,), ("{common1,rare}", "{5,5}"), True),
    "category_lag": Planned((CATEGORY,), ("{common1,rare}", 5, 1000), True),
    "partition_lag": Planned((CATEGORY,), (COMMON, 5, "{5,7}", 2, 1000), True),
    "store_lag": Planned((PRIMARY,), (5, 1000), True),
}
"""Those of ``_sql/scans.py``."""

LISTINGS: Final = {
    "categories": Planned((CATEGORY,), ("", 100), True),
    "categories_after": Planned((CATEGORY,), (COMMON, 100), True),
    "streams": Planned(
        (STREAM,), ("common1-", "", 100, COMMON, *(f"common1-{end}" for end in "ABYZ")), True
    ),
}
"""Those of ``_sql/listings.py``, of which the first two have one text."""

TRACES: Final = {
    "message_by_id": Planned((ID,), (_UUID,), True),
    "message_of_stream": Planned((STREAM,), (COMMON_STREAM, 5), True),
    "messages_at": Planned((PRIMARY,), ("{5,6}",), True),
    "links": Planned((PRIMARY,), (5, 15, "flow-1", None), True),
}
"""Those of ``_sql/traces.py``."""

GROUPS: Final = {
    "insert_group": Planned((STREAM, ID), ("[]", "[]", None)),
}
"""Those of ``_sql/groups.py``."""

BY_FUNCTION: Final = frozenset(
    {
        "acquire_lock",
        "category_lag_by_function",
        "category_scan_by_function",
        "get_category_messages",
        "get_last_stream_message",
        "get_last_stream_message_of_type",
        "get_stream_messages",
        "message_from",
        "message_store_version",
        "partition_lag_by_function",
        "stream_version",
        "version_and_isolation",
        "write_message",
    }
)
"""Calls of the server's functions: tests/conformance/test_plans.py counts the scans in ours."""

POSITION_STATEMENTS: Final = {
    "READ_POSITION": ("message_store", "a"),
    "FIRST_POSITION": ("message_store", "a", 1, _UUID, "{}", _UUID, 1, "h"),
    "NEXT_POSITION": ("message_store", "a", 1, _UUID, "{}", _UUID, 1, "h"),
    "MARK_RESIZED": ("message_store", "a", 1, _UUID, "{}"),
    "UNMARK_RESIZED": ("message_store", "a", 1, _UUID, "{}"),
}
"""Those of ``_sql/consumers.py`` on the table of positions, by its primary key."""

OTHERS: Final = {
    ("_connection/position_sequence.py", "build_query"): Planned((PRIMARY,), ()),
    ("_connection/position_sequence.py", "describe_fix"): Planned((PRIMARY,), ()),
    ("_schema/revisions.py", "build_has_messages"): Planned((), ()),
    ("_sql/nodes.py", "MESSAGE_PLACES"): Planned((ID,), (_UUID,)),
    ("_sql/statements.py", "transaction_fate"): Planned((ID,), (5, 5, _UUID)),
    ("cli/_import.py", "_compare"): Planned((PRIMARY,), (5,)),
    ("cli/_import.py", "_read_head"): Planned((PRIMARY,), ()),
}
"""Statements that are built elsewhere, by file and function."""

BY_INTENT: Final = {
    ("_sql/partitions.py", "STATIC_STREAMS"): "one category of positions, at the start of a run",
    ("_sql/consumers.py", "POSITION_CATEGORIES"): "skips from category to category along the "
    "index: a list of consumers, for people",
    ("_sql/consumers.py", "LAST_RECORDS"): "reads all records of the categories of positions",
    ("_sql/consumers.py", "COUNT_PARKED"): "reads one stream whole, that of the parked messages",
    ("_sql/consumers.py", "IS_PARKED"): "reads one stream whole, that of the parked messages",
    ("_sql/consumers.py", "IS_PARKED_ON_NODE"): "reads the same stream whole, on its node",
    ("_sql/consumers.py", "ALL_POSITIONS"): "a list of consumers: one row for each",
    ("_schema/revisions.py", "plan_uninstall"): "one row for each consumer of the store",
    ("cli/_summary_queries.py", "build_summary_query"): "the views of Message DB read all messages",
    ("cli/_summary_queries.py", "build_node_count"): "as the views, on each of several nodes",
    ("cli/_ndjson.py", "build_export_query"): "exports a range of a stream, category or store",
    ("cli/_schema_commands.py", "_count_messages"): "counts up to a limit, to ask before a DROP",
}
"""Statements that read more than an index leads to, and the reason."""

OF_PAGES: Final = frozenset(
    {
        ("_ui/messages/queries.py", "find_stream_name"),
        ("_ui/messages/queries.py", "read_field"),
        ("_ui/site.py", "find_stream"),
        ("_ui/streams/names.py", "find_name"),
        ("_ui/streams/queries.py", "_END"),
        ("_ui/streams/queries.py", "_OF_CATEGORY"),
        ("_ui/streams/queries.py", "_OF_STREAM"),
        ("_ui/streams/queries.py", "_TIME_AT"),
        ("_ui/traces/queries.py", "_ANCESTORS"),
        ("_ui/traces/queries.py", "_WINDOW"),
    }
)
"""Those of pages of the UI, which ``nox -s pages`` measures on a large store."""

NO_MESSAGES: Final = {
    ("_read_models/inline.py", "CREATE_POSITION"): "reads the table of positions by its key",
    ("_read_models/inline.py", "LOCK_MODEL"): "reads catalogs and the table of positions",
    ("_diagnosis/facts.py", "DIAGNOSTIC_QUERY"): "reads catalogs",
    ("_schema/inspection.py", "INSPECT"): "reads catalogs",
    ("_schema/install_plan.py", "LOCK"): "a lock",
    ("_schema/install_plan.py", "SET_UP"): "settings",
    ("_schema/move_positions.py", "LIST_ROWS"): "reads all rows of the table of positions",
    ("_schema/move_positions.py", "UPDATE_ROW"): "changes a row of positions by its key",
    ("_schema/notify_trigger.py", "INSPECT_NOTIFY"): "reads catalogs",
    ("_schema/revisions.py", "INSPECT_REVISION"): "reads catalogs",
    ("_sql/consumers.py", "HAS_NOTIFY"): "reads catalogs",
    ("_sql/consumers.py", "LOCK_POSITION"): "reads the table of positions by its key",
    ("_sql/consumers.py", "WAITED_POSITIONS"): "reads the table of positions by its key",
    ("_sql/consumers.py", "RAISE_POSITION"): "reads the table of positions by its key",
    ("_sql/partitions.py", "STATIC_ROWS"): "reads the table of positions",
    ("_sql/consumers.py", "SAVE_POSITION"): "calls a function on the table of positions",
    ("_sql/scans.py", "_MATCHING_OF_CATEGORY"): "a part of category_scan",
    ("_sql/statements.py", "HISTORY"): "reads the state of the server",
    ("_sql/statements.py", "INSPECT"): "reads catalogs",
    ("_transactions/options.py", "build_begin"): "settings and locks",
    ("errors.py", "_how_to_find_out"): "a part of an error text",
}
"""Texts that look like statements on messages, and are not."""


class Found(NamedTuple):
    """A statement in the code: its file, and the name that it is assigned to or built in."""

    file: str
    name: str
    text: str


def find_statements() -> Iterator[Found]:
    """Yield every statement in the code that reads or writes rows of a growing table."""
    for folder in ("src/messagedb", "_async_src/_messagedb_async"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            if "_sync" in path.parts:
                continue
            file = path.relative_to(ROOT / folder).as_posix()
            for name, text in _find_texts(ast.parse(path.read_text())):
                if _STATEMENT.match(text) and _MESSAGES.search(text):
                    yield Found(file, name, text)


def _find_texts(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """Yield each string that is no docstring, with the innermost name around it."""

    def visit(node: ast.AST, name: str) -> Iterator[tuple[str, str]]:
        if isinstance(node, ast.Expr) and _get_text(node.value) is not None:
            return
        text = _get_text(node)
        if text is not None:
            yield name, text
            return
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            name = node.name
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            name = name or node.targets[0].id
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            name = name or node.target.id
        elif isinstance(node, ast.Dict):
            for key, value in zip(node.keys, node.values, strict=True):
                inner = key.value if isinstance(key, ast.Constant) else name
                yield from visit(value, str(inner))
            return
        for child in ast.iter_child_nodes(node):
            yield from visit(child, name)

    yield from visit(tree, "")


def _get_text(node: ast.AST) -> str | None:
    """Return the text of a string, with {} for the values in an f-string."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str | bytes):
        return node.value.decode(errors="replace") if isinstance(node.value, bytes) else node.value
    if isinstance(node, ast.JoinedStr):
        parts = (_get_text(value) for value in node.values)
        return "".join("{}" if part is None else part for part in parts)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        left, right = _get_text(node.left), _get_text(node.right)
        if left is not None or right is not None:
            return f"{'{}' if left is None else left}{'{}' if right is None else right}"
    return None
