"""What a scan asks of the server, and what the answer means. Free of I/O."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

import msgspec

from .._argument_checks import check_integer
from .._errors import IncompatibleServerError, ValidationError
from .._sql.statements import Statement, array_literal, with_condition
from . import requests, validation
from .requests import Read
from .rows import messages as messages_of
from .scan_results import Lag, OpenWriteTransaction, ScannedPage, ScannedStorePage

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .._sql.scans import ScanStatements
    from .._sql.statements import Statements

Rows = list[tuple[Any, ...]]
S_co = TypeVar("S_co", bound=ScannedPage, covariant=True)

_EPOCH: Final = datetime(2000, 1, 1, tzinfo=UTC)
_UNLIMITED: Final = 1000
"""The page of a scan, which needs one, where the client's reads have none."""
_MOST_BY_FUNCTION: Final = 1000
"""How far a lag is counted where only functions may be called: they copy what is counted."""


class PageScan(Protocol[S_co]):
    """A scan of one page, to be read and understood."""

    @property
    def read(self) -> Read:
        """What to ask for."""
        ...

    def scan(self, rows: Rows, decimals: bool) -> S_co:
        """What the rows say."""
        ...


class CategoryScan(msgspec.Struct, frozen=True):
    """A scan of a category, to be read and understood."""

    read: Read
    position: int
    size: int
    filters: bool

    def scan(self, rows: Rows, decimals: bool) -> ScannedPage:
        """What the rows say."""
        if self.filters:
            last_id, count, last = rows.pop()[2:5]
        elif rows:
            # The page itself: it needs no summary.
            last_id, count, last = rows[-1][0], len(rows), rows[-1][4]
        else:
            last_id, count, last = None, 0, None
        position = self.position - 1 if last is None else last
        ids = [row[0] for row in rows]
        full = count >= self.size
        return ScannedPage(messages_of(rows, decimals), position, count, full, last_id, ids)


class StoreScan(msgspec.Struct, frozen=True):
    """A scan of the whole store, to be read and understood."""

    read: Read
    position: int
    size: int

    def scan(self, rows: Rows, decimals: bool) -> ScannedStorePage:
        """What the rows say.

        Raises:
            IncompatibleServerError: a standby gave them.
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


def page_size(batch_size: Any, default: int) -> int:
    """How many messages a scan looks at."""
    if batch_size is None:
        return _UNLIMITED if default == -1 else default
    validation.check_batch_size(batch_size)
    if batch_size < 1:
        raise ValidationError(
            f"batch_size of a scan must be at least 1, not {batch_size}: it bounds what is looked "
            "at. Nothing was sent."
        )
    size: int = batch_size
    return size


def category(
    sql: ScanStatements,
    reads: Statements,
    category: str,
    position: int,
    size: int,
    correlation: str | None,
    group_member: int | None,
    group_size: int | None,
    streams_without_id: bool,
    types: Iterable[str] | None,
    condition: str | None,
) -> CategoryScan:
    """A page of a category, whatever is in it, and what of it matches."""
    group = (correlation, group_member, group_size)
    page = requests.read_category(reads, category, position, size, *group, condition)
    types = _array("types", types, validation.check_type)
    if group != (None, None, None) or types is not None or condition is not None:
        without_id = 1 if streams_without_id else 0
        params = (category, position, size, *group, without_id, types)
        page = Read(
            Statement(with_condition(sql.category_scan_by_function, condition), params),
            Statement(with_condition(sql.category_scan, condition), params),
            prefers_query=True,
            has_sql=condition is not None,
        )
        return CategoryScan(page, position, size, filters=True)
    return CategoryScan(page, position, size, filters=False)


def store(
    sql: ScanStatements,
    position: int,
    size: int,
    categories: Iterable[str] | None,
    types: Iterable[str] | None,
    condition: str | None,
) -> StoreScan:
    """A page of the whole store, whatever is in it, and what of it matches."""
    validation.check_position(position)
    validation.check_condition(condition)
    # There is nothing before 1, and so no gap.
    start = max(position, 1)
    types = _array("types", types, validation.check_type)
    text = with_condition(sql.store_scan, condition)
    params = (start, size, _categories(categories), types)
    return StoreScan(_query(text, *params, has_sql=condition is not None), start, size)


def category_head(sql: ScanStatements, category: str) -> Read:
    """The last global position of a category: no row where there is none."""
    validation.check_category(category)
    text = Statement(sql.category_head, (category,))
    return Read(text, text, prefers_query=True)


def message_at(sql: ScanStatements, category: str | None, position: int) -> Read:
    """The id of the message at a global position: no row where there is none.

    Args:
        sql: the statements.
        category: the message's, which a role needs that may not read the table; None where it may.
        position: the global position.
    """
    query = Statement(sql.message_at, (position,))
    call = query if category is None else Statement(sql.message_from, (category, position))
    return Read(call, query, prefers_query=True)


def found_id(rows: Rows, position: int) -> str | None:
    """The id of the message at a position, from the rows of the look for it."""
    return rows[0][0] if rows and rows[0][1] == position else None


def message_before(sql: ScanStatements, position: int) -> Read:
    """The id and the position of the last message up to a global position."""
    return _query(sql.message_before, position)


def messages_by_id(sql: ScanStatements, ids: Iterable[str]) -> Read:
    """The ids and the positions of those of the messages that are there."""
    return _query(sql.messages_by_id, array_literal(ids))


def last_positions(sql: ScanStatements) -> Read:
    """The last global position that there is, and the last that was given to a message."""
    return _query(sql.last_positions, sql.table)


def store_head(sql: ScanStatements) -> Read:
    """The last global position of the store, NULL where there is none."""
    return _query(sql.store_head)


def heads(sql: ScanStatements, categories: Iterable[str] | None) -> Read:
    """The last global position of each category, of those or of all, and at last the store's."""
    names = _categories(categories)
    return _query(sql.store_heads) if names is None else _query(sql.category_heads, names)


