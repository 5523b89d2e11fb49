"""Errors and warnings about the stored state of partitioned consumers. No I/O."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .._errors import IncompatibleServerError, PositionConflictError, ValidationError

if TYPE_CHECKING:
    from collections.abc import Iterable


def no_tables_error() -> IncompatibleServerError:
    """Return the error for a database without the tables of partitions."""
    return IncompatibleServerError(
        "partitions= needs the tables messagedb.partition_sets, partition_members and partitions,"
        " in which processes agree on who owns which partition, and the function"
        " messagedb.save_position, and not all of them exist. Nothing was"
        " changed. Call messagedb.schema.install() as the database's owner: it adds them, also"
        " beside an existing Message DB; or use group_member and group_size."
    )


def no_privileges_error() -> IncompatibleServerError:
    """Return the error for a role that may not use the tables."""
    return IncompatibleServerError(
        "partitions= needs SELECT, INSERT, UPDATE and DELETE on the tables"
        " messagedb.partition_sets, partition_members and partitions, which the role does not have."
        " Nothing was changed. Their owner may GRANT them, or make the role a member of"
        " message_store; or use group_member and group_size."
    )


def read_only_error() -> IncompatibleServerError:
    """Return the error for a server on which no partition can be claimed."""
    return IncompatibleServerError(
        "partitions= stores who owns which partition, and this server or session is read-only."
        " Nothing was changed. Connect to the primary (target_session_attrs=read-write)."
    )


def set_is_gone_error(category: str, identifier: str) -> IncompatibleServerError:
    """Return the error for a set that was removed while it was used."""
    return IncompatibleServerError(
        f"the partitions of consumer {identifier!r} of category {category!r} are not stored any"
        " more: their rows in messagedb.partition_sets were deleted. Its positions are unchanged."
        " Run it again: it stores them again."
    )


def check_position_store(name: str, own: str, stored: str) -> None:
    """Refuse another position store than that of the processes that began.

    Args:
        name: the consumer's.
        own: the kind of this process, ``stream`` or ``table``.
        stored: the kind that is stored with the partitions.

    Raises:
        PositionConflictError: they differ. Nothing was changed.
    """
    if own != stored:
        places = {"stream": "streams (StreamPositionStore)", "table": "rows (TablePositionStore)"}
        raise PositionConflictError(
            f"{name}: its partitions keep their positions in {places[stored]}, and this process"
            f" would keep them in {places[own]}: it would begin without them, and handle all"
            " messages again. Nothing was changed. Pass the same position_store= and transactional="
            " as the processes that began, or take another identifier."
        )


def claim_lost_error(name: str) -> PositionConflictError:
    """Return the error for a transaction of a process whose partition another one may have."""
    return PositionConflictError(
        f"{name}: this process gave no sign of life in time, and another one may own the partition"
        " now. The transaction is rolled back: nothing of it is stored."
    )


def is_also_static_error(name: str, found: Iterable[str], size: int) -> PositionConflictError:
    """Return the error for partitions whose identifier is used without them, or in another size.

    Args:
        name: the partitioned consumer's.
        found: the names of positions that were found.
        size: the number of partitions.
    """
    listed = ", ".join(repr(each) for each in sorted(found)[:5])
    return PositionConflictError(
        f"{name}: the identifier was used without partitions, or in a group of another size: there"
        f" are positions in {listed}. {size} partitions would begin without them, and messages"
        " would be handled twice. Nothing was changed. Stop what runs with the identifier, and call"
        f" client.resize_consumer_group(…, old_size=…, new_size={size}), where old_size is the size"
        " of the group, or None if there is none. The partitions then go on after its position."
    )


def is_running_static_error(name: str, found: Iterable[str]) -> PositionConflictError:
    """Return the error for partitions whose identifier is used without them at this moment."""
    return PositionConflictError(
        f"{name}: a consumer without partitions runs under the same identifier"
        f" ({', '.join(map(repr, found))}). Nothing was changed. Stop it, and run this one again;"
        " or take another identifier."
    )


def is_partitioned_error(name: str, members: list[str]) -> PositionConflictError:
    """Return the error for a consumer without partitions whose identifier is used with them."""
    return PositionConflictError(
        f"{name}: the identifier is used with partitions, by {', '.join(members[:5])}: both would"
        " handle the same messages. Nothing was changed. Run this one with partitions=, too; or"
        " take another identifier."
    )


def was_partitioned_error(name: str, size: int) -> PositionConflictError:
    """Return the error for a consumer without a position whose identifier has partitions.

    Args:
        name: the consumer's.
        size: the stored number of partitions.
    """
    return PositionConflictError(
        f"{name}: the identifier was used with {size} partitions, and this consumer has no"
        " position: it would begin at the first message, and messages would be handled twice."
        f" Nothing was changed. Run it with partitions={size}; or take another identifier. To go on"
        " without partitions, stop all processes that have them, and call reset_position() of this"
        " one with the lowest of their positions (messagedb consumers status --partitions)."
    )


def is_running_error(name: str, members: list[str]) -> PositionConflictError:
    """Return the error for a change of positions while members run."""
    by = f" by {', '.join(members[:5])}" if members else ""
    return PositionConflictError(
        f"{name}: its partitions are owned{by}. Nothing was changed. Stop it everywhere first."
    )


def no_such_partition_error(name: str, number: int, size: int) -> ValidationError:
    """Return the error for a number that no partition has."""
    return ValidationError(
        f"{name}: there is no partition {number}: it has {size}, numbered from 0 to {size - 1}."
        " Nothing was changed."
    )


def has_no_owner_error(name: str, number: int) -> PositionConflictError:
    """Return the error for a release of a partition that is free."""
    return PositionConflictError(
        f"{name}: partition {number} has no live owner that could give it up. Nothing was changed."
        " A process that runs the consumer claims it within seconds; if none does, see messagedb"
        " consumers status."
    )


def release_timeout_text(name: str, number: int, owner: str, seconds: float) -> str:
    """Return the text for a partition whose owner has not given it up in time."""
    return (
        f"{name}: {owner} has not given up partition {number} within {seconds:g} s: its handler"
        " has not finished its message. The request stays: it gives the partition up after that"
        " message. If the handler hangs, end that process: another one has the partition after"
        " lease_timeout."
    )


def size_differs_text(category: str, identifier: str | None, ours: int, stored: int) -> str:
    """Return the warning of a process whose code has another number of partitions."""
    return (
        f"partitions={ours} here, and {stored} are stored, which count: change the code to"
        f" partitions={stored}, or the number by client.resize_partitions({category!r},"
        f" {identifier!r}, {ours})"
    )


def numbers_text(numbers: Iterable[Any]) -> str:
    """Return numbers in order, runs of them shortened: ``0-3, 7``."""
    runs: list[list[int]] = []
    for number in sorted(numbers):
        if runs and runs[-1][1] == number - 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in runs)
