"""The checks of a consumer's options: a table of options, and one of combinations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from .._argument_checks import check_seconds
from .._errors import ValidationError
from .._operations import validation
from .._subscriptions.backoff import RetryPolicy
from .._subscriptions.validation import check_on_lost_history, check_start
from .failure_policy import POLICIES
from .position_stores import StreamPositionStore, TablePositionStore, check_identifier
from .settings import ConsumerSettings

MAX_PARTITIONS: Final = 32767


def check_settings(settings: ConsumerSettings) -> None:
    """Check every option.

    Raises:
        ValidationError: an option is out of its range. The text names it. Nothing was sent.
    """
    for name, check in OPTION_CHECKS:
        check(name, getattr(settings, name))
    for check_together in COMBINATION_CHECKS:
        check_together(settings)


def _check_category(name: str, value: Any) -> None:
    if value is not None:
        validation.check_category(value, name)


def _check_categories(_: str, value: Any) -> None:
    if value is not None:
        validation.check_categories(value)


def _check_types(_: str, value: Any) -> None:
    for type_name in value or ():
        validation.check_type(type_name)


def _check_count(name: str, value: Any) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= 1_000_000:
        raise ValidationError(f"{name} must be an integer from 1 to 1,000,000, not {value!r}")


def _check_optional_count(name: str, value: Any) -> None:
    if value is not None:
        _check_count(name, value)


def _check_write_categories(_: str, value: Any) -> None:
    for category in value:
        validation.check_category(category, "each of write_categories")


def _check_optional_seconds(name: str, value: Any) -> None:
    if value is not None:
        check_seconds(name, value)


def _check_flag(name: str, value: Any) -> None:
    if value not in (True, False):
        raise ValidationError(f"{name} must be True or False, not {value!r}")


def _check_position_store(_: str, value: Any) -> None:
    if not isinstance(value, StreamPositionStore | TablePositionStore):
        raise ValidationError(
            "position_store must be a StreamPositionStore or a TablePositionStore, not "
            f"{type(value).__name__}"
        )


def _check_retry(_: str, value: Any) -> None:
    if not isinstance(value, RetryPolicy):
        raise ValidationError(f"retry must be a RetryPolicy, not {type(value).__name__}")


def _check_on_error(_: str, value: Any) -> None:
    if value not in POLICIES and not callable(value):
        raise ValidationError(
            f"on_error must be 'stop', 'park', 'park_stream', 'skip' or a function, not {value!r}"
        )


def _check_middleware(_: str, value: Any) -> None:
    for function in value:
        if not callable(function):
            raise ValidationError(
                "each of middleware must be a function of the context and the next function, not "
                f"{function!r}"
            )


def _check_identifier(settings: ConsumerSettings) -> None:
    is_member = any(
        each is not None
        for each in (settings.group_member, settings.group_size, settings.partitions)
    )
    check_identifier(settings.identifier, is_member)
    if settings.category is None and settings.identifier is None:
        raise ValidationError(
            "a consumer of several categories needs an identifier, under which its position is "
            "stored. Nothing was sent."
        )


def _check_streams_without_id(settings: ConsumerSettings) -> None:
    member: Any = settings.streams_without_id
    if member is None:
        return
    # Partition 0 is there whatever their number is changed to.
    size = settings.group_size if settings.partitions is None else 1
    if not isinstance(member, int) or isinstance(member, bool) or size is None:
        raise ValidationError(
            "streams_without_id must be the number of the group's member that reads the streams "
            f"without an id, the same for all of its members, not {member!r} in a group of {size}"
        )
    if not 0 <= member < size:
        raise ValidationError(
            f"streams_without_id must be a member of the group, 0 to {size - 1}, not {member}"
        )


def _check_partitions(_: str, value: Any) -> None:
    if value is None:
        return
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= MAX_PARTITIONS:
        raise ValidationError(
            f"partitions must be an integer from 1 to {MAX_PARTITIONS:,}, not {value!r}. Nothing"
            " was sent."
        )


def _check_member_name(_: str, value: Any) -> None:
    if value is not None and not (
        isinstance(value, str) and 0 < len(value) <= 255 and value.isprintable()
    ):
        raise ValidationError(
            "member_name must be a name of 1 to 255 printable characters, such as that of a pod,"
            f" not {value!r}. Nothing was sent."
        )


def _check_partitioned(settings: ConsumerSettings) -> None:
    if settings.partitions is None:
        if settings.member_name is not None:
            raise ValidationError(
                f"member_name ({settings.member_name!r}) names a process that runs partitions:"
                " pass partitions, too, or leave it out. Nothing was sent."
            )
        return
    if settings.group_member is not None or settings.group_size is not None:
        raise ValidationError(
            "partitions are claimed by the processes that run, and group_member and group_size"
            " name a fixed one: pass either partitions or these. Nothing was sent."
        )
    if settings.category is None:
        raise ValidationError("partitions divide one category. Nothing was sent.")
    store = settings.position_store
    if (store.stream_name if isinstance(store, StreamPositionStore) else store.name) is not None:
        raise ValidationError(
            "each partition has a position of the name that a group's member has: leave out the"
            " name of the position store. Nothing was sent."
        )
    if settings.lease_timeout is None:
        raise ValidationError(
            "partitions are claimed by leases: lease_timeout must be a number of seconds. Nothing"
            " was sent."
        )


def _check_concurrency(settings: ConsumerSettings) -> None:
    if settings.concurrency > settings.batch_size:
        raise ValidationError(
            f"concurrency ({settings.concurrency}) must not be more than batch_size "
            f"({settings.batch_size}), the maximum number of messages in progress"
        )
    if settings.transactional and settings.concurrency > 1:
        raise ValidationError(
            "transactional=True handles one message at a time, in a transaction with the "
            "position: leave concurrency at 1, and pass transaction_size for several messages in "
            "one transaction, or divide the category among the members of a group"
        )


def _check_transactions(settings: ConsumerSettings) -> None:
    if settings.transactional:
        return
    if settings.transaction_size is not None:
        raise ValidationError(
            f"transaction_size ({settings.transaction_size}) is the number of messages that are "
            "handled in one transaction with the position, and this consumer has no transactions: "
            "pass transactional=True, too, or leave it out"
        )
    if settings.write_categories:
        raise ValidationError(
            "write_categories are locked at the beginning of each transaction, and this consumer "
            "has no transactions: pass transactional=True, too, or leave them out"
        )


OPTION_CHECKS: Final[tuple[tuple[str, Callable[[str, Any], None]], ...]] = (
    ("category", _check_category),
    ("categories", _check_categories),
    ("start", lambda _, value: check_start(value)),
    ("batch_size", _check_count),
    ("position_update_interval", _check_count),
    ("concurrency", _check_count),
    ("poll_interval", check_seconds),
    ("idle_poll_interval", check_seconds),
    ("position_update_seconds", check_seconds),
    ("transaction_timeout", check_seconds),
    ("transaction_size", _check_optional_count),
    ("write_categories", _check_write_categories),
    ("on_lost_history", lambda _, value: check_on_lost_history(value)),
    ("lease_timeout", _check_optional_seconds),
    ("correlation", _check_category),
    ("condition", lambda _, value: validation.check_condition(value)),
    ("types", _check_types),
    ("transactional", _check_flag),
    ("notify", _check_flag),
    ("partitions", _check_partitions),
    ("member_name", _check_member_name),
    ("position_store", _check_position_store),
    ("retry", _check_retry),
    ("on_error", _check_on_error),
    ("middleware", _check_middleware),
)

# In this order: each check relies on those above it.
COMBINATION_CHECKS: Final[tuple[Callable[[ConsumerSettings], None], ...]] = (
    lambda settings: validation.check_group(settings.group_member, settings.group_size),
    _check_identifier,
    _check_partitioned,
    _check_streams_without_id,
    _check_concurrency,
    _check_transactions,
    lambda settings: validation.check_stream_name(settings.position_name),
)
