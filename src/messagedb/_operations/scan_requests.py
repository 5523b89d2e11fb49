"""The requests of scans to the server, and the meaning of the results. No I/O."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

import msgspec

from .._argument_checks import check_int64, check_integer
from .._errors import IncompatibleServerError, ValidationError
from .._sql.scans import HEAD_ON_NODE
from .._sql.statements import Statement, array_literal, with_condition
from . import requests, validation
from .requests import ReadRequest
from .rows import parse_messages as messages_of
from .scan_results import Lag, OpenWriteTransaction, ScannedPage, ScannedStorePage

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .._sql.scans import ScanStatements
    from .._sql.statements import Statements

Rows = list[tuple[Any, ...]]
S_co = TypeVar("S_co", bound=ScannedPage, covariant=True)

_EPOCH: Final = datetime(2000, 1, 1, tzinfo=UTC)
_DEFAULT_SCAN_SIZE: Final = 1000
"""The page size of a scan for a client whose reads have no limit."""
_MAX_LAG_BY_FUNCTION: Final = 1000
"""The limit of a lag's count if only functions may be called: they copy the counted messages."""


class PageScan(Protocol[S_co]):
    """A scan of one page: its read, and the meaning of its rows."""

    @property
    def read(self) -> ReadRequest:
        """The read to send."""
        ...

    def parse(self, rows: Rows, decimals: bool) -> S_co:
        """Return the page that the rows contain."""
        ...


class CategoryScan(msgspec.Struct, frozen=True):
    """A scan of a category."""

    read: ReadRequest
    position: int
    size: int
    has_filters: bool

    def parse(self, rows: Rows, decimals: bool) -> ScannedPage:
        """Return the page that the rows contain."""
        if self.has_filters:
            last_id, count, last = rows.pop()[2:5]
        elif rows:
            # The rows are the whole page: it needs no summary.
            last_id, count, last = rows[-1][0], len(rows), rows[-1][4]
        else:
            last_id, count, last = None, 0, None
        position = self.position - 1 if last is None else last
        ids = [row[0] for row in rows]
        full = count >= self.size
        return ScannedPage(messages_of(rows, decimals), position, count, full, last_id, ids)


class StoreScan(msgspec.Struct, frozen=True):
    """A scan of the whole store."""

    read: ReadRequest
    position: int
    size: int

    def parse(self, rows: Rows, decimals: bool) -> ScannedStorePage:
        """Return the page that the rows contain.

        Raises:
            IncompatibleServerError: the rows come from a standby.
        """
        in_recovery, head = rows.pop()[3:5]
        check_primary(bool(in_recovery))
        last_id, count, last = rows.pop()[2:5]
        gaps: list[tuple[int, int]] = []
        while rows and rows[-1][0] is None:
            gaps.append(rows.pop()[3:5])
        gaps.reverse()
        return ScannedStorePage(
            messages_of(rows, decimals),
            self.position - 1 if last is None else last,
            count,
            count >= self.size,
            last_id,
            [row[0] for row in rows],
            gaps=gaps,
            head=head or 0,
        )


def get_scan_size(batch_size: Any, default: int) -> int:
    """Return the number of messages that a scan reads."""
    if batch_size is None:
        return _DEFAULT_SCAN_SIZE if default == -1 else default
    validation.check_batch_size(batch_size)
    if batch_size < 1:
        raise ValidationError(
            f"batch_size of a scan must be at least 1, not {batch_size}: it limits the scanned "
            "messages. Nothing was sent."
        )
    size: int = batch_size
    return size


def build_category_scan(
    sql: ScanStatements,
    reads: Statements,
    category: str,
    position: int,
    size: int,
    correlation: str | None,
    group_member: int | frozenset[int] | None,
    group_size: int | None,
    streams_without_id: bool,
    types: Iterable[str] | None,
    condition: str | None,
) -> CategoryScan:
    """Return a scan of one page of a category, which also reports the messages filtered out.

    Several members of the group may be given, at least one.
    """
    members: list[Any] = [group_member]
    if isinstance(group_member, frozenset):
        members = sorted(group_member)
    first = (correlation, members[0], group_size)
    page = requests.build_category_read(reads, category, position, size, *first, condition)
    given = None if group_member is None else array_literal(members)
    group = (correlation, given, group_size)
    types = build_array("types", types, validation.check_type)
    if group != (None, None, None) or types is not None or condition is not None:
        without_id = 1 if streams_without_id else 0
        params = (category, position, size, *group, without_id, types)
        page = ReadRequest(
            Statement(with_condition(sql.category_scan_by_function, condition), params),
            Statement(with_condition(sql.category_scan, condition), params),
            is_query_preferred=True,
            has_user_sql=condition is not None,
        )
        return CategoryScan(page, position, size, has_filters=True)
    return CategoryScan(page, position, size, has_filters=False)


