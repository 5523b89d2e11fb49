"""The move of a category to another node: its statements, checks and errors. No I/O."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

import msgspec
import psycopg

from .._connection.error_mapping import get_first_line, map_error
from .._errors import IncompatibleServerError, MessageDBError, RetryableError, ValidationError
from ..streams import hash_64
from .proxy_plan import ProxyNode, check_node_name

PositionsWithoutId = Literal["refuse", "source", "beginning"]
"""The treatment of the positions of consumers that have no id of a message."""

PLACED: Final = "placed"
COPYING: Final = "copying"
CLOSED: Final = "closed"
SETTLING: Final = "settling"
"""The states of a category in the map; the last three in the order of a move."""

PAGE: Final = 1000
"""The largest number of messages that are copied in one step."""

SET_UP: Final = (
    "SELECT set_config('lock_timeout', '10s', false), "
    "set_config('default_transaction_isolation', 'read committed', false), "
    "set_config('client_min_messages', 'warning', false)"
)
TRY_MOVE: Final = "SELECT pg_try_advisory_lock(1835295860, %s)"
LOCK_WRITES: Final = "SELECT pg_advisory_lock(1835295859, %s)"
SHARE_MAP: Final = "SELECT pg_advisory_xact_lock_shared(1835295858, 2)"
UNLOCK_WRITES: Final = "SELECT pg_advisory_unlock(1835295859, %s)"
SELECT_PLACE: Final = """
SELECT messagedb.proxy_node(%(category)s), c.state, c.target
FROM (VALUES (1)) AS one
LEFT JOIN messagedb.proxy_categories AS c ON c.category = %(category)s
"""
BEGIN_MOVE: Final = """
INSERT INTO messagedb.proxy_categories AS c (category, node, state, target)
VALUES (%(category)s, %(source)s, 'copying', %(target)s)
ON CONFLICT (category) DO UPDATE SET state = 'copying', target = excluded.target
"""
RECORD_MOVE: Final = """
INSERT INTO messagedb.proxy_moves (category, source, target)
VALUES (%(category)s, %(source)s, %(target)s)
ON CONFLICT (category) DO UPDATE
SET source = excluded.source, target = excluded.target, started_at = now(), records = NULL
"""
SET_STATE: Final = """
UPDATE messagedb.proxy_categories SET state = %s WHERE category = %s AND state <> 'settling'
"""
SWITCH: Final = """
UPDATE messagedb.proxy_categories SET node = target, state = 'settling' WHERE category = %s
"""
KEEP_RECORDS: Final = "UPDATE messagedb.proxy_moves SET records = %s::jsonb WHERE category = %s"
SELECT_MOVE: Final = """
SELECT source, target, records::varchar FROM messagedb.proxy_moves WHERE category = %s
"""
PLACE: Final = """
UPDATE messagedb.proxy_categories SET state = 'placed', target = NULL WHERE category = %s
"""
FORGET_MOVE: Final = "DELETE FROM messagedb.proxy_moves WHERE category = %s"

SET_NODE_CATEGORY: Final = "SELECT messagedb.proxy_set_node_category(%s, %s, %s)"
MARK: Final = "SELECT * FROM messagedb.proxy_mark_node_category(%s, %s)"
EXPORT: Final = """
SELECT * FROM messagedb.proxy_export_messages(%s, %s::varchar[], %s::bigint, %s::bigint, %s::bigint)
"""
IMPORT: Final = """
SELECT messagedb.proxy_import_messages(%s, %s::uuid[], %s::varchar[], %s::bigint[], %s::varchar[],
                                       %s::varchar[], %s::varchar[], %s::timestamp[])
"""
DIGEST: Final = """
SELECT * FROM messagedb.proxy_digest_messages(%s, %s::varchar[], %s::bigint, %s::bigint)
"""
FIND_GLOBAL_POSITIONS: Final = """
SELECT * FROM messagedb.proxy_find_global_positions(%s, %s, %s::uuid[])
"""

END: Final = 2**63 - 1
"""Beyond every global position."""


class CategoryMove(msgspec.Struct, frozen=True, kw_only=True):
    """A move of a category that has ended.

    Example::

        move = schema.move_proxy_category("dbname=shop", category="order", target="three")
        if move is not None:
            print(move.copied, move.closed_seconds)

    Attributes:
        category: the category, without its types.
        source: the name of the node that had it.
        target: the name of the node that has it now.
        copied: the number of messages that this call copied.
        positions: the number of positions of consumers that were translated.
        stopped: the number of consumers, and of processes with partitions, that were stopped.
        copy_seconds: the time until writes began to wait.
        closed_seconds: the longest time that a write waited, those in flight before included.
    """

    category: str
    source: str
    target: str
    copied: int
    positions: int
    stopped: int
    copy_seconds: float
    closed_seconds: float


class MoveRequest(msgspec.Struct, frozen=True):
    """A checked request: a category without its types, and the name of a node."""

    category: str
    target: str
    positions_without_id: PositionsWithoutId
    lease_timeout: float

    @property
    def key(self) -> int:
        """The second number of the category's advisory locks."""
        return get_lock_key(self.category)


class Place(msgspec.Struct, frozen=True):
    """Where a category is: its node, and the state and target of a move if there is one."""

    node: int
    state: str | None
    target: int | None

    @property
    def is_moving(self) -> bool:
        """True if a move has begun, and not ended."""
        return self.state not in (None, PLACED)


