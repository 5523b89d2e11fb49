"""Positions of consumers that go to another node with their category. No I/O."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, Final, cast
from uuid import UUID, uuid5

import msgspec

from .._errors import IncompatibleServerError
from ..streams import hash_64
from ..streams.reserved import is_bookkeeping
from .move_plan import PositionsWithoutId

LIST_RECORDS: Final = "SELECT * FROM messagedb.proxy_list_last_messages(%s, %s::varchar[])"
LIST_ROWS: Final = """
SELECT p.consumer, p.position, p.message_id::varchar, p.message_position,
       messagedb.proxy_category(p.consumer) = %(category)s
       OR EXISTS (
           SELECT FROM messagedb.consumer_status AS s
           WHERE s.store = p.store AND s.consumer = p.consumer
             AND messagedb.proxy_category(s.category) = %(category)s)
FROM messagedb.positions AS p
WHERE p.store = 'message_store' AND p.resized_to IS NULL
"""
LIST_REPORTED: Final = """
SELECT consumer FROM messagedb.consumer_status
WHERE store = 'message_store' AND messagedb.proxy_category(category) = %s
"""
FIND_BEFORE: Final = """
SELECT * FROM messagedb.proxy_find_messages_before(%s, %s::varchar[], %s::bigint[])
"""
UPDATE_ROW: Final = """
UPDATE messagedb.positions
SET position = %s, message_id = %s::uuid, message_position = %s, history = NULL,
    saved_by = gen_random_uuid(), saved_at = now()
WHERE store = 'message_store' AND consumer = %s AND position = %s
RETURNING 1
"""
WRITE_RECORD: Final = "SELECT messagedb.proxy_write_record(%s, %s, %s, %s::jsonb, %s::bigint)"

END_MEMBERS: Final = """
DELETE FROM messagedb.partition_members AS m
WHERE m.store = 'message_store' AND messagedb.proxy_category(m.category) = %(category)s
RETURNING m.expires_at > clock_timestamp()
"""
"""Ends the memberships of all processes, as if they had expired."""

FREE_PARTITIONS: Final = """
UPDATE messagedb.partitions AS p
SET owner = NULL, epoch = epoch + 1, release_requested = false
WHERE p.store = 'message_store' AND messagedb.proxy_category(p.category) = %(category)s
    AND p.owner IS NOT NULL
"""


HOLD_PARTITIONS: Final = """
SELECT owner FROM messagedb.partitions
WHERE store = 'message_store' AND messagedb.proxy_category(category) = %s
ORDER BY category, identifier, number
FOR UPDATE
"""
"""Keeps them from being claimed until the end of the transaction."""

LOCK_PARTITIONS: Final = "LOCK TABLE messagedb.partitions IN SHARE MODE"
LIST_OWNED: Final = """
SELECT owner FROM messagedb.partitions
WHERE store = 'message_store' AND messagedb.proxy_category(category) = %s AND owner IS NOT NULL
"""

TRY_LOCK: Final = "SELECT pg_try_advisory_lock(%s, %s)"
END_HOLDERS: Final = """
SELECT pid, pg_terminate_backend(pid) FROM pg_locks
WHERE locktype = 'advisory' AND objsubid = 2 AND granted AND pid <> pg_backend_pid()
  AND classid::bigint = %s AND objid::bigint = %s
  AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""

_RECORDED: Final = "Recorded"
_NAMESPACE: Final = UUID("6f3e3a55-7d0c-4a51-9a8e-3c1d3a7f2b10")
_SHOWN: Final = 5


class StoredRecord(msgspec.Struct, frozen=True):
    """A stored position of a consumer.

    Attributes:
        name: the stream, or the key of the row.
        version: the position of the record in the stream; None for a row.
        position: the global position up to which all messages are done.
        message_id: the id of the last message that was read, None if it is not known.
        message_position: the global position of that message.
        data: the record's data; empty for a row.
    """

    name: str
    version: int | None
    position: int
    message_id: str | None
    message_position: int
    data: dict[str, Any]


class Translation(msgspec.Struct, frozen=True):
    """A stored position, and the same place on the new node."""

    record: StoredRecord
    position: int
    message_id: str | None
    message_position: int

    def to_json(self) -> dict[str, Any]:
        """Return the message for the stream: its stream, the version before it, and its data."""
        data = {key: value for key, value in self.record.data.items() if key != "history"}
        data["position"] = self.position
        for key in ("messageId", "messagePosition"):
            data.pop(key, None)
        if self.message_id is not None:
            data["messageId"] = self.message_id
            if self.message_position != self.position:
                data["messagePosition"] = self.message_position
        return {"s": self.record.name, "v": self.record.version, "d": data}


def get_lease_key(name: str) -> tuple[int, int]:
    """Return the key of a consumer's lease, as `_consumers.position_stores` derives it."""
    key = hash_64(f"messagedb consumer message_store {name}")
    high, low = (key >> 32) & 0xFFFFFFFF, key & 0xFFFFFFFF
    return _to_int32(high), _to_int32(low)