def build_store_scan(
    sql: ScanStatements,
    position: int,
    size: int,
    categories: Iterable[str] | None,
    types: Iterable[str] | None,
    condition: str | None,
) -> StoreScan:
    """Return a scan of one page of the store, which also reports the messages filtered out."""
    validation.check_position(position)
    validation.check_condition(condition)
    # There is nothing before 1, therefore no gap.
    start = max(position, 1)
    types = build_array("types", types, validation.check_type)
    text = with_condition(sql.store_scan, condition)
    params = (start, size, build_category_array(categories), types)
    return StoreScan(_build_query(text, *params, has_sql=condition is not None), start, size)


def build_category_head(sql: ScanStatements, category: str, has_nodes: bool = False) -> ReadRequest:
    """Return the read of a category's last global position; no value if the category is empty."""
    validation.check_category(category)
    text = Statement(HEAD_ON_NODE if has_nodes else sql.category_head, (category,))
    return ReadRequest(text, text, is_query_preferred=True)


def build_message_at(sql: ScanStatements, category: str | None, position: int) -> ReadRequest:
    """Return the read of the id at a global position; no row if there is no message.

    Args:
        sql: the statements.
        category: the message's category, if the role may not read the table; None if it may.
        position: the global position.
    """
    query = Statement(sql.message_at, (position,))
    call = query if category is None else Statement(sql.message_from, (category, position))
    return ReadRequest(call, query, is_query_preferred=True)


def parse_found_id(rows: Rows, position: int) -> str | None:
    """Return the id of the message at a position, from the rows of its read."""
    return rows[0][0] if rows and rows[0][1] == position else None


def build_message_before(sql: ScanStatements, position: int) -> ReadRequest:
    """Return the read of the id and position of the last message up to a global position."""
    return _build_query(sql.message_before, position)


def build_messages_by_id(sql: ScanStatements, ids: Iterable[str]) -> ReadRequest:
    """Return the read of the ids and positions of the messages that exist."""
    return _build_query(sql.messages_by_id, array_literal(ids))


def build_last_positions(sql: ScanStatements) -> ReadRequest:
    """Return the read of the last global position in the store, and of the last assigned one."""
    return _build_query(sql.last_positions, sql.table)


def build_store_head(sql: ScanStatements) -> ReadRequest:
    """Return the read of the last global position of the store; NULL if it is empty."""
    return _build_query(sql.store_head)


def build_heads(sql: ScanStatements, categories: Iterable[str] | None) -> ReadRequest:
    """Return the read of each category's last global position, then of the store's."""
    names = build_category_array(categories)
    return (
        _build_query(sql.store_heads) if names is None else _build_query(sql.category_heads, names)
    )


def build_first_after(sql: ScanStatements, positions: dict[str, int]) -> ReadRequest:
    """Return the read of the first global position after that of its category; NULL if none."""
    # These names are read from the server: it may have some that this library refuses to write.
    names = build_array("categories", positions, _any_name)
    return _build_query(sql.first_after, names, array_literal(positions.values()))


class LagRead(msgspec.Struct, frozen=True):
    """The read of a lag, and the meaning of its row."""

    read: ReadRequest
    limit: int

    def parse(self, rows: Rows, table_readable: bool) -> Lag:
        """Return the lag that the row contains."""
        head, count, oldest, now = rows[0]
        limit = self.limit if table_readable else min(self.limit, _MAX_LAG_BY_FUNCTION)
        return Lag(
            (head or 0) if table_readable else None,
            count,
            count < limit,
            to_utc(oldest),
            to_utc(now) or _EPOCH,
        )