class Mark(msgspec.Struct, frozen=True):
    """A category on a node: its names with types, its last message, and the node's own state."""

    categories: list[str]
    head: int
    head_id: str | None
    state: str | None


def get_lock_key(category: str) -> int:
    """Return the second number of a category's advisory locks, as PostgreSQL's integer."""
    return hash_64(category) >> 32


def check_category(category: Any) -> str:
    """Return a category that can be moved.

    Raises:
        ValidationError: it cannot.
    """
    if not isinstance(category, str) or not category or "\0" in category:
        raise ValidationError("category must be the name of a category. Nothing was sent.")
    if "-" in category or ":" in category:
        base = category.partition("-")[0].partition(":")[0]
        raise ValidationError(
            f"category {category!r} has an id or a type: a category is moved with all of its "
            f"streams and types. Give {base!r}. Nothing was sent."
        )
    return category


def check_request(
    category: Any, target: Any, positions_without_id: Any, lease_timeout: Any
) -> MoveRequest:
    """Return the checked arguments of a move.

    Raises:
        ValidationError: one is invalid.
    """
    if positions_without_id not in ("refuse", "source", "beginning"):
        raise ValidationError(
            "positions_without_id must be 'refuse', 'source' or 'beginning', not "
            f"{positions_without_id!r}. Nothing was sent."
        )
    is_number = isinstance(lease_timeout, int | float) and not isinstance(lease_timeout, bool)
    if not is_number or not 0 < lease_timeout <= 3600:
        raise ValidationError(
            f"lease_timeout must be a number of seconds up to 3600, not {lease_timeout!r}. Nothing "
            "was sent."
        )
    return MoveRequest(
        check_category(category),
        check_node_name(target),
        positions_without_id,
        float(lease_timeout),
    )


def find_target(nodes: Sequence[ProxyNode], name: str) -> ProxyNode:
    """Return the node of a name.

    Raises:
        ValidationError: there is none.
    """
    for each in nodes:
        if each.name == name:
            return each
    names = ", ".join(each.name for each in nodes)
    raise ValidationError(f"there is no node {name!r}: the map has {names}. Nothing was changed.")


def check_place(place: Place, request: MoveRequest, nodes: Mapping[int, str]) -> None:
    """Refuse a move to another node than that of a move that has begun.

    Raises:
        IncompatibleServerError: the category is being moved to another node.
    """
    if place.is_moving and place.target is not None and nodes[place.target] != request.target:
        raise IncompatibleServerError(
            f"category {request.category!r} is being moved to node {nodes[place.target]!r}: finish "
            "that move first, or abort it (messagedb proxy move CATEGORY --abort). Nothing was "
            "changed."
        )


def check_free(mark: Mark, request: MoveRequest) -> None:
    """Refuse a target that has messages of the category which no move has brought there.

    Raises:
        IncompatibleServerError: it has some.
    """
    if mark.state is None and mark.head:
        raise IncompatibleServerError(
            f"node {request.target!r} has messages of category {request.category!r} that no move "
            "has copied there. Nothing was copied. Find out who wrote them (messagedb proxy check),"
            " and delete them if they are copies."
        )


def not_a_copy_error(request: MoveRequest, why: str) -> IncompatibleServerError:
    """Return the error for a target that has something else than a copy."""
    return IncompatibleServerError(
        f"the copy of category {request.category!r} on node {request.target!r} is not the same as "
        f"the original: {why}. The category is where it was, and accepts writes. Abort the move "
        "(--abort), delete the copy on that node as the owner of its table, and move it again."
    )


def running_move_error(category: str) -> RetryableError:
    """Return the error for a second move at the same time."""
    return RetryableError(
        f"another process is moving category {category!r}, or aborting its move. Nothing was "
        "changed by this call.",
        "55P03",
    )


def changed_position_error(name: str) -> RetryableError:
    """Return the error for a consumer that still stores positions."""
    return RetryableError(
        f"consumer {name!r} stored its position after its lease was taken. The category is where it"
        " was, and accepts writes. Repeat the move with a longer lease_timeout (--lease-timeout), "
        "or stop the consumer.",
        "55P03",
    )


def claimed_partitions_error(category: str) -> RetryableError:
    """Return the error for partitions that were claimed after the consumers were stopped."""
    return RetryableError(
        f"a consumer of category {category!r} has claimed partitions since the move stopped the "
        "others: it runs for the first time, or has begun again. The category is where it was, "
        "and accepts writes. Repeat the move: it stops that consumer, too.",
        "55P03",
    )


def not_moving_error(category: str, is_settling: bool) -> IncompatibleServerError:
    """Return the error for an abort that cannot be."""
    if is_settling:
        return IncompatibleServerError(
            f"category {category!r} is on its new node already, and only the positions of its "
            "consumers are to be stored there: run the move again, which ends in a moment. "
            "Then move it back. Nothing was changed."
        )
    return IncompatibleServerError(
        f"category {category!r} is not being moved. Nothing was changed."
    )


def move_error(error: psycopg.Error, lost: bool, category: str) -> MessageDBError:
    """Return our error for one of a move; *lost*: whether it ended the connection."""
    note = (
        f"Every message of category {category!r} is stored where it was. The move goes on if the "
        "same call is repeated; messagedb proxy status shows its state, and --abort withdraws it."
    )
    if not lost and error.sqlstate in ("42883", "42P01", "3F000"):
        return IncompatibleServerError(
            f"a function for moves is missing ({get_first_line(error)}): run messagedb proxy init "
            f"with the same nodes again, which brings all of them to this version. {note}"
        )
    return map_error(error, note)