def _to_int32(value: int) -> int:
    return value - 0x100000000 if value >= 0x80000000 else value


def list_position_categories(categories: Iterable[str]) -> list[str]:
    """Return those of some categories that have positions of consumers."""
    return [each for each in categories if is_bookkeeping(each)]


def parse_records(rows: Iterable[tuple[Any, ...]]) -> list[StoredRecord]:
    """Return the positions in the last messages of streams; others are left out.

    A member of a group that has another size now has no position: its stream is not used any more.
    """
    found: list[StoredRecord] = []
    for name, version, type, data in rows:
        values: Any = json.loads(data) if data is not None and type == _RECORDED else None
        if not isinstance(values, dict):
            continue
        values = cast("dict[str, Any]", values)
        position = values.get("position")
        if not _is_position(position) or isinstance(values.get("resizedTo"), int):
            continue
        id, at = values.get("messageId"), values.get("messagePosition")
        found.append(
            StoredRecord(
                name,
                version,
                position,
                id if isinstance(id, str) else None,
                at if _is_position(at) else position,
                values,
            )
        )
    return found


def _is_position(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def parse_rows(rows: Iterable[tuple[Any, ...]], known_ids: Mapping[str, int]) -> list[StoredRecord]:
    """Return the positions of a category's consumers in the table.

    Args:
        rows: the rows of all consumers, with whether their names or reports name the category.
        known_ids: the ids that are of messages of the category.
    """
    return [
        StoredRecord(name, None, position, id, position if at is None else at, {})
        for name, position, id, at, is_named in rows
        if position > 0 and (is_named or id in known_ids)
    ]


def list_places(records: Iterable[StoredRecord]) -> list[int]:
    """Return the global positions that have to be found on the new node."""
    return sorted({place for each in records for place in (each.position, each.message_position)})


def check_records(
    records: Iterable[StoredRecord],
    found: Mapping[int, tuple[str, int]],
    mode: PositionsWithoutId,
    category: str,
) -> None:
    """Check that each position can be translated.

    Args:
        records: the positions.
        found: for a global position, the id and the global position of the last message at or
            before it, on the node that has the category now.
        mode: what is done with positions without an id.
        category: the category, for the error.

    Raises:
        IncompatibleServerError: some have no id, or one that is not at their place.
    """
    if mode != "refuse":
        return
    without = [each.name for each in records if each.message_id is None]
    wrong = [each.name for each in records if each.message_id and not _is_there(each, found)]
    if without or wrong:
        names = ", ".join(sorted(without or wrong)[:_SHOWN])
        what = "no id of a message" if without else "the id of a message that is not at its place"
        raise IncompatibleServerError(
            f"category {category!r} is not moved: {len(without or wrong)} positions of consumers "
            f"have {what}, so that it is not known that they are of this node: {names}. Nothing "
            "was lost. Run each consumer with this library once, which stores the id; or pass "
            "positions_without_id='source' (--positions-without-id source) if they are positions of"
            " the node that has the category now, or 'beginning' to handle all messages again."
        )


def _is_there(record: StoredRecord, found: Mapping[int, tuple[str, int]]) -> bool:
    return found.get(record.message_position) == (record.message_id, record.message_position)


def translate(
    records: Iterable[StoredRecord],
    found: Mapping[int, tuple[str, int]],
    new_places: Mapping[str, int],
    mode: PositionsWithoutId,
) -> list[Translation]:
    """Return each position as one of the new node: that of the same message.

    If the category has no message at a position, it is that of the last one before it. The order of
    the messages is the same on both nodes, so that the same messages are before it.

    Args:
        records: the positions.
        found: as for `check_records`.
        new_places: the global positions on the new node, by the ids of messages.
        mode: what is done with positions without an id.
    """
    translations: list[Translation] = []
    for each in records:
        is_sure = each.message_id is not None and _is_there(each, found)
        if mode == "beginning" and not is_sure:
            translations.append(Translation(each, 0, None, 0))
            continue
        position = _find_new(each.position, found, new_places)
        # Another id would be of a message that the consumer does not read.
        at = _find_new(each.message_position, found, new_places)
        id = each.message_id if is_sure else None
        translations.append(Translation(each, position, id, at if is_sure else position))
    return translations


def _find_new(
    place: int, found: Mapping[int, tuple[str, int]], new_places: Mapping[str, int]
) -> int:
    before = found.get(place)
    return 0 if before is None else new_places[before[0]]


def derive_record_id(category: str, record: Mapping[str, Any], target: int) -> str:
    """Return the id of a translated position, the same each time that it is written."""
    name = f"{category} {target} {record['s']} {record['v']}"
    return str(uuid5(_NAMESPACE, name))