def build_lag(
    sql: ScanStatements, categories: Iterable[str] | None, next_position: int, limit: int
) -> LagRead:
    """Return the read of the lag from a position on, in categories or in the whole store."""
    check_int64("next_position", next_position)
    position = max(next_position, 1) - 1
    check_integer("limit", limit, least=1)
    names = build_category_array(categories)
    if names is None:
        return LagRead(_build_query(sql.store_lag, position, limit), limit)
    before_last = min(position, validation.LAST_POSITION - 1)
    function_limit = min(limit, _MAX_LAG_BY_FUNCTION)
    read = ReadRequest(
        Statement(sql.category_lag_by_function, (names, before_last, function_limit)),
        Statement(sql.category_lag, (names, position, limit)),
        is_query_preferred=True,
    )
    return LagRead(read, limit)


def build_writers(sql: ScanStatements) -> ReadRequest:
    """Return the read of the transactions that hold a writer's lock on the table of messages."""
    return _build_query(sql.writers, sql.table)


def parse_writers(rows: Rows) -> list[OpenWriteTransaction]:
    """Return the transactions in the rows, each once.

    Raises:
        IncompatibleServerError: the rows are not complete on this server.
    """
    in_recovery, cached = rows[0][:2]
    check_primary(in_recovery)
    if cached is not None and cached > 1:
        raise IncompatibleServerError(
            f"the sequence of global positions assigns each session {cached} of them at a time "
            "(CACHE): a session can write to an earlier position at any later time, and this "
            "cannot be detected. Nothing was changed. Run ALTER SEQUENCE … CACHE 1, Message DB's "
            "default."
        )
    transactions: dict[str, OpenWriteTransaction] = {}
    for _, _, transaction, pid, application_name, user, since, state, gid in rows:
        if transaction is not None:
            transactions[transaction] = OpenWriteTransaction(
                transaction, pid, application_name, user, to_utc(since), state, gid
            )
    return list(transactions.values())


def check_primary(in_recovery: bool) -> None:
    """Refuse a standby, which may lag behind the primary and does not show its locks.

    Raises:
        IncompatibleServerError: the server is a standby.
    """
    if in_recovery:
        raise IncompatibleServerError(
            "this server is a standby: it does not show which transactions of the primary are "
            "still writing, so a message could later appear before another one that was read. "
            "Nothing was changed. Connect to the primary "
            "(target_session_attrs=read-write), or read each category separately."
        )


def check_readable(table_readable: bool, what: str) -> None:
    """Refuse a request that needs the table, if the role may not read it.

    Raises:
        IncompatibleServerError: the role may not read the table. Nothing was sent.
    """
    if not table_readable:
        raise IncompatibleServerError(
            f"{what} is read from the table of messages, which the role may not read. Nothing "
            "was sent. Connect as message_store, or read each category separately."
        )


def to_utc(microseconds: int | None) -> datetime | None:
    """Convert a number of our adapters to an aware UTC time; None if Python cannot represent it."""
    try:
        return None if microseconds is None else _EPOCH + timedelta(microseconds=microseconds)
    except OverflowError:
        return None


def build_category_array(categories: Iterable[str] | None) -> str | None:
    """Return categories as a PostgreSQL array, None for all of them."""
    return build_array("categories", categories, validation.check_category)


def build_array(label: str, values: Any, check: Any) -> str | None:
    """Return strings as a PostgreSQL array, each value once."""
    if values is None:
        return None
    if isinstance(values, str | bytes):
        raise ValidationError(f"{label} must be a list of strings, such as [{values!r}], not a str")
    try:
        unique_values = list(dict.fromkeys(values))
    except TypeError:
        raise ValidationError(f"{label} must be an iterable of str, not {values!r}") from None
    for value in unique_values:
        if not isinstance(value, str):
            raise ValidationError(f"{label} must be strings, not {value!r}")
        check(value)
    return array_literal(unique_values)


def _any_name(name: str) -> None:
    """Accept every name."""


def _build_query(text: bytes, *params: Any, has_sql: bool = False) -> ReadRequest:
    statement = Statement(text, params)
    return ReadRequest(statement, statement, has_user_sql=has_sql)