def first_after(sql: ScanStatements, positions: dict[str, int]) -> Read:
    """The first global position behind that of its category, NULL where there is none."""
    # Their names are the server's own: some that it has could not be written by us.
    names = _array("categories", positions, _any_name)
    return _query(sql.first_after, names, array_literal(positions.values()))


class LagRead(msgspec.Struct, frozen=True):
    """The look at what follows a position, to be read and understood."""

    read: Read
    limit: int

    def lag(self, rows: Rows, table_readable: bool) -> Lag:
        """What the row says."""
        head, count, oldest, now = rows[0]
        limit = self.limit if table_readable else min(self.limit, _MOST_BY_FUNCTION)
        return Lag(
            (head or 0) if table_readable else None,
            count,
            count < limit,
            utc(oldest),
            utc(now) or _EPOCH,
        )


def lag(
    sql: ScanStatements, categories: Iterable[str] | None, position: int, limit: int
) -> LagRead:
    """What follows a position, in categories or in the whole store."""
    validation.check_position(position)
    check_integer("limit", limit, least=1)
    names = _categories(categories)
    if names is None:
        return LagRead(_query(sql.store_lag, position, limit), limit)
    before_last = min(position, validation.LAST_POSITION - 1)
    few = min(limit, _MOST_BY_FUNCTION)
    read = Read(
        Statement(sql.category_lag_by_function, (names, before_last, few)),
        Statement(sql.category_lag, (names, position, limit)),
        prefers_query=True,
    )
    return LagRead(read, limit)


def writers(sql: ScanStatements) -> Read:
    """The transactions that hold the lock of a writer on the table of messages."""
    return _query(sql.writers, sql.table)


def writers_of(rows: Rows) -> list[OpenWriteTransaction]:
    """The transactions that the rows name, each once.

    Raises:
        IncompatibleServerError: their absence would prove nothing there.
    """
    in_recovery, cached = rows[0][:2]
    check_primary(in_recovery)
    if cached is not None and cached > 1:
        raise IncompatibleServerError(
            f"the sequence of global positions gives each session {cached} of them at a time "
            "(CACHE): a session can write to an earlier one at any time later, and nothing tells "
            "whether it will. Nothing was changed. ALTER SEQUENCE … CACHE 1, as Message DB has it."
        )
    found: dict[str, OpenWriteTransaction] = {}
    for _, _, transaction, pid, application_name, user, since, state, gid in rows:
        if transaction is not None:
            found[transaction] = OpenWriteTransaction(
                transaction, pid, application_name, user, utc(since), state, gid
            )
    return list(found.values())


def check_primary(in_recovery: bool) -> None:
    """Refuse a standby, which may lack what the primary has and shows none of its locks.

    Raises:
        IncompatibleServerError: it is one.
    """
    if in_recovery:
        raise IncompatibleServerError(
            "this server is a standby: it does not show which transactions of the primary are "
            "still writing, so that nobody can tell whether a message will yet appear before "
            "another. Nothing was changed. Connect to the primary "
            "(target_session_attrs=read-write), or read each category by itself."
        )


def check_readable(table_readable: bool, what: str) -> None:
    """Refuse what only the table can answer, where the role may not read it.

    Raises:
        IncompatibleServerError: the role may not. Nothing was sent.
    """
    if not table_readable:
        raise IncompatibleServerError(
            f"{what} is read from the table of messages, and the role may not read that. Nothing "
            "was sent. Connect as message_store, or read each category by itself."
        )


def utc(microseconds: int | None) -> datetime | None:
    """A time as our adapters give it, aware of UTC; None, too, where Python cannot express it."""
    try:
        return None if microseconds is None else _EPOCH + timedelta(microseconds=microseconds)
    except OverflowError:
        return None


def _categories(categories: Iterable[str] | None) -> str | None:
    return _array("categories", categories, validation.check_category)


def _array(what: str, values: Any, check: Any) -> str | None:
    """Texts as PostgreSQL reads an array, each value once."""
    if values is None:
        return None
    if isinstance(values, str | bytes):
        raise ValidationError(f"{what} must be several texts, such as [{values!r}], not one")
    try:
        given = list(dict.fromkeys(values))
    except TypeError:
        raise ValidationError(f"{what} must be an iterable of texts, not {values!r}") from None
    for value in given:
        if not isinstance(value, str):
            raise ValidationError(f"{what} must be texts, not {value!r}")
        check(value)
    return array_literal(given)


def _any_name(name: str) -> None:
    """Refuse none."""


def _query(text: bytes, *params: Any, has_sql: bool = False) -> Read:
    statement = Statement(text, params)
    return Read(statement, statement, has_sql=has_sql)
